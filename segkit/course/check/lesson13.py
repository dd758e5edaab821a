"""Checks of lesson 13: video."""

import numpy as np

from segkit.course.check.core import cases, draws, either
from segkit.metrics import iou_score
from segkit.video.smooth import flicker, temporal_iou


def _clips():
    """Small clips of a block that walks and blinks, of several lengths and sizes: bool (T, H, W)."""
    for _, rng in draws(4):
        frames, height, width = (int(rng.integers(low, low + 3)) for low in (4, 5, 7))
        masks = rng.random((frames, height, width)) < 0.2
        for t, mask in enumerate(masks):
            left = t % (width - 3)
            mask[1:4, left : left + 3] = True
        yield rng, masks


@cases("overlap over union of each pair of neighbours, then the mean.")
def mean_temporal_iou():
    """answer(masks): mean IoU of each mask with the one before; two empty masks agree."""
    for _, masks in _clips():
        nobody, dot, dots = np.zeros((3, *masks[0].shape), bool)
        dot[0, :2] = dots[0, :3] = True
        masks = np.stack([*masks, nobody, nobody, dot, dots])  # the person leaves; a speck comes and grows
        right, pairs = temporal_iou(masks), iou_score(masks[1:], masks[:-1]).numpy()
        against_first = iou_score(masks[1:], masks[:1].repeat(len(pairs), axis=0)).mean()
        mistakes = {
            "two empty masks agree: their IoU is 1, not 0 / 0.": either(np.nan, right - 1 / len(pairs)),
            "two empty masks agree: they count as 1, and are not left out.": np.delete(pairs, -3).mean(),
            "divided by the number of masks: there is one pair of neighbours less.": sum(pairs) / len(masks),
            "this is Dice: IoU is the overlap over the union.": np.mean(2 * pairs / (1 + pairs)),
            "every mask against the first: compare with the one just before.": against_first,
            "this is 1 - IoU: 1 should mean that nothing changes.": 1 - right,
            "this is the sum: divide by the number of pairs.": sum(pairs),
            "this is the share of equal pixels: IoU has no background.": np.mean(masks[1:] == masks[:-1]),
        }
        yield (list(masks),), right, mistakes


@cases("masks[t] ^ masks[t-1] and not truth[t] ^ truth[t-1], the mean number over the mean size.")
def count_flicker():
    """answer(masks, truth): unexplained changes per step, over the mean size of the true person."""
    for rng, truth in _clips():
        wrong = truth ^ (rng.random(truth.shape) < 0.25)
        for masks in (wrong, truth, np.stack([truth[0]] * len(truth))):  # one flickers, perfect, frozen
            right, steps, size = flicker(masks, truth), len(masks) - 1, truth.sum() / len(truth)
            ours, true = masks[1:] ^ masks[:-1], truth[1:] ^ truth[:-1]
            changes = ours, ours ^ true, ours & true
            every, one_sided, explained = (some.sum() / steps / size for some in changes)
            mistakes = {
                "these are the wrong pixels: count changes in time.": (masks ^ truth).sum() / truth.sum(),
                "every change counts here: leave out those that the truth makes too.": every,
                "a change of the truth alone is counted too: no flicker.": one_sided,
                "these are the changes that the truth explains: take the others.": explained,
                "divided by the whole picture, not by the true person.": right * size / truth[0].size,
                "this is a number of pixels: divide by the mean size of the true person.": right * size,
                "divided by our mask, not by the true person.": right * truth.sum() / masks.sum(),
                "divided by the number of masks: there is one step less.": right * steps / len(masks),
                "added up over the clip: take the mean per step.": right * steps,
            }
            yield (list(masks), list(truth)), right, mistakes


@cases("belief = strength * belief + (1 - strength) * prob, frame by frame.", atol=1e-5)
def smooth_over_time():
    """answer(probs, strength): list of float (H, W) -> the same, exponentially smoothed."""
    for _, rng in draws(4):
        count, height, width = (int(rng.integers(low, low + 3)) for low in (4, 2, 4))
        probs = rng.random((count, height, width)).astype(np.float32)
        strength = float(rng.choice([0.3, 0.6, 0.8]))
        right = _mixed(probs, strength)
        raw_past = np.concatenate([probs[:1], strength * probs[:-1] + (1 - strength) * probs[1:]])
        from_zero = _mixed([np.zeros_like(probs[0]), *probs], strength)[1:]
        average = np.cumsum(probs, axis=0) / np.arange(1, count + 1)[:, None, None]
        mistakes = {
            "the weights have changed places: the strength belongs to the past.": _mixed(probs, 1 - strength),
            "mixed with the raw frame before: the smoothed one remembers all of the past.": raw_past,
            "nothing has changed: mix each frame with what was believed before.": probs,
            "the first frame was mixed with zeros: it has no past, keep it as it is.": from_zero,
            "one map per frame, the first one too.": right[1:],
            "cut first: smooth the probabilities, cut last.": _mixed(np.float32(probs > 0.5), strength),
            "a plain average of all frames so far: new frames hardly count at the end.": average,
            "these are masks: return the smoothed probabilities, uncut.": right > 0.5,
            "time runs backwards: a frame may only look back.": _mixed(probs[::-1], strength)[::-1],
        }
        yield (list(probs), strength), right, mistakes


def _mixed(probs, strength) -> np.ndarray:
    belief = [probs[0]]
    for prob in probs[1:]:
        belief.append(strength * belief[-1] + (1 - strength) * prob)
    return np.stack(belief)


@cases("after one second the past weighs strength ** fps: keep that.", atol=1e-9)
def same_memory():
    """answer(strength, fps, new_fps): the strength that forgets as fast in seconds."""
    drawn = [(round(rng.uniform(0.3, 0.95), 2), 29.97, float(rng.integers(31, 90))) for _, rng in draws(2)]
    for strength, fps, new_fps in [(0.7, 12, 24), (0.9, 30, 15), (0.5, 25, 60), *drawn, (0.8, 24, 24)]:
        linear = 1 - (1 - strength) * fps / new_fps
        mistakes = {
            "the wrong way round: more frames per second must each forget less.": strength ** (new_fps / fps),
            "weights of the past multiply, they do not add: use a power.": strength * new_fps / fps,
            "a higher frame rate needs a higher strength: use a power.": strength * fps / new_fps,
            "forgetting does not simply scale: what is left after a second is strength ** fps.": linear,
            "the same strength forgets faster in seconds when frames come faster.": strength,
            "this is what is left after a second: take the root for new_fps frames.": strength**fps,
        }
        yield (strength, fps, new_fps), strength ** (fps / new_fps), mistakes


@cases("weight = strength * still; weight * past + (1 - weight) * prob.", atol=1e-5)
def gated_mix():
    """answer(prob, past, still, strength): the past weighs strength * still."""
    for _, rng in draws(4):
        height, width = int(rng.integers(2, 5)), int(rng.integers(4, 7))
        prob, past, still = rng.random((3, height, width)).astype(np.float32)
        still[0, 0], still[0, 1] = 0, 1
        strength = float(rng.choice([0.4, 0.7, 0.9]))
        weight, moving = strength * still, strength * (1 - still)
        ungated, half_given = strength * past + (1 - strength) * prob, weight * past + (1 - strength) * prob
        mistakes = {
            "the gate is the wrong way round: keep what is still.": moving * past + (1 - moving) * prob,
            "past and present have changed places.": weight * prob + (1 - weight) * past,
            "this has no gate: multiply the strength by the stillness.": ungated,
            "the stillness alone decides: multiply it by the strength.": still * past + (1 - still) * prob,
            "the weights do not add up to 1: what the past loses, the present gets.": half_given,
        }
        yield (prob, past, still, strength), weight * past + (1 - weight) * prob, mistakes

"""Checks of lesson 13: video."""

import numpy as np

from segkit.course.check.core import Wrong, exercise, from_start
from segkit.video.smooth import flicker, temporal_iou


def _clip(seed: int, height: int = 6, width: int = 8, frames: int = 5) -> list[np.ndarray]:
    """Masks of a block that walks and blinks: bool (H, W) each."""
    rng = np.random.default_rng(from_start(seed))
    masks = rng.random((frames, height, width)) < 0.15
    for t, mask in enumerate(masks):
        mask[1:4, t % width : t % width + 4] = True
    return list(masks)


def _iou(a, b):
    return (a & b).sum() / (a | b).sum()


@exercise
def mean_temporal_iou(answer):
    """answer(masks): mean IoU of each mask with the one before."""
    for seed in range(3):
        masks = _clip(seed)
        right = temporal_iou(masks)
        given = f"{len(masks)} masks of shape {masks[0].shape}"
        got = _number(answer([mask.copy() for mask in masks]), given, right)
        pairs = [_iou(masks[t], masks[t - 1]) for t in range(1, len(masks))]
        dice = np.mean([2 * p / (1 + p) for p in pairs])
        wrong = {
            "divided by the number of masks: five masks have four neighbours.": sum(pairs) / len(masks),
            "this is Dice: IoU is the overlap over the union.": dice,
            "every mask against the first: compare with the one just before.": np.mean(
                [_iou(masks[t], masks[0]) for t in range(1, len(masks))]
            ),
            "this is 1 - IoU: 1 should mean that nothing changes.": 1 - right,
            "this is the sum: divide by the number of pairs.": sum(pairs),
            "this is the share of equal pixels: background counts for nothing in IoU.": np.mean(
                [(masks[t] == masks[t - 1]).mean() for t in range(1, len(masks))]
            ),
        }
        _compare(got, right, wrong, given, "overlap over union of each pair of neighbours, then the mean.")
    empty = [np.zeros((3, 3), bool)] * 3
    got = answer(empty)
    if not np.isfinite(got) or abs(got - 1) > 1e-6:
        raise Wrong("two empty masks agree: their IoU is 1, not 0 / 0.", "three empty masks", got, 1.0)


@exercise
def smooth_over_time(answer):
    """answer(probs, strength): list of float (H, W) -> the same, exponentially smoothed."""
    for seed in range(3):
        rng = np.random.default_rng(from_start(seed))
        probs = [rng.random((3, 4)).astype(np.float32) for _ in range(5)]
        strength = float(rng.choice([0.3, 0.6, 0.8]))
        given = f"5 maps of shape (3, 4), strength {strength}"
        right = _smoothed(probs, strength, probs[0])
        before = [prob.copy() for prob in probs]
        got = answer(probs, strength)
        if any((a != b).any() for a, b in zip(probs, before, strict=True)):
            raise Wrong("the probabilities that were given have changed: make new arrays.", given)
        if not isinstance(got, list | tuple | np.ndarray) or len(got) != len(probs):
            raise Wrong("return one map per frame, the first one too.", given, got, "5 maps")
        if any(np.shape(one) != (3, 4) for one in got):
            raise Wrong("each map keeps its shape.", given, np.shape(got[0]), (3, 4))
        got = np.stack([np.asarray(one, float) for one in got])
        raw = [probs[0]] + [strength * probs[t - 1] + (1 - strength) * probs[t] for t in range(1, len(probs))]
        hard = [(prob > 0.5).astype(np.float32) for prob in probs]
        wrong = {
            "the weights have changed places: the strength belongs to the past.": _smoothed(
                probs, 1 - strength, probs[0]
            ),
            "mixed with the raw frame before: the smoothed one remembers all of the past.": raw,
            "nothing has changed: mix each frame with what was believed before.": probs,
            "the first frame was mixed with zeros: it has no past, keep it as it is.": _smoothed(
                probs, strength, np.zeros((3, 4))
            ),
            "thresholded first: smooth the probabilities, cut last.": _smoothed(hard, strength, hard[0]),
            "a plain average of all frames so far: new frames hardly count at the end.": [
                np.mean(probs[: t + 1], axis=0) for t in range(len(probs))
            ],
        }
        for hint, other in wrong.items():
            if np.allclose(got, np.stack(other), atol=1e-5):
                raise Wrong(hint, given, _corner(got), _corner(right))
        if not np.allclose(got, np.stack(right), atol=1e-5):
            hint = "belief = strength * belief + (1 - strength) * prob, frame by frame."
            raise Wrong(hint, given, _corner(got), _corner(right))


def _smoothed(probs, strength, first):
    belief = [first if first is probs[0] else (1 - strength) * probs[0] + strength * first]
    for prob in probs[1:]:
        belief.append(strength * belief[-1] + (1 - strength) * prob)
    return belief


def _corner(maps) -> str:
    return "upper left pixel " + ", ".join(f"{float(one[0, 0]):.3f}" for one in maps)


@exercise
def gated_mix(answer):
    """answer(prob, past, still, strength): the past weighs strength * still."""
    for seed in range(3):
        rng = np.random.default_rng(from_start(seed))
        prob, past, still = rng.random((3, 3, 4)).astype(np.float32)
        still[0, 0], still[0, 1] = 0, 1
        strength = float(rng.choice([0.4, 0.7, 0.9]))
        given = f"maps of shape (3, 4), strength {strength}; stillness {still[0, :2]} in the first pixels"
        weight = strength * still
        right = weight * past + (1 - weight) * prob
        got = np.asarray(answer(prob.copy(), past.copy(), still.copy(), strength), float)
        if got.shape != right.shape:
            raise Wrong("one number for every pixel.", given, f"shape {got.shape}", f"shape {right.shape}")
        moving = strength * (1 - still)
        wrong = {
            "the gate is the wrong way round: keep the past where it is still.": moving * past
            + (1 - moving) * prob,
            "past and present have changed places.": weight * prob + (1 - weight) * past,
            "this has no gate: multiply the strength by the stillness.": strength * past
            + (1 - strength) * prob,
            "the stillness alone decides: multiply it by the strength.": still * past + (1 - still) * prob,
            "the weights do not add up to 1: what the past loses, the present gets.": weight * past
            + (1 - strength) * prob,
        }
        first = f"{np.round(got[0, :2], 3)} in the first pixels", f"{np.round(right[0, :2], 3)}"
        for hint, other in wrong.items():
            if np.allclose(got, other, atol=1e-5):
                raise Wrong(hint, given, *first)
        if not np.allclose(got, right, atol=1e-5):
            raise Wrong("weight = strength * still; weight * past + (1 - weight) * prob.", given, *first)


@exercise
def count_flicker(answer):
    """answer(masks, truth): unexplained changes per step, over the mean size of the true person."""
    for seed in range(3):
        truth, rng = _clip(seed), np.random.default_rng(from_start(seed + 100))
        masks = [mask ^ (rng.random(mask.shape) < 0.2) for mask in truth]
        right = flicker(masks, truth)
        given = f"{len(masks)} masks of shape {masks[0].shape} and their truth"
        got = _number(answer([m.copy() for m in masks], [m.copy() for m in truth]), given, right)
        steps = range(1, len(masks))
        size = np.mean([mask.sum() for mask in truth])
        ours = [masks[t] ^ masks[t - 1] for t in steps]
        true = [truth[t] ^ truth[t - 1] for t in steps]
        free = [(a & ~b).sum() for a, b in zip(ours, true, strict=True)]
        wrong = {
            "these are the wrong pixels: count changes from frame to frame.": np.mean(
                [(m ^ t).sum() for m, t in zip(masks, truth, strict=True)]
            )
            / size,
            "every change counts here: leave out those that the truth makes too.": np.mean(
                [a.sum() for a in ours]
            )
            / size,
            "a change that only the truth makes is counted too: that is no flicker.": np.mean(
                [(a ^ b).sum() for a, b in zip(ours, true, strict=True)]
            )
            / size,
            "these are the changes that the truth explains: take the others.": np.mean(
                [(a & b).sum() for a, b in zip(ours, true, strict=True)]
            )
            / size,
            "divided by the whole picture: divide by the size of the true person.": np.mean(free)
            / truth[0].size,
            "this is a number of pixels: divide by the mean size of the true person.": np.mean(free),
            "divided by the number of masks: five masks have four steps.": sum(free) / len(masks) / size,
            "added up over the clip: take the mean per step.": sum(free) / size,
        }
        hint = "masks[t] ^ masks[t-1] and not truth[t] ^ truth[t-1], the mean number over the mean size."
        _compare(got, right, wrong, given, hint)


@exercise
def same_memory(answer):
    """answer(strength, fps, new_fps): the strength that forgets as fast in seconds."""
    for strength, fps, new_fps in ((0.7, 12, 24), (0.9, 30, 15), (0.5, 25, 60), (0.8, 24, 24)):
        given = f"strength {strength} at {fps}, wanted at {new_fps} frames per second"
        right = strength ** (fps / new_fps)
        got = _number(answer(strength, fps, new_fps), given, right)
        wrong = {
            "the wrong way round: more frames per second must each forget less.": strength ** (new_fps / fps),
            "weights of the past multiply from frame to frame, they do not add: use a power.": strength
            * new_fps
            / fps,
            "a higher frame rate needs a higher strength, and weights multiply: use a power.": strength
            * fps
            / new_fps,
            "what is forgotten does not simply scale: what is left after one second is strength ** fps.": 1
            - (1 - strength) * fps / new_fps,
            "the same strength forgets faster in seconds when frames come faster.": strength,
        }
        _compare(got, right, wrong, given, "after one second the past weighs strength ** fps: keep that.")


def _number(got, given, right) -> float:
    if isinstance(got, bool) or np.ndim(got) != 0 or not isinstance(got, int | float | np.number):
        raise Wrong("one number is wanted.", given, got, float(right))
    return float(got)


def _compare(got, right, wrong, given, hint) -> None:
    """Raise the hint of the wrong answer that was met, or the general one."""
    if np.isclose(got, right, atol=1e-6):
        return
    for said, other in wrong.items():
        if np.isclose(got, other, atol=1e-6):
            raise Wrong(said, given, got, float(right))
    raise Wrong(hint, given, got, float(right))

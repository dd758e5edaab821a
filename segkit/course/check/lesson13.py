"""Checks of lesson 13: video."""

import numpy as np

from segkit.course.check.core import Wrong, as_number, exercise, from_start
from segkit.video.smooth import flicker, temporal_iou


def _clips():
    """Small clips of a block that walks and blinks, of several lengths and sizes: lists of bool (H, W)."""
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        frames, height, width = (int(rng.integers(low, low + 3)) for low in (4, 5, 7))
        masks = rng.random((frames, height, width)) < 0.2
        for t, mask in enumerate(masks):
            left = t % (width - 3)
            mask[1:4, left : left + 3] = True
        yield list(masks)


def _drawn(*piles) -> str:
    """Masks as text, a frame after the other: # is person, / starts a new row."""
    frames = [
        ["/".join("".join(".#"[int(p)] for p in row) for row in mask) for mask in pile] for pile in piles
    ]
    return " | ".join(" ".join(pile) for pile in frames)


def _iou(a, b):
    union = (a | b).sum()
    return (a & b).sum() / union if union else 1.0


@exercise
def mean_temporal_iou(answer):
    """answer(masks): mean IoU of each mask with the one before; two empty masks agree."""
    for masks in _clips():
        dot = np.zeros_like(masks[0])
        dot[0, 0] = True
        masks = [*masks, *[np.zeros_like(dot)] * 2, dot]  # the person leaves; a speck comes
        right, given = temporal_iou(masks), _drawn(masks)
        got = _number(answer([mask.copy() for mask in masks]), given, right)
        steps = range(1, len(masks))
        pairs = [_iou(masks[t], masks[t - 1]) for t in steps]
        dice = [2 * one / (1 + one) for one in pairs]
        equal = [(masks[t] == masks[t - 1]).mean() for t in steps]
        hints = {
            "two empty masks agree: their IoU is 1, not 0 and not 0 / 0.": np.mean([*pairs[:-2], 0, 0]),
            "two empty masks agree: they count as 1, and are not left out.": np.mean([*pairs[:-2], 0]),
            "divided by the number of masks: there is one pair of neighbours less.": sum(pairs) / len(masks),
            "this is Dice: IoU is the overlap over the union.": np.mean(dice),
            "every mask against the first: compare with the one just before.": np.mean(
                [_iou(masks[t], masks[0]) for t in steps]
            ),
            "this is 1 - IoU: 1 should mean that nothing changes.": 1 - right,
            "this is the sum: divide by the number of pairs.": sum(pairs),
            "this is the share of equal pixels: background counts for nothing in IoU.": np.mean(equal),
        }
        if np.isnan(got):
            raise Wrong(next(iter(hints)), given, got, right)
        _compare(got, right, hints, given, "overlap over union of each pair of neighbours, then the mean.")


@exercise
def count_flicker(answer):
    """answer(masks, truth): unexplained changes per step, over the mean size of the true person."""
    for truth in _clips():
        rng = np.random.default_rng(from_start(len(truth)))
        wrong = [mask ^ (rng.random(mask.shape) < 0.25) for mask in truth]
        for masks in (wrong, truth, truth[:1] * len(truth)):  # one that flickers, perfect, frozen
            _one_flicker(answer, masks, truth)


def _one_flicker(answer, masks, truth) -> None:
    right, given = flicker(masks, truth), f"masks {_drawn(masks)}, truth {_drawn(truth)}"
    got = _number(answer([m.copy() for m in masks], [m.copy() for m in truth]), given, right)
    steps, size = range(1, len(masks)), np.mean([mask.sum() for mask in truth])
    changes = [(masks[t] ^ masks[t - 1], truth[t] ^ truth[t - 1]) for t in steps]

    def share(rule):
        return np.mean([rule(ours, true).sum() for ours, true in changes]) / size

    hints = {
        "these are the wrong pixels: count changes from frame to frame.": np.mean(
            [(m ^ t).sum() for m, t in zip(masks, truth, strict=True)]
        )
        / size,
        "every change counts here: leave out those that the truth makes too.": share(lambda a, b: a),
        "a change that only the truth makes is counted too: that is no flicker.": share(lambda a, b: a ^ b),
        "these are the changes that the truth explains: take the others.": share(lambda a, b: a & b),
        "divided by the whole picture: divide by the size of the true person.": right * size / truth[0].size,
        "this is a number of pixels: divide by the mean size of the true person.": right * size,
        "divided by the size of our mask: divide by the size of the true person.": right
        * size
        / np.mean([mask.sum() for mask in masks]),
        "divided by the number of masks: there is one step less.": right * len(steps) / len(masks),
        "added up over the clip: take the mean per step.": right * len(steps),
    }
    general = "masks[t] ^ masks[t-1] and not truth[t] ^ truth[t-1], the mean number over the mean size."
    _compare(got, right, hints, given, general)


@exercise
def smooth_over_time(answer):
    """answer(probs, strength): list of float (H, W) -> the same, exponentially smoothed."""
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        count, height, width = (int(rng.integers(low, low + 3)) for low in (4, 2, 4))
        probs = list(rng.random((count, height, width)).astype(np.float32))
        strength = float(rng.choice([0.3, 0.6, 0.8]))
        given = f"{count} maps of shape {(height, width)}, strength {strength}"
        before = [prob.copy() for prob in probs]
        got = answer(probs, strength)
        if any((a != b).any() for a, b in zip(probs, before, strict=True)):
            raise Wrong("the probabilities that were given have changed: make new arrays.", given)
        try:
            got = [np.asarray(one, float) for one in got]
        except (TypeError, ValueError):
            raise Wrong("return one map per frame, the first one too.", given, got, f"{count} maps") from None
        if len(got) != count:
            what = f"{len(got)} maps", f"{count} maps"
            raise Wrong("return one map per frame, the first one too.", given, *what)
        if any(one.shape != (height, width) for one in got):
            raise Wrong("each map keeps its shape.", given, got[0].shape, (height, width))
        hard = [(prob > 0.5).astype(np.float32) for prob in probs]
        hints = {
            "the weights have changed places: the strength belongs to the past.": _mixed(probs, 1 - strength),
            "mixed with the raw frame before: the smoothed one remembers all of the past.": [probs[0]]
            + [strength * probs[t - 1] + (1 - strength) * probs[t] for t in range(1, count)],
            "nothing has changed: mix each frame with what was believed before.": probs,
            "the first frame was mixed with zeros: it has no past, keep it as it is.": _mixed(
                [np.zeros_like(probs[0]), *probs], strength
            )[1:],
            "thresholded first: smooth the probabilities, cut last.": _mixed(hard, strength),
            "a plain average of all frames so far: new frames hardly count at the end.": [
                np.mean(probs[: t + 1], axis=0) for t in range(count)
            ],
            "these are masks: return the smoothed probabilities, uncut.": [
                one > 0.5 for one in _mixed(probs, strength)
            ],
            "time runs backwards here: a frame may only look at those before it.": _mixed(
                probs[::-1], strength
            )[::-1],
        }
        right = np.stack(_mixed(probs, strength))
        _compare_maps(np.stack(got), right, np.stack(probs), hints, given, "belief = strength * belief "
                      "+ (1 - strength) * prob, frame by frame.")  # fmt: skip


def _mixed(probs, strength):
    belief = [probs[0]]
    for prob in probs[1:]:
        belief.append(strength * belief[-1] + (1 - strength) * prob)
    return belief


@exercise
def same_memory(answer):
    """answer(strength, fps, new_fps): the strength that forgets as fast in seconds."""
    rng = np.random.default_rng(from_start(0))
    drawn = [(round(rng.uniform(0.3, 0.95), 2), 29.97, float(rng.integers(31, 90))) for _ in range(2)]
    for strength, fps, new_fps in [(0.8, 24, 24), (0.7, 12, 24), (0.9, 30, 15), (0.5, 25, 60), *drawn]:
        given = f"strength {strength} at {fps}, wanted at {new_fps} frames per second"
        right = strength ** (fps / new_fps)
        got = _number(answer(strength, fps, new_fps), given, right)
        hints = {
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
            "this is what is left after a second: take the root that makes new_fps frames of it.": strength
            ** fps,
        }
        if fps == new_fps and not np.isclose(got, strength, atol=1e-6):
            raise Wrong("at the same frame rate the strength stays as it is.", given, got, right)
        _compare(got, right, hints, given, "after one second the past weighs strength ** fps: keep that.")


@exercise
def gated_mix(answer):
    """answer(prob, past, still, strength): the past weighs strength * still."""
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        height, width = int(rng.integers(2, 5)), int(rng.integers(4, 7))
        prob, past, still = maps = rng.random((3, height, width)).astype(np.float32)
        still[0, 0], still[0, 1] = 0, 1
        strength = float(rng.choice([0.4, 0.7, 0.9]))
        given = f"maps of shape {prob.shape}, strength {strength}"
        before = maps.copy()
        got = answer(*maps, strength)
        if (maps != before).any():
            raise Wrong("the maps that were given have changed: make a new one.", given)
        try:
            got = np.asarray(got, float)
        except (TypeError, ValueError):
            raise Wrong("one number for every pixel.", given, got, f"shape {prob.shape}") from None
        if got.shape != prob.shape:
            hint = "one number for every pixel."
            raise Wrong(hint, given, f"shape {got.shape}", f"shape {prob.shape}")
        weight, moving = strength * still, strength * (1 - still)
        hints = {
            "the gate is the wrong way round: keep the past where it is still.": moving * past
            + (1 - moving) * prob,
            "past and present have changed places.": weight * prob + (1 - weight) * past,
            "this has no gate: multiply the strength by the stillness.": strength * past
            + (1 - strength) * prob,
            "the stillness alone decides: multiply it by the strength.": still * past + (1 - still) * prob,
            "the weights do not add up to 1: what the past loses, the present gets.": weight * past
            + (1 - strength) * prob,
        }
        right = weight * past + (1 - weight) * prob
        hints = {hint: other[None] for hint, other in hints.items()}
        general = "weight = strength * still; weight * past + (1 - weight) * prob."
        _compare_maps(got[None], right[None], maps, hints, given, general, "prob, past, stillness")


def _number(got, given, right) -> float:
    number = None if isinstance(got, bool | np.bool_) else as_number(got)
    if number is None:
        raise Wrong("one number is wanted.", given, "None" if got is None else got, float(right))
    return number


def _compare(got, right, hints, given, general) -> None:
    """Raise the hint of the wrong answer that was met, or the general one."""
    if np.isclose(got, right, atol=1e-6):
        return
    for hint, other in hints.items():
        if np.isclose(got, other, atol=1e-6):
            raise Wrong(hint, given, got, float(right))
    raise Wrong(general, given, got, float(right))


def _compare_maps(got, right, inputs, hints, given, general, what="probabilities") -> None:
    """The same for maps (T, H, W); shows the pixel that is farthest off, and what went into it."""
    if np.allclose(got, right, atol=1e-5):
        return
    y, x = np.unravel_index(np.nan_to_num(np.abs(got - right), nan=9).max(axis=0).argmax(), right.shape[1:])
    here = f"{given}; pixel ({y}, {x}): {what} {_series(inputs[:, y, x])}"
    shown = here, _series(got[:, y, x]), _series(right[:, y, x])
    for hint, other in hints.items():
        if np.allclose(got, np.stack(list(other)), atol=1e-5):
            raise Wrong(hint, *shown)
    raise Wrong(general, *shown)


def _series(values) -> str:
    return ", ".join(f"{float(value):.3f}" for value in values)

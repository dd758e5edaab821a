"""Checks of notebook 04, Metrics."""

import numpy as np

from segkit.course.check.core import Wrong, exercise, from_start


def _random_masks(seed: int, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two stacks of boolean masks (count, 3, 4), with more and less person."""
    rng = np.random.default_rng(from_start(seed))
    preds, targets = (rng.random((count, 3, 4)) < rng.uniform(0.1, 0.9, (count, 1, 1)) for _ in range(2))
    return preds, targets


def _count(pred: np.ndarray, target: np.ndarray) -> tuple[int, int, int, int]:
    pairs = ((pred, target), (pred, ~target), (~pred, target), (~pred, ~target))
    return tuple(int((one & other).sum()) for one, other in pairs)


def _dice(pred: np.ndarray, target: np.ndarray) -> float:
    tp, fp, fn, _ = _count(pred, target)
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1.0


def _drawn(pred: np.ndarray, target: np.ndarray) -> str:
    """Two small masks side by side as text, # for person."""
    rows = (
        "   ".join("".join(".#"[int(v)] for v in row) for row in pair)
        for pair in zip(pred, target, strict=True)
    )
    return ("pred and target, # is person\n" + "\n".join(rows)).replace("\n", "\n" + " " * 11)


def _number(value, name: str = "the answer") -> float:
    """A plain number, or a hint that it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Wrong(f"{name} should be one number", got=type(value).__name__, expected="a number") from None


@exercise
def four_counts(answer):
    for seed in range(12):
        (pred,), (target,) = _random_masks(seed)
        expected = tp, fp, fn, tn = _count(pred, target)
        result = answer(pred.copy(), target.copy())
        if not isinstance(result, tuple | list) or len(result) != 4:
            raise Wrong("return four numbers: tp, fp, fn, tn", _drawn(pred, target), result, expected)
        got = tuple(_number(value, "each count") for value in result)
        if got == expected:
            continue
        hint = "TP: both true. FP: only pred is. FN: only target is. TN: neither is"
        if got == (tp, fn, fp, tn):
            hint = "FP and FN are swapped: a false positive was said (pred) and is not there (target)"
        elif got == (tn, fn, fp, tp):
            hint = "True is person: what you counted is the background's point of view"
        elif got == (tp, tp + fp, tp + fn, tn):
            hint = "FP is pred without what it has right; pred.sum() still holds the TP"
        elif max(got) <= 1 and np.allclose(got, np.array(expected) / pred.size):
            hint = "these are shares; asked are counts of pixels"
        elif sum(got) != pred.size:
            hint = f"every pixel is one of the four, so they must add up to {pred.size}: " + hint
        raise Wrong(hint, _drawn(pred, target), tuple(int(g) if g % 1 == 0 else g for g in got), expected)


@exercise
def dice_coefficient(answer):
    nothing, one = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
    one[1, 2] = True
    some = [tuple(m[0] for m in _random_masks(seed)) for seed in range(20)]
    for pred, target in [*some, (one, one), (one, nothing), (nothing, one), (nothing, nothing)]:
        with np.errstate(all="ignore"):
            try:
                got = _number(answer(pred.copy(), target.copy()))
            except ZeroDivisionError:
                got = float("nan")
        expected = _dice(pred, target)
        if np.isclose(got, expected, atol=1e-6):
            continue
        tp, fp, fn, tn = _count(pred, target)
        hint = "2 TP / (2 TP + FP + FN)"
        if not tp + fp + fn:
            hint = "two empty masks agree, and the rule of this lesson gives them 1"
            if np.isnan(got):
                hint = "0 / 0: nothing was there and nothing was said. " + hint
        elif np.isclose(got, tp / (tp + fp + fn)):
            hint = "that is IoU; Dice counts the overlap twice: " + hint
        elif np.isclose(got, tp / max(2 * tp + fp + fn, 1)):
            hint = "the factor 2 is missing above: a perfect mask would score 0.5"
        elif np.isclose(got, (tp + tn) / pred.size):
            hint = "that is pixel accuracy: true negatives must not earn anything"
        elif np.isclose(got, (2 * tp + 1) / (2 * tp + fp + fn + 1)):
            hint = "adding 1 to both avoids 0/0 but changes every score; treat the empty case by itself"
        elif got > 1:
            hint = "Dice never exceeds 1: what does the denominator count? " + hint
        elif np.isclose(got, tp / max(tp + fp, 1)) or np.isclose(got, tp / max(tp + fn, 1)):
            hint = "that is precision or recall: Dice does not change when pred and target are swapped"
        raise Wrong(hint, _drawn(pred, target), got, expected)


@exercise
def iou_from_dice(answer):
    for dice in (0.0, 0.5, 2 / 3, 0.8, 1.0, *np.random.default_rng(from_start(0)).random(10).tolist()):
        expected = dice / (2 - dice)
        got = _number(answer(dice))
        if np.isclose(got, expected, atol=1e-9):
            continue
        hint = "start from Dice = 2 IoU / (1 + IoU) and solve for IoU"
        if np.isclose(got, 2 * dice / (1 + dice)):
            hint = "that is the way there, from IoU to Dice; asked is the way back. IoU is the smaller one"
        elif np.isclose(got, dice / 2):
            hint = "half of it would make a perfect mask score 0.5; " + hint
        elif np.isclose(got, dice / (1 + dice)) or np.isclose(got, dice / (2 + dice)):
            hint = "a sign is lost: Dice 1 must give IoU 1. " + hint
        elif got > dice + 1e-9:
            hint = "IoU is never larger than Dice; " + hint
        raise Wrong(hint, f"dice={dice:.4g}", got, expected)


@exercise
def mean_and_pooled(answer):
    for seed in range(8):
        preds, targets = _random_masks(100 + seed, count=3)
        if seed % 2:
            preds[0] = targets[0] = False  # an empty picture, rightly called empty
        mean = float(np.mean([_dice(p, t) for p, t in zip(preds, targets, strict=True)]))
        pooled = _dice(preds, targets)
        with np.errstate(all="ignore"):
            result = answer(preds.copy(), targets.copy())
        given, expected = (
            f"three pictures, Dice {[round(_dice(p, t), 3) for p, t in zip(preds, targets, strict=True)]}",
            (
                round(mean, 6),
                round(pooled, 6),
            ),
        )
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise Wrong("return two numbers: mean over images, pooled", given, result, expected)
        got = tuple(_number(value, "each average") for value in result)
        if np.allclose(got, (mean, pooled), atol=1e-6):
            continue
        hint = "mean: one Dice per picture, then average. Pooled: add up all counts, then one Dice"
        if np.allclose(got, (pooled, mean), atol=1e-6):
            hint = "the right two numbers in the wrong order: the mean first"
        elif np.allclose(got, (mean, mean), atol=1e-6):
            hint = "the second is the mean again: for the pooled score add up the counts before you divide"
        elif np.allclose(got, (pooled, pooled), atol=1e-6):
            hint = "the first is the pooled score again: for the mean you need one Dice per picture"
        elif np.isnan(got).any() or (seed % 2 and np.isclose(got[1], pooled)):
            hint = "one picture is empty, and rightly called empty: it scores 1"
        raise Wrong(hint, given, got, expected)


@exercise
def rank_flip(answer):
    scores = np.asarray(answer, dtype=float)
    if scores.shape != (2, 2):
        raise Wrong(
            "two networks with two scores each: [[a1, a2], [b1, b2]]", got=answer, expected="shape (2, 2)"
        )
    if (scores < 0).any() or (scores > 1).any():
        raise Wrong("a Dice lies between 0 and 1", got=scores, expected="values from 0 to 1")
    (dice_a, dice_b), (iou_a, iou_b) = scores.mean(1), (scores / (2 - scores)).mean(1)
    got = f"mean Dice A {dice_a:.3f}, B {dice_b:.3f}; mean IoU A {iou_a:.3f}, B {iou_b:.3f}"
    if dice_a > dice_b + 1e-9 and iou_b > iou_a + 1e-9:
        return
    hint = "the curve of Dice over IoU bends: give B one excellent and one poor picture, A two middling ones"
    if dice_a < dice_b and iou_a > iou_b:
        hint = "the flip is there, with A and B swapped"
    elif np.isclose(dice_a, dice_b):
        hint = "A's mean Dice must be higher, not equal: raise A a very little"
    elif dice_a > dice_b and np.isclose(*np.ptp(scores, axis=1)):
        hint = "both networks are equally steady; " + hint
    raise Wrong(hint, got=got, expected="mean Dice: A above B; mean IoU: B above A")

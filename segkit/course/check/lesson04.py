"""Checks of notebook 04, Metrics."""

from collections.abc import Iterator

import numpy as np

from segkit.course.check.core import Case, as_array, cases, either, exercise, generator, part, same


def _random_masks(seed: int, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two stacks of boolean masks (count, 3, 4), with more and less person."""
    rng = generator(seed)
    preds, targets = (rng.random((count, 3, 4)) < rng.uniform(0.1, 0.9, (count, 1, 1)) for _ in range(2))
    return preds, targets


def _count(pred: np.ndarray, target: np.ndarray) -> tuple[int, int, int, int]:
    pairs = ((pred, target), (pred, ~target), (~pred, target), (~pred, ~target))
    return tuple(int((one & other).sum()) for one, other in pairs)


def _scores(pred: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Dice and IoU."""
    tp, fp, fn, _ = _count(pred, target)
    return (2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn)) if tp + fp + fn else (1.0, 1.0)


def _dice(pred: np.ndarray, target: np.ndarray) -> float:
    return _scores(pred, target)[0]


@cases("TP: both true. FP: only pred is. FN: only target is. TN: neither is", "4 numbers: tp, fp, fn, tn")
def four_counts():
    nobody = np.zeros((3, 4), bool)
    drawn = [[stack[0] for stack in _random_masks(seed)] for seed in range(12)]
    for pred, target in (*drawn, (nobody, nobody), (~nobody, ~nobody)):
        tp, fp, fn, tn = right = _count(pred, target)
        swapped, with_tp = (tp, fn, fp, tn), (tp, tp + fp, tp + fn, tn)
        shares = [tuple(whole * count / pred.size for count in right) for whole in (1, 100)]
        mistakes = {
            "FP and FN are swapped: a false positive was said (pred) and is not there (target)": swapped,
            "True is person: what you counted is the background's point of view": right[::-1],
            "FP is pred without what it has right; pred.sum() still holds the TP": with_tp,
            "these are shares; asked are counts of pixels": either(*shares),
            "every pixel is one of the four: they must add up to 12": lambda got: sum(got) != 12,
        }
        yield (pred, target), right, mistakes


FORMULA = "2 TP / (2 TP + FP + FN)"


def _usual_slips(pred: np.ndarray, target: np.ndarray) -> dict:
    """What the usual wrong formulas give instead of Dice, by the hint that fits."""
    tp, fp, fn, tn = _count(pred, target)
    size, iou = 2 * tp + fp + fn, tp / (tp + fp + fn)
    return {
        f"that is IoU; Dice counts the overlap twice: {FORMULA}": iou,
        "the factor 2 is missing above: a perfect mask would score 0.5": tp / size,
        "that is pixel accuracy: true negatives must not earn anything": (tp + tn) / (tp + fp + fn + tn),
        "adding 1 to both changes every score; treat the empty case by itself": (2 * tp + 1) / (size + 1),
        "that is precision: Dice does not change when pred and target are swapped": tp / max(tp + fp, 1),
        "that is recall: Dice does not change when pred and target are swapped": tp / max(tp + fn, 1),
        f"Dice never exceeds 1: what does the denominator count? {FORMULA}": either(2 * iou, 4 * tp / size),
    }


def _some_pairs(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of masks that hold a person; the last two are extreme."""
    one, other = np.zeros((2, 3, 4), bool)
    for seed in range(count):
        pred, target = (stack[0] for stack in _random_masks(seed))
        if pred.any() and target.any():
            yield pred, target
    one[1, 2] = other[0, 0] = True
    yield from ((one, one), (one, other))


@cases("IoU = TP / (TP + FP + FN)", "2 numbers: Dice, IoU")
def dice_and_iou():
    for pair in _some_pairs(300):
        dice, iou = _scores(*pair)
        slips = {hint: part(0, wrong) for hint, wrong in _usual_slips(*pair).items()}
        swapped = {"the right two numbers in the wrong order: Dice first": (iou, dice)}
        formula = {FORMULA: lambda got, dice=dice: not same(got[0], dice)}
        yield pair, (dice, iou), swapped | slips | formula


@cases(FORMULA)
def dice_coefficient():
    for pair in _some_pairs(20):
        yield pair, _dice(*pair), _usual_slips(*pair)
    nothing, one = np.zeros((3, 4), bool), pair[0]
    empty = "two empty masks agree: the rule of this lesson gives them 1, and 0 if only one is empty"
    for pair in ((one, nothing), (nothing, one), (nothing, nothing)):
        yield pair, _dice(*pair), {f"0 / 0: nothing is there to divide by. {empty}": np.isnan, empty: True}


@cases("start from Dice = 2 IoU / (1 + IoU) and solve for IoU", atol=1e-9)
def iou_from_dice():
    for dice in [0.8, 0.0, 0.5, 2 / 3, 1.0, *generator().random(10).tolist()]:
        mistakes = {
            "that is from IoU to Dice; asked is the way back. IoU is the smaller one": 2 * dice / (1 + dice),
            "half of it would make a perfect mask score 0.5": dice / 2,
            "a sign is lost: Dice 1 must give IoU 1": either(dice / (1 + dice), dice / (2 + dice)),
            "IoU is never larger than Dice": lambda got, dice=dice: got > dice + 1e-9,
        }
        yield (dice,), dice / (2 - dice), mistakes


@cases("mean: one Dice per picture. Pooled: all counts, then one Dice", "2 numbers: mean over images, pooled")
def mean_and_pooled():
    for seed in range(8):
        preds, targets = _random_masks(100 + seed, count=3)
        if seed % 2:
            preds[0] = targets[0] = False  # an empty picture, rightly called empty
        scores = [_dice(p, t) for p, t in zip(preds, targets, strict=True)]
        mean, pooled = np.mean(scores), _dice(preds, targets)
        empty = either((np.mean([0, *scores[1:]]), pooled), (np.nan, pooled))
        mistakes = {
            "the right two numbers in the wrong order: the mean first": (pooled, mean),
            "the second is the mean again: add up the counts before you divide": (mean, mean),
            "the first is the pooled score again: the mean needs one Dice per picture": (pooled, pooled),
            "one picture is empty, and rightly called empty: it scores 1": empty,
        }
        given = f"three pictures, Dice {np.round(scores, 3).tolist()}"
        yield (preds, targets), (mean, pooled), mistakes, given


@exercise
def rank_flip(answer):
    case = Case("mean Dice: A above B; mean IoU: B above A")
    scores = as_array(result := answer() if callable(answer) else answer)
    if scores is None or scores.shape != (2, 2):
        case.wrong("two networks with two scores each: [[a1, a2], [b1, b2]]", result, "shape (2, 2)")
    if not ((scores >= 0) & (scores <= 1)).all():
        case.wrong("a Dice lies between 0 and 1", scores, "values from 0 to 1")
    (dice_a, dice_b), (iou_a, iou_b) = scores.mean(1), (scores / (2 - scores)).mean(1)
    if dice_a > dice_b + 1e-9 and iou_b > iou_a + 1e-9:
        return
    hint = "the curve of Dice over IoU bends: give B one excellent and one poor picture, A two middling ones"
    if dice_a < dice_b and iou_a > iou_b:
        hint = "the flip is there, with A and B swapped"
    elif np.isclose(dice_a, dice_b):
        hint = "A's mean Dice must be higher, not equal: raise A a very little"
    elif dice_a > dice_b and np.isclose(*np.ptp(scores, axis=1)):
        hint = f"both networks are equally steady; {hint}"
    case.wrong(hint, f"mean Dice A {dice_a:.3f}, B {dice_b:.3f}; mean IoU A {iou_a:.3f}, B {iou_b:.3f}")

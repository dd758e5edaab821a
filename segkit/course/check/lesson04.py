"""Checks of notebook 04, Metrics."""

import numpy as np

from segkit.course.check.core import Case, draws, exercise, from_start, mask_rows, same


def _random_masks(seed: int, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two stacks of boolean masks (count, 3, 4), with more and less person."""
    rng = np.random.default_rng(from_start(seed))
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


def _drawn(pred: np.ndarray, target: np.ndarray) -> str:
    """Two small masks side by side as text."""
    rows = map("   ".join, zip(mask_rows(pred), mask_rows(target), strict=True))
    return "\n".join(["pred and target, # is person", *rows])


@exercise
def four_counts(answer):
    for seed in range(12):
        (pred,), (target,) = _random_masks(seed)
        case = Case(_count(pred, target), _drawn(pred, target))
        got = case.numbers(answer(pred, target), 4, "4 numbers: tp, fp, fn, tn")
        tp, fp, fn, tn = case.expected
        otherwise = "TP: both true. FP: only pred is. FN: only target is. TN: neither is"
        swapped, background, with_tp = (tp, fn, fp, tn), (tn, fn, fp, tp), (tp, tp + fp, tp + fn, tn)
        mistakes = {
            "FP and FN are swapped: a false positive was said (pred) and is not there (target)": swapped,
            "True is person: what you counted is the background's point of view": background,
            "FP is pred without what it has right; pred.sum() still holds the TP": with_tp,
            "these are shares; asked are counts of pixels": np.array(case.expected) / pred.size,
            f"every pixel is one of the four: they must add up to {pred.size}": sum(got) != pred.size,
        }
        case.compare(got, mistakes, otherwise)


def _usual_slips(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    """What the usual wrong formulas give instead of Dice, by the hint that fits."""
    dice, size = "2 TP / (2 TP + FP + FN)", 2 * tp + fp + fn
    return {
        f"that is IoU; Dice counts the overlap twice: {dice}": tp / (tp + fp + fn),
        "the factor 2 is missing above: a perfect mask would score 0.5": tp / size,
        "that is pixel accuracy: true negatives must not earn anything": (tp + tn) / (tp + fp + fn + tn),
        "adding 1 to both changes every score; treat the empty case by itself": (2 * tp + 1) / (size + 1),
        "that is precision: Dice does not change when pred and target are swapped": tp / max(tp + fp, 1),
        "that is recall: Dice does not change when pred and target are swapped": tp / max(tp + fn, 1),
    }


def _slip(pairs: list, got: list[float]) -> str:
    """The hint of the wrong formula that gives the reader's numbers for every pair, not for one by chance."""
    slips = [_usual_slips(*_count(*pair)) for pair in pairs]
    for hint in slips[0]:
        if np.allclose(got, [slip[hint] for slip in slips], atol=1e-6):
            return hint
    if max(got) > 1 + 1e-6:
        return "Dice never exceeds 1: what does the denominator count? 2 TP / (2 TP + FP + FN)"
    return "2 TP / (2 TP + FP + FN)"


def _some_pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of masks that hold a person, of two sizes, the last two of them alike and apart."""
    one, other = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
    one[1, 2] = other[0, 0] = True
    pairs = [tuple(stack[0] for stack in _random_masks(seed)) for seed in range(count)]
    return [pair for pair in pairs if pair[0].any() and pair[1].any()] + [(one, one), (one, other)]


@exercise
def dice_and_iou(answer):
    pairs = _some_pairs(300)
    cases = [Case(_scores(*pair), _drawn(*pair)) for pair in pairs]
    what = "2 numbers: Dice, IoU"
    got = [case.numbers(answer(*pair), 2, what) for case, pair in zip(cases, pairs, strict=True)]
    dice, swapped = [case.expected[0] for case in cases], [case.expected[::-1] for case in cases]
    mistakes = {
        "the right two numbers in the wrong order: Dice first": same(got, swapped),
        _slip(pairs, [one for one, _ in got]): not same([one for one, _ in got], dice),
    }
    for case, mine in zip(cases, got, strict=True):
        case.compare(mine, mistakes, "IoU = TP / (TP + FP + FN)")


@exercise
def dice_coefficient(answer):
    pairs = _some_pairs(20)
    cases = [Case(_dice(*pair), _drawn(*pair)) for pair in pairs]
    got = [case.number(answer(*pair)) for case, pair in zip(cases, pairs, strict=True)]
    for case, mine in zip(cases, got, strict=True):
        case.compare(mine, {}, _slip(pairs, got))
    nothing, one = np.zeros((3, 4), bool), pairs[-1][0]
    for pred, target in ((one, nothing), (nothing, one), (nothing, nothing)):
        case = Case(_dice(pred, target), _drawn(pred, target))
        alike = "two empty masks agree, and the rule of this lesson gives them 1"
        hint = alike if case.expected == 1 else "one of the two is empty, the other is not: nothing agrees"
        try:
            mine = case.number(answer(pred, target))
        except ZeroDivisionError:
            mine = float("nan")
        zero = {f"0 / 0: nothing was there and nothing was said. {hint}": np.isnan(mine)}
        case.compare(mine, zero, hint)


@exercise
def iou_from_dice(answer):
    ((_, rng),) = draws(1)
    values = np.array([0.0, 0.5, 2 / 3, 0.8, 1.0, *rng.random(10)])
    cases = [Case(value / (2 - value), f"dice={value:.4g}") for value in values]
    got = np.array([case.number(answer(float(value))) for case, value in zip(cases, values, strict=True)])
    slips = {
        "that is from IoU to Dice; asked is the way back. IoU is the smaller one": 2 * values / (1 + values),
        "half of it would make a perfect mask score 0.5": values / 2,
        "a sign is lost: Dice 1 must give IoU 1": values / (1 + values),
        "a sign is lost, and Dice 1 must give IoU 1": values / (2 + values),
    }
    mistakes = {hint: same(got, wrong) for hint, wrong in slips.items()}
    otherwise = "start from Dice = 2 IoU / (1 + IoU) and solve for IoU"
    for case, mine, value in zip(cases, got, values, strict=True):
        larger = {f"IoU is never larger than Dice; {otherwise}": mine > value + 1e-9}
        case.compare(mine, mistakes | larger, otherwise, atol=1e-9)


@exercise
def mean_and_pooled(answer):
    for seed in range(8):
        preds, targets = _random_masks(100 + seed, count=3)
        if seed % 2:
            preds[0] = targets[0] = False  # an empty picture, rightly called empty
        scores = [_dice(p, t) for p, t in zip(preds, targets, strict=True)]
        mean, pooled = np.mean(scores), _dice(preds, targets)
        case = Case((mean, pooled), f"three pictures, Dice {np.round(scores, 3).tolist()}")
        got = case.numbers(answer(preds, targets), 2, "2 numbers: mean over images, pooled")
        empty = np.isnan(got).any() or (seed % 2 == 1 and same(got[1], pooled))
        mistakes = {
            "the right two numbers in the wrong order: the mean first": (pooled, mean),
            "the second is the mean again: add up the counts before you divide": (mean, mean),
            "the first is the pooled score again: the mean needs one Dice per picture": (pooled, pooled),
            "one picture is empty, and rightly called empty: it scores 1": empty,
        }
        case.compare(got, mistakes, "mean: one Dice per picture. Pooled: all counts, then one Dice")


@exercise
def rank_flip(answer):
    case = Case("mean Dice: A above B; mean IoU: B above A")
    result = answer() if callable(answer) else answer
    try:
        scores = np.asarray(result, dtype=float)
    except (TypeError, ValueError):  # rows of different length, or text
        scores = np.empty(0)
    if scores.shape != (2, 2):
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

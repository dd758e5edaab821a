"""Checks of notebook 04, Metrics."""

import numpy as np

from segkit.course.check.core import Wrong, as_number, as_numbers, exercise, from_start


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


def _iou(pred: np.ndarray, target: np.ndarray) -> float:
    tp, fp, fn, _ = _count(pred, target)
    return tp / (tp + fp + fn) if tp + fp + fn else 1.0


def _one(result, given: str, expected) -> float:
    """The answer's one number.   Raises: Wrong."""
    got = as_number(result)
    if got is None:
        raise Wrong("return one number", given, "None" if result is None else result, expected)
    return got


def _some(result, count: int, what: str, given: str, expected) -> tuple[float, ...]:
    """The answer's numbers, in a tuple, a list or an array.   Raises: Wrong."""
    got = as_numbers(result)
    if got is None or len(got) != count:
        raise Wrong(f"return {count} numbers: {what}", given, "None" if result is None else result, expected)
    return got


@exercise
def four_counts(answer):
    for seed in range(12):
        (pred,), (target,) = _random_masks(seed)
        given, expected = _drawn(pred, target), _count(pred, target)
        result = answer(pred.copy(), target.copy())
        got = _some(result, 4, "tp, fp, fn, tn", given, expected)
        if got == expected:
            continue
        tp, fp, fn, tn = expected
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
        raise Wrong(hint, given, result, expected)


def _usual_slips(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    """What the usual wrong formulas give instead of Dice, by the hint that fits."""
    dice = "2 TP / (2 TP + FP + FN)"
    return {
        f"that is IoU; Dice counts the overlap twice: {dice}": tp / (tp + fp + fn),
        "the factor 2 is missing above: a perfect mask would score 0.5": tp / (2 * tp + fp + fn),
        "that is pixel accuracy: true negatives must not earn anything": (tp + tn) / (tp + fp + fn + tn),
        "adding 1 to both avoids 0/0 but changes every score; treat the empty case by itself": (2 * tp + 1)
        / (2 * tp + fp + fn + 1),
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
    results = [answer(pred.copy(), target.copy()) for pred, target in pairs]
    wanted = [(_dice(*pair), _iou(*pair)) for pair in pairs]
    got = [
        _some(result, 2, "Dice, IoU", _drawn(*pair), expected)
        for result, pair, expected in zip(results, pairs, wanted, strict=True)
    ]
    for pair, mine, expected in zip(pairs, got, wanted, strict=True):
        if np.allclose(mine, expected, atol=1e-6):
            continue
        hint = "IoU = TP / (TP + FP + FN)"
        if np.allclose(got, [(iou, dice) for dice, iou in wanted], atol=1e-6):
            hint = "the right two numbers in the wrong order: Dice first"
        elif not np.allclose([dice for dice, _ in got], [dice for dice, _ in wanted], atol=1e-6):
            hint = _slip(pairs, [dice for dice, _ in got])
        raise Wrong(hint, _drawn(*pair), mine, expected)


@exercise
def dice_coefficient(answer):
    pairs, got = _some_pairs(20), []
    nothing, one = np.zeros((3, 4), bool), pairs[-1][0]
    for pred, target in pairs:
        with np.errstate(all="ignore"):
            result = answer(pred.copy(), target.copy())
        got.append(_one(result, _drawn(pred, target), _dice(pred, target)))
    for pair, mine in zip(pairs, got, strict=True):
        if not np.isclose(mine, _dice(*pair), atol=1e-6):
            raise Wrong(_slip(pairs, got), _drawn(*pair), mine, _dice(*pair))
    for pred, target in ((one, nothing), (nothing, one), (nothing, nothing)):
        given, expected = _drawn(pred, target), _dice(pred, target)
        hint = "one of the two is empty, the other is not: nothing agrees"
        if expected == 1:
            hint = "two empty masks agree, and the rule of this lesson gives them 1"
        try:
            with np.errstate(all="ignore"):
                mine = _one(answer(pred.copy(), target.copy()), given, expected)
        except ZeroDivisionError:
            mine = float("nan")
        if np.isnan(mine):
            raise Wrong(f"0 / 0: nothing was there and nothing was said. {hint}", given, mine, expected)
        if not np.isclose(mine, expected, atol=1e-6):
            raise Wrong(hint, given, mine, expected)


@exercise
def iou_from_dice(answer):
    values = [0.0, 0.5, 2 / 3, 0.8, 1.0, *np.random.default_rng(from_start(0)).random(10).tolist()]
    expected = [value / (2 - value) for value in values]
    got = [
        _one(answer(value), f"dice={value:.4g}", right) for value, right in zip(values, expected, strict=True)
    ]
    slips = {
        "that is the way there, from IoU to Dice; asked is the way back. IoU is the smaller one": lambda d: (
            2 * d / (1 + d)
        ),
        "half of it would make a perfect mask score 0.5": lambda d: d / 2,
        "a sign is lost: Dice 1 must give IoU 1": lambda d: d / (1 + d),
        "a sign is lost, and Dice 1 must give IoU 1": lambda d: d / (2 + d),
    }
    for value, mine, right in zip(values, got, expected, strict=True):
        if np.isclose(mine, right, atol=1e-9):
            continue
        hint = "start from Dice = 2 IoU / (1 + IoU) and solve for IoU"
        for slip, formula in slips.items():
            if np.allclose(got, [formula(value) for value in values], atol=1e-6):
                hint = slip
        if hint not in slips and mine > value + 1e-9:
            hint = "IoU is never larger than Dice; " + hint
        raise Wrong(hint, f"dice={value:.4g}", mine, right)


@exercise
def mean_and_pooled(answer):
    for seed in range(8):
        preds, targets = _random_masks(100 + seed, count=3)
        if seed % 2:
            preds[0] = targets[0] = False  # an empty picture, rightly called empty
        scores = [_dice(p, t) for p, t in zip(preds, targets, strict=True)]
        mean, pooled = float(np.mean(scores)), _dice(preds, targets)
        given, expected = f"three pictures, Dice {np.round(scores, 3).tolist()}", (mean, pooled)
        with np.errstate(all="ignore"):
            result = answer(preds.copy(), targets.copy())
        got = _some(result, 2, "mean over images, pooled", given, expected)
        if np.allclose(got, expected, atol=1e-6):
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
    given = answer() if callable(answer) else answer
    try:
        scores = np.asarray(given, dtype=float)
    except (TypeError, ValueError):  # rows of different length, or text
        scores = np.empty(0)
    if scores.shape != (2, 2):
        raise Wrong(
            "two networks with two scores each: [[a1, a2], [b1, b2]]", got=given, expected="shape (2, 2)"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
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

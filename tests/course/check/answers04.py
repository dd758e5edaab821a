"""Right and common wrong answers to the exercises of notebook 04; test_answers.py asks the checks."""

import numpy as np
import torch
from solutions import solutions

from segkit.metrics import count_pixels, dice_score

solution = solutions("04")
changed = solution.changed


def by_kind(pred, target):
    """tp, fp, fn, tn out of one histogram."""
    kinds = np.bincount((2 * pred.astype(int) + target).ravel(), minlength=4)
    return kinds[[3, 2, 1, 0]]


def both_by_kind(pred, target):
    tp, fp, fn, _ = by_kind(pred, target)
    return [2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn)]


def with_segkit(preds, targets):
    counts = count_pixels(preds, targets)
    return torch.stack([counts.dice().mean(), counts.pooled().dice()[0]])


def by_distance(pred, target):
    """1 less the share of pixels that differ: Dice by way of the symmetric difference."""
    size = int(pred.sum()) + int(target.sum())
    return np.float32(1 - (pred ^ target).sum() / size) if size else 1


OVERLAP = "(pred & target).sum()"
DICE = f"2 * {OVERLAP} / both"
IOU = DICE, f"{OVERLAP} / (pred | target).sum()"
ZERO_BY_ZERO = "both == 0", "False"
ZERO_IF_EMPTY = "1.0", "0.0"


def averages_with(*change):
    return changed("mean_and_pooled", dice_coefficient=changed("dice_coefficient", *change))


RIGHT = {
    "four_counts": [
        by_kind,
        lambda p, t: [*map(count_pixels(p[None], t[None]).__getattribute__, ("tp", "fp", "fn", "tn"))],
        lambda *given: torch.tensor(list(map(int, solution.four_counts(*given)))),
    ],
    "dice_and_iou": [
        lambda p, t: np.array([by_distance(p, t), by_distance(p, t) / (2 - by_distance(p, t))]),
        both_by_kind,
    ],
    "dice_coefficient": [by_distance, lambda p, t: dice_score(p[None], t[None])],
    "iou_from_dice": [lambda d: np.array(1 / (2 / d - 1) if d else 0.0), lambda d: -d / (d - 2)],
    "mean_and_pooled": [lambda *given: np.array(solution.mean_and_pooled(*given)), with_segkit],
    "rank_flip": [
        np.array([[0.5, 0.9], [0.36, 1.0]]),
        ((0.8, 0.81), (0.6, 1.0)),
        lambda: [[0.7, 0.7], [0.4, 0.99]],
    ],
}

WRONG = {
    "four_counts": [
        (lambda p, t: (0, 0, 0, 0), "add up to 12"),
        (lambda p, t: np.array(solution.four_counts(p, t)) / p.size, "counts of pixels"),
        (lambda p, t: [100 * count / p.size for count in solution.four_counts(p, t)], "counts of pixels"),
        (lambda p, t: np.bincount((2 * p + t).ravel())[[3, 2, 1, 0]], "IndexError"),
    ],
    "dice_and_iou": [
        ("return dice,", "return iou,", "that is IoU"),
        ("overlap / (pred | target).sum()", "overlap / pred.size", "IoU = TP"),
        ("return dice", "return dice / 2", "factor 2"),
        ("(pred.sum() + target.sum())", "(pred | target).sum()", "never exceeds 1"),
        (lambda p, t: (0.0, 0.0), "2 TP / (2 TP"),
    ],
    "dice_coefficient": [
        (*IOU, "that is IoU"),
        ("2 * ", "", "factor 2"),
        (lambda p, t: (p == t).mean(), "pixel accuracy"),
        (*ZERO_IF_EMPTY, "gives them 1"),
        (*ZERO_BY_ZERO, "0 / 0"),
        (*ZERO_BY_ZERO, DICE, f"int(2 * {OVERLAP}) / int(both)", "stopped with ZeroDivisionError"),
        (lambda p, t: (2 * (p & t).sum() + 1) / (p.sum() + t.sum() + 1), "by itself"),
        ("2 * ", "4 * ", "never exceeds 1"),
        (lambda p, t: (p & t).sum() / max(p.sum(), 1), "that is precision"),
        (lambda p, t: (p & t).sum() / max(t.sum(), 1), "that is recall"),
        (lambda p, t: 0.5, "2 TP / (2 TP + FP + FN)"),
        ("both == 0", "not (pred.any() and target.any())", "0 if only one is empty"),
    ],
    "iou_from_dice": [
        (lambda d: d / (1 + d), "a sign is lost"),
        (lambda d: d**0.5, "never larger"),
        (lambda d: d**2, "solve for IoU"),
        ("dice / (2 - dice)", "round(dice / (2 - dice), 2)", "is something rounded"),
        (lambda d: d / (2 + d), "a sign is lost"),
    ],
    "mean_and_pooled": [
        (averages_with(*ZERO_BY_ZERO), "rightly called empty"),
        (averages_with(*ZERO_IF_EMPTY), "rightly called empty"),
        (averages_with(*IOU), "one Dice per picture. Pooled"),
    ],
    "rank_flip": [
        ([[0.9, 0.8], [0.7, 0.6]], "equally steady"),
        ([[0.9, 0.8], [0.9, 0.5]], "the curve"),
        ([[1.0, 0.3], [0.66, 0.66]], "A and B swapped"),
        ([[0.65, 0.65], [1.0, 0.3]], "not equal"),
        ([[1.2, 0.1], [0.5, 0.5]], "between 0 and 1"),
        ([0.5, 0.6], "two scores each"),
        ([[0.9, 0.8], [0.7]], "two scores each"),
        ([[float("nan"), 0.8], [0.7, 0.6]], "between 0 and 1"),
    ],
}

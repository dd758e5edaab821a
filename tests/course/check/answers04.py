"""Right and common wrong answers to the exercises of notebook 04; test_answers.py asks the checks."""

import numpy as np
import torch

from segkit.metrics import count_pixels, dice_score


def counts(pred, target):
    return (pred & target).sum(), (pred & ~target).sum(), (~pred & target).sum(), (~pred & ~target).sum()


def dice(pred, target):
    both = pred.sum() + target.sum()
    return 2 * (pred & target).sum() / both if both else 1.0


def iou(pred, target):
    union = (pred | target).sum()
    return (pred & target).sum() / union if union else 1.0


def averages(preds, targets, dice=dice):
    return np.mean([dice(p, t) for p, t in zip(preds, targets, strict=True)]), dice(preds, targets)


def zero_if_empty(pred, target):
    return 0.0 if not (pred | target).any() else dice(pred, target)


def divide_plain(pred, target):
    return 2 * (pred & target).sum() / (pred.sum() + target.sum())


def divide_ints(pred, target):
    return 2 * int((pred & target).sum()) / int(pred.sum() + target.sum())


def by_kind(pred, target):
    """tp, fp, fn, tn out of one histogram."""
    kinds = np.bincount((2 * pred.astype(int) + target).ravel(), minlength=4)
    return kinds[[3, 2, 1, 0]]


def with_segkit(preds, targets):
    counts = count_pixels(preds, targets)
    return torch.stack([counts.dice().mean(), counts.pooled().dice()[0]])


def by_distance(pred, target):
    """1 less the share of pixels that differ: Dice by way of the symmetric difference."""
    size = int(pred.sum()) + int(target.sum())
    return np.float32(1 - (pred ^ target).sum() / size) if size else 1


RIGHT = {
    "four_counts": [by_kind, lambda p, t: torch.tensor([int(count) for count in counts(p, t)])],
    "dice_and_iou": [
        lambda p, t: np.array([by_distance(p, t), by_distance(p, t) / (2 - by_distance(p, t))]),
        lambda p, t: [divide_ints(p, t), iou(p, t)],
    ],
    "dice_coefficient": [by_distance, lambda p, t: dice_score(p[None], t[None])],
    "iou_from_dice": [lambda d: np.array(1 / (2 / d - 1) if d else 0.0), lambda d: -d / (d - 2)],
    "mean_and_pooled": [lambda p, t: np.array(averages(p, t)), with_segkit],
    "rank_flip": [np.array([[0.5, 0.9], [0.36, 1.0]]), ((0.8, 0.81), (0.6, 1.0))],
}

WRONG = {
    "four_counts": [
        (lambda p, t: (0, 0, 0, 0), "add up to 12"),
    ],
    "dice_and_iou": [
        (lambda p, t: (iou(p, t), iou(p, t)), "that is IoU"),
        (lambda p, t: (dice(p, t), (p & t).mean()), "IoU = TP"),
        (lambda p, t: (dice(p, t) / 2, iou(p, t)), "factor 2"),
        (lambda p, t: (2 * (p * t).sum() / (p | t).sum(), iou(p, t)), "never exceeds 1"),
        (lambda p, t: (0.0, 0.0), "2 TP / (2 TP"),
    ],
    "dice_coefficient": [
        (iou, "that is IoU"),
        (lambda p, t: dice(p, t) / 2, "factor 2"),
        (lambda p, t: (p == t).mean(), "pixel accuracy"),
        (zero_if_empty, "gives them 1"),
        (divide_plain, "0 / 0"),
        (divide_ints, "0 / 0"),
        (lambda p, t: (2 * (p & t).sum() + 1) / (p.sum() + t.sum() + 1), "by itself"),
        (lambda p, t: 2 * dice(p, t), "never exceeds 1"),
        (lambda p, t: (p & t).sum() / max(p.sum(), 1), "that is precision"),
        (lambda p, t: (p & t).sum() / max(t.sum(), 1), "that is recall"),
        (lambda p, t: 0.5, "2 TP / (2 TP + FP + FN)"),
        (lambda p, t: dice(p, t) if p.any() and t.any() else 1.0, "nothing agrees"),
    ],
    "iou_from_dice": [
        (lambda d: d / (1 + d), "a sign is lost"),
        (lambda d: d**0.5, "never larger"),
        (lambda d: d**2, "solve for IoU"),
        (lambda d: d / (2 + d), "a sign is lost"),
    ],
    "mean_and_pooled": [
        (lambda p, t: averages(p, t, divide_plain), "rightly called empty"),
        (lambda p, t: averages(p, t, zero_if_empty), "rightly called empty"),
        (lambda p, t: averages(p, t, iou), "one Dice per picture. Pooled"),
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

"""The checks of notebook 04: stubs are not answered, right answers pass, common wrong ones get their hint."""

import numpy as np
import pytest

from segkit import check


def counts(pred, target):
    return (
        (pred & target).sum(),
        (pred & ~target).sum(),
        (~pred & target).sum(),
        (~pred & ~target).sum(),
    )


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


RIGHT = {
    "four_counts": counts,
    "dice_coefficient": dice,
    "iou_from_dice": lambda d: d / (2 - d),
    "mean_and_pooled": averages,
    "rank_flip": [[0.66, 0.66], [1.0, 0.3]],
}

WRONG = [
    (
        "four_counts",
        lambda p, t: (counts(p, t)[0], counts(p, t)[2], counts(p, t)[1], counts(p, t)[3]),
        "swapped",
    ),
    ("four_counts", lambda p, t: counts(~p, ~t), "background's point of view"),
    ("four_counts", lambda p, t: (counts(p, t)[0], p.sum(), t.sum(), counts(p, t)[3]), "still holds the TP"),
    ("four_counts", lambda p, t: tuple(c / p.size for c in counts(p, t)), "are shares"),
    ("four_counts", lambda p, t: (0, 0, 0, 0), "add up to 12"),
    ("four_counts", lambda p, t: counts(p, t)[:3], "four numbers"),
    ("four_counts", lambda p, t: (p, p, p, p), "one number"),
    ("dice_coefficient", iou, "that is IoU"),
    ("dice_coefficient", lambda p, t: dice(p, t) / 2, "factor 2"),
    ("dice_coefficient", lambda p, t: (p == t).mean(), "pixel accuracy"),
    ("dice_coefficient", zero_if_empty, "gives them 1"),
    ("dice_coefficient", divide_plain, "0 / 0"),
    ("dice_coefficient", divide_ints, "0 / 0"),
    ("dice_coefficient", lambda p, t: (2 * (p & t).sum() + 1) / (p.sum() + t.sum() + 1), "by itself"),
    ("dice_coefficient", lambda p, t: 2 * dice(p, t), "never exceeds 1"),
    ("dice_coefficient", lambda p, t: (p & t).sum() / max(p.sum(), 1), "precision or recall"),
    ("dice_coefficient", lambda p, t: None, "one number"),
    ("iou_from_dice", lambda d: 2 * d / (1 + d), "the way back"),
    ("iou_from_dice", lambda d: d / 2, "half of it"),
    ("iou_from_dice", lambda d: d / (1 + d), "a sign is lost"),
    ("iou_from_dice", lambda d: d**0.5, "never larger"),
    ("iou_from_dice", lambda d: d**2, "solve for IoU"),
    ("mean_and_pooled", lambda p, t: averages(p, t)[::-1], "wrong order"),
    ("mean_and_pooled", lambda p, t: (averages(p, t)[0],) * 2, "mean again"),
    ("mean_and_pooled", lambda p, t: (dice(p, t),) * 2, "pooled score again"),
    ("mean_and_pooled", lambda p, t: averages(p, t, divide_plain), "rightly called empty"),
    ("mean_and_pooled", lambda p, t: averages(p, t, zero_if_empty), "rightly called empty"),
    ("mean_and_pooled", lambda p, t: averages(p, t, iou), "one Dice per picture, then average"),
    ("mean_and_pooled", lambda p, t: dice(p, t), "two numbers"),
    ("rank_flip", [[0.9, 0.8], [0.7, 0.6]], "equally steady"),
    ("rank_flip", [[0.9, 0.8], [0.9, 0.5]], "the curve"),
    ("rank_flip", [[1.0, 0.3], [0.66, 0.66]], "A and B swapped"),
    ("rank_flip", [[0.65, 0.65], [1.0, 0.3]], "not equal"),
    ("rank_flip", [[1.2, 0.1], [0.5, 0.5]], "between 0 and 1"),
    ("rank_flip", [0.5, 0.6], "two scores each"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_a_stub_is_not_answered_and_the_right_answer_passes(name):
    exercise = getattr(check, name)
    stubs = (...,) if name == "rank_flip" else (..., lambda *args: ...)
    for stub in stubs:
        assert not exercise(stub)
        assert "not answered yet" in exercise(stub).message
    assert exercise(RIGHT[name]), exercise(RIGHT[name]).message


@pytest.mark.parametrize(("name", "answer", "hint"), WRONG)
def test_a_common_wrong_answer_gets_the_hint_meant_for_it(name, answer, hint):
    result = getattr(check, name)(answer)
    assert not result
    assert hint in result.message

"""The checks of notebook 01: stubs are not answered, right answers pass, common wrong ones get their hint."""

import cv2
import numpy as np
import pytest

from segkit import check
from segkit.metrics import count_pixels


def box_of_mask(mask):
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return None
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def box_with(change):
    """The right box, changed: a common mistake."""
    return lambda mask: None if not mask.any() else change(*box_of_mask(mask))


def box_without_a_look_for_nobody(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def blobs(mask):
    return cv2.connectedComponentsWithStats(mask)[2][:, -1]


def best_by(score, answer=lambda thresholds, scores: thresholds[int(np.argmax(scores))]):
    def choose(masks, thresholds):
        mean = masks.mean(0)
        guesses = [np.repeat((mean > threshold)[None], len(masks), 0) for threshold in thresholds]
        return answer(thresholds, [float(score(count_pixels(guess, masks))) for guess in guesses])

    return choose


RIGHT = {
    "foreground_share": lambda mask: (mask > 0).mean(),
    "box_of_mask": box_of_mask,
    "dice_of_all_person": lambda share: 2 * share / (1 + share),
    "count_blobs": lambda mask, min_pixels: int((blobs(mask)[1:] >= min_pixels).sum()),
    "best_threshold": best_by(lambda counts: counts.dice().mean()),
}
WRONG = [
    ("foreground_share", lambda mask: mask.mean(), "255 times"),
    ("foreground_share", lambda mask: mask.mean() / 255, "0/255 masks only"),
    ("foreground_share", lambda mask: (mask > 127).mean(), "mask of 0 and 1"),
    ("foreground_share", lambda mask: (mask > 0).sum(), "divide by how many"),
    ("foreground_share", lambda mask: (mask == 0).mean(), "background"),
    ("foreground_share", lambda mask: mask > 0, "one number"),
    ("foreground_share", lambda mask: "half", "one number"),
    ("foreground_share", lambda mask: None, "return"),
    ("foreground_share", lambda mask: 0.3141, "not 0"),
    ("box_of_mask", box_with(lambda x0, y0, x1, y1: (y0, x0, y1, x1)), "exchanged"),
    ("box_of_mask", box_with(lambda x0, y0, x1, y1: (x0, y0, x1 - 1, y1 - 1)), "leaves its end out"),
    ("box_of_mask", box_with(lambda x0, y0, x1, y1: (x0, y0, x1 - x0, y1 - y0)), "width and height"),
    ("box_of_mask", box_with(lambda x0, y0, x1, y1: (0, 0, x1, y1)), "np.nonzero"),
    ("box_of_mask", lambda mask: mask.shape, "four numbers"),
    ("box_of_mask", lambda mask: None, "four numbers"),
    ("box_of_mask", box_without_a_look_for_nobody, "return None"),
    ("box_of_mask", lambda mask: box_of_mask(mask) or (0, 0, 0, 0), "no box"),
    ("dice_of_all_person", lambda share: share, "IoU"),
    ("dice_of_all_person", lambda share: 2 * share, "divided by"),
    ("dice_of_all_person", lambda share: share / (1 + share), "twice above"),
    ("dice_of_all_person", lambda share: 0.0, "all background"),
    ("dice_of_all_person", lambda share: None, "return"),
    ("dice_of_all_person", lambda share: 1 - share, "orange is 1 - share"),
    ("count_blobs", lambda mask, m: int((blobs(mask) >= m).sum()), "background"),
    ("count_blobs", lambda mask, m: int((blobs(mask)[1:] > m).sum()), "use >="),
    ("count_blobs", lambda mask, m: len(blobs(mask)) - 1, "small blobs"),
    ("count_blobs", lambda mask, m: blobs(mask)[1:] >= m, "whole number"),
    ("count_blobs", lambda mask, m: max(1, int((blobs(mask)[1:] >= m).sum())), "no blobs"),
    ("count_blobs", lambda mask, m: -1, "third result"),
    ("best_threshold", best_by(lambda counts: counts.pixel_accuracy().mean()), "pixel accuracy"),
    ("best_threshold", best_by(lambda counts: counts.pooled().dice()), "pooled"),
    ("best_threshold", best_by(lambda c: c.dice().mean(), lambda t, s: max(s)), "best Dice"),
    (
        "best_threshold",
        best_by(lambda c: c.dice().mean(), lambda t, s: int(np.argmax(s))),
        "place in the list",
    ),
    ("best_threshold", lambda masks, thresholds: 0.5, "one of the thresholds"),
    ("best_threshold", lambda masks, thresholds: thresholds[-1], "each threshold"),
    ("best_threshold", lambda masks, thresholds: None, "return"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_the_stub_is_not_answered_and_the_right_answer_passes(name):
    for stub in (..., lambda *args: ...):
        result = check.CHECKS[name](stub)
        assert not result and "not answered" in result.message
    assert check.CHECKS[name](RIGHT[name]), check.CHECKS[name](RIGHT[name]).message


@pytest.mark.parametrize(("name", "answer", "hint"), WRONG)
def test_a_common_wrong_answer_gets_the_hint_meant_for_it(name, answer, hint):
    result = check.CHECKS[name](answer)
    assert not result
    assert hint in result.message.split("hint")[-1], result.message


@pytest.mark.parametrize("name", RIGHT)
def test_a_check_never_raises(name):
    assert not check.CHECKS[name](lambda *args: 1 / 0)
    assert not check.CHECKS[name](42)

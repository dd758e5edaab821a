"""Right and common wrong answers to the exercises of lesson 01; test_answers.py asks the checks."""

import cv2
import numpy as np
import torch
from scipy import ndimage
from solutions import solutions

from segkit.metrics import count_pixels

solution = solutions("01")


def box_with(change):
    """The right box, changed: a common mistake."""
    return lambda mask: None if not mask.any() else change(*solution.box_of_mask(mask))


def box_without_a_look_for_nobody(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def blobs(mask):
    return cv2.connectedComponentsWithStats(mask)[2][:, -1]


def boxes(mask):
    """Pixels of every blob's box, in place of its own."""
    table = cv2.connectedComponentsWithStats(mask)[2][1:]
    return table[:, 2] * table[:, 3]


def best_by(score, answer=lambda thresholds, scores: thresholds[int(np.argmax(scores))]):
    def choose(masks, thresholds):
        mean = masks.mean(0)
        guesses = [np.repeat((mean > threshold)[None], len(masks), 0) for threshold in thresholds]
        return answer(thresholds, [float(score(count_pixels(guess, masks))) for guess in guesses])

    return choose


def count_by_hand(mask):
    return sum(bool(value) for value in mask.ravel()) / mask.size


def box_by_any(mask):
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def box_by_opencv(mask):
    left, top, width, height = cv2.boundingRect(mask)
    return [left, top, left + width, top + height] if width else None


def dice_by_counting(share):
    return np.float32(2 * share) / np.float32(2 * share + (1 - share))


def blobs_by_scipy(mask, min_pixels):
    numbers, count = ndimage.label(mask, np.ones((3, 3)))
    return float(sum((numbers == i).sum() >= min_pixels for i in range(1, count + 1)))


def best_by_hand(masks, thresholds):
    def dice(threshold):
        guess = masks.mean(0) > threshold
        both, all_of_it = (masks * guess).sum((1, 2)), masks.sum((1, 2)) + guess.sum()
        return np.mean(2 * both / all_of_it)

    return max(thresholds, key=dice)


RIGHT = {
    "foreground_share": [lambda mask: np.array([np.count_nonzero(mask) / mask.size]), count_by_hand],
    "box_of_mask": [box_by_any, box_by_opencv],
    "dice_of_all_person": [dice_by_counting, lambda share: torch.tensor(1 - (1 - share) / (1 + share))],
    "count_blobs": [
        lambda mask, min_pixels: (blobs(mask)[1:] >= min_pixels).sum(keepdims=True),
        blobs_by_scipy,
    ],
    "best_threshold": [
        best_by_hand,
        best_by(lambda counts: counts.dice().sum(), lambda t, s: np.array(t)[[np.argmax(s)]]),
    ],
}
WRONG = {
    "foreground_share": [
        (lambda mask: 0.3141, "not 0"),
        (lambda mask: mask.mean() / mask.max(), "0 / 0"),
    ],
    "box_of_mask": [
        (box_with(lambda x0, y0, x1, y1: (y0, x0, y1, x1)), "exchanged"),
        (box_with(lambda x0, y0, x1, y1: (x0, y0, x1 - 1, y1 - 1)), "leaves its end out"),
        (box_with(lambda x0, y0, x1, y1: (x0, y0, x1 - x0, y1 - y0)), "width and height"),
        (box_with(lambda x0, y0, x1, y1: (0, 0, x1, y1)), "np.nonzero"),
        (lambda mask: mask.shape, "four numbers"),
        (box_with(lambda x0, y0, x1, y1: (x0 + 0.5, y0, x1, y1)), "fractions"),
        (box_without_a_look_for_nobody, "return None"),
        (lambda mask: solution.box_of_mask(mask) or (0, 0, 0, 0), "no box"),
    ],
    "dice_of_all_person": [
        (lambda share: 1 - share, "orange is 1 - share"),
    ],
    "count_blobs": [
        (lambda mask, m: max(1, int((blobs(mask)[1:] >= m).sum())), "no blobs"),
        (lambda mask, m: int((boxes(mask) >= m).sum()), "fill its box"),
    ],
    "best_threshold": [
        (lambda masks, thresholds: thresholds[-1], "the best threshold"),
    ],
}

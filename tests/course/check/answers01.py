"""Right and common wrong answers to the exercises of lesson 01; test_answers.py asks the checks."""

import cv2
import numpy as np
import torch
from scipy import ndimage
from solutions import solutions

changed = solutions("01").changed


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


BOX = "columns.min(), rows.min(), columns.max() + 1, rows.max() + 1"

RIGHT = {
    "foreground_share": [lambda mask: np.array([np.count_nonzero(mask) / mask.size]), count_by_hand],
    "box_of_mask": [box_by_any, box_by_opencv],
    "dice_of_all_person": [dice_by_counting, lambda share: torch.tensor(1 - (1 - share) / (1 + share))],
    "count_blobs": [
        changed("count_blobs", "int(", "(", ".sum()", ".sum(keepdims=True)"),
        blobs_by_scipy,
    ],
    "best_threshold": [
        best_by_hand,
        changed("best_threshold", "mean()", "sum()", "max(thresholds, key", "max(np.array(thresholds), key"),
    ],
}
WRONG = {
    "foreground_share": [
        (lambda mask: 0.3141, "not 0"),
        (lambda mask: mask.mean() / mask.max(), "0 / 0"),
        (lambda mask: np.count_nonzero(mask) // mask.size, "no fractions"),
        (lambda mask: np.count_nonzero(mask) / len(mask), "more than the whole"),
    ],
    "box_of_mask": [
        ("columns.min()", "columns.min() * np.nan", "fractions"),
        (BOX, "rows.min(), columns.min(), rows.max() + 1, columns.max() + 1", "exchanged"),
        ("columns.max() + 1, rows.max() + 1", "columns.max(), rows.max()", "leaves its end out"),
        ("columns.max() + 1, rows.max() + 1", "np.ptp(columns) + 1, np.ptp(rows) + 1", "width and height"),
        ("columns.min(), rows.min()", "0, 0", "np.nonzero"),
        (lambda mask: mask.shape, "four numbers"),
        (BOX, "columns.min(), columns.max() + 1, rows.min(), rows.max() + 1", "another order"),
        ("columns.min()", "columns.min() + 0.5", "fractions"),
        ("len(rows) == 0", "False", "return None"),
        ("None", "0, 0, 0, 0", "no box"),
        ("len(rows) == 0", "not rows.any()", "returns nothing"),
    ],
    "dice_of_all_person": [
        (lambda share: 1 - share, "orange is 1 - share"),
    ],
    "count_blobs": [
        (lambda mask, least: float("nan"), "one whole number"),
        ("return int(", "return max(1, ", "no blobs"),
        ("table[1:, cv2.CC_STAT_AREA]", "table[1:, 2:4].prod(1)", "fill its box"),
        ("cv2.CC_STAT_AREA", "cv2.CC_STAT_HEIGHT", "the last column"),
        ("table[1:, cv2.CC_STAT_AREA] >= min_pixels).sum()", "table[:, 4] >= min_pixels).sum() - 1", "row 0"),
    ],
    "best_threshold": [
        (lambda masks, thresholds: thresholds[-1], "the best threshold"),
    ],
}

"""Right and common wrong answers to the exercises of lesson 00; test_answers.py asks the checks."""

import numpy as np
from solutions import solutions

solution = solutions("00")


def paint_by_sums(image, mask, colour):
    inside = mask[..., None].astype(np.uint8)
    return image * inside + np.array(colour, np.uint8) * (1 - inside)


def best_by_sorting(prob, truth):
    masks = [(prob > number / 20, number / 20) for number in range(1, 20)]
    return max(((mask & truth).sum() / (mask.sum() + truth.sum()), cut) for mask, cut in masks)[1]


RIGHT = {
    "mask_from_prob": [lambda p, t: np.where(p > t, True, False), lambda p, t: np.logical_not(p <= t)],
    "mask_for_file": [lambda m: np.where(m, 255, 0).astype(np.uint8), lambda m: (m * 255).astype(np.uint8)],
    "paint_background": [
        lambda i, m, c: np.where(m[..., None], i, np.array(c, np.uint8)),
        paint_by_sums,
    ],
    "highest_dice_threshold": [
        best_by_sorting,
        lambda p, t: float(solution.highest_dice_threshold(p, t)) + 1e-12,
    ],
}

WRONG = {
    "mask_from_prob": [
        (lambda p, t: p > 127, "scales"),
        (lambda p, t: p * 255 > t, "scales"),
        (lambda p, t: (p > t).astype(np.uint8), "a comparison gives"),
        (lambda p, t: p.no_such_thing, "AttributeError"),
    ],
    "mask_for_file": [
        (lambda m: m, "still True and False"),
        (lambda m: m * 255, "must be uint8"),
        (lambda m: m.astype(np.uint8) * 128, "255, all others 0"),
    ],
    "paint_background": [
        ("image.copy()", "image", "work on a copy"),
        ("= colour", "= colour[::-1]", "red and blue"),
        ("return painted", "return painted.astype(float)", "must be uint8"),
        ("return painted", "return painted + 1", "outside it the colour"),
    ],
    "highest_dice_threshold": [
        (lambda p, t: 0.333, "none of 0.05"),
        ("(0.05,", "(0.1,", "try every"),
        ("(0.05,", "(0.0,", "none of 0.05"),
        ("mask.sum() + truth.sum()", "mask.sum() + prob.sum()", "try every"),
        ("0.96", "0.91", "try every"),
        ("2 * (mask & truth)", "2 * (mask == truth)", "2 * both / (mask + truth)"),
    ],
}

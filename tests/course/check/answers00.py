"""Right and common wrong answers to the exercises of lesson 00; test_answers.py asks the checks."""

import numpy as np

THRESHOLDS = np.arange(1, 20) / 20


def dice(mask, truth):
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


def best(prob, truth):
    return max(THRESHOLDS, key=lambda threshold: dice(prob > threshold, truth))


def paint(image, mask, colour):
    return np.where(mask[..., None], image, np.array(colour, np.uint8))


def paint_in_place(image, mask, colour):
    image[~mask] = colour
    return image


def paint_a_copy(image, mask, colour):
    painted = image.copy()
    painted[~mask] = colour
    return painted


def paint_by_sums(image, mask, colour):
    inside = mask[..., None].astype(np.uint8)
    return image * inside + np.array(colour, np.uint8) * (1 - inside)


def best_in_a_loop(prob, truth):
    best, highest = None, -1.0
    for number in range(1, 20):
        score = dice(prob > number / 20, truth)
        if score > highest:
            best, highest = number / 20, score
    return best


RIGHT = {
    "mask_from_prob": [lambda p, t: np.where(p > t, True, False), lambda p, t: np.logical_not(p <= t)],
    "mask_for_file": [lambda m: np.where(m, 255, 0).astype(np.uint8), lambda m: (m * 255).astype(np.uint8)],
    "paint_background": [paint_a_copy, paint_by_sums],
    "highest_dice_threshold": [best_in_a_loop, lambda p, t: float(best(p, t)) + 1e-12],
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
        (paint_in_place, "work on a copy"),
        (lambda i, m, c: paint(i, m, c[::-1]), "red and blue"),
        (lambda i, m, c: paint(i, m, c).astype(float), "must be uint8"),
        (lambda i, m, c: paint(i, m, c) + 1, "outside it the colour"),
    ],
    "highest_dice_threshold": [
        (lambda p, t: 0.333, "none of 0.05"),
        (lambda p, t: max(THRESHOLDS[1:], key=lambda c: dice(p > c, t)), "try every"),
        (lambda p, t: max(THRESHOLDS[:-1], key=lambda c: dice(p > c, t)), "try every"),
    ],
}

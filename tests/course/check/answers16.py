"""Right and common wrong answers to the exercises of notebook 16; test_answers.py asks the checks."""

import itertools

import numpy as np
from solutions import solutions

from segkit.matting.effects import background_alone

solution = solutions("16")


def unmix_by_index(pixel, alpha, behind):
    out = pixel.copy()
    seen = alpha > 0
    a = alpha[seen][:, None]
    out[seen] = np.clip(behind[seen] + (pixel[seen] - behind[seen]) / a, 0, 255)
    return out


def runs_by_groups(mask):
    groups = [(key, len(list(group))) for key, group in itertools.groupby(mask.T.ravel())]
    return tuple(([0] if groups[0][0] else []) + [length for _, length in groups])


def runs_by_numpy(mask):
    flat = mask.ravel(order="F").astype(int)
    return np.diff([0, *np.flatnonzero(np.diff(flat, prepend=0)), mask.size])


def blur_by_channels(image, alpha, blur):
    weight = blur(1 - alpha) + 1e-9
    return np.dstack([blur((1 - alpha) * image[..., c]) / weight for c in range(3)])


def fill_then_blur(image, alpha, blur):
    return blur(background_alone(image, alpha))


def by_hand(prob, mask):
    return 2 * sum(prob[mask].tolist()) / (sum(prob.ravel().tolist()) + np.count_nonzero(mask))


BLURRED = "blur(image * weight[..., None]) / np.maximum(blur(weight), 1e-6)[..., None]"

RIGHT = {
    "pure_colour": [
        unmix_by_index,
        lambda *given: solution.pure_colour(*given).astype(np.uint8),
        lambda *given: solution.pure_colour(*given).round().astype(np.uint8),
    ],
    "run_lengths": [runs_by_groups, runs_by_numpy],
    "expected_dice": [lambda p, m: np.float32(2 * (p * m).sum() / np.sum(p + m)), by_hand],
    "blur_around_person": [blur_by_channels, fill_then_blur],
}
WRONG = {
    "pure_colour": [
        (lambda p, a, b: (p - (1 - a[..., None]) * b) / a[..., None], "divided by 0"),
        ("alpha[..., None]", "np.where(alpha < 0.1, 0, alpha)[..., None]", "solve pixel"),
    ],
    "run_lengths": [
        (lambda m: [1], "all runs together"),
        (lambda m: [(key, len([*run])) for key, run in itertools.groupby(m.T.flat)], "all runs together"),
    ],
    "expected_dice": [
        (lambda p, m: p.mean(), "share of the picture"),
        (lambda p, m: 1.0, "2 * overlap"),
    ],
    "blur_around_person": [
        ("np.maximum(blur(weight), 1e-6)", "blur(weight)", "divided by 0"),
        (lambda *given: solution.blur_around_person(*given)[::-1], "far from the person"),
        (lambda i, a, blur: blur(i), "glow"),
        (" / np.maximum(blur(weight), 1e-6)[..., None]", "", "the person is no black"),
        (lambda i, a, blur: i, "far from the person"),
        ("1 - alpha", "alpha", "weight is 1 - alpha"),
        (BLURRED, f"np.where(weight[..., None] < 1, image, {BLURRED})", "still there"),
        (BLURRED, f"np.where(weight[..., None] < 1, np.nan, {BLURRED})", "divided by 0"),
        (BLURRED, f"blur({BLURRED})", "far from the person"),
        (BLURRED, f"{BLURRED} / np.maximum(blur(weight), 1e-6)[..., None]", "blur(weight) once"),
        (lambda i, a, blur: i[..., 0], "of shape (56, 60, 3)"),
    ],
}

"""Right and common wrong answers to the exercises of notebook 16; test_answers.py asks the checks."""

import itertools

import numpy as np

from segkit.matting.effects import background_alone


def unmix(pixel, alpha, behind):
    a = alpha[..., None]
    person = (pixel - (1 - a) * behind) / np.where(a > 0, a, 1)
    return np.where(a > 0, person.clip(0, 255), pixel)


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


def promise(prob, mask):
    return 2 * prob[mask].sum() / (prob.sum() + mask.sum())


def blur_around(image, alpha, blur):
    weight = 1 - alpha
    return blur(image * weight[..., None]) / np.maximum(blur(weight), 1e-6)[..., None]


def blur_by_channels(image, alpha, blur):
    weight = blur(1 - alpha) + 1e-9
    return np.dstack([blur((1 - alpha) * image[..., c]) / weight for c in range(3)])


def fill_then_blur(image, alpha, blur):
    return blur(background_alone(image, alpha))


def sharp_inside(image, alpha, blur):
    return np.where(alpha[..., None] > 0, image, blur_around(image, alpha, blur))


def hole_left(image, alpha, blur):
    return np.where(alpha[..., None] > 0, np.nan, blur_around(image, alpha, blur))


RIGHT = {
    "pure_colour": [unmix_by_index, lambda *given: unmix(*given).round().astype(np.uint8)],
    "run_lengths": [runs_by_groups, runs_by_numpy],
    "expected_dice": [lambda p, m: np.float32(2 * (p * m).sum() / np.sum(p + m)), promise],
    "blur_around_person": [blur_by_channels, fill_then_blur],
}
WRONG = {
    "pure_colour": [
        (lambda p, a, b: (p - (1 - a[..., None]) * b) / a[..., None], "divided by 0"),
        (lambda p, a, b: unmix(p, np.where(a < 0.1, 0, a), b), "solve pixel"),
    ],
    "run_lengths": [
        (lambda m: [1], "all runs together"),
    ],
    "expected_dice": [
        (lambda p, m: p.mean(), "share of the picture"),
        (lambda p, m: 1.0, "2 * overlap"),
    ],
    "blur_around_person": [
        (lambda i, a, blur: blur(i), "glow"),
        (lambda i, a, blur: blur(i * (1 - a)[..., None]), "dark around"),
        (lambda i, a, blur: i, "nothing is blurred"),
        (lambda i, a, blur: blur_around(i, 1 - a, blur), "person's colour"),
        (sharp_inside, "still there"),
        (hole_left, "divided by 0"),
        (lambda i, a, blur: blur(blur_around(i, a, blur)), "far from the person"),
        (lambda i, a, b: blur_around(i, a, b) / b(1 - a)[..., None], "stays as it is"),
        (lambda i, a, blur: i[..., 0], "of shape (56, 60, 3)"),
    ],
}

"""Right and common wrong answers to the exercises of notebook 12; test_answers.py asks the checks."""

import numpy as np


def steady_time(times, warm_up):
    return np.median(times[warm_up:])


def to_int8(weights):
    scale = np.abs(weights).max() / 127
    return np.round(weights / scale).astype(np.int8), scale


def fold_norm(weight, gamma, beta, mean, var, eps):
    share = gamma / np.sqrt(var + eps)
    return weight * share[:, None, None, None], beta - mean * share


def frames_kept(fps, ms, count):
    kept, free = [], 0
    for number in range(count):
        there, next_there = 1000 * number / fps, 1000 * (number + 1) / fps
        if free < next_there - 1e-9:
            kept.append(number)
            free = max(free, there) + ms
    return kept


def share_of(gamma, var, eps):
    return gamma / np.sqrt(var + eps)


RIGHT = [
    ("steady_time", steady_time),
    ("to_int8", to_int8),
    ("fold_norm", fold_norm),
    ("frames_kept", frames_kept),
]


WRONG = [
    ("steady_time", lambda times, warm_up: np.median(times), "first calls are still in"),
    ("steady_time", lambda times, warm_up: np.mean(times[warm_up:]), "that is the mean: one call"),
    ("steady_time", lambda times, warm_up: np.mean(times), "mean of all calls"),
    ("steady_time", lambda times, warm_up: min(times[warm_up:]), "fastest call"),
    ("steady_time", lambda times, warm_up: max(times[warm_up:]), "np.median of times"),
    ("to_int8", lambda w: np.round(w * 127).astype(np.int8), "return two things"),
    ("to_int8", lambda w: (w.max(), 1.0), "one whole number for each"),
    (
        "to_int8",
        lambda w: (np.round(w / (w.max() / 127)).clip(-127, 127).astype(np.int8), w.max() / 127),
        "np.abs first",
    ),
    ("to_int8", lambda w: (to_int8(w)[0], np.abs(w).max() / 128), "+128 does not exist"),
    ("to_int8", lambda w: (to_int8(w)[0], np.abs(w).max() / 255), "becomes 127"),
    ("to_int8", lambda w: (to_int8(w)[0], 127 / np.abs(w).max()), "upside down"),
    ("to_int8", lambda w: (np.round(w / to_int8(w)[1]), to_int8(w)[1]), "nothing was saved"),
    ("to_int8", lambda w: ((w / to_int8(w)[1]).astype(np.int8), to_int8(w)[1]), "np.round first"),
    ("to_int8", lambda w: (np.zeros_like(w, np.int8), to_int8(w)[1]), "np.round(weights / scale)"),
    ("fold_norm", lambda w, *_: w, "return two things"),
    ("fold_norm", lambda w, g, b, m, v, e: (w[:1], b), "as the old"),
    (
        "fold_norm",
        lambda w, g, b, m, v, e: (w * (g / (v + e))[:, None, None, None], b),
        "divide by the square root",
    ),
    ("fold_norm", lambda w, g, b, m, v, e: (w, b), "must shrink and grow"),
    (
        "fold_norm",
        lambda w, g, b, m, v, e: (w / np.sqrt(v + e)[:, None, None, None], b),
        "gamma is missing in the weight",
    ),
    ("fold_norm", lambda *a: (fold_norm(*a)[0], a[2]), "subtracted before the scaling"),
    ("fold_norm", lambda *a: (fold_norm(*a)[0], a[2] - a[3]), "the mean is scaled too"),
    (
        "fold_norm",
        lambda w, g, b, m, v, e: (fold_norm(w, g, b, m, v, e)[0], b + m * share_of(g, v, e)),
        "minus the mean",
    ),
    (
        "fold_norm",
        lambda w, g, b, m, v, e: (fold_norm(w, g, b, m, v, e)[0], -m * share_of(g, v, e)),
        "beta is missing",
    ),
    ("fold_norm", lambda *a: (fold_norm(*a)[0], a[2][:1]), "one number per output channel"),
    ("frames_kept", lambda fps, ms, count: list(range(count)), "queue grows"),
    ("frames_kept", lambda fps, ms, count: frames_kept(fps, ms, count)[1:], "frame 0 is there"),
    ("frames_kept", lambda fps, ms, count: [*frames_kept(fps, ms, count), count], "there are only"),
    (
        "frames_kept",
        lambda fps, ms, count: list(range(0, count, int(ms * fps / 1000) + 1)),
        "a fixed step",
    ),
    ("frames_kept", lambda fps, ms, count: [0], "keep `free`"),
]

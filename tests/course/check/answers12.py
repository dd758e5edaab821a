"""Right and common wrong answers to the exercises of notebook 12; test_answers.py asks the checks."""

import statistics
from unittest.mock import Mock

import numpy as np
import torch
from solutions import solutions

from segkit.video.live import follow

solution = solutions("12")
to_int8 = solution.to_int8


def floor_of_times(fps, ms, count):
    kept, free = [], 0.0
    while True:
        newest = free // (1000 / fps)
        if kept and newest <= kept[-1]:
            newest = kept[-1] + 1
        if newest >= count:
            return np.array(kept)
        kept.append(newest)
        free = max(free, newest * (1000 / fps)) + ms


def kept_by_segkit(fps, ms, count):
    now = 0.0

    def wait(seconds, answer=None):
        nonlocal now
        now += seconds
        return answer

    prob = np.zeros((2, 2), np.float32)
    person = Mock(side_effect=lambda image: wait(ms / 1000, prob), foreground=lambda prob: prob)
    return follow(person, [np.zeros((2, 2, 3), np.uint8)] * count, fps, clock=lambda: now, sleep=wait).shown


def never_waits(fps, ms, count):
    return sorted({int(i * ms * fps / 1000) for i in range(count) if i * ms * fps / 1000 < count})


def sorted_median(times, warm_up):
    times = sorted(times[warm_up:])
    return (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2


def rounds_by_floor(weights):
    scale = max(weights.max(), -weights.min()) / 127
    return np.floor(weights / scale + 0.5).astype(np.int8), np.float32(scale)


def one_by_one(weight, gamma, beta, mean, var, eps):
    new, bias = weight.copy(), np.zeros(len(weight))
    for c in range(len(weight)):
        new[c] = weight[c] * gamma[c] * (var[c] + eps) ** -0.5
        bias[c] = beta[c] - gamma[c] * mean[c] * (var[c] + eps) ** -0.5
    return [new, bias]


def in_torch(*arrays):
    *arrays, eps = arrays
    weight, gamma, beta, mean, var = map(torch.from_numpy, arrays)
    share = gamma * torch.rsqrt(var + eps)
    return torch.einsum("oikl,o->oikl", weight, share), torch.addcmul(beta, mean, share, value=-1)


BIAS = "beta - mean * share"
SHARE = "gamma / np.sqrt(var + eps)"

RIGHT = {
    "steady_time": [lambda times, warm_up: statistics.median(times[warm_up:]), sorted_median],
    "to_int8": [rounds_by_floor, lambda w: [np.int8(np.rint(w / to_int8(w)[1])), [np.abs(w).max() / 127]]],
    "fold_norm": [one_by_one, in_torch],
    "frames_kept": [floor_of_times, kept_by_segkit],
}


WRONG = {
    "steady_time": [
        ("[warm_up:]", "[warm_up + 1 :]", "np.median of times"),
        (lambda times, warm_up: sorted(times[warm_up:])[len(times[warm_up:]) // 2], "np.median of times"),
    ],
    "to_int8": [
        ("np.int8)", "np.int8).clip(-126, 126)", "np.round(weights / scale)"),
        (lambda w: to_int8(w)[::-1], "in this order"),
        (lambda w: np.round(w * 127).astype(np.int8), "return two things"),
        ("np.abs(weights).max()", "weights.max()", "np.abs first"),
        ("return", "scale *= 127 / 128; return", "+128 does not exist"),
        ("/ 127", "/ 255", "not by 255"),
        (", scale", ", 1 / scale", "upside down"),
        (".astype(np.int8)", "", "must be int8"),
        ("np.round", "", "np.round first"),
    ],
    "fold_norm": [
        (SHARE, "gamma / (var + eps)", BIAS, "beta", "divide by the square root"),
        ("weight * share[:, None, None, None]", "weight", "must shrink and grow"),
        (SHARE, "1 / np.sqrt(var + eps)", "gamma is missing"),
        ("var + eps", "var", "eps is missing: "),
        (BIAS, "beta - mean * gamma / np.sqrt(var)", "beta - mean * share"),
        (BIAS, "beta", "subtracted before the scaling"),
        (BIAS, "beta - mean", "the mean is scaled too"),
        (BIAS, "beta + mean * share", "minus the mean"),
        (BIAS, "-mean * share", "beta is missing"),
    ],
    "frames_kept": [
        (lambda fps, ms, count: list(range(0, count, int(ms * fps / 1000) + 1)), "not in fixed steps"),
        (never_waits, "the newest frame is"),
    ],
}

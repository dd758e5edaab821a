"""Right and common wrong answers to the exercises of notebook 13; test_answers.py asks the checks."""

import numpy as np
import torch
from scipy.signal import lfilter
from solutions import solutions

from segkit.video.smooth import flicker, temporal_iou

solution = solutions("13")
changed = solution.changed


def temporal_iou_by_stack(masks, alone=0):
    masks = np.stack(masks)
    both, one = (f(masks[1:], masks[:-1]).sum(axis=(1, 2)) for f in (np.logical_and, np.logical_or))
    return np.where(one == alone, 1, both / np.maximum(one, 1)).mean()


def smooth_by_recursion(probs, strength):
    if len(probs) == 1:
        return [probs[0]]
    done = smooth_by_recursion(probs[:-1], strength)
    return [*done, done[-1] + (1 - strength) * (probs[-1] - done[-1])]


def flicker_by_stack(masks, truth):
    ours, true = (np.diff(np.stack(pile).astype(int), axis=0) != 0 for pile in (masks, truth))
    return (ours & ~true).sum() / len(ours) / (np.stack(truth).sum() / len(truth))


RIGHT = {
    "mean_temporal_iou": [temporal_iou_by_stack, temporal_iou],
    "count_flicker": [flicker_by_stack, lambda m, t: torch.tensor(flicker(m, t))],
    "smooth_over_time": [
        smooth_by_recursion,
        lambda p, s: lfilter([1 - s], [1, -s], p, axis=0, zi=s * np.array(p[:1]))[0],
    ],
    "same_memory": [lambda s, f, n: (s**f) ** (1 / n), lambda s, f, n: np.exp(np.log(s) * f / n)],
    "gated_mix": [
        lambda p, b, w, s: p + s * w * (b - p),
        lambda p, b, w, s: torch.lerp(*map(torch.tensor, (p, b, s * w))),
    ],
}


WRONG = {
    "mean_temporal_iou": [
        (lambda m: solution.mean_temporal_iou(m[:-1]), "overlap over union"),
        (changed("mean_temporal_iou", iou=changed("iou", "1.0", "0.0")), "0 / 0"),
    ],
    "smooth_over_time": [
        ("smoothed.append(", "prob *= 2; smoothed.append(", "work on a copy"),
        (lambda p, s: solution.smooth_over_time(p, 0.6), "frame by frame"),
    ],
    "gated_mix": [
        (lambda p, b, w, s: solution.gated_mix(p, b, w, 0.7), "weight"),
        (lambda p, b, w, s: np.multiply(p, 0.5, out=p), "work on a copy"),
    ],
    "count_flicker": [("(truth[t] ^ truth[t - 1])", "truth[t]", "mean number over the mean size")],
    "same_memory": [(lambda s, f, n: s if f == n else s ** (12 / n), "after one")],
}

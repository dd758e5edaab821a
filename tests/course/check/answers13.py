"""Right and common wrong answers to the exercises of notebook 13; test_answers.py asks the checks."""

from itertools import pairwise

import numpy as np
import torch
from solutions import solutions

solution = solutions("13")
changed = solution.changed


def temporal_iou_by_stack(masks, alone=0):
    masks = np.stack(masks)
    both, one = (f(masks[1:], masks[:-1]).sum(axis=(1, 2)) for f in (np.logical_and, np.logical_or))
    return np.where(one == alone, 1, both / np.maximum(one, 1)).mean()


def temporal_iou_by_hand(masks):
    total = 0
    for before, now in pairwise(masks):
        either = int(np.count_nonzero(before | now))
        total += 1 if either == 0 else np.count_nonzero(before * now) / either
    return total / (len(masks) - 1)


def smooth_by_recursion(probs, strength):
    if len(probs) == 1:
        return [probs[0]]
    done = smooth_by_recursion(probs[:-1], strength)
    return [*done, done[-1] + (1 - strength) * (probs[-1] - done[-1])]


def smooth_by_weights(probs, strength):
    """Every frame as one weighted sum of all before it."""
    out = []
    for t in range(len(probs)):
        weights = [(1 - strength) * strength ** (t - i) for i in range(t + 1)]
        weights[0] = strength**t
        out.append(sum(w * p for w, p in zip(weights, probs, strict=False)))
    return tuple(out)


def mix_by_loop(prob, past, still, strength):
    out = np.empty(prob.shape)
    for at in np.ndindex(prob.shape):
        out[at] = prob[at] + strength * still[at] * (past[at] - prob[at])
    return out


def flicker_by_stack(masks, truth):
    ours, true = (np.diff(np.stack(pile).astype(int), axis=0) != 0 for pile in (masks, truth))
    return (ours & ~true).sum() / len(ours) / (np.stack(truth).sum() / len(truth))


def flicker_by_hand(masks, truth):
    count = 0
    for t in range(1, len(masks)):
        for at in np.ndindex(masks[0].shape):
            count += masks[t][at] != masks[t - 1][at] and truth[t][at] == truth[t - 1][at]
    return np.float32(count / (len(masks) - 1) / np.mean([m.sum() for m in truth]))


RIGHT = {
    "mean_temporal_iou": [temporal_iou_by_stack, temporal_iou_by_hand],
    "count_flicker": [flicker_by_stack, lambda m, t: torch.tensor(flicker_by_hand(m, t))],
    "smooth_over_time": [smooth_by_recursion, smooth_by_weights],
    "same_memory": [lambda s, f, n: (s**f) ** (1 / n), lambda s, f, n: np.exp(np.log(s) * f / n)],
    "gated_mix": [mix_by_loop, lambda p, b, w, s: torch.lerp(*map(torch.tensor, (p, b, s * w)))],
}


WRONG = {
    "mean_temporal_iou": [
        (lambda m: solution.mean_temporal_iou(m[:-1]), "overlap over union"),
        (lambda m: temporal_iou_by_stack(m, alone=1), "0 / 0"),
        (changed("mean_temporal_iou", iou=changed("iou", "1.0", "0.0")), "0 / 0"),
        (changed("mean_temporal_iou", iou=changed("iou", "1.0", "np.nan")), "0 / 0"),
        (lambda m: solution.mean_temporal_iou(m[::2]), "overlap over union"),
    ],
    "smooth_over_time": [
        ("smoothed.append(", "prob *= 2; smoothed.append(", "work on a copy"),
        (lambda p, s: solution.smooth_over_time(p, 0.6), "frame by frame"),
        (lambda p, s: [q * np.nan for q in p], "frame by frame"),
    ],
    "gated_mix": [
        (lambda p, b, w, s: solution.gated_mix(p, b, w, 0.7), "weight"),
        (lambda p, b, w, s: solution.gated_mix(p, b, w > 0.5, s), "weight"),
        (lambda p, b, w, s: np.multiply(p, 0.5, out=p), "work on a copy"),
    ],
    "count_flicker": [
        ("(truth[t] ^ truth[t - 1])", "truth[t]", "mean number over the mean size"),
    ],
    "same_memory": [
        (lambda s, f, n: s ** (f // n), "after one"),
        (lambda s, f, n: s if f == n else s ** (12 / n), "after one"),
    ],
}

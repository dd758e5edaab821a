"""Right and common wrong answers to the exercises of notebook 13; test_answers.py asks the checks."""

from itertools import pairwise

import numpy as np
import torch
from solutions import solutions

solution = solutions("13")


def iou(a, b):
    union = (a | b).sum()
    return 1.0 if union == 0 else (a & b).sum() / union


def steps(masks):
    return range(1, len(masks))


def changed(masks):
    return [masks[t] ^ masks[t - 1] for t in steps(masks)]


def size(truth):
    return np.mean([mask.sum() for mask in truth])


def temporal_dice(masks):
    return np.mean([2 * one / (1 + one) for one in (iou(masks[t], masks[t - 1]) for t in steps(masks))])


def with_raw_past(probs, strength):
    return [probs[0]] + [strength * probs[t - 1] + (1 - strength) * probs[t] for t in steps(probs)]


def with_empty_as(masks, value):
    pairs = [((a & b).sum(), (a | b).sum()) for a, b in pairwise(masks)]
    pairs = [both / either if either else value for both, either in pairs]
    return np.mean([one for one in pairs if one is not None])


def off_the_person(masks, truth):
    return np.mean([(c & ~true).sum() for c, true in zip(changed(masks), truth[1:], strict=True)]) / size(
        truth
    )


def wrong_pixels(masks, truth):
    return np.mean([(a ^ b).sum() for a, b in zip(masks, truth, strict=True)]) / size(truth)


def in_place(probs, strength):
    for t in range(1, len(probs)):
        probs[t] *= 1 - strength
        probs[t] += strength * probs[t - 1]
    return probs


def from_zero(probs, strength):
    belief, out = np.zeros_like(probs[0]), []
    for prob in probs:
        belief = strength * belief + (1 - strength) * prob
        out.append(belief)
    return out


def temporal_iou_by_stack(masks):
    masks = np.stack(masks)
    both, one = (f(masks[1:], masks[:-1]).sum(axis=(1, 2)) for f in (np.logical_and, np.logical_or))
    return np.where(one == 0, 1, both / np.maximum(one, 1)).mean()


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
    "smooth_over_time": [
        lambda probs, s: np.stack(solution.smooth_over_time(probs, s)),
        smooth_by_recursion,
        smooth_by_weights,
    ],
    "same_memory": [
        lambda s, f, n: (s**f) ** (1 / n),
        lambda s, f, n: np.exp(np.log(s) * f / n),
        lambda s, f, n: np.array([s ** (f / n)]),
    ],
    "gated_mix": [
        mix_by_loop,
        lambda p, b, w, s: np.where(w > 0, s * w * b + (1 - s * w) * p, p).tolist(),
        lambda p, b, w, s: torch.lerp(*map(torch.tensor, (p, b, s * w))),
    ],
}


WRONG = [
    ("mean_temporal_iou", lambda m: sum(iou(m[t], m[t - 1]) for t in steps(m)) / len(m), "one pair"),
    ("mean_temporal_iou", lambda m: sum(iou(m[t], m[t - 1]) for t in steps(m)), "the sum"),
    ("mean_temporal_iou", lambda m: np.mean([iou(m[t], m[0]) for t in steps(m)]), "just before"),
    ("mean_temporal_iou", lambda m: 1 - solution.mean_temporal_iou(m), "nothing changes"),
    ("mean_temporal_iou", lambda m: np.mean([(m[t] == m[t - 1]).mean() for t in steps(m)]), "equal pixels"),
    ("mean_temporal_iou", temporal_dice, "Dice"),
    ("mean_temporal_iou", lambda m: with_empty_as(m, None), "not left out"),
    ("mean_temporal_iou", lambda m: with_empty_as(m, 0), "0 / 0"),
    ("mean_temporal_iou", lambda m: with_empty_as(m, np.nan), "0 / 0"),
    ("mean_temporal_iou", lambda m: solution.mean_temporal_iou([~x for x in m]), "overlap over union"),
    ("mean_temporal_iou", lambda m: solution.mean_temporal_iou(m[::2]), "overlap over union"),
    ("mean_temporal_iou", lambda m: None, "one number"),
    ("mean_temporal_iou", lambda m: True, "one number"),
    ("mean_temporal_iou", lambda m: 0.1234, "overlap over union"),
    ("mean_temporal_iou", lambda m: [iou(m[t], m[t - 1]) for t in steps(m)], "one number"),
    ("smooth_over_time", lambda p, s: solution.smooth_over_time(p, 1 - s), "belongs to the past"),
    ("smooth_over_time", with_raw_past, "raw frame"),
    ("smooth_over_time", lambda p, s: p, "nothing has changed"),
    ("smooth_over_time", from_zero, "has no past"),
    ("smooth_over_time", lambda p, s: solution.smooth_over_time([(q > 0.5) * 1.0 for q in p], s), "cut last"),
    ("smooth_over_time", lambda p, s: [np.mean(p[: t + 1], axis=0) for t in range(len(p))], "plain average"),
    ("smooth_over_time", in_place, "work on a copy"),
    ("smooth_over_time", lambda p, s: solution.smooth_over_time(p[::-1], s)[::-1], "backwards"),
    ("smooth_over_time", lambda p, s: [q > 0.5 for q in solution.smooth_over_time(p, s)], "these are masks"),
    ("smooth_over_time", lambda p, s: None, "one map"),
    ("smooth_over_time", lambda p, s: solution.smooth_over_time(p, s)[1:], "one map"),
    ("smooth_over_time", lambda p, s: solution.smooth_over_time(p, 0.6), "frame by frame"),
    ("smooth_over_time", lambda p, s: [q * np.nan for q in p], "frame by frame"),
    ("smooth_over_time", lambda p, s: solution.smooth_over_time(p, s)[-1:], "one map per frame"),
    ("smooth_over_time", lambda p, s: [q.mean() for q in p], "keeps its shape"),
    ("smooth_over_time", lambda p, s: [q / 2 for q in p], "frame by frame"),
    ("gated_mix", lambda p, b, w, s: solution.gated_mix(p, b, 1 - w, s), "wrong way round"),
    ("gated_mix", lambda p, b, w, s: solution.gated_mix(b, p, w, s), "changed places"),
    ("gated_mix", lambda p, b, w, s: s * b + (1 - s) * p, "no gate"),
    ("gated_mix", lambda p, b, w, s: w * b + (1 - w) * p, "stillness alone"),
    ("gated_mix", lambda p, b, w, s: s * w * b + (1 - s) * p, "add up to 1"),
    ("gated_mix", lambda p, b, w, s: solution.gated_mix(p, b, w, 0.7), "weight"),
    ("gated_mix", lambda p, b, w, s: solution.gated_mix(p, b, w**2, s), "weight"),
    ("gated_mix", lambda p, b, w, s: solution.gated_mix(p, b, w > 0.5, s), "weight"),
    ("gated_mix", lambda p, b, w, s: None, "every pixel"),
    ("gated_mix", lambda p, b, w, s: np.multiply(p, 0.5, out=p), "work on a copy"),
    ("gated_mix", lambda p, b, w, s: p, "weight = strength * still"),
    ("gated_mix", lambda p, b, w, s: p.mean(), "every pixel"),
    ("count_flicker", wrong_pixels, "wrong pixels"),
    ("count_flicker", lambda m, t: np.mean([c.sum() for c in changed(m)]) / size(t), "every change"),
    (
        "count_flicker",
        lambda m, t: np.mean([(a ^ b).sum() for a, b in zip(changed(m), changed(t), strict=True)]) / size(t),
        "no flicker",
    ),
    (
        "count_flicker",
        lambda m, t: np.mean([(a & b).sum() for a, b in zip(changed(m), changed(t), strict=True)]) / size(t),
        "take the others",
    ),
    ("count_flicker", lambda m, t: solution.count_flicker(m, t) * size(t) / t[0].size, "whole picture"),
    ("count_flicker", lambda m, t: solution.count_flicker(m, t) * size(t), "number of pixels"),
    ("count_flicker", lambda m, t: solution.count_flicker(m, t) * (len(m) - 1) / len(m), "one step less"),
    ("count_flicker", lambda m, t: solution.count_flicker(m, t) * (len(m) - 1), "mean per step"),
    ("count_flicker", lambda m, t: solution.count_flicker(m, t) * size(t) / max(1, size(m)), "our mask"),
    ("count_flicker", lambda m, t: solution.count_flicker(m[::-1], t), "mean number over the mean size"),
    ("count_flicker", off_the_person, "mean number over the mean size"),
    ("count_flicker", lambda m, t: None, "one number"),
    ("count_flicker", lambda m, t: 0.0, "the mean number over the mean size"),
    ("same_memory", lambda s, f, n: s ** (n / f), "wrong way round"),
    ("same_memory", lambda s, f, n: s * n / f, "do not add"),
    ("same_memory", lambda s, f, n: s * f / n, "use a power"),
    ("same_memory", lambda s, f, n: 1 - (1 - s) * f / n, "does not simply scale"),
    ("same_memory", lambda s, f, n: s, "frames come faster"),
    ("same_memory", lambda s, f, n: s**f, "at the same frame rate"),
    ("same_memory", lambda s, f, n: s ** (f // n), "after one"),
    ("same_memory", lambda s, f, n: s ** (f / 60 * 60 / n) if f != n else 1.0, "at the same frame rate"),
    ("same_memory", lambda s, f, n: s if f == n else s ** (12 / n), "after one"),
    ("same_memory", lambda s, f, n: s if f == n else s**f, "left after a second"),
    ("same_memory", lambda s, f, n: None, "one number"),
    ("same_memory", lambda s, f, n: 0.123, "at the same frame rate"),
]  # fmt: skip

"""Right and common wrong answers to the exercises of notebook 13; test_answers.py asks the checks."""

import numpy as np


def iou(a, b):
    union = (a | b).sum()
    return 1.0 if union == 0 else (a & b).sum() / union


def mean_temporal_iou(masks):
    return np.mean([iou(masks[t], masks[t - 1]) for t in range(1, len(masks))])


def smooth_over_time(probs, strength):
    smoothed = [probs[0]]
    for prob in probs[1:]:
        smoothed.append(strength * smoothed[-1] + (1 - strength) * prob)
    return smoothed


def gated_mix(prob, past, still, strength):
    weight = strength * still
    return weight * past + (1 - weight) * prob


def count_flicker(masks, truth):
    steps = range(1, len(masks))
    free = [((masks[t] ^ masks[t - 1]) & ~(truth[t] ^ truth[t - 1])).sum() for t in steps]
    return np.mean(free) / np.mean([mask.sum() for mask in truth])


def same_memory(strength, fps, new_fps):
    return strength ** (fps / new_fps)


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


RIGHT = [
    ("mean_temporal_iou", mean_temporal_iou),
    ("smooth_over_time", smooth_over_time),
    ("gated_mix", gated_mix),
    ("count_flicker", count_flicker),
    ("same_memory", same_memory),
    ("smooth_over_time", lambda probs, s: np.stack(smooth_over_time(probs, s))),
]


WRONG = [
    ("mean_temporal_iou", lambda m: sum(iou(m[t], m[t - 1]) for t in steps(m)) / len(m), "four neighbours"),
    ("mean_temporal_iou", lambda m: sum(iou(m[t], m[t - 1]) for t in steps(m)), "the sum"),
    ("mean_temporal_iou", lambda m: np.mean([iou(m[t], m[0]) for t in steps(m)]), "just before"),
    ("mean_temporal_iou", lambda m: 1 - mean_temporal_iou(m), "nothing changes"),
    ("mean_temporal_iou", lambda m: np.mean([(m[t] == m[t - 1]).mean() for t in steps(m)]), "equal pixels"),
    ("mean_temporal_iou", temporal_dice, "Dice"),
    ("mean_temporal_iou", lambda m: mean_temporal_iou(m) if m[0].any() else 0.0, "empty masks agree"),
    ("mean_temporal_iou", lambda m: 0.1234, "overlap over union"),
    ("mean_temporal_iou", lambda m: [iou(m[t], m[t - 1]) for t in steps(m)], "one number"),
    ("smooth_over_time", lambda p, s: smooth_over_time(p, 1 - s), "belongs to the past"),
    ("smooth_over_time", with_raw_past, "raw frame"),
    ("smooth_over_time", lambda p, s: p, "nothing has changed"),
    ("smooth_over_time", from_zero, "has no past"),
    ("smooth_over_time", lambda p, s: smooth_over_time([(q > 0.5) * 1.0 for q in p], s), "cut last"),
    ("smooth_over_time", lambda p, s: [np.mean(p[: t + 1], axis=0) for t in range(len(p))], "plain average"),
    ("smooth_over_time", in_place, "make new arrays"),
    ("smooth_over_time", lambda p, s: smooth_over_time(p, s)[-1:], "one map per frame"),
    ("smooth_over_time", lambda p, s: [q.mean() for q in p], "keeps its shape"),
    ("smooth_over_time", lambda p, s: [q / 2 for q in p], "frame by frame"),
    ("gated_mix", lambda p, b, w, s: gated_mix(p, b, 1 - w, s), "wrong way round"),
    ("gated_mix", lambda p, b, w, s: gated_mix(b, p, w, s), "changed places"),
    ("gated_mix", lambda p, b, w, s: s * b + (1 - s) * p, "no gate"),
    ("gated_mix", lambda p, b, w, s: w * b + (1 - w) * p, "stillness alone"),
    ("gated_mix", lambda p, b, w, s: s * w * b + (1 - s) * p, "add up to 1"),
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
    ("count_flicker", lambda m, t: count_flicker(m, t) * size(t) / t[0].size, "whole picture"),
    ("count_flicker", lambda m, t: count_flicker(m, t) * size(t), "number of pixels"),
    ("count_flicker", lambda m, t: count_flicker(m, t) * (len(m) - 1) / len(m), "four steps"),
    ("count_flicker", lambda m, t: count_flicker(m, t) * (len(m) - 1), "mean per step"),
    ("count_flicker", lambda m, t: 0.0, "the mean number over the mean size"),
    ("same_memory", lambda s, f, n: s ** (n / f), "wrong way round"),
    ("same_memory", lambda s, f, n: s * n / f, "do not add"),
    ("same_memory", lambda s, f, n: s * f / n, "use a power"),
    ("same_memory", lambda s, f, n: 1 - (1 - s) * f / n, "does not simply scale"),
    ("same_memory", lambda s, f, n: s, "frames come faster"),
    ("same_memory", lambda s, f, n: 0.123, "after one second"),
]  # fmt: skip

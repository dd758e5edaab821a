"""Right and common wrong answers to the exercises of notebook 09; test_answers.py asks the checks."""

import itertools

import numpy as np
import torch

from segkit.study.analysis import reliability


def worst(names, scores, count):
    return [names[i] for i in np.argsort(scores)[:count]]


def worst_by_sorting(names, scores, count):
    return [name for _, name in sorted(zip(scores, names, strict=True))[:count]]


def worst_one_by_one(names, scores, count):
    left, found = dict(zip(names, scores, strict=True)), []
    while len(found) < count:
        found.append(min(left, key=left.get))
        left.pop(found[-1])
    return tuple(found)


def bins_of(probs, truth, bins):
    place = np.minimum((probs * bins).astype(int), bins - 1)
    held = [place == b for b in range(bins) if (place == b).any()]
    return np.array([(p.mean(), probs[p].mean() - truth[p].mean()) for p in held]).T


def ece(probs, truth, bins):
    share, gap = bins_of(probs, truth, bins)
    return (share * np.abs(gap)).sum()


def ece_by_edges(probs, truth, bins):
    edges, error = np.linspace(0, 1, bins + 1), 0
    for low, high in itertools.pairwise(edges):
        inside = (probs >= low) & ((probs < high) | (high == 1))
        error += abs(probs[inside].sum() - truth[inside].sum())
    return error / len(probs)


def ece_open_at_one(probs, truth, bins):
    edges, error = np.linspace(0, 1, bins + 1), 0
    for low, high in itertools.pairwise(edges):
        inside = (probs >= low) & (probs < high)
        error += abs(probs[inside].sum() - truth[inside].sum())
    return error / len(probs)


@np.errstate(invalid="ignore")
def ece_with_empty_bins(probs, truth, bins):
    place = np.minimum((probs * bins).astype(int), bins - 1)
    count, said, true = (np.bincount(place, weights, bins) for weights in (None, probs, truth))
    return (count / len(probs) * abs(said / count - true / count)).sum()


def means_of(scores, rng, size=None, replace=True):
    return np.array([rng.choice(scores, size or len(scores), replace=replace).mean() for _ in range(3000)])


def interval(scores, rng):
    return tuple(np.percentile(means_of(scores, rng), [2.5, 97.5]))


def interval_at_once(scores, rng):
    draws = rng.integers(0, len(scores), (4000, len(scores)))
    return np.quantile(scores[draws].mean(1), [0.025, 0.975])


def interval_by_sorting(scores, rng):
    means = np.sort(means_of(scores, rng))
    return [means[75], means[-76]]


def one_error(scores, rng):
    means = means_of(scores, rng)
    return means.mean() - means.std(), means.mean() + means.std()


def formula(scores, rng):
    half = 1.96 * scores.std() / np.sqrt(len(scores))
    return scores.mean() - half, scores.mean() + half


def chosen(val, test, thresholds):
    best = val.mean(0).argmax()
    return thresholds[best], test.mean(0)[best]


def chosen_by_sum(val, test, thresholds):
    best = max(range(len(thresholds)), key=lambda column: val[:, column].sum())
    return [float(thresholds[best]), float(np.average(test[:, best]))]


def chosen_by_torch(val, test, thresholds):
    best = torch.from_numpy(val).mean(0).argmax()
    return torch.tensor([thresholds[best], torch.from_numpy(test).mean(0)[best]])


def by_both(val, test, thresholds):
    best = np.concatenate([val, test]).mean(0).argmax()
    return thresholds[best], test.mean(0)[best]


def by_median(val, test, thresholds):
    best = np.median(val, 0).argmax()
    return thresholds[best], test.mean(0)[best]


def overlaps(preds, labels, flip=np.s_[:, :, ::-1]):
    return (preds & labels).sum((1, 2)), (preds & labels[flip]).sum((1, 2))


def mirrored(preds, labels):
    plain, other = overlaps(preds, labels)
    return np.flatnonzero(other > plain)


def mirrored_one_by_one(preds, labels):
    return [
        i
        for i, (p, t) in enumerate(zip(preds, labels, strict=True))
        if (p & np.fliplr(t)).sum() > (p & t).sum()
    ]


def hardly_overlapping(preds, labels):
    return np.flatnonzero((preds & labels).sum((1, 2)) < 0.4 * labels.sum((1, 2)))


RIGHT = [
    ("worst_first", worst),
    ("worst_first", worst_by_sorting),
    ("worst_first", worst_one_by_one),
    ("calibration_error", ece),
    ("calibration_error", ece_by_edges),
    ("calibration_error", lambda p, t, b: reliability([p], [t], b).ece),
    ("bootstrap_interval", interval),
    ("bootstrap_interval", interval_at_once),
    ("bootstrap_interval", interval_by_sorting),
    ("honest_threshold", chosen),
    ("honest_threshold", chosen_by_sum),
    ("honest_threshold", chosen_by_torch),
    ("find_mirrored", mirrored),
    ("find_mirrored", mirrored_one_by_one),
    ("find_mirrored", lambda p, t: np.where(np.greater(*overlaps(p, t)[::-1]))),
]

WRONG = [
    ("worst_first", lambda n, s, k: [n[i] for i in np.argsort(-s)[:k]], "these are the best"),
    ("worst_first", lambda n, s, k: n[:k], "nothing is sorted"),
    ("worst_first", lambda n, s, k: [n[i] for i in s.argsort().argsort()[:k]], "once is enough"),
    ("worst_first", lambda n, s, k: worst(n, s, k)[::-1], "very worst comes first"),
    ("worst_first", lambda n, s, k: worst(n, s, 8), "not all"),
    ("worst_first", lambda n, s, k: worst(n, s, 1), "keep the first `count`"),
    ("worst_first", lambda n, s, k: np.argsort(s)[:k], "positions"),
    ("worst_first", lambda n, s, k: 3, "a list of names"),
    ("calibration_error", ece_with_empty_bins, "skip it"),
    ("calibration_error", ece_open_at_one, "exactly 1"),
    ("calibration_error", lambda p, t, b: ece(p[p < 1], t[p < 1], b), "exactly 1"),
    ("calibration_error", lambda p, t, b: ece(p, t, 5), "weighted by how many"),
    ("calibration_error", lambda p, t, b: np.abs(bins_of(p, t, b)[1]).mean(), "weigh by the count"),
    ("calibration_error", lambda p, t, b: abs(np.prod(bins_of(p, t, b), 0).sum()), "cancel out"),
    ("calibration_error", lambda p, t, b: np.abs(bins_of(p, t, b)[1]).max(), "the worst bin"),
    (
        "calibration_error",
        lambda p, t, b: (bins_of(p, t, b)[0] * bins_of(p, t, b)[1] ** 2).sum(),
        "not the square",
    ),
    ("calibration_error", lambda p, t, b: np.abs(p - t).mean(), "inside a bin"),
    ("calibration_error", lambda p, t, b: ((p > 0.5) != t).mean(), "share of wrong pixels"),
    ("calibration_error", lambda p, t, b: bins_of(p, t, b), "one number"),
    ("bootstrap_interval", lambda s, r: interval(s, r)[::-1], "low first"),
    ("bootstrap_interval", lambda s, r: interval(s, np.random.default_rng(1)), "nothing was drawn"),
    ("bootstrap_interval", formula, "nothing was drawn"),
    (
        "bootstrap_interval",
        lambda s, r: tuple(np.percentile(means_of(s, r, None, False), [3, 97])),
        "shuffle",
    ),
    (
        "bootstrap_interval",
        lambda s, r: tuple(np.percentile(means_of(s, r, 1), [2.5, 97.5])),
        "how far the pictures spread",
    ),
    ("bootstrap_interval", lambda s, r: np.percentile(means_of(s, r, 4), [2.5, 97.5]), "drawn anew"),
    ("bootstrap_interval", one_error, "holds 68 %"),
    ("bootstrap_interval", lambda s, r: tuple(np.percentile(means_of(s, r), [5, 95])), "90 %"),
    ("bootstrap_interval", lambda s, r: tuple(np.percentile(means_of(s, r), [2.5, 95])), "one end is right"),
    ("bootstrap_interval", lambda s, r: s.mean(), "two numbers"),
    ("honest_threshold", lambda v, t, c: chosen(t, t, c), "can no longer judge"),
    ("honest_threshold", lambda v, t, c: chosen(v, v, c), "that of the test pictures"),
    ("honest_threshold", lambda v, t, c: (chosen(v, t, c)[0], t.mean(0).max()), "own best threshold"),
    ("honest_threshold", lambda v, t, c: (v.mean(0).argmax(), chosen(v, t, c)[1]), "number of the column"),
    ("honest_threshold", lambda v, t, c: (chosen(v, t, c)[0], t.max(1).mean()), "one for all"),
    ("honest_threshold", by_both, "only validation"),
    ("honest_threshold", by_median, "not the median"),
    ("honest_threshold", lambda v, t, c: chosen(v, t, np.linspace(0.1, 0.9, len(c))), "look that column up"),
    ("honest_threshold", lambda v, t, c: chosen(v, t, c)[::-1], "threshold first"),
    ("find_mirrored", lambda p, t: np.flatnonzero(np.less(*overlaps(p, t)[::-1])), "wrong way round"),
    ("find_mirrored", lambda p, t: range(8), "picture by picture"),
    ("find_mirrored", hardly_overlapping, "its mirror image overlaps"),
    ("find_mirrored", lambda p, t: np.flatnonzero(np.less(*overlaps(p, t, np.s_[:, ::-1]))), "upside down"),
    ("find_mirrored", lambda p, t: np.less(*overlaps(p, t)), "np.flatnonzero"),
    ("find_mirrored", lambda p, t: None, "the positions"),
]

"""Right and common wrong answers to the exercises of notebook 09; test_answers.py asks the checks."""

import itertools

import cv2
import numpy as np
import torch
from scipy import ndimage

from segkit.metrics import dice_score
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


def dice(pred, true):
    return 2 * (pred & true).sum() / max(1, pred.sum() + true.sum())


def gain_by_where(pred, true, wrong):
    pair = (torch.from_numpy(one)[None, None] for one in (np.where(wrong, true, pred), pred))
    after, before = (dice_score(one, torch.from_numpy(true)[None, None]) for one in pair)
    return after - before


def gain_in_place(pred, true, wrong):
    repaired = pred.copy()
    repaired[wrong] = true[wrong]
    return np.float32(dice(repaired, true)) - np.float32(dice(pred, true))


def bins_of(probs, truth, bins):
    place = np.minimum((probs * bins).astype(int), bins - 1)
    held = [place == b for b in range(bins) if (place == b).any()]
    return np.array([(p.mean(), probs[p].mean() - truth[p].mean()) for p in held]).T


def ece(probs, truth, bins):
    share, gap = bins_of(probs, truth, bins)
    return (share * np.abs(gap)).sum()


def ece_by_edges(probs, truth, bins, closed=True):
    edges, error = np.linspace(0, 1, bins + 1), 0
    for low, high in itertools.pairwise(edges):
        inside = (probs >= low) & ((probs < high) | (closed & (high == 1)))
        error += abs(probs[inside].sum() - truth[inside].sum())
    return error / len(probs)


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


def marked(label, prob, sure, least):
    answer = label.copy()
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((prob > sure).astype(np.uint8))
    for piece in range(1, len(stats)):
        inside = pieces == piece
        if not label[inside].any() and inside.sum() >= least:
            answer[inside] = 255
    return answer


def marked_by_scipy(label, prob, sure, least):
    pieces, count = ndimage.label(prob > sure)
    areas, known = np.bincount(pieces.ravel()), set(np.unique(pieces[label > 0]))
    others = [piece for piece in range(1, count + 1) if piece not in known and areas[piece] >= least]
    return np.where(np.isin(pieces, others), 255, label)


def marked_by_tables(label, prob, sure, least):
    count, pieces = cv2.connectedComponents((prob > sure).astype(np.uint8))
    areas = np.bincount(pieces.ravel(), minlength=count)
    taken = areas >= least
    taken[0] = False
    taken[np.unique(pieces[label > 0])] = False
    return np.where(taken[pieces], np.uint8(255), label)


def marked_with(cut=None, whole=True, small=True, keep=True):
    def answer(label, prob, sure, least):
        inside = prob > (cut or sure)
        if not whole:
            return np.where(inside & (label == 0), np.uint8(255), label)
        found = marked(label, prob, cut or sure, least if small else 1)
        return found if keep else np.where(inside, 255, found).astype(np.uint8)

    return answer


def marked_by_boxes(label, prob, sure, least, area=False):
    """Frames in place of pieces: for the overlap, or for the size."""
    answer = label.copy()
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((prob > sure).astype(np.uint8))
    for piece, (x, y, width, height, pixels) in enumerate(stats[1:], 1):
        inside, frame = pieces == piece, label[y : y + height, x : x + width]
        known, size = (label[inside], width * height) if area else (frame, pixels)
        if not known.any() and size >= least:
            answer[inside] = 255
    return answer


def mostly_strangers(label, prob, sure, least):
    pieces, count = ndimage.label(prob > sure)
    of = [pieces == piece for piece in range(1, count + 1)]
    return np.where(sum(p for p in of if p.sum() >= least and label[p].mean() < 0.5) > 0, 255, label)


def marked_in_place(label, prob, sure, least):
    label[:] = marked(label, prob, sure, least)
    return label


def chosen(val, test, thresholds):
    best = val.mean(0).argmax()
    return thresholds[best], test.mean(0)[best]


def chosen_by_sum(val, test, thresholds):
    best = max(range(len(thresholds)), key=lambda column: val[:, column].sum())
    return [float(thresholds[best]), float(np.average(test[:, best]))]


def chosen_by_torch(val, test, thresholds):
    best = torch.from_numpy(val).mean(0).argmax()
    return torch.tensor([thresholds[best], torch.from_numpy(test).mean(0)[best]])


def overlaps(preds, labels, flip=np.s_[:, :, ::-1]):
    return (preds & labels).sum((1, 2)), (preds & labels[flip]).sum((1, 2))


def mirrored_one_by_one(preds, labels):
    pairs = enumerate(zip(preds, labels, strict=True))
    return [i for i, (pred, label) in pairs if dice(pred, np.fliplr(label)) > dice(pred, label)]


def hardly_overlapping(preds, labels):
    return np.flatnonzero((preds & labels).sum((1, 2)) < 0.4 * labels.sum((1, 2)))


NAMES = ["learning rate", "mirrored", "empty masks", "targets of 255", "leak", "logits"]
CAUSES = dict(zip("ABCDEF", NAMES, strict=True))

RIGHT = {
    "worst_first": [worst_by_sorting, worst_one_by_one],
    "gain_of_repair": [gain_by_where, gain_in_place],
    "calibration_error": [ece_by_edges, lambda p, t, b: reliability([p], [t], b).ece],
    "bootstrap_interval": [interval_at_once, interval_by_sorting],
    "ignore_passers_by": [marked_by_scipy, marked_by_tables],
    "honest_threshold": [chosen_by_sum, chosen_by_torch],
    "find_mirrored": [mirrored_one_by_one, lambda p, t: np.where(np.greater(*overlaps(p, t)[::-1]))],
    "diagnosis": [CAUSES, {letter.lower(): cause.title() for letter, cause in CAUSES.items()}],
}

WRONG = {
    "worst_first": [
        (lambda n, s, k: worst(n, s, k)[::-1], "very worst comes first"),
        (lambda n, s, k: worst(n, s, 1), "keep the first `count`"),
    ],
    "calibration_error": [
        (ece_with_empty_bins, "skip it"),
        (lambda p, t, b: ece_by_edges(p, t, b, closed=False), "exactly 1"),
        (lambda p, t, b: ece(p[p < 1], t[p < 1], b), "exactly 1"),
        (lambda p, t, b: ece(p, t, 5), "weighted by its pixels"),
        (lambda p, t, b: np.abs(bins_of(p, t, b)[1]).mean(), "weigh by the count"),
    ],
    "bootstrap_interval": [
        (lambda s, r: interval(s, r)[::-1], "low first"),
        (lambda s, r: interval(s, np.random.default_rng(1)), "nothing was drawn"),
        (lambda s, r: tuple(np.percentile(means_of(s, r, None, False), [3, 97])), "shuffle"),
        (lambda s, r: tuple(np.percentile(means_of(s, r, 1), [2.5, 97.5])), "how far the pictures spread"),
        (lambda s, r: np.percentile(means_of(s, r, 4), [2.5, 97.5]), "drawn anew"),
        (one_error, "holds 68 %"),
        (lambda s, r: tuple(np.percentile(means_of(s, r), [5, 95])), "90 %"),
        (lambda s, r: tuple(np.percentile(means_of(s, r), [2.5, 95])), "one end is right"),
        (lambda s, r: s.mean(), "two numbers"),
    ],
    "ignore_passers_by": [
        (marked_with(whole=False), "leave all of it"),
        (marked_with(keep=False), "it stays 1"),
        (marked_with(cut=0.5), "not sure"),
        (marked_with(small=False), "crumbs"),
        (lambda t, p, s, k: marked(t, p, s, k + 1), "exactly `least`"),
        (lambda t, p, s, k: marked(t, p, s, k) * (t < 1), "stays as it was"),
        (marked_by_boxes, "compare pixels"),
        (lambda *given: marked_by_boxes(*given, area=True), "crumbs"),
        (mostly_strangers, "it stays 1"),
        (marked_in_place, "work on a copy"),
    ],
    "honest_threshold": [
        (lambda v, t, c: chosen(v, t, np.linspace(0.1, 0.9, len(c))), "look that column up"),
    ],
    "find_mirrored": [
        (lambda p, t: np.flatnonzero(np.less(*overlaps(p, t)[::-1])), "wrong way round"),
        (lambda p, t: range(8), "picture by picture"),
        (hardly_overlapping, "its mirror image overlaps"),
        (lambda p, t: np.flatnonzero(np.less(*overlaps(p, t, np.s_[:, ::-1]))), "upside down"),
        (lambda p, t: np.less(*overlaps(p, t)), "np.flatnonzero"),
    ],
    "diagnosis": [
        (CAUSES | {"A": "logits"}, "case A, look again: a loss that leaps"),
        (CAUSES | {"E": "empty masks"}, "two scores"),
        (CAUSES | {"B": "bad luck"}, "from the list"),
        (CAUSES | {"C": ...}, "from the list"),
        ([*CAUSES.values()], "one cause for each"),
    ],
}

"""Right and common wrong answers to the exercises of notebook 09; test_answers.py asks the checks."""

import itertools
from functools import partial

import cv2
import numpy as np
import torch
from scipy import ndimage
from solutions import solutions

from segkit.metrics import dice_score
from segkit.study.analysis import reliability

solution = solutions("09")


def framed(label, inside):
    """The label in the frame of a piece."""
    x, y, width, height = cv2.boundingRect(np.uint8(inside))
    return label[y : y + height, x : x + width]


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


def ece_by_edges(probs, truth, bins):
    edges, error = np.linspace(0, 1, bins + 1), 0
    for low, high in itertools.pairwise(edges):
        inside = (probs >= low) & ((probs < high) | (high == 1))
        error += abs(probs[inside].sum() - truth[inside].sum())
    return error / len(probs)


def interval_by_sorting(scores, rng):
    means = np.sort([rng.choice(scores, len(scores)).mean() for _ in range(3000)])
    return [means[75], means[-76]]


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


def chosen_by_sum(val, test, thresholds):
    best = max(range(len(thresholds)), key=lambda column: val[:, column].sum())
    return [float(thresholds[best]), float(np.average(test[:, best]))]


def chosen_by_torch(val, test, thresholds):
    best = torch.from_numpy(val).mean(0).argmax()
    return torch.tensor([thresholds[best], torch.from_numpy(test).mean(0)[best]])


def mirrored_one_by_one(preds, labels):
    pairs = enumerate(zip(preds, labels, strict=True))
    return [i for i, (pred, label) in pairs if dice(pred, np.fliplr(label)) > dice(pred, label)]


NAMES = ["learning rate", "mirrored", "empty masks", "targets of 255", "leak", "logits"]
CAUSES = dict(zip("ABCDEF", NAMES, strict=True))
by_frames = partial(solution.changed, "ignore_passers_by", framed=framed)
PERMUTED = "permuted(np.tile(np.arange(len(scores)), (4000, 1)), axis=1)"

RIGHT = {
    "worst_first": [worst_by_sorting, worst_one_by_one],
    "gain_of_repair": [gain_by_where, gain_in_place],
    "calibration_error": [ece_by_edges, lambda p, t, b: reliability([p], [t], b).ece],
    "bootstrap_interval": [
        interval_by_sorting,
        lambda s, r: np.quantile(r.choice(s, (4000, len(s))).mean(1), [0.025, 0.975]),
    ],
    "ignore_passers_by": [marked_by_scipy, marked_by_tables],
    "honest_threshold": [chosen_by_sum, chosen_by_torch],
    "find_mirrored": [mirrored_one_by_one, solution.changed("find_mirrored", "np.flatnonzero", "np.where")],
    "diagnosis": [
        CAUSES,
        {letter.lower(): cause.title() for letter, cause in CAUSES.items()},
        lambda: CAUSES,
    ],
}

WRONG = {
    "worst_first": [
        ("[:count]]", "[:count]][::-1]", "very worst comes first"),
        ("[:count]", "[:1]", "keep the first `count`"),
    ],
    "calibration_error": [
        ("abs(probs[inside].mean() - truth[inside].mean())", "(probs - truth)[inside].mean()", "cancel out"),
        ("if inside", "error += 0 / inside.sum()\n        if inside", "skip it"),
        ("np.minimum((probs * bins).astype(int), bins - 1)", "(probs * bins).astype(int)", "exactly 1"),
        (lambda p, t, b: solution.calibration_error(p[p < 1], t[p < 1], b), "exactly 1"),
        (lambda p, t, b: solution.calibration_error(p, t, 5), "weighted by its pixels"),
        ("inside.mean() * ", "", "return error", "return error / bins", "weigh by the count"),
    ],
    "bootstrap_interval": [
        (lambda s, r: solution.bootstrap_interval(s, r)[::-1], "low first"),
        (lambda s, r: solution.bootstrap_interval(s, np.random.default_rng(1)), "nothing was drawn"),
        ("integers(0, len(scores), (4000, len(scores)))", PERMUTED, "shuffle"),
        ("(4000, len(scores))", "(4000, 1)", "how far the pictures spread"),
        ("(4000, len(scores))", "(4000, 4)", "drawn anew"),
        ("[2.5, 97.5]", "[15.9, 84.1]", "holds 68 %"),
        ("[2.5, 97.5]", "[5, 95]", "90 %"),
        ("[2.5, 97.5]", "[0.025, 0.975]", "in percent"),
        ("[2.5, 97.5]", "[2.5, 95]", "one end is right"),
        (lambda s, r: s.mean(), "two numbers"),
    ],
    "ignore_passers_by": [
        ("range(1, count)", "range(count)", "not sure"),
        ("range(1, count)", "range(2, count)", "exactly `least`"),
        ("= 255", "= 1", "becomes 255"),
        (lambda t, p, s, k: np.where((p > s) & (t == 0), np.uint8(255), t), "leave all of it"),
        (lambda t, p, s, k: np.where(p > s, np.uint8(255), t), "it stays 1"),
        ("> sure", "> 0.5", "not sure"),
        (" and inside.sum() >= least", "", "crumbs"),
        (">= least", "> least", "exactly `least`"),
        ("return answer", "return answer * (label < 1)", "stays as it was"),
        (by_frames("label[inside]", "framed(label, inside)"), "compare pixels"),
        (by_frames("inside.sum()", "framed(label, inside).size"), "crumbs"),
        ("not label[inside].any()", "label[inside].mean() < 0.5", "it stays 1"),
        ("label.copy()", "label", "work on a copy"),
    ],
    "honest_threshold": [
        ("val.mean", "val[:-1].mean", "look that column up"),
        ("thresholds[best]", "np.linspace(0.1, 0.9, len(thresholds))[best]", "look that column up"),
    ],
    "find_mirrored": [
        ("mirrored > as", "mirrored >= as", "overlaps more than it does"),
        ("mirrored > as", "mirrored < as", "wrong way round"),
        (lambda p, t: solution.find_mirrored(p[:-1], t[:-1]), "overlaps more than it does"),
        (lambda p, t: range(8), "picture by picture"),
        ("mirrored > as_it_is", "as_it_is < 0.4 * labels.sum((1, 2))", "its mirror image overlaps"),
        ("[:, :, ::-1]", "[:, ::-1]", "upside down"),
        ("np.flatnonzero(mirrored > as_it_is)", "mirrored > as_it_is", "np.flatnonzero"),
    ],
    "diagnosis": [
        (CAUSES | {"A": "logits"}, "case A, look again: a loss that leaps"),
        (CAUSES | {"E": "empty masks"}, "two scores"),
        (CAUSES | {"B": "bad luck"}, "from the list"),
        (CAUSES | {"C": ...}, "from the list"),
        ([*CAUSES.values()], "one cause for each"),
    ],
}

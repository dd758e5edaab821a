"""Checks of notebook 09, Error analysis."""

from collections.abc import Callable

import numpy as np

from segkit.course.check.core import Case, as_numbers, cases, draws, either, exercise, reordered, same
from segkit.files import IGNORE
from segkit.metrics import dice_score
from segkit.study.analysis import reliability


@cases("sort the pictures by score and keep the first `count` names", "a list of names")
def worst_first():
    for _, rng in draws(6):
        names = [f"s{i:02}" for i in rng.permutation(8)]
        scores, count = rng.permutation(8) / 8, int(rng.integers(2, 5))
        positions = scores.argsort().tolist()
        order, by_ranks = ([names[i] for i in places] for places in (positions, np.argsort(positions)))
        mistakes = {
            "these are the best: the worst have the lowest score": order[::-1][:count],
            "nothing is sorted yet; np.argsort(scores) gives the order": names[:count],
            "argsort twice gives ranks, not the order: once is enough": by_ranks[:count],
            "the right pictures; the very worst comes first": reordered(order[:count]),
            "asked are `count` pictures, not all": order,
            "these are positions: look the names up": positions[:count],
        }
        given = dict(zip(names, scores.tolist(), strict=True)), f"count {count}"
        yield (names, scores, count), order[:count], mistakes, given


def _dice(pred: np.ndarray, true: np.ndarray) -> float:
    return dice_score(pred[None], true[None]).item()


@cases("Dice of the repaired mask minus Dice of the mask as it is", atol=1e-5)
def gain_of_repair():
    for seed, rng in draws(6):
        shape = tuple(rng.integers(4, 9, 2).tolist())
        pred, true = rng.random(shape) < 0.4, rng.random(shape) < 0.5
        wrong = (pred != true) & (rng.random(shape) < 0.6)
        if seed == 1:
            wrong[:] = False  # nothing to repair
        if seed == 2:
            wrong = pred != true  # everything
        before, after = _dice(pred, true), _dice(pred ^ wrong, true)
        mistakes = {
            "that is the Dice after the repair: asked is how much it gained": after,
            "the other way round: after minus before": before - after,
            "false alarms must also go: turn `wrong` over": _dice(pred | wrong, true) - before,
            "missed pixels must also come: turn `wrong` over": _dice(pred & ~wrong, true) - before,
            "repair the pixels in `wrong` alone, not all of them": 1 - before,
            "that is IoU: Dice is 2 * both / (pred + true)": after / (2 - after) - before / (2 - before),
            "that counts pixels: asked is what Dice gains": wrong.mean(),
        }
        yield (pred, true, wrong), after - before, mistakes


@exercise
def bootstrap_interval(answer):
    for _, rng in draws(4):
        good, bad = rng.beta(12, 2, 22), rng.uniform(0, 0.3, 4)
        scores = np.concatenate([bad[:2], good, bad[2:]])  # not a bell, and the first and the last matter
        means = scores[rng.integers(0, len(scores), (20000, len(scores)))].mean(1)
        spread, width = means.std(), np.ptp(np.percentile(means, [2.5, 97.5]))
        case = Case(np.percentile(means, [2.5, 97.5]), f"{len(scores)} scores, mean {scores.mean():.4f}")
        before = rng.bit_generator.state
        got = np.array(case.numbers(answer(scores, rng), 2, "two numbers: low and high"))
        shown = got, f"about {np.round(case.expected, 4)}"
        if rng.bit_generator.state == before:
            case.wrong("nothing was drawn: take the draws from rng", *shown)
        near, mine = np.abs(got - case.expected) < 0.22 * spread, np.ptp(got)
        of_90, of_68 = np.percentile(means, [5, 95]), same(mine, 2 * spread, rtol=0.15)
        mistakes = {
            "the right two numbers in the wrong order: low first": case.expected[::-1],
            "every draw has the same mean: draw with replacement, or it is only a shuffle": mine < 1e-6,
            "that is how far the pictures spread; asked is the mean": mine > 0.8 * np.ptp(scores),
            "np.percentile counts in percent, to 100: 2.5 and 97.5": got.max() < case.expected[0],
            "percentiles 5 and 95 hold 90 %: take 2.5 and 97.5": same(got, of_90, atol=0.15 * spread),
            "plus and minus one standard error holds 68 %; asked is 95 %: percentiles 2.5 and 97.5": of_68,
            "one end is right: leave 2.5 % of the means on either side": near.any(),
            "take the mean of a whole set drawn anew, not single scores or a few of them": mine > 2 * width,
        }
        otherwise = "as many scores as there are, with replacement; their mean; repeat; then percentiles"
        case.compare(got, mistakes, otherwise, shown, rtol=0, atol=0.22 * spread)


def _blob(shape: tuple[int, int], top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


@cases("255 on every piece of at least `least` pixels that is off the label", dtype="uint8")
def ignore_passers_by():
    for seed, rng in draws(5):
        sure, least = float(rng.choice([0.8, 0.9])), int(rng.integers(10, 16))
        shape = (24, 44)
        label = _blob(shape, 4, 3, 12, 7)
        crumb = _blob(shape, 2, 22, 4, 1) | _blob(shape, 5, 22, 1, 4)  # in a frame of 16
        passer = _blob(shape, 3 + int(rng.integers(5)), 15, least, 4)
        hip, arm, doubt = _blob(shape, 4, 9, 12, 1), _blob(shape, 8, 10, 4, 4), _blob(shape, 12, 24, 6, 6)
        around = _blob(shape, 4, 1, 18, 1) | _blob(shape, 21, 1, 1, 12)  # its frame holds the label
        exact = _blob(shape, 1, 28, 1, least)  # as many pixels as it takes
        prob = rng.uniform(0, 0.4, shape).astype(np.float32)
        prob[hip | passer | crumb | arm | exact | around] = sure + 0.06
        prob[doubt] = sure - 0.06
        label = np.uint8(label & (seed < 4))  # once nobody is labelled, and the whole person is off the label
        off = passer | exact | around | ((hip | arm) & (seed == 4))
        mistakes = {
            "return the label with 255 in it": lambda got: got.dtype == bool,
            "nothing is marked: the passer-by becomes 255": lambda got: not (got == IGNORE).any(),
            "the labelled person was marked as well: it is asked for, so it stays 1": _marks(label > 0),
            "a piece that overlaps the label is the labelled person: leave all of it": _marks(arm & ~off),
            "there the network is not sure: cut at `sure`": _marks(doubt),
            "pieces of fewer than `least` pixels are crumbs: leave them out": _marks(crumb),
            "a piece of exactly `least` pixels counts, and so does every larger one": _leaves(exact),
            "a piece around the label shares none of its pixels: compare pixels": _leaves(around),
            "the rest stays as it was": lambda got, was=label: ((got != was) & (got != IGNORE)).any(),
        }
        sizes = [int(piece.sum()) for piece in (passer, exact, around, crumb)]
        given = f"sure {sure}, least {least}; the sure pieces off the label have {sizes}"
        yield (label, prob, sure, least), np.where(off, np.uint8(IGNORE), label), mistakes, given


def _marks(place: np.ndarray) -> Callable | bool:
    return bool(place.any()) and (lambda got: (got[place] == IGNORE).any())


def _leaves(place: np.ndarray) -> Callable:
    return lambda got: (got[place] != IGNORE).any()


def _ece(probs: np.ndarray, truth: np.ndarray, bins: int) -> float:
    return reliability([probs], [truth], bins).ece


@cases("per bin |mean probability - true share|, weighted by its pixels")
def calibration_error():
    for seed, rng in draws(8):
        bins, count = int(rng.choice([4, 5, 7])), int(rng.integers(150, 250))
        probs = rng.beta(0.5, 0.5, count) if seed % 2 else rng.uniform(0.0, 0.55, count)  # leaves bins empty
        off = np.where(probs * bins % 2 < 1, 0.2, -0.15)  # too sure in one bin, too shy in the next
        truth = rng.random(count) < probs + off
        if seed > 3:
            probs[:20], truth[:20] = 1.0, rng.random(20) < 0.5  # sure, and often wrong
            probs[20:30], truth[20:30] = 0.0, True
        place, inside = np.minimum((probs * bins).astype(int), bins - 1), probs < 1
        held = [place == b for b in range(bins) if (place == b).any()]
        gaps = np.array([probs[p].mean() - truth[p].mean() for p in held])
        shares, without_ones = np.array([p.mean() for p in held]), _ece(probs[inside], truth[inside], bins)
        unweighted = either(np.abs(gaps).mean(), np.abs(gaps).sum() / bins)
        open_end = either(without_ones, inside.mean() * without_ones)
        mistakes = {
            "a bin without pixels has no mean: skip it": np.isnan,
            "a bin of three pixels must not weigh as one of a hundred: weigh by the count": unweighted,
            "too sure and too shy cancel out: abs() in every bin": either(gaps @ shares, -gaps @ shares),
            "that is the worst bin: asked is the weighted mean": np.abs(gaps).max(),
            "take the absolute value, not the square": gaps**2 @ shares,
            "compare averages inside a bin: no pixel is 70 percent person": np.abs(probs - truth).mean(),
            "that is the share of wrong pixels: are the probabilities true?": ((probs > 0.5) != truth).mean(),
            "a probability of exactly 1 belongs to the last bin, and here it is in none": open_end,
        }
        yield (probs, truth.astype(float), bins), _ece(probs, truth, bins), mistakes


@cases("the highest column of val's mean; look that column up in test", "2 numbers: threshold, test Dice")
def honest_threshold():
    for _, rng in draws(40):
        columns = int(rng.integers(9, 14))
        thresholds = np.sort(rng.uniform(0.05, 0.95, columns))
        peaks = rng.choice(columns, 2, replace=False)
        val, test = (
            0.9 - 0.004 * (np.arange(columns) - peak) ** 2 + rng.normal(0, 0.03, (count, 1))
            + rng.normal(0, 0.02, (count, columns))
            for peak, count in zip(peaks, rng.integers(8, 14, 2), strict=True)
        )  # fmt: skip
        # One picture that all but decides: means, not medians or votes.
        val[rng.integers(len(val))] += np.where(np.arange(columns) == rng.integers(columns), 0.3, -0.3)
        threshold, of_test = thresholds[right := int(val.mean(0).argmax())], test.mean(0)
        ways = {
            "the test split chose: it can no longer judge": of_test,
            "val and test chose together: only validation may choose": np.concatenate([val, test]).mean(0),
            "the mean over the pictures decides, no median": np.median(val, 0),
            "the mean over the pictures decides, no single one": val.max(0),
        }
        mistakes = {hint: (thresholds[at := scores.argmax()], of_test[at]) for hint, scores in ways.items()}
        mistakes |= {
            "the Dice to report is that of the test pictures": (threshold, val.mean(0).max()),
            "this Dice is at test's own best threshold, not at yours": (threshold, of_test.max()),
            "that is the number of the column: thresholds[...] has it": (right, of_test[right]),
            "every picture got its own best threshold: one for all": (threshold, test.max(1).mean()),
            "the right two numbers in the wrong order: the threshold first": (of_test[right], threshold),
        }
        yield (val, test, thresholds), (threshold, of_test[right]), mistakes


@exercise
def find_mirrored(answer):
    for _, rng in draws(10):
        labels, preds = np.zeros((2, 8, 12, 16), bool)
        for label, pred in zip(labels, preds, strict=True):
            kind = rng.integers(3)
            top, tall = int(rng.integers(1, 4)), int(rng.integers(6, 8))
            if kind:  # somebody off the middle
                left = int(rng.choice([1, 2, 9, 10]))
                label[top : top + tall, left : left + 4] = True
            else:  # in the middle, with an arm to one side: overlaps its own mirror image
                label[top : top + tall, 5:11] = True
                label[top : top + 2, int(rng.choice([1, 11])) :][:, :4] = True
            pred[:] = label ^ (rng.random(label.shape) < 0.03)
            if kind == 1:
                pred[top + 2 :] = False  # hardly found, but in its place
        nobody, *others = rng.permutation(8).tolist()
        labels[nobody] = preds[nobody] = False  # no overlap either way
        count = int(rng.integers(1, 6))
        mirrored, others = sorted(others[:count]), sorted(others[count:])
        labels[mirrored] = labels[mirrored][:, :, ::-1].copy()
        case, result = Case(mirrored), answer(preds, labels)
        places = np.ravel(case.listed(result, "the positions of the pictures"))  # np.where has a tuple
        if places.dtype == bool or (len(places) == 8 and set(places.tolist()) <= {0, 1}):
            case.wrong("np.flatnonzero turns True and False into positions", result)
        if (numbers := as_numbers(places)) is None:
            case.refuse(result, "the positions of the pictures")
        got = sorted(numbers)
        upside_down = np.flatnonzero((preds & labels[:, ::-1]).sum((1, 2)) > (preds & labels).sum((1, 2)))
        mistakes = {
            "these are the ones that fit: the comparison is the wrong way round": others,
            "that turns pictures upside down: left and right are the last axis, [:, ::-1]": upside_down,
            "some fit and some do not: compare picture by picture": got in ([], list(range(8))),
        }
        case.compare(got, mistakes, "a mask is suspect where its mirror image overlaps more than it does")


CASES = {
    "A": ("learning rate", "a loss that leaps at the first steps and then stays where it is"),
    "B": ("mirrored", "it learns a little, slowly; where does it look, and where are the people?"),
    "C": ("empty masks", "a perfect score, and not one pixel is tinted"),
    "D": ("targets of 255", "a loss that no BCE can have, since each of its terms is at least zero"),
    "E": ("leak", "nothing is odd but the distance between two scores"),
    "F": ("logits", "a Dice loss lies between 0 and 1"),
}
"""The sick trainings of the gallery: the cause, and what gives it away."""


@exercise
def diagnosis(answer):
    causes = [cause for cause, _ in CASES.values()]
    case = Case(given=causes)
    answer = answer() if callable(answer) else answer  # a function that returns the dictionary will do
    if not isinstance(answer, dict) or {str(key).upper() for key in answer} != set(CASES):
        case.wrong(f"a dictionary with one cause for each of {', '.join(CASES)}", answer)
    said = {str(key).upper(): str(cause).strip().lower() for key, cause in answer.items()}
    for letter, cause in said.items():
        if cause not in causes:
            case.wrong(f"case {letter}: take a cause from the list", cause)
    if wrong := [letter for letter, (cause, _) in CASES.items() if said[letter] != cause]:
        right = f"{len(CASES) - len(wrong)} of {len(CASES)} are right"
        case.wrong(f"case {wrong[0]}, look again: {CASES[wrong[0]][1]}", right)

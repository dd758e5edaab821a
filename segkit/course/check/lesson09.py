"""Checks of notebook 09, Error analysis."""

import numpy as np

from segkit.course.check.core import Wrong, as_number, as_numbers, exercise, from_start
from segkit.files import IGNORE
from segkit.metrics import count_pixels


def _number(value, given) -> float:
    if (number := as_number(value)) is None:
        raise Wrong("asked is one number", given, value, "a number")
    return number


def _two_numbers(value, what: str, given) -> tuple[float, float]:
    numbers = as_numbers(value)
    if numbers is None or len(numbers) != 2:
        raise Wrong(f"return two numbers: {what}", given, value, "two numbers")
    return numbers


def _rounded(values) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


@exercise
def worst_first(answer):
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        names = [f"s{i:02}" for i in rng.permutation(8)]
        scores, count = rng.permutation(8) / 8, int(rng.integers(2, 5))
        order = [names[i] for i in np.argsort(scores)]
        expected = order[:count]
        given = dict(zip(names, scores.tolist(), strict=True)), f"count {count}"
        got = answer(list(names), scores.copy(), count)
        try:
            got = [str(name) for name in got]
        except TypeError:
            raise Wrong("return a list of names", given, got, expected) from None
        if got == expected:
            continue
        hint = "sort the pictures by score and keep the first `count` names"
        if got == order[::-1][:count]:
            hint = "these are the best: the worst have the lowest score"
        elif got == names[:count]:
            hint = "nothing is sorted yet; np.argsort(scores) gives the order"
        elif got == [names[i] for i in scores.argsort().argsort()[:count]]:
            hint = "argsort twice gives ranks, not the order: once is enough"
        elif len(got) == count and set(got) == set(expected):
            hint = "the right pictures; the very worst comes first"
        elif got == order:
            hint = f"asked are {count} pictures, not all"
        elif set(got) <= {str(i) for i in range(8)}:
            hint = "these are positions: look the names up"
        raise Wrong(hint, given, got, expected)


def _dice(pred: np.ndarray, true: np.ndarray) -> float:
    return count_pixels(pred[None], true[None]).dice().item()


@exercise
def gain_of_repair(answer):
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        shape = tuple(rng.integers(4, 9, 2))
        pred, true = rng.random(shape) < 0.4, rng.random(shape) < 0.5
        wrong = (pred != true) & (rng.random(shape) < 0.6)
        if seed == 1:
            wrong[:] = False  # nothing to repair
        if seed == 2:
            wrong = pred != true  # everything
        before = _dice(pred, true)
        expected = _dice(pred ^ wrong, true) - before
        given = (
            f"masks of {shape}: {pred.sum()} predicted, {true.sum()} true, {(pred & true).sum()} in both; "
            f"to repair are {(wrong & true).sum()} missed and {(wrong & pred).sum()} false"
        )
        got = _number(answer(pred.copy(), true.copy(), wrong.copy()), given)
        if np.isclose(got, expected, atol=1e-5):
            continue
        both, either = (pred & true).sum(), (pred | true).sum()
        now = pred ^ wrong
        hint = "Dice of the repaired mask minus Dice of the mask as it is"
        if np.isclose(got, expected + before, atol=1e-5):
            hint = "that is the Dice after the repair: asked is how much it gained"
        elif np.isclose(got, -expected, atol=1e-5):
            hint = "the other way round: after minus before"
        elif np.isclose(got, _dice(pred | wrong, true) - before, atol=1e-5):
            hint = "missed pixels were added, but false alarms must also go: turn the pixels in `wrong` over"
        elif np.isclose(got, _dice(pred & ~wrong, true) - before, atol=1e-5):
            hint = "false alarms were removed, but missed pixels must also come: turn those in `wrong` over"
        elif np.isclose(got, 1 - before, atol=1e-5):
            hint = "repair the pixels in `wrong` alone, not all of them"
        elif np.isclose(got, (now & true).sum() / (now | true).sum() - both / either, atol=1e-5):
            hint = "that is IoU: Dice is 2 * both / (pred + true)"
        elif np.isclose(got, wrong.mean(), atol=1e-5):
            hint = "that counts pixels: asked is what Dice gains"
        raise Wrong(hint, given, got, expected)


@exercise
def bootstrap_interval(answer):
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        good, bad = rng.beta(12, 2, 22), rng.uniform(0, 0.3, 4)
        scores = np.concatenate([bad[:2], good, bad[2:]])  # not a bell, and the first and the last matter
        draws = scores[rng.integers(0, len(scores), (20000, len(scores)))].mean(1)
        expected, spread = np.percentile(draws, [2.5, 97.5]), draws.std()
        given, wanted = f"{len(scores)} scores, mean {scores.mean():.4f}", f"about {_rounded(expected)}"
        own = np.random.default_rng(from_start(seed))
        before = own.bit_generator.state
        got = np.array(_two_numbers(answer(scores.copy(), own), "low and high", given))
        if own.bit_generator.state == before:
            raise Wrong("nothing was drawn: take the draws from rng", given, _rounded(got), wanted)
        if (np.abs(got - expected) < 0.22 * spread).all():
            continue
        width = np.ptp(got)
        hint = "draw as many scores as there are, with replacement; take the mean; repeat; then percentiles"
        if (np.abs(got[::-1] - expected) < 0.22 * spread).all():
            hint = "the right two numbers in the wrong order: low first"
        elif width < 1e-6:
            hint = "every draw has the same mean: draw with replacement, or it is only a shuffle"
        elif width > 0.8 * np.ptp(scores):
            hint = "that is how far the pictures spread; asked is how far the mean could have come out"
        elif np.allclose(got, np.percentile(draws, [5, 95]), atol=0.15 * spread):
            hint = "percentiles 5 and 95 hold 90 %; asked is 95 %: percentiles 2.5 and 97.5"
        elif np.isclose(width, 2 * spread, rtol=0.15):
            hint = "plus and minus one standard error holds 68 %; asked is 95 %: percentiles 2.5 and 97.5"
        elif abs(got[0] - expected[0]) < 0.22 * spread or abs(got[1] - expected[1]) < 0.22 * spread:
            hint = "one end is right: leave 2.5 % of the means on either side"
        elif width > 2 * np.ptp(expected):
            hint = "take the mean of a whole set drawn anew, not single scores or a few of them"
        raise Wrong(hint, given, _rounded(got), wanted)


def _blobs(shape: tuple[int, int], corners) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for top, left, height, width in corners:
        mask[top : top + height, left : left + width] = True
    return mask


@exercise
def ignore_passers_by(answer):
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
        sure, least = float(rng.choice([0.8, 0.9])), int(rng.integers(10, 16))
        shape = (24, 44)
        label = _blobs(shape, [(4, 3, 12, 7)])
        passer, crumb, arm, doubt = (
            _blobs(shape, [corner])
            for corner in (
                (3 + int(rng.integers(5)), 15, least, 4),
                (2, 22, 2, 3),
                (8, 10, 4, 3),
                (12, 24, 6, 6),
            )
        )
        exact = _blobs(shape, [(2, 28, 1, least)])  # as many pixels as it takes
        prob = rng.uniform(0, 0.4, shape).astype(np.float32)
        prob[label | passer | crumb | arm | exact] = sure + 0.06
        prob[doubt] = sure - 0.06
        expected = label.astype(np.uint8)
        expected[passer | exact] = IGNORE
        given = (
            f"a label of {label.sum()} pixels, sure {sure}, least {least}; of the network's sure pieces one "
            f"overlaps the label, the others have {passer.sum()}, {exact.sum()} and {crumb.sum()} pixels"
        )
        got = np.asarray(answer(label.astype(np.uint8), prob.copy(), sure, least))
        if got.shape != shape or got.dtype == bool:
            what = f"{got.dtype} {got.shape}"
            raise Wrong("return the label with 255 in it, a uint8 array", given, what, f"uint8 {shape}")
        if np.array_equal(got, expected):
            continue
        marked = got == IGNORE
        hint = "255 on every piece of prob > sure that overlaps no label and has at least `least` pixels"
        if not marked.any():
            hint = "nothing is marked: the passer-by becomes 255"
        elif (got[label & ~marked] == 0).any() or (got[~label & ~marked] == 1).any():
            hint = "where nothing is marked, the label stays as it was"
        elif marked[label].any():
            hint = "the labelled person was marked as well: it is asked for, so it stays 1"
        elif marked[arm].any():
            hint = "a piece that overlaps the label is the labelled person: leave all of it as it is"
        elif marked[doubt].any():
            hint = "there the network is not sure: cut at `sure`"
        elif marked[crumb].any():
            hint = "pieces of fewer than `least` pixels are crumbs: leave them out"
        elif not marked[exact].all():
            hint = "a piece of exactly `least` pixels counts, and so does every larger one"
        raise Wrong(hint, given, f"{marked.sum()} pixels of 255", f"{(expected == IGNORE).sum()}")


def _ece(probs: np.ndarray, truth: np.ndarray, bins: int) -> float:
    place = np.minimum((probs * bins).astype(int), bins - 1)
    off = [abs(probs[place == b].sum() - truth[place == b].sum()) for b in range(bins)]
    return float(sum(off) / len(probs))


@exercise
def calibration_error(answer):
    for seed in range(8):
        rng = np.random.default_rng(from_start(seed))
        bins, count = int(rng.choice([4, 5, 7])), int(rng.integers(150, 250))
        probs = rng.beta(0.5, 0.5, count) if seed % 2 else rng.uniform(0.0, 0.55, count)  # leaves bins empty
        off = np.where(probs * bins % 2 < 1, 0.2, -0.15)  # too sure in one bin, too shy in the next
        truth = rng.random(count) < probs + off
        if seed > 3:
            probs[:20], truth[:20] = 1.0, rng.random(20) < 0.5  # sure, and often wrong
            probs[20:30], truth[20:30] = 0.0, True
        expected = _ece(probs, truth, bins)
        given = f"{count} probabilities from {probs.min():.3f} to {probs.max():.3f}, {bins} bins"
        with np.errstate(all="ignore"):
            got = _number(answer(probs.copy(), truth.astype(float), bins), given)
        if np.isclose(got, expected, atol=1e-6):
            continue
        place = np.minimum((probs * bins).astype(int), bins - 1)
        held = [place == b for b in range(bins) if (place == b).any()]
        gaps = np.array([probs[p].mean() - truth[p].mean() for p in held])
        shares = np.array([p.mean() for p in held])
        inside = probs < 1
        hint = "per bin: |mean probability - share that is true|, weighted by how many pixels the bin holds"
        if np.isnan(got):
            hint = "a bin without pixels has no mean: skip it"
        elif np.isclose(got, np.abs(gaps).mean()) or np.isclose(got, np.abs(gaps).sum() / bins):
            hint = "a bin of three pixels must not weigh as much as one of a hundred: weigh by the count"
        elif np.isclose(got, abs((gaps * shares).sum())):
            hint = "too sure and too shy cancel out: take the absolute value in every bin, then add up"
        elif np.isclose(got, np.abs(gaps).max()):
            hint = "that is the worst bin (the maximum calibration error): asked is the weighted mean"
        elif np.isclose(got, (gaps**2 * shares).sum()):
            hint = "take the absolute value, not the square"
        elif np.isclose(got, np.abs(probs - truth).mean()):
            hint = "compare averages inside a bin: one pixel is never 70 percent person"
        elif np.isclose(got, ((probs > 0.5) != truth).mean()):
            hint = "that is the share of wrong pixels: calibration asks whether the probabilities are true"
        elif np.isclose(got, np.array([1, inside.mean()]) * _ece(probs[inside], truth[inside], bins)).any():
            hint = "a probability of exactly 1 belongs to the last bin, and here it is in none"
        raise Wrong(hint, given, got, expected)


@exercise
def honest_threshold(answer):
    for seed in range(20):
        rng = np.random.default_rng(from_start(seed))
        columns = int(rng.integers(5, 10))
        thresholds = np.sort(rng.uniform(0.05, 0.95, columns))
        peaks = rng.choice(columns, 2, replace=False)
        rows = rng.integers(8, 14, 2)
        val, test = (
            0.9 - 0.004 * (np.arange(columns) - peak) ** 2 + rng.normal(0, 0.03, (count, 1))
            + rng.normal(0, 0.02, (count, columns))
            for peak, count in zip(peaks, rows, strict=True)
        )  # fmt: skip
        # One picture that all but decides: means, not medians or votes.
        val[0] += np.where(np.arange(columns) == rng.integers(columns), 0.3, -0.3)
        right, on_test = int(val.mean(0).argmax()), int(test.mean(0).argmax())
        both = int(np.concatenate([val, test]).mean(0).argmax())
        if len({right, on_test}) < 2:
            continue  # this draw could not tell the mistakes apart
        expected = (float(thresholds[right]), float(test.mean(0)[right]))
        given = f"val {val.shape}, test {test.shape}, thresholds {_rounded(thresholds)}"
        got = answer(val.copy(), test.copy(), thresholds.copy())
        got = _two_numbers(got, "the threshold, the test Dice", given)
        if np.allclose(got, expected, atol=1e-9):
            continue
        hint = "mean over pictures, highest column of val; then look that column up in test"
        if np.allclose(got, (thresholds[on_test], test.mean(0).max())):
            hint = "the test split chose the threshold: whatever chooses can no longer judge"
        elif np.isclose(got[0], expected[0]) and np.isclose(got[1], val.mean(0).max()):
            hint = "the threshold is right; the Dice to report is that of the test pictures"
        elif np.isclose(got[0], expected[0]) and np.isclose(got[1], test.mean(0).max()):
            hint = "this Dice belongs to test's own best threshold, not to the one you chose"
        elif np.isclose(got[0], right):
            hint = "that is the number of the column: thresholds[...] turns it into a threshold"
        elif np.isclose(got[1], test.max(1).mean()):
            hint = "every picture got its own best threshold: there is one for all"
        elif np.allclose(got, expected[::-1]):
            hint = "the right two numbers in the wrong order: the threshold first"
        elif both != right and np.isclose(got[0], thresholds[both]):
            hint = "val and test chose together: only validation may choose"
        elif np.isclose(got[0], thresholds[np.median(val, 0).argmax()]):
            hint = "the mean Dice over the pictures decides, not the median"
        raise Wrong(hint, given, _rounded(got), _rounded(expected))


@exercise
def find_mirrored(answer):
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
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
        mirrored = sorted(rng.choice(8, int(rng.integers(1, 6)), replace=False).tolist())
        labels[mirrored] = labels[mirrored][:, :, ::-1].copy()
        given = f"8 predictions and 8 masks of {labels.shape[1:]}, of {int(labels.sum())} pixels together"
        got = answer(preds.copy(), labels.copy())
        if isinstance(got, tuple) and len(got) == 1:
            got = got[0]  # as np.where has it
        flags = np.asarray(got).dtype == bool
        try:
            got = sorted(int(i) for i in got)
        except (TypeError, ValueError):
            raise Wrong("return the positions of the pictures", given, got, mirrored) from None
        if got == mirrored and not flags:
            continue
        hint = "a mask is suspect where its mirror image overlaps the prediction more than it does itself"
        upside_down = [
            i for i in range(8) if (preds[i] & labels[i][::-1]).sum() > (preds[i] & labels[i]).sum()
        ]
        if flags or (len(got) == 8 and set(got) <= {0, 1}):
            hint = "one True or False for each picture: np.flatnonzero turns them into positions"
        elif got == sorted(set(range(8)) - set(mirrored)):
            hint = "these are the ones that fit: the comparison is the wrong way round"
        elif got == upside_down:
            hint = "that turns pictures upside down: left and right are the last axis, [:, ::-1] of one mask"
        elif got == list(range(8)) or not got:
            hint = "some fit and some do not: compare picture by picture"
        raise Wrong(hint, given, got, mirrored)


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
    answer = answer() if callable(answer) else answer  # a function that returns the dictionary will do
    if not isinstance(answer, dict) or {str(key).upper() for key in answer} != set(CASES):
        raise Wrong(f"a dictionary with one cause for each of {', '.join(CASES)}", causes, answer)
    said = {str(key).upper(): str(cause).strip().lower() for key, cause in answer.items()}
    for letter, cause in said.items():
        if cause not in causes:
            raise Wrong(f"case {letter}: take a cause from the list", causes, cause)
    if wrong := [letter for letter, (cause, _) in CASES.items() if said[letter] != cause]:
        right = f"{len(CASES) - len(wrong)} of {len(CASES)} are right"
        raise Wrong(f"case {wrong[0]}, look again: {CASES[wrong[0]][1]}", causes, right)

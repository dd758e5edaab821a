"""Checks of notebook 09, Error analysis."""

import numpy as np

from segkit.course.check.core import Wrong, exercise, from_start


def _number(value, name: str = "the answer") -> float:
    """A plain number, or a hint that it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Wrong(f"{name} should be one number", got=type(value).__name__, expected="a number") from None


def _two_numbers(result, what: str) -> tuple[float, float]:
    if not isinstance(result, tuple | list | np.ndarray) or len(result) != 2:
        raise Wrong(f"return two numbers: {what}", got=result, expected="two numbers")
    return _number(result[0], "each of the two"), _number(result[1], "each of the two")


@exercise
def worst_first(answer):
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        names = [f"s{i:02}" for i in rng.permutation(8)]
        scores, count = rng.permutation(8) / 8, int(rng.integers(2, 5))
        order = [names[i] for i in np.argsort(scores)]
        expected = order[:count]
        got = answer(list(names), scores.copy(), count)
        try:
            got = [str(name) for name in got]
        except TypeError:
            raise Wrong("return a list of names", got=got, expected=expected) from None
        if got == expected:
            continue
        hint = "sort the pictures by score and keep the first `count` names"
        if got == order[::-1][:count]:
            hint = "these are the best: the worst have the lowest score"
        elif got == names[:count]:
            hint = "nothing is sorted yet; np.argsort(scores) gives the order"
        elif got == [names[i] for i in scores.argsort().argsort()[:count]]:
            hint = "argsort twice gives ranks, not the order: once is enough"
        elif set(got) == set(expected):
            hint = "the right pictures; the very worst comes first"
        elif got == order:
            hint = f"asked are {count} pictures, not all"
        elif set(got) <= {str(i) for i in range(8)}:
            hint = "these are positions: look the names up"
        raise Wrong(hint, dict(zip(names, scores.tolist(), strict=True)), got, expected)


def _ece(probs: np.ndarray, truth: np.ndarray, bins: int) -> float:
    place = np.minimum((probs * bins).astype(int), bins - 1)
    off = [abs(probs[place == b].sum() - truth[place == b].sum()) for b in range(bins)]
    return float(sum(off) / len(probs))


@exercise
def calibration_error(answer):
    for seed in range(8):
        rng = np.random.default_rng(from_start(seed))
        bins, count = 5, 200
        probs = rng.beta(0.5, 0.5, count) if seed % 2 else rng.uniform(0.0, 0.55, count)  # leaves bins empty
        truth = rng.random(count) < probs ** (1.6 if seed % 3 else 0.6)
        with np.errstate(all="ignore"):
            got = _number(answer(probs.copy(), truth.copy(), bins))
        expected = _ece(probs, truth, bins)
        if np.isclose(got, expected, atol=1e-6):
            continue
        place = np.minimum((probs * bins).astype(int), bins - 1)
        held = [place == b for b in range(bins) if (place == b).any()]
        gaps = np.array([probs[p].mean() - truth[p].mean() for p in held])
        shares = np.array([p.mean() for p in held])
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
        raise Wrong(hint, f"{count} probabilities, {bins} bins", got, expected)


@exercise
def bootstrap_interval(answer):
    for seed in range(3):
        rng = np.random.default_rng(from_start(seed))
        scores = rng.beta(5, 2, 40)
        draws = np.random.default_rng(99).integers(0, len(scores), (4000, len(scores)))
        low, high = np.percentile(scores[draws].mean(1), [2.5, 97.5])
        given, expected = f"{len(scores)} scores, mean {scores.mean():.3f}", f"about ({low:.3f}, {high:.3f})"
        got = _two_numbers(answer(scores.copy(), np.random.default_rng(from_start(seed))), "low and high")
        width, off = got[1] - got[0], abs(sum(got) - low - high) / 2
        if np.isclose(width, high - low, rtol=0.1) and off < 0.06 * (high - low):
            continue
        spread = np.percentile(scores, [2.5, 97.5])
        hint = "draw as many scores as there are, with replacement; take the mean; repeat; then percentiles"
        if np.allclose(got, (high, low), atol=0.15 * (high - low)):
            hint = "the right two numbers in the wrong order: low first"
        elif abs(width) < 1e-6:
            hint = "every draw has the same mean: draw with replacement, or it is only a shuffle"
        elif np.allclose(got, spread, atol=0.1 * np.ptp(spread)):
            hint = "that is how far the pictures spread; asked is how far the mean could have come out"
        elif np.isclose(width, (high - low) * np.sqrt(len(scores)), rtol=0.2):
            hint = "take the mean of a whole set drawn anew, not single scores"
        elif np.isclose(width, (high - low) / 1.96, rtol=0.2):
            hint = "plus and minus one standard error holds 68 %; asked is 95 %: percentiles 2.5 and 97.5"
        elif np.isclose(width, (high - low) * 1.645 / 1.96, rtol=0.08):
            hint = "percentiles 5 and 95 hold 90 %; asked is 95 %: percentiles 2.5 and 97.5"
        raise Wrong(hint, given, tuple(round(value, 4) for value in got), expected)


@exercise
def honest_threshold(answer):
    thresholds = np.linspace(0.1, 0.9, 9)
    for seed in range(20):
        rng = np.random.default_rng(from_start(seed))
        peaks = rng.choice(9, 2, replace=False)
        val, test = (
            0.9
            - 0.004 * (np.arange(9) - peak) ** 2
            + rng.normal(0, 0.03, (12, 1))
            + rng.normal(0, 0.004, (12, 9))
            for peak in peaks
        )
        right, on_test = int(val.mean(0).argmax()), int(test.mean(0).argmax())
        both = int(np.concatenate([val, test]).mean(0).argmax())
        if len({right, on_test, both}) < 3:
            continue  # this draw could not tell the mistakes apart
        expected = (float(thresholds[right]), float(test.mean(0)[right]))
        got = _two_numbers(answer(val.copy(), test.copy(), thresholds.copy()), "the threshold, the test Dice")
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
        elif np.isclose(got[0], thresholds[both]):
            hint = "val and test chose together: only validation may choose"
        elif np.allclose(got, expected[::-1]):
            hint = "the right two numbers in the wrong order: the threshold first"
        raise Wrong(hint, "val and test of shape (12, 9)", got, expected)


@exercise
def find_mirrored(answer):
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
        labels = np.zeros((6, 12, 16), bool)
        for label in labels:  # each stands clearly off the middle
            left = int(rng.choice([1, 2, 9, 10]))
            label[rng.integers(1, 4) : rng.integers(8, 11), left : left + int(rng.integers(3, 6))] = True
        preds = labels ^ (rng.random(labels.shape) < 0.05)
        mirrored = sorted(rng.choice(6, int(rng.integers(1, 5)), replace=False).tolist())
        labels[mirrored] = labels[mirrored][:, :, ::-1].copy()
        got = answer(preds.copy(), labels.copy())
        try:
            got = sorted(int(i) for i in got)
        except (TypeError, ValueError):
            raise Wrong("return the positions of the pictures", got=got, expected=mirrored) from None
        if got == mirrored:
            continue
        hint = "a mask is suspect where its mirror image overlaps the prediction more than it does itself"
        upside_down = [
            i for i in range(6) if (preds[i] & labels[i][::-1]).sum() > (preds[i] & labels[i]).sum()
        ]
        if got == sorted(set(range(6)) - set(mirrored)):
            hint = "these are the ones that fit: the comparison is the wrong way round"
        elif got == upside_down:
            hint = "that turns pictures upside down: left and right are the last axis, [:, ::-1] of one mask"
        elif got == list(range(6)) or not got:
            hint = "some fit and some do not: compare picture by picture"
        elif set(got) <= {0, 1} and len(answer(preds.copy(), labels.copy())) == 6:
            hint = "one True or False for each picture: np.flatnonzero turns them into positions"
        raise Wrong(hint, f"6 predictions and 6 masks of {labels.shape[1:]}", got, mirrored)

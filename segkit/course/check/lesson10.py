"""Checks of notebook 10, Experiments."""

import itertools

import numpy as np
from scipy.special import stdtrit

from segkit.course.check.core import cases, draws, either, reordered


@cases("one value per name, in every way: itertools.product(*settings.values())", "a list of dictionaries")
def grid_points():
    for settings in ({"alpha": [0, 1], "seed": [0, 1, 2]}, {"lr": [0.1], "width": [4, 8], "seed": [7, 8]}):
        bare = list(itertools.product(*settings.values()))
        points = [dict(zip(settings, point, strict=True)) for point in bare]
        one_by_one = [{name: value} for name, values in settings.items() for value in values]
        longest = max(map(len, settings.values()))
        mistakes = {
            "these are bare tuples: zip the names to them, dict(zip(settings, point))": bare,
            "each point is a dictionary {name: value}": lambda got: not all(isinstance(p, dict) for p in got),
            "all lists at once leave most out: use a product": lambda got, count=longest: len(got) <= count,
            "one setting at a time misses how settings act together: combine them": one_by_one,
            "all points are there; the last name varies fastest, as a counter's digits do": reordered(points),
        }
        yield (settings,), points, mistakes


@cases("the mean, and the standard deviation that divides by n - 1", "2 numbers: mean, deviation", atol=1e-8)
def mean_and_spread():
    for _, rng in draws(6):
        scores = rng.normal(0.6, 0.03, int(rng.integers(2, 6)))
        mean, sd = scores.mean(), scores.std(ddof=1)
        variance = either((mean, sd**2), (mean, scores.var()))
        of_mean = mean, sd / np.sqrt(len(scores))
        mistakes = {
            "the right two numbers in the wrong order: the mean first": (sd, mean),
            "divide by n - 1 (ddof=1): the mean lies too near to its own scores": (mean, scores.std()),
            "that is the variance: the spread is its square root": variance,
            "the standard error is of the mean; asked is that of single runs": of_mean,
            "the range grows with every further seed: take the standard deviation": (mean, np.ptp(scores)),
        }
        yield (scores,), (mean, sd), mistakes


@cases("all points that are not finished, in the order of the grid", "a list of points")
def still_to_run():
    for _, rng in draws(5):
        points = [{"alpha": a, "seed": s} for a in (0.0, 0.5) for s in range(3)]
        state = np.array([*rng.permutation(3), *rng.integers(0, 3, 3)])  # each of three at least once
        done, failed, never_started = ([points[i] for i in np.flatnonzero(state == one)] for one in range(3))
        right = [point for point in points if point not in done]
        inputs = points, *(rng.permutation(some).tolist() for some in (done, failed))
        mistakes = {
            "what failed is not done: it may have been a full disk, so try again": never_started,
            "only what failed is there: what never started has to run as well": inputs[2],
            "the finished ones would be paid for twice: leave them out": points,
            "these are the finished ones: asked are the others": done,
            "the right points; keep the order of the grid": reordered(right),
        }
        yield inputs, right, mistakes


@cases("seed by seed; then mean plus and minus t times the standard error", "2 numbers: low and high")
def difference_interval():
    for seed, rng in draws(6):
        count = 3 + seed % 4
        common = rng.normal(0, 0.03, count)
        one, other = (mean + common + rng.normal(0, 0.004, count) for mean in (0.60, 0.61))
        gap = other - one
        mean, error, t = gap.mean(), gap.std(ddof=1) / np.sqrt(count), stdtrit(count - 1, 0.975)
        apart = np.sqrt(one.var(ddof=1) / count + other.var(ddof=1) / count)
        low, high = right = _around(mean, t * error)
        unpaired = (_around(mean, wide * apart) for wide in (t, stdtrit(2 * count - 2, 0.975), 1.96))
        of_90, one_more = (stdtrit(*where) * error for where in ((count - 1, 0.95), (count, 0.975)))
        biased = _around(mean, t * error * np.sqrt(1 - 1 / count))
        mistakes = {
            "the sign: asked is the other minus the one": (-high, -low),
            "low first": (high, low),
            "1.96 is for many runs: with few it is stats.t.ppf(0.975, n - 1)": _around(mean, 1.96 * error),
            "divide by the square root of the count": _around(mean, t * gap.std(ddof=1)),
            "the standard deviation of a few divides by n - 1: ddof=1": biased,
            "0.95 leaves 5 % at each end, which makes 90 %: take 0.975": _around(mean, of_90),
            "one degree of freedom went into the mean: n - 1": _around(mean, one_more),
            "both had the same seeds: subtract first, and what a seed does cancels": either(*unpaired),
            "it must lie around the difference": lambda got, mean=mean: not np.isclose(np.mean(got), mean),
        }
        yield (one, other), right, mistakes


def _around(middle: float, half: float) -> tuple[float, float]:
    return middle - half, middle + half

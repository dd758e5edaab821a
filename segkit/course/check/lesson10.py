"""Checks of notebook 10, Experiments."""

import itertools

import numpy as np
from scipy.special import stdtrit

from segkit.course.check.core import Case, draws, exercise, same


@exercise
def grid_points(answer):
    for settings in (
        {"alpha": [0.0, 1.0], "seed": [0, 1, 2]},
        {"lr": [0.1], "width": [4, 8], "seed": [7, 8]},
    ):
        points = [dict(zip(settings, p, strict=True)) for p in itertools.product(*settings.values())]
        case = Case(points, settings)
        got = case.listed(answer(settings), "a list of dictionaries")
        lengths = [len(values) for values in settings.values()]
        bare, rows = (all(isinstance(point, kind) for point in got) for kind in (tuple, dict))
        another_order = sorted(map(str, got)) == sorted(map(str, points))
        mistakes = {
            "these are bare tuples: zip the names to them, dict(zip(settings, point))": bare,
            "each point is a dictionary {name: value}": not rows,
            "all lists at once leave most combinations out: use a product": len(got) == max(lengths),
            "one setting at a time misses how settings act together: combine them": len(got) == sum(lengths),
            "all points are there; the last name varies fastest, as a counter's digits do": another_order,
        }
        case.compare(got, mistakes, "one value per name, in every way: itertools.product(*settings.values())")


@exercise
def mean_and_spread(answer):
    for _, rng in draws(6):
        scores = rng.normal(0.6, 0.03, int(rng.integers(2, 6)))
        count, mean, sd = len(scores), scores.mean(), scores.std(ddof=1)
        case = Case((mean, sd), scores)
        got = case.numbers(answer(scores), 2, "2 numbers: mean and standard deviation")
        variance = same(got, (mean, sd**2)) or same(got, (mean, scores.var()))
        mistakes = {
            "the right two numbers in the wrong order: the mean first": (sd, mean),
            "divide by n - 1 (ddof=1): the mean lies too near to its own scores": (mean, scores.std()),
            "that is the variance: the spread is its square root": variance,
            "the standard error is of the mean; asked is that of single runs": (mean, sd / np.sqrt(count)),
            "the range grows with every further seed: take the standard deviation": (mean, np.ptp(scores)),
        }
        case.compare(got, mistakes, "the mean, and the standard deviation that divides by n - 1", atol=1e-8)


@exercise
def still_to_run(answer):
    for seed, rng in draws(5):
        points = [{"alpha": a, "seed": s} for a in (0.0, 0.5) for s in range(3)]
        status = ["finished", "failed", None]  # None: never started
        known = {i: status[int(rng.integers(3))] for i in range(6)}
        known[seed % 6] = "finished"
        known[(seed + 1) % 6], known[(seed + 2) % 6] = "failed", None
        finished = [points[i] for i in rng.permutation(6) if known[i] == "finished"]
        failed = [points[i] for i in rng.permutation(6) if known[i] == "failed"]
        case = Case([points[i] for i in range(6) if known[i] != "finished"])
        got = case.listed(answer(points, finished, failed), "a list of points")
        never_again = [point for point in case.expected if point not in failed]
        these = len(got) == len(case.expected) and all(point in case.expected for point in got)
        mistakes = {
            "what failed is not done: it may have been a full disk, so try again": got == never_again,
            "only what failed is there: what never started has to run as well": got == failed,
            "the finished ones would be paid for twice: leave them out": got == points,
            "these are the finished ones: asked are the others": got == [p for p in points if p in finished],
            "the right points; keep the order of the grid": these,
        }
        case.compare(got, mistakes, "all points that are not finished, in the order of the grid")


@exercise
def difference_interval(answer):
    for seed, rng in draws(6):
        count = 3 + seed % 4
        common = rng.normal(0, 0.03, count)
        one, other = (mean + common + rng.normal(0, 0.004, count) for mean in (0.60, 0.61))
        gap = other - one
        error = gap.std(ddof=1) / np.sqrt(count)
        t = stdtrit(count - 1, 0.975)
        half = t * error
        case = Case((gap.mean() - half, gap.mean() + half))
        got = case.numbers(answer(one, other), 2, "2 numbers: low and high")
        middle, width = (got[0] + got[1]) / 2, (got[1] - got[0]) / 2
        apart = np.sqrt(one.var(ddof=1) / count + other.var(ddof=1) / count)
        unpaired = apart * np.array([t, stdtrit(2 * count - 2, 0.975), 1.96])
        widths = {
            f"1.96 is for many runs: with {count} it is t = {t:.2f}, stats.t.ppf(0.975, n - 1)": 1.96 * error,
            "divide by the square root of the count: the mean is surer than a run": half * np.sqrt(count),
            "the standard deviation of a few divides by n - 1: ddof=1": half * np.sqrt(1 - 1 / count),
            "0.95 leaves 5 % at each end, which makes 90 %: take 0.975": stdtrit(count - 1, 0.95) * error,
            "one degree of freedom went into the mean: n - 1": stdtrit(count, 0.975) * error,
            "both had the same seeds: subtract first, and what a seed does cancels": unpaired,
        }
        mistakes = {
            "the sign: asked is the other minus the one": np.isclose(middle, -gap.mean()),
            "the interval must lie around the mean difference": not np.isclose(middle, gap.mean()),
            "low first": width < 0,
            **{hint: np.isclose(width, wrong, rtol=1e-3).any() for hint, wrong in widths.items()},
        }
        case.compare(got, mistakes, "seed by seed; then mean plus and minus t times the standard error")

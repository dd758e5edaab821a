"""Checks of notebook 10, Experiments."""

import itertools

import numpy as np
from scipy.special import stdtrit

from segkit.course.check.core import Wrong, as_numbers, exercise, from_start


def _numbers(result, count: int, what: str) -> tuple[float, ...]:
    """So many plain numbers, or a hint."""
    got = as_numbers(result) or ()
    if len(got) != count:
        raise Wrong(f"return {count} numbers: {what}", got=result, expected=f"{count} numbers")
    return got


@exercise
def grid_points(answer):
    for settings in (
        {"alpha": [0.0, 1.0], "seed": [0, 1, 2]},
        {"lr": [0.1], "width": [4, 8], "seed": [7, 8]},
    ):
        expected = [dict(zip(settings, p, strict=True)) for p in itertools.product(*settings.values())]
        got = answer({key: list(values) for key, values in settings.items()})
        try:
            got = list(got)
        except TypeError:
            raise Wrong("return a list of dictionaries", settings, got, expected) from None
        if got == expected:
            continue
        hint = "every combination of one value per name: itertools.product(*settings.values())"
        if all(isinstance(point, tuple) for point in got):
            hint = "these are bare tuples: zip the names to them, dict(zip(settings, point))"
        elif not all(isinstance(point, dict) for point in got):
            hint = "each point is a dictionary {name: value}"
        elif len(got) == max(len(v) for v in settings.values()):
            hint = "walking along all lists at once leaves most combinations out: use a product"
        elif len(got) == sum(len(v) for v in settings.values()):
            hint = "one setting at a time misses how settings act together: combine them"
        elif sorted(map(str, got)) == sorted(map(str, expected)):
            hint = "all points are there; the last name should vary fastest, as the digits of a counter do"
        raise Wrong(hint, settings, got, expected)


@exercise
def mean_and_spread(answer):
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        scores = rng.normal(0.6, 0.03, int(rng.integers(2, 6)))
        count, mean, sd = len(scores), scores.mean(), scores.std(ddof=1)
        got = _numbers(answer(scores.copy()), 2, "mean and standard deviation")
        if np.allclose(got, (mean, sd), rtol=1e-6):
            continue
        hint = "the mean, and the standard deviation that divides by n - 1"
        if np.allclose(got, (sd, mean)):
            hint = "the right two numbers in the wrong order: the mean first"
        elif np.allclose(got, (mean, scores.std())):
            hint = (
                "numpy divides by n. The mean was made from these very scores and lies too near to them: "
                "divide by n - 1 (ddof=1). For two seeds that is a factor of 1.4"
            )
        elif np.allclose(got, (mean, sd**2)) or np.allclose(got, (mean, scores.var())):
            hint = "that is the variance: the spread is its square root"
        elif np.allclose(got, (mean, sd / np.sqrt(count))):
            hint = (
                "that is the standard error, how well the mean is known; asked is how far single runs spread"
            )
        elif np.allclose(got, (mean, np.ptp(scores))):
            hint = "the range grows with every further seed: take the standard deviation"
        raise Wrong(hint, scores, got, (float(mean), float(sd)))


@exercise
def still_to_run(answer):
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
        points = [{"alpha": a, "seed": s} for a in (0.0, 0.5) for s in range(3)]
        status = ["finished", "failed", None]  # None: never started
        known = {i: status[int(rng.integers(3))] for i in range(6)}
        known[seed % 6] = "finished"
        known[(seed + 1) % 6], known[(seed + 2) % 6] = "failed", None
        finished = [points[i] for i in rng.permutation(6) if known[i] == "finished"]
        failed = [points[i] for i in rng.permutation(6) if known[i] == "failed"]
        expected = [points[i] for i in range(6) if known[i] != "finished"]
        got = answer([dict(p) for p in points], [dict(p) for p in finished], [dict(p) for p in failed])
        given = f"{len(points)} points, finished {finished}, failed {failed}"
        try:
            got = list(got)
        except TypeError:
            raise Wrong("return a list of points", given, got, expected) from None
        if got == expected:
            continue
        hint = "all points that are not finished, in the order of the grid"
        if got == [p for p in expected if p not in failed]:
            hint = "what failed is not done: it may have been a full disk, so it is tried again"
        elif got == failed:
            hint = "only what failed is there: what never started has to run as well"
        elif got == points:
            hint = "the finished ones would be paid for twice: leave them out"
        elif got == [p for p in points if p in finished]:
            hint = "these are the finished ones: asked are the others"
        elif len(got) == len(expected) and all(point in expected for point in got):
            hint = "the right points; keep the order of the grid"
        raise Wrong(hint, given, got, expected)


@exercise
def difference_interval(answer):
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        count = 3 + seed % 4
        common = rng.normal(0, 0.03, count)
        one, other = 0.60 + common + rng.normal(0, 0.004, count), 0.61 + common + rng.normal(0, 0.004, count)
        gap = other - one
        error = gap.std(ddof=1) / np.sqrt(count)
        half = stdtrit(count - 1, 0.975) * error
        expected = (float(gap.mean() - half), float(gap.mean() + half))
        got = _numbers(answer(one.copy(), other.copy()), 2, "low and high")
        if np.allclose(got, expected, atol=1e-6):
            continue
        middle, width = (got[0] + got[1]) / 2, (got[1] - got[0]) / 2
        apart = np.sqrt(one.var(ddof=1) / count + other.var(ddof=1) / count)
        hint = "the differences seed by seed; then mean plus and minus t times their standard error"
        if np.isclose(middle, -gap.mean()):
            hint = "the sign: asked is the other minus the one"
        elif not np.isclose(middle, gap.mean()):
            hint = "the interval must lie around the mean difference"
        elif width < 0:
            hint = "low first"
        elif np.isclose(width, 1.96 * error, rtol=1e-3):
            hint = (
                f"1.96 is for many runs: with {count} it is t = {half / error:.2f}, stats.t.ppf(0.975, n - 1)"
            )
        elif np.isclose(width, half * np.sqrt(count)):
            hint = (
                "divide the spread by the square root of the number of seeds: the mean is surer than one run"
            )
        elif np.isclose(width, half * np.sqrt((count - 1) / count)):
            hint = "the standard deviation of a few divides by n - 1: ddof=1"
        elif np.isclose(width, stdtrit(count - 1, 0.95) * error):
            hint = "0.95 leaves 5 % at each end, which makes 90 %: take 0.975"
        elif np.isclose(width, stdtrit(count, 0.975) * error):
            hint = "one degree of freedom went into the mean: n - 1"
        elif any(
            np.isclose(width, stdtrit(f, 0.975) * apart) for f in (count - 1, 2 * count - 2)
        ) or np.isclose(width, 1.96 * apart, rtol=1e-3):
            hint = (
                "both had the same seeds, so what a seed does to both cancels in the difference: "
                "subtract first, then take the spread"
            )
        raise Wrong(hint, f"one {one.round(3)}, other {other.round(3)}", got, expected)

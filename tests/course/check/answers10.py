"""Right and common wrong answers to the exercises of notebook 10; test_answers.py asks the checks."""

import itertools

import numpy as np
from scipy import stats


def points_of(settings):
    return [dict(zip(settings, point, strict=True)) for point in itertools.product(*settings.values())]


def one_by_one(settings):
    return [{name: value} for name, values in settings.items() for value in values]


def along(settings):
    longest = max(map(len, settings.values()))
    return [{k: v[i % len(v)] for k, v in settings.items()} for i in range(longest)]


def slowest_last(settings):
    backwards = dict(reversed(settings.items()))
    return [{k: point[k] for k in settings} for point in points_of(backwards)]


def mean_sd(scores):
    return scores.mean(), scores.std(ddof=1)


def to_run(points, finished, failed):
    return [point for point in points if point not in finished]


def around(one, other, t=None, ddof=1, divide=True, quantile=0.975, freedom=-1):
    gap = other - one
    error = gap.std(ddof=ddof) / (len(gap) ** 0.5 if divide else 1)
    half = (t or stats.t.ppf(quantile, len(gap) + freedom)) * error
    return gap.mean() - half, gap.mean() + half


def unpaired(one, other):
    error = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(one))
    half = stats.t.ppf(0.975, 2 * len(one) - 2) * error
    return (other - one).mean() - half, (other - one).mean() + half


def nested(settings):
    """A grid by loops: every list so far, times the next one."""
    points = [{}]
    for name, values in settings.items():
        points = [point | {name: value} for point in points for value in values]
    return points


def by_the_formula(scores):
    mean = sum(scores) / len(scores)
    return [mean, (sum((s - mean) ** 2 for s in scores) / (len(scores) - 1)) ** 0.5]


def by_count(points, finished, failed):
    left = list(points)
    for point in finished:
        left.remove(point)
    return tuple(left)


RIGHT = {
    "grid_points": [nested, lambda s: tuple(points_of(s))],
    "mean_and_spread": [by_the_formula, lambda s: np.array([np.mean(s), np.sqrt(np.var(s, ddof=1))])],
    "still_to_run": [by_count, lambda p, d, f: filter(lambda point: point not in d, p)],
    "difference_interval": [
        lambda one, other: stats.ttest_rel(other, one).confidence_interval(),
        lambda one, other: np.array(stats.ttest_1samp(other - one, 0).confidence_interval()),
    ],
}

WRONG = {
    "grid_points": [
        (lambda s: list(itertools.product(*s.values())), "bare tuples"),
        (lambda s: [list(s)], "each point is a dictionary"),
        (along, "leave most combinations out"),
        (one_by_one, "one setting at a time"),
        (slowest_last, "varies fastest"),
        (lambda s: 3, "a list of dictionaries"),
    ],
    "mean_and_spread": [
        (lambda s: mean_sd(s)[::-1], "the mean first"),
        (lambda s: (s.mean(), s.std()), "ddof=1"),
        (lambda s: (s.mean(), s.var(ddof=1)), "the variance"),
        (lambda s: (s.mean(), s.std(ddof=1) / len(s) ** 0.5), "standard error"),
        (lambda s: (s.mean(), np.ptp(s) * (1 + 1e-12)), "the range grows"),
        (lambda s: s.mean(), "2 numbers"),
    ],
    "still_to_run": [
        (lambda p, d, f: [x for x in p if x not in d and x not in f], "try again"),
        (lambda p, d, f: f, "never started"),
        (lambda p, d, f: p, "paid for twice"),
        (lambda p, d, f: [x for x in p if x in d], "asked are the others"),
        (lambda p, d, f: to_run(p, d, f)[::-1], "order of the grid"),
    ],
    "difference_interval": [
        (lambda a, b: around(b, a), "the sign"),
        (lambda a, b: (a.min(), b.max()), "around the mean difference"),
        (lambda a, b: around(a, b)[::-1], "low first"),
        (lambda a, b: around(a, b, t=1.96), "1.96 is for many runs"),
        (lambda a, b: around(a, b, divide=False), "square root"),
        (lambda a, b: around(a, b, ddof=0), "n - 1: ddof=1"),
        (lambda a, b: around(a, b, quantile=0.95), "take 0.975"),
        (lambda a, b: around(a, b, freedom=0), "one degree of freedom"),
        (unpaired, "subtract first"),
        (lambda a, b: 0.01, "2 numbers"),
    ],
}

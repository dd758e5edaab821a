"""Right and common wrong answers to the exercises of notebook 10; test_answers.py asks the checks."""

import numpy as np
from scipy import stats
from solutions import solutions

solution = solutions("10")


def along(settings):
    longest = max(map(len, settings.values()))
    return [{k: v[i % len(v)] for k, v in settings.items()} for i in range(longest)]


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
    "grid_points": [nested, lambda s: tuple(solution.grid_points(s))],
    "mean_and_spread": [by_the_formula, lambda s: np.array([np.mean(s), np.sqrt(np.var(s, ddof=1))])],
    "still_to_run": [by_count, lambda p, d, f: filter(lambda point: point not in d, p)],
    "difference_interval": [
        lambda one, other: stats.ttest_rel(other, one).confidence_interval(),
        lambda one, other: np.array(stats.ttest_1samp(other - one, 0).confidence_interval()),
    ],
}

WRONG = {
    "grid_points": [
        (lambda s: [list(s)], "each point is a dictionary"),
        (along, "use a product"),
        ("itertools.product(*settings.values())", "zip(*settings.values(), strict=False)", "use a product"),
        (lambda s: sorted(solution.grid_points(s), key=lambda point: point["seed"]), "varies fastest"),
    ],
    "mean_and_spread": [
        (lambda s: (s.mean(), s.var(ddof=1)), "the variance"),
    ],
    "still_to_run": [
        ("not in finished]", "not in finished][::-1]", "order of the grid"),
    ],
    "difference_interval": [
        (lambda a, b: (a.min(), b.max()), "around the difference"),
        ("gap.std(ddof=1)", "np.hypot(one.std(ddof=1), other.std(ddof=1))", "subtract first"),
    ],
}

"""Checks of lesson 12: real time."""

import numpy as np

from segkit.course.check.core import cases, draws, either, generator, part


@cases("np.median of times[warm_up:].")
def steady_time():
    """answer(times, warm_up): the median of the times without the first warm_up ones."""
    for (seed, rng), warm_up in zip(draws(5), (2, 2, 0, 1, 3), strict=True):  # odd and even many are left
        times = rng.permutation(np.linspace(8, 9, 11 + seed)).round(2)
        # The first calls are slow, but for one that is fast; some later ones were disturbed.
        times[:warm_up] = rng.uniform(40, 90, warm_up).round(2)
        times[warm_up // 2] = 5.5
        times[-3:] = rng.uniform(200, 300, 3).round(2)
        rest, in_order = times[warm_up:], np.sort(times)
        mistakes = {
            "the first calls are still in: leave out times[:warm_up].": np.median(times),
            "that is the mean: one call that was disturbed moves it. Take the median.": np.mean(rest),
            "that is the mean of all calls: leave out the first, take the median.": np.mean(times),
            "the fastest call is nobody's experience: take the median.": np.min(rest),
            "leave out the first calls, not the fastest.": np.median(in_order[warm_up:]),
            "leave out the first calls, not the slowest.": np.median(in_order[: len(rest)]),
        }
        yield (times.tolist(), warm_up), np.median(rest), mistakes


@cases(
    "scale = np.abs(weights).max() / 127, and np.round(weights / scale).",
    "two things, in this order: the whole numbers and the scale",
    dtype="int8",
)
def to_int8():
    """answer(weights): (whole numbers int8, scale), so that numbers * scale is nearly weights."""
    for seed, rng in draws(4):
        weights = rng.normal(0, 0.2, (4, 3)).astype(np.float32)
        weights[1, 2] = (-1) ** seed * (1 + rng.random())  # the largest, negative in every other case
        largest, signed = np.abs(weights).max(), weights.max()
        scale, negative = largest / 127, signed < largest
        mistakes = {
            "the largest weight may be negative: take np.abs first.": negative and part(1, signed / 127),
            "+128 does not exist in int8: divide by 127.": part(1, largest / 128),
            "the steps reach from -127 to 127: divide by 127, not by 255.": part(1, largest / 255),
            "upside down: scale is what one step is worth, max(abs) / 127.": part(1, 127 / largest),
            ".astype cuts the decimals off: np.round first.": part(0, np.trunc(weights / scale)),
        }
        yield (weights,), (np.round(weights / scale), scale), mistakes


@cases("share = gamma / sqrt(var + eps): weight * share, beta - mean * share.", "two things: weight and bias")
def fold_norm():
    """answer(weight, gamma, beta, mean, var, eps): weight and bias of one convolution that does both."""
    for _, rng in draws(4):
        out, into, side = int(rng.integers(2, 5)), int(rng.integers(1, 4)), int(rng.choice([1, 3]))
        weight = rng.normal(0, 1, (out, into, side, side))
        gamma, beta, mean = rng.uniform(0.5, 2, out), rng.normal(0, 1, out), rng.normal(0, 1, out)
        var, eps = rng.uniform(0.2, 4, out), 1e-3
        share = gamma / np.sqrt(var + eps)
        shares = {
            "divide by the square root: np.sqrt(var + eps).": gamma / (var + eps),
            "the weight must shrink and grow as well: times gamma / sqrt(var + eps).": np.ones(out),
            "gamma is missing in the weight.": share / gamma,
            "eps is missing: np.sqrt(var + eps).": gamma / np.sqrt(var),
        }
        biases = {
            "the mean is subtracted before the scaling: beta - mean * gamma / sqrt(var + eps).": beta,
            "the mean is scaled too: beta - mean * gamma / sqrt(var + eps).": beta - mean,
            "minus the mean, not plus.": beta + mean * share,
            "beta is missing in the bias.": -mean * share,
        }
        mistakes = {hint: part(0, weight * by[:, None, None, None]) for hint, by in shares.items()}
        mistakes |= {hint: part(1, bias) for hint, bias in biases.items()}
        right = weight * share[:, None, None, None], beta - mean * share
        yield (weight, gamma, beta, mean, var, eps), right, mistakes


@cases("when the network is free, the newest frame is int(free * fps / 1000); if seen, wait.", "a list")
def frames_kept():
    """answer(fps, ms, count): the numbers of the frames that a network taking ms each gets to see."""
    # No network is free at the very moment when a frame comes: there, rounding would decide.
    tried = [(30, 21, 8), (30, 47, 12), (25, 101, 20), (60, 26, 20), (10, 262, 13), (50, 17, 6), (24, 52, 20)]
    rng = generator()
    tried += [(int(rng.integers(8, 61)), int(rng.integers(20, 200)) + 0.37, 30) for _ in range(4)]
    for fps, ms, count in tried:
        right, every = _kept(fps, ms, count), list(range(count))
        in_steps = either(every[:: max(1, round(ms * fps / 1000))], every[:: int(ms * fps / 1000) + 1])
        mistakes = {
            "every frame is kept: then the queue grows, and the picture lags.": every,
            "frame 0 is there at the start, and the network is free: keep it.": right[1:],
            "the last frame has the number count - 1.": [*right, count],
            "not in fixed steps: when free, it takes the newest frame, or waits if it saw that.": in_steps,
        }
        yield (fps, ms, count), right, mistakes


def _kept(fps: int, ms: float, count: int) -> list[int]:
    kept, free = [], 0.0
    while True:
        number = int(free * fps / 1000 + 1e-9)
        if kept and number <= kept[-1]:
            number = kept[-1] + 1
        if number >= count:
            return kept
        kept.append(number)
        free = max(free, 1000 * number / fps) + ms

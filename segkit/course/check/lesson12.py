"""Checks of lesson 12: real time."""

import numpy as np

from segkit.course.check.core import Wrong, as_number, as_numbers, exercise, from_start


@exercise
def steady_time(answer):
    """answer(times, warm_up): the median of the times without the first warm_up ones."""
    for seed, warm_up in enumerate((2, 2, 0, 1, 3)):  # an odd and an even number of times are left
        rng = np.random.default_rng(from_start(seed))
        times = rng.permutation(np.linspace(8, 9, 11 + seed)).round(2)
        # The first calls are slow, but for one that is fast; some later ones were disturbed.
        times[:warm_up] = rng.uniform(40, 90, warm_up).round(2)
        times[warm_up // 2] = 5.5
        times[-3:] = rng.uniform(200, 300, 3).round(2)
        rest = times[warm_up:]
        right = float(np.median(rest))
        given = f"times {times.tolist()}, warm_up {warm_up}"
        result = answer(times.tolist(), warm_up)
        got = as_number(result)
        if got is None:
            raise Wrong("return one number.", given, result, right)
        for wrong, hint in (
            (np.median(times), "the first calls are still in: leave out times[:warm_up]."),
            (np.mean(rest), "that is the mean: one call that was disturbed moves it. Take the median."),
            (np.mean(times), "that is the mean of all calls: leave out the first, take the median."),
            (np.min(rest), "the fastest call is nobody's experience: take the median."),
            (np.median(np.sort(times)[warm_up:]), "leave out the first calls, not the fastest."),
            (np.median(np.sort(times)[: len(rest)]), "leave out the first calls, not the slowest."),
        ):
            if np.isclose(got, wrong) and not np.isclose(wrong, right):
                raise Wrong(hint, given, got, right)
        if not np.isclose(got, right):
            raise Wrong("np.median of times[warm_up:].", given, got, right)


@exercise
def to_int8(answer):
    """answer(weights): (whole numbers int8, scale), so that numbers * scale is nearly weights."""
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        weights = rng.normal(0, 0.2, (4, 3)).astype(np.float32)
        # The largest is negative in every other case, and never exactly on a step.
        weights[1, 2] = (-1) ** seed * np.float32(1.27 * (1 + seed))
        largest = np.abs(weights).max()
        scale = float(largest / 127)
        right = np.round(weights / scale).astype(np.int8)
        given = weights
        result = answer(weights.copy())
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise Wrong("return two things: the whole numbers and the scale.", given, type(result).__name__)
        numbers, got = np.asarray(result[0]), as_number(result[1])
        if numbers.shape != weights.shape or got is None:
            hint = "one whole number for each weight, and one scale for all of them, in this order."
            raise Wrong(hint, given, result)
        for wrong, hint in (
            (float(weights.max()) / 127, "the largest weight may be negative: take np.abs first."),
            (largest / 128, "+128 does not exist in int8: divide by 127."),
            (largest / 255, "255 steps reach from -127 to 127: the largest becomes 127, so divide by 127."),
            (float(np.ptp(weights)) / 255, "that scale needs a zero point as well: take max(abs) / 127."),
            (127 / largest, "upside down: scale is what one step is worth, max(abs) / 127."),
            (float(largest), "one step is worth max(abs) / 127."),
        ):
            if np.isclose(got, wrong, rtol=1e-4) and not np.isclose(wrong, scale, rtol=1e-4):
                raise Wrong(hint, given, f"scale {got:.6g}", f"scale {scale:.6g}")
        if not np.isclose(got, scale, rtol=1e-4):
            raise Wrong("scale = np.abs(weights).max() / 127.", given, f"scale {got:.6g}", f"{scale:.6g}")
        if numbers.dtype != np.int8:
            raise Wrong("end with .astype(np.int8), or nothing was saved.", given, numbers.dtype, "int8")
        if np.array_equal(numbers, (weights / scale).astype(np.int8)):
            raise Wrong(".astype cuts the decimals off: np.round first.", given, numbers, right)
        off = np.abs(numbers * scale - weights).max() / scale
        if off > 0.501:
            hint = f"np.round(weights / scale): none may move by more than half a step, one moved {off:.2f}."
            raise Wrong(hint, given, numbers, right)


@exercise
def fold_norm(answer):
    """answer(weight, gamma, beta, mean, var, eps): weight and bias of one convolution that does both."""
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        out, into, side = int(rng.integers(2, 5)), int(rng.integers(1, 4)), int(rng.choice([1, 3]))
        weight = rng.normal(0, 1, (out, into, side, side))
        gamma, beta, mean = rng.uniform(0.5, 2, out), rng.normal(0, 1, out), rng.normal(0, 1, out)
        var, eps = rng.uniform(0.2, 4, out), 1e-3
        share = gamma / np.sqrt(var + eps)
        right = weight * share[:, None, None, None], beta - mean * share
        given = f"weight of shape {weight.shape}, gamma, beta, mean and var of shape ({out},), eps {eps}"
        result = answer(weight.copy(), gamma.copy(), beta.copy(), mean.copy(), var.copy(), eps)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise Wrong("return two things: the new weight and the new bias.", given, type(result).__name__)
        got = [np.asarray(part) for part in result]
        for name, part, expected in zip(("weight", "bias"), got, right, strict=True):
            if part.shape != expected.shape:
                hints = {
                    "weight": "as the old: share[:, None, None, None] lines up with the first axis.",
                    "bias": "one number per output channel, as gamma.",
                }
                raise Wrong(f"the new {name}: {hints[name]}", given, part.shape, expected.shape)
        by_variance, no_eps = gamma / (var + eps), gamma / np.sqrt(var)
        for wrong, hint in (
            (weight * by_variance[:, None, None, None], "divide by the square root: np.sqrt(var + eps)."),
            (weight, "the weight must shrink and grow as well: times gamma / sqrt(var + eps)."),
            (weight / np.sqrt(var + eps)[:, None, None, None], "gamma is missing in the weight."),
            (weight * no_eps[:, None, None, None], "eps is missing: np.sqrt(var + eps)."),
        ):
            if _close(got[0], wrong):
                raise Wrong(hint, given, got[0], right[0])
        if not _close(got[0], right[0]):
            hint = "weight * (gamma / np.sqrt(var + eps))[:, None, None, None]."
            raise Wrong(hint, given, got[0], right[0])
        for wrong, hint in (
            (beta, "the mean is subtracted before the scaling: beta - mean * gamma / sqrt(var + eps)."),
            (beta - mean, "the mean is scaled too: beta - mean * gamma / sqrt(var + eps)."),
            (beta + mean * share, "minus the mean, not plus."),
            (-mean * share, "beta is missing in the bias."),
            (beta - mean * no_eps, "eps is missing in the bias: np.sqrt(var + eps)."),
        ):
            if _close(got[1], wrong):
                raise Wrong(hint, given, got[1], right[1])
        if not _close(got[1], right[1]):
            raise Wrong("bias = beta - mean * gamma / np.sqrt(var + eps).", given, got[1], right[1])


def _close(a, b):
    return a.shape == b.shape and np.allclose(a, b, atol=1e-6)


@exercise
def frames_kept(answer):
    """answer(fps, ms, count): the numbers of the frames that a network taking ms each gets to see."""
    # No network is free at the very moment when a frame comes: there, rounding would decide.
    cases = [(30, 21, 8), (30, 47, 12), (25, 101, 20), (60, 26, 20), (10, 262, 13), (50, 17, 6), (24, 52, 20)]
    rng = np.random.default_rng(from_start(0))
    cases += [(int(rng.integers(8, 61)), int(rng.integers(20, 200)) + 0.37, 30) for _ in range(4)]
    for fps, ms, count in cases:
        right = _kept(fps, ms, count)
        given = f"fps {fps}, ms {ms}, count {count}"
        result = answer(fps, ms, count)
        if as_numbers(result) is None:
            raise Wrong("return the numbers of the frames, a list such as [0, 2, 4].", given, result, right)
        got = list(as_numbers(result))
        every = list(range(count))
        if got == right:
            continue
        if got == every:
            raise Wrong("every frame is kept: then the queue grows, and the picture lags.", given, got, right)
        if got and got[0] != 0:
            raise Wrong("frame 0 is there at the start, and the network is free: keep it.", given, got, right)
        if any(number >= count for number in got):
            raise Wrong(f"there are only {count} frames: 0 to {count - 1}.", given, got, right)
        step = max(1, round(ms * fps / 1000))
        if got in (every[::step], every[:: int(ms * fps / 1000) + 1]):
            raise Wrong(
                "a fixed step is not it: when the network is free, it takes the newest frame there is, or "
                "waits for the next one if it has seen that.",
                given,
                got,
                right,
            )
        raise Wrong(
            "keep `free`, the time when the network is free. The newest frame then has the number "
            "int(free * fps / 1000); if that one was seen already, wait for the next.",
            given,
            got,
            right,
        )


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

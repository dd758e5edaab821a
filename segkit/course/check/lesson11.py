"""Checks of notebook 11, Beyond the U-Net."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.course.check.core import Wrong, as_number, exercise, from_start


@exercise
def atrous_width(answer):
    rng = np.random.default_rng(from_start(0))
    for kernel, rate in ((3, 1), (3, 2), (3, 6), (5, 4), (1, 9), *rng.integers(1, 12, (8, 2)).tolist()):
        expected, result = (kernel - 1) * rate + 1, answer(kernel, rate)
        got = as_number(result)
        if got == expected:
            continue
        hint = "count the gaps between the points of a row, and how wide each is"
        if got == kernel * rate:
            hint = "three points have two gaps between them, not three"
        elif got == (kernel - 1) * rate:
            hint = "that is from the first point to the last; the last point itself is a cell too"
        elif got == (kernel - 1) * (rate + 1) + 1:
            hint = "rate 1 is the ordinary kernel: its points are neighbours, one apart"
        elif got == kernel:
            hint = "that is the number of points; how far apart does rate put them?"
        raise Wrong(hint, f"kernel={kernel}, rate={rate}", result, expected)


@exercise
def attend(answer):
    generator = torch.Generator().manual_seed(from_start(0))
    for n, channels, inner, side in ((1, 3, 2, 4), (2, 6, 4, 5), (3, 1, 1, 3)):
        skip = torch.randn(n, channels, side, side, generator=generator)
        a, b = (torch.randn(n, inner, side, side, generator=generator) for _ in range(2))
        weigh = nn.Conv2d(inner, 1, 1).requires_grad_(False)
        weigh.weight.copy_(torch.randn(weigh.weight.shape, generator=generator))
        scores = weigh((a + b).relu())
        expected = skip * scores.sigmoid()
        before = skip.clone()
        got = answer(skip, a, b, weigh)
        given = f"skip {tuple(skip.shape)}, a and b {tuple(a.shape)}"
        if not isinstance(got, Tensor) or got.shape != skip.shape:
            what = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
            hint = "what comes out has the shape of skip"
            if isinstance(got, Tensor) and got.shape == scores.shape:
                hint = "these are the weights; the gate returns the skip connection times them"
            elif isinstance(got, Tensor) and got.shape == (n, channels + 1, side, side):
                hint = "the weights are not joined to skip, they multiply it"
            raise Wrong(hint, given, what, tuple(skip.shape))
        if not torch.equal(skip, before):
            raise Wrong("skip itself was changed: multiply into a new tensor", given)
        if torch.allclose(got, expected, atol=1e-6):
            parts = [part.clone().requires_grad_() for part in (skip, a, b)]
            if any(part is None for part in _gradients(answer(*parts, weigh), parts)):
                raise Wrong("training must reach skip, a and b: nothing detached, no NumPy in between", given)
            continue
        mistakes = {
            "weigh was given a and b as they are: a ReLU comes between, or two linear steps stay one": skip
            * weigh(a + b).sigmoid(),
            "the ReLU belongs around the sum of a and b, not around each: one may cancel the other": skip
            * weigh(a.relu() + b.relu()).sigmoid(),
            "the scores must become weights between 0 and 1: a sigmoid is missing": skip * scores,
            "a softmax lets the places compete for one whole; a gate opens each place by itself": skip
            * scores.flatten(2).softmax(2).view_as(scores),
            "a and b meet as a sum, not as a product": skip * weigh((a * b).relu()).sigmoid(),
            "the skip connection is weighed, nothing is added to it": skip + scores.sigmoid(),
        }
        hints = [hint for hint, other in mistakes.items() if torch.allclose(got, other, atol=1e-6)]
        raise Wrong(hints[0] if hints else "sigmoid(weigh(relu(a + b))), times skip", given, got, expected)


@exercise
def distillation_loss(answer):
    generator = torch.Generator().manual_seed(from_start(0))
    bce = F.binary_cross_entropy_with_logits
    for share in (0.5, 0.0, 1.0, 0.3):
        logits = 2 * torch.randn(2, 1, 6, 6, generator=generator)
        masks = (torch.rand(2, 1, 6, 6, generator=generator) > 0.6).float()
        teacher = torch.rand(2, 1, 6, 6, generator=generator)
        logits[0, 0, 0, 0] = -120.0  # a sigmoid and a logarithm apart would make infinity of it
        hard, soft = bce(logits, masks), bce(logits, teacher)
        expected = (1 - share) * hard + share * soft
        given = f"share={share}, logits, masks and teacher of shape {tuple(logits.shape)}"
        free = logits.clone().requires_grad_()
        got = answer(free, masks, teacher, share)
        value = as_number(got)
        if value is None:
            raise Wrong("return one number", given, got, expected)
        if abs(value - expected.item()) < 1e-4:
            slope = _gradients(got, [free])[0] if isinstance(got, Tensor) else None
            if slope is None:
                raise Wrong(
                    "return the loss as a tensor that gradients flow through, not a number", given, got
                )
            wanted = (logits.sigmoid() - (1 - share) * masks - share * teacher) / logits.numel()
            if not torch.allclose(slope, wanted, atol=1e-6):
                raise Wrong("the value is right, its gradient is not: part of the loss was cut off", given)
            continue
        mistakes = {
            "swapped: share is the teacher's part, 1 - share that of the masks": share * hard
            + (1 - share) * soft,
            "the teacher was cut at 0.5: its doubt is what there is to learn": (1 - share) * hard
            + share * bce(logits, (teacher > 0.5).float()),
            "these are logits: take binary_cross_entropy_with_logits": (1 - share)
            * bce(logits.sigmoid(), masks)
            + share * bce(logits.sigmoid(), teacher),
            "teacher holds probabilities already: no sigmoid for it": (1 - share) * hard
            + share * bce(logits, teacher.sigmoid()),
            "that learns from the masks alone": hard,
            "that learns from the teacher alone": soft,
            "both parts in full: weigh the masks by 1 - share": hard + share * soft,
        }
        hints = [hint for hint, other in mistakes.items() if abs(value - other.item()) < 1e-5]
        raise Wrong(
            hints[0] if hints else "two cross-entropies of the same logits, mixed", given, value, expected
        )


def _gradients(result: Tensor, parts: list[Tensor]) -> tuple[Tensor | None, ...]:
    """Of the result's sum with respect to each part; None where it does not depend on it."""
    if not result.requires_grad:
        return (None,) * len(parts)
    return torch.autograd.grad(result.sum(), parts, allow_unused=True)


def _choice(rows: list[dict], most_ms: float, noise: float) -> str | None:
    affordable = [row for row in rows if row["ms"] <= most_ms]
    if not affordable:
        return None
    best = max(row["dice"] for row in affordable)
    return min((row for row in affordable if best - row["dice"] <= noise), key=lambda row: row["ms"])["name"]


@exercise
def choose_network(answer):
    def table(**rows: tuple[float, float]) -> list[dict]:
        return [{"name": name, "dice": dice, "ms": ms} for name, (dice, ms) in rows.items()]

    first = table(thin=(0.71, 9.0), gated=(0.72, 12.0), base=(0.90, 25.0), deep=(0.905, 40.0))
    cases = [
        (first, 100.0, 0.02),
        (first, 30.0, 0.0),
        (first, 15.0, 0.02),
        (first, 25.0, 0.02),
        (first, 5.0, 0.02),
    ]
    rng = np.random.default_rng(from_start(0))
    for _ in range(20):
        # Sixty-fourths are exact: a Dice just `noise` behind the best is within it, however written.
        times = rng.permutation(np.arange(5, 50))
        rows = {f"net{i}": (int(rng.integers(32, 64)) / 64, float(times[i])) for i in range(6)}
        cases.append((table(**rows), float(rng.integers(10, 60)), float(rng.choice([0.0, 0.125, 0.25]))))
    for rows, most_ms, noise in cases:
        expected, got = _choice(rows, most_ms, noise), answer(list(rows), most_ms, noise)
        if got == expected:
            continue
        fast = [row for row in rows if row["ms"] <= most_ms]
        named = {
            "it is over the budget: leave out first what is too slow": _choice(rows, float("inf"), noise),
            "the best Dice within the budget; but a faster one lies within the noise of it": max(
                fast, key=lambda row: row["dice"], default={"name": None}
            )["name"],
            "the fastest of all; it may lie far behind the best one that the budget allows": min(
                rows, key=lambda row: row["ms"]
            )["name"],
        }
        if any(row["ms"] == most_ms for row in rows) and got == _choice(rows, most_ms - 1e-6, noise):
            hint = "a network that takes exactly most_ms is within the budget"
        elif expected is None:
            hint = "nothing is fast enough: return None"
        elif got is None:
            hint = "at least one network is within the budget"
        elif isinstance(got, dict):
            hint = "return the name, not the whole row"
        else:
            hint = next(
                (text for text, name in named.items() if name == got),
                "keep what is fast enough, find the best Dice, and take the fastest within noise of it",
            )
        given = f"most_ms={most_ms:.0f}, noise={noise}, " + ", ".join(
            f"{row['name']} {row['dice']:.3f} in {row['ms']:.0f} ms" for row in rows
        )
        raise Wrong(hint, given, got, expected)

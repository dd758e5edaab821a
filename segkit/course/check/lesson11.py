"""Checks of notebook 11, Beyond the U-Net."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.course.check.core import Case, draws, exercise, gradients, torch_generator, untouched


@exercise
def atrous_width(answer):
    ((_, rng),) = draws(1)
    for kernel, rate in ((3, 1), (3, 2), (3, 6), (5, 4), (1, 9), *rng.integers(1, 12, (8, 2)).tolist()):
        case = Case((kernel - 1) * rate + 1)
        got = case.number(answer(kernel, rate))
        without_end, one_more = (kernel - 1) * rate, (kernel - 1) * (rate + 1) + 1
        mistakes = {
            "three points have two gaps between them, not three": kernel * rate,
            "that is from the first point to the last; the last point itself is a cell too": without_end,
            "rate 1 is the ordinary kernel: its points are neighbours, one apart": one_more,
            "that is the number of points; how far apart does rate put them?": kernel,
        }
        case.compare(got, mistakes, "count the gaps between the points of a row, and how wide each is")


@exercise
def attend(answer):
    generator = torch_generator(0)
    for n, channels, inner, side in ((1, 3, 2, 4), (2, 6, 4, 5), (3, 1, 1, 3)):
        skip = torch.randn(n, channels, side, side, generator=generator)
        a, b = (torch.randn(n, inner, side, side, generator=generator) for _ in range(2))
        weigh = nn.Conv2d(inner, 1, 1).requires_grad_(False)
        weigh.weight.copy_(torch.randn(weigh.weight.shape, generator=generator))
        scores = weigh((a + b).relu())
        case = Case(skip * scores.sigmoid(), f"skip {tuple(skip.shape)}, a and b {tuple(a.shape)}")
        shapes = {
            (n, channels + 1, side, side): "the weights are not joined to skip, they multiply it",
            tuple(scores.shape): "these are the weights; the gate returns the skip connection times them",
        }
        result = untouched(answer, skip, a, b, weigh)
        got = case.array(result, "a tensor of the shape of skip", shapes, Tensor)
        linear, around_each = weigh(a + b), weigh(a.relu() + b.relu())
        competing = scores.flatten(2).softmax(2).view_as(scores)
        mistakes = {
            "a ReLU comes between a + b and weigh, or two linear steps stay one": skip * linear.sigmoid(),
            "the ReLU belongs around the sum of a and b, not around each": skip * around_each.sigmoid(),
            "the scores must become weights between 0 and 1: a sigmoid is missing": skip * scores,
            "in a softmax the places compete; a gate opens each place by itself": skip * competing,
            "a and b meet as a sum, not as a product": skip * weigh((a * b).relu()).sigmoid(),
            "the skip connection is weighed, nothing is added to it": skip + scores.sigmoid(),
        }
        case.compare(got, mistakes, "sigmoid(weigh(relu(a + b))), times skip")
        parts = [part.clone().requires_grad_() for part in (skip, a, b)]
        if any(part is None for part in gradients(answer(*parts, weigh), parts)):
            case.wrong("training must reach skip, a and b: nothing detached, no NumPy in between")


@exercise
def distillation_loss(answer):
    generator = torch_generator(0)
    bce = F.binary_cross_entropy_with_logits
    for share in (0.5, 0.0, 1.0, 0.3):
        logits = 2 * torch.randn(2, 1, 6, 6, generator=generator)
        masks = (torch.rand(2, 1, 6, 6, generator=generator) > 0.6).float()
        teacher = torch.rand(2, 1, 6, 6, generator=generator)
        logits[0, 0, 0, 0] = -120.0  # a sigmoid and a logarithm apart would make infinity of it
        probs, free = logits.sigmoid(), logits.clone().requires_grad_()

        def mixed(hard, soft, share=share):
            return ((1 - share) * hard + share * soft).item()

        hard, soft, cut = bce(logits, masks), bce(logits, teacher), bce(logits, (teacher > 0.5).float())
        case, result = Case(mixed(hard, soft)), answer(free, masks, teacher, share)
        got = case.number(result)
        of_probs, twice = mixed(bce(probs, masks), bce(probs, teacher)), bce(logits, teacher.sigmoid())
        mistakes = {
            "swapped: share is the teacher's part, 1 - share that of the masks": mixed(soft, hard),
            "the teacher was cut at 0.5: its doubt is what there is to learn": mixed(hard, cut),
            "these are logits: take binary_cross_entropy_with_logits": of_probs,
            "teacher holds probabilities already: no sigmoid for it": mixed(hard, twice),
            "that learns from the masks alone": hard.item(),
            "that learns from the teacher alone": soft.item(),
            "both parts in full: weigh the masks by 1 - share": (hard + share * soft).item(),
        }
        case.compare(got, mistakes, "two cross-entropies of the same logits, mixed", rtol=0, atol=1e-4)
        (slope,) = gradients(result, [free])
        if slope is None:
            case.wrong("return the loss as a tensor that gradients flow through, not a number", result)
        wanted = (probs - (1 - share) * masks - share * teacher) / logits.numel()
        if not torch.allclose(slope, wanted, atol=1e-6):
            case.wrong("the value is right, its gradient is not: part of the loss was cut off")


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
    settings = ((100.0, 0.02), (30.0, 0.0), (15.0, 0.02), (25.0, 0.02), (5.0, 0.02))
    cases = [(first, most_ms, noise) for most_ms, noise in settings]
    for _, rng in draws(60):
        # Sixty-fourths are exact: a Dice just `noise` behind the best is within it, however written.
        times = rng.permutation(np.arange(5, 50))
        rows = {f"net{i}": (int(rng.integers(32, 64)) / 64, float(times[i])) for i in range(6)}
        cases.append((table(**rows), float(rng.integers(10, 60)), float(rng.choice([0.0, 0.125, 0.25]))))
    for rows, most_ms, noise in cases:
        table = ", ".join(f"{row['name']} {row['dice']:.3f} in {row['ms']:.0f} ms" for row in rows)
        case = Case(_choice(rows, most_ms, noise), f"most_ms={most_ms:.0f}, noise={noise}, {table}")
        got = answer(rows, most_ms, noise)
        fast = [row for row in rows if row["ms"] <= most_ms]
        best = max(fast or rows, key=lambda row: row["dice"])["name"]
        fastest = min(rows, key=lambda row: row["ms"])["name"]
        below = got == _choice(rows, most_ms - 1e-6, noise) and most_ms in {row["ms"] for row in rows}
        mistakes = {
            "nothing is fast enough: return None": not fast,
            "a network that takes exactly most_ms is within the budget": below,
            "at least one network is within the budget": got is None,
            "return the name, not the whole row": isinstance(got, dict),
            "it is over the budget: leave out what is too slow": _choice(rows, float("inf"), noise),
            "the best Dice within the budget; but a faster one lies within the noise of it": best,
            "the fastest of all; it may lie far behind the best one that the budget allows": fastest,
        }
        case.compare(got, mistakes, "of what is fast enough take the fastest within noise of the best Dice")

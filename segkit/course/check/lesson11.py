"""Checks of notebook 11, Beyond the U-Net."""

from operator import itemgetter

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from segkit.course.check.core import cases, draws, generator, torch_generator


@cases("count the gaps between the points of a row, and how wide each is")
def atrous_width():
    for kernel, rate in [(3, 1), (3, 2), *generator().integers(1, 12, (8, 2)).tolist()]:
        width = (kernel - 1) * rate + 1
        mistakes = {
            "three points have two gaps between them, not three": kernel * rate,
            "that is from the first point to the last; the last point itself is a cell too": width - 1,
            "rate 1 is the ordinary kernel: its points are neighbours, one apart": width + kernel - 1,
            "that is the number of points; how far apart does rate put them?": kernel,
        }
        yield (kernel, rate), width, mistakes


@cases("sigmoid(weigh(relu(a + b))), times skip")
def attend():
    generator = torch_generator(0)
    for n, channels, inner, side in ((1, 3, 2, 4), (2, 6, 4, 5), (3, 1, 1, 3)):
        skip, a, b = (
            torch.randn(n, depth, side, side, generator=generator).requires_grad_()
            for depth in (channels, inner, inner)
        )
        weigh = nn.Conv2d(inner, 1, 1, bias=False).requires_grad_(False)
        weigh.weight.copy_(torch.randn(weigh.weight.shape, generator=generator))
        scores = weigh((a + b).relu())
        linear, around_each = weigh(a + b), weigh(a.relu() + b.relu())
        competing = scores.flatten(2).softmax(2).view_as(scores)
        mistakes = {
            "the weights are not joined to skip, they multiply it": torch.cat([skip, scores], dim=1),
            "these are the weights; the gate returns the skip connection times them": scores,
            "a ReLU comes between a + b and weigh, or two linear steps stay one": skip * linear.sigmoid(),
            "the ReLU belongs around the sum of a and b, not around each": skip * around_each.sigmoid(),
            "the scores must become weights between 0 and 1: a sigmoid is missing": skip * scores,
            "in a softmax the places compete; a gate opens each place by itself": skip * competing,
            "a and b meet as a sum, not as a product": skip * weigh((a * b).relu()).sigmoid(),
            "the skip connection is weighed, nothing is added to it": skip + scores.sigmoid(),
        }
        yield (skip, a, b, weigh), skip * scores.sigmoid(), mistakes


@cases("two cross-entropies of the same logits, mixed", rtol=0, atol=1e-4)
def distillation_loss():
    generator, bce = torch_generator(0), F.binary_cross_entropy_with_logits
    for share in (0.3, 0.0, 1.0, 0.5):
        logits = 2 * torch.randn(2, 1, 6, 6, generator=generator)
        masks = (torch.rand(2, 1, 6, 6, generator=generator) > 0.6).float()
        teacher = torch.rand(2, 1, 6, 6, generator=generator)
        logits[0, 0, 0, 0] = -120.0  # a sigmoid and a logarithm apart would make infinity of it
        logits.requires_grad_()
        hard, soft, cut = (bce(logits, target) for target in (masks, teacher, (teacher > 0.5).float()))
        of_probs, twice = bce(logits.sigmoid(), masks.lerp(teacher, share)), bce(logits, teacher.sigmoid())
        mistakes = {
            "swapped: share is the teacher's part, 1 - share that of the masks": soft.lerp(hard, share),
            "the teacher was cut at 0.5: its doubt is what there is to learn": hard.lerp(cut, share),
            "these are logits: take binary_cross_entropy_with_logits": of_probs,
            "teacher holds probabilities already: no sigmoid for it": hard.lerp(twice, share),
            "that learns from the masks alone": hard,
            "that learns from the teacher alone": soft,
            "both parts in full: weigh the masks by 1 - share": hard + share * soft,
        }
        yield (logits, masks, teacher, share), hard.lerp(soft, share), mistakes


def _choice(rows: list[dict], most_ms: float, noise: float) -> str | None:
    affordable = [row for row in rows if row["ms"] <= most_ms]
    if not affordable:
        return None
    best = max(row["dice"] for row in affordable)
    return min((row for row in affordable if best - row["dice"] <= noise), key=lambda row: row["ms"])["name"]


@cases("of what is fast enough take the fastest within noise of the best Dice")
def choose_network():
    for _, rng in draws(60):
        # Sixty-fourths are exact: a Dice just `noise` behind the best is within it, however written.
        scores, times = rng.integers(32, 64, 6) / 64, rng.choice(np.arange(5.0, 50.0), 6, replace=False)
        pairs = zip(scores.tolist(), times.tolist(), strict=True)
        rows = [{"name": f"net{i}", "dice": dice, "ms": ms} for i, (dice, ms) in enumerate(pairs)]
        # Often a network takes exactly as long as it may.
        most_ms = float(rng.choice([*times, *rng.integers(5, 60, 6)]))
        noise = float(rng.choice([0.0, 0.125, 0.25]))
        fast = [row for row in rows if row["ms"] <= most_ms]
        best, fastest = max(fast or rows, key=itemgetter("dice")), min(rows, key=itemgetter("ms"))
        right, strict = (_choice(rows, ms, noise) for ms in (most_ms, most_ms - 1e-6))
        mistakes = {
            "nothing is fast enough: return None": not fast,
            "a network that takes exactly most_ms is within the budget": strict or right,
            "within the budget is at least one network, and the best of these is within its own noise": None,
            "return the name, not the whole row": lambda got: isinstance(got, dict),
            "it is over the budget: leave out what is too slow": _choice(rows, float("inf"), noise),
            "the best Dice within the budget; but a faster one lies within the noise of it": best["name"],
            "the fastest of all; it may lie far behind the best one that the budget allows": fastest["name"],
        }
        table = ", ".join(f"{row['name']} {row['dice']:.3f} in {row['ms']:.0f} ms" for row in rows)
        given = f"most_ms={most_ms:.0f}, noise={noise}, {table}"
        yield (rows, most_ms, noise), right, mistakes, given

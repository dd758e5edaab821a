"""Losses: the exercises of notebook 05."""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.course.check.core import Case, cases, draws, either, exercise, torch_generator
from segkit.losses import BCEDiceLoss, BCELoss, DiceLoss, FocalLoss

MEAN = "one number, the mean"

NEAR = {"rtol": 1e-4, "atol": 1e-5}

NO_LOSS = {
    "the loss of these logits is not zero.": lambda got: got == 0,
    "log(0): from the logit x, BCE is max(x, 0) - x * y + log(1 + e^-|x|).": lambda got: not np.isfinite(got),
}


def _draw(*settings: tuple) -> Iterator[tuple]:
    """Logits whose slopes are asked for, masks (N, 1, S, S) and the settings, one case for each of these."""
    for seed, setting in enumerate(settings):
        side = 4 if seed else 2  # first pictures of four pixels, which a message shows in full
        shape, generator = (3 - seed % 2, 1, side, side), torch_generator(seed)
        logits = 2 * torch.randn(shape, generator=generator)
        masks = (torch.rand(shape, generator=generator) < 0.3).float()
        masks[..., 0, 0], masks[..., 0, 1], masks[..., 1, 0] = 1, 0, 0
        masks[0] *= seed < len(settings) - 1  # nobody in the first picture of the last case
        yield logits.requires_grad_(), masks, *setting


def _full(logit: float, label: float) -> tuple[Tensor, Tensor]:
    """Four pixels of one logit, and their masks."""
    return torch.full((1, 1, 2, 2), logit, requires_grad=True), torch.full((1, 1, 2, 2), label)


@cases("the mean over all pixels of -log(p) on person and -log(1 - p) elsewhere.", MEAN, **NEAR)
def bce_loss():
    """The mean binary cross-entropy from logits, answer(logits, targets) with (N, 1, H, W)."""
    for pair in _draw((), (), (), ()):
        yield pair, BCELoss()(*pair), NO_LOSS | _bce_mistakes(*pair)


@cases("1 - (2 * sum(p * y) + 1) / (sum(p) + sum(y) + 1) for each picture, then the mean.", MEAN, **NEAR)
def dice_loss():
    """The Dice loss from logits, answer(logits, targets) with (N, 1, H, W), smooth 1, a mean over images."""
    for pair in _draw((), (), (), ()):
        yield pair, DiceLoss()(*pair), NO_LOSS | _dice_mistakes(*pair)


def _dice_mistakes(logits: Tensor, targets: Tensor) -> dict:
    def loss(p: Tensor, twice: float = 2, smooth: float = 1.0, pixels=(1, 2, 3)) -> Tensor:
        top = twice * (p * targets).sum(pixels) + smooth
        return 1 - (top / (p.sum(pixels) + targets.sum(pixels) + smooth)).mean()

    p = logits.sigmoid()
    both, union = (p * targets).sum((1, 2, 3)), (p + targets - p * targets).sum((1, 2, 3))
    of_iou = 1 - ((both + 1) / (union + 1)).mean()
    return {
        "these are logits: sigmoid turns them into probabilities first.": loss(logits),
        "sigmoid twice: once is enough.": loss(p.sigmoid()),
        "this is the Dice score, which should grow. The loss is 1 minus it.": 1 - loss(p),
        "the 2 in front of the overlap is missing.": loss(p, twice=1),
        "smooth is missing: add 1 above and 1 below, or an empty picture divides by zero.": loss(p, smooth=0),
        "all pictures are counted as one: sum over the pixels of each.": loss(p, pixels=(0, 1, 2, 3)),
        "the mask was cut at 0.5 first: a step has no slope.": loss((logits > 0).float()),
        "this is the IoU loss: not their union, the sum of both areas stands below.": of_iou,
    }


@cases("multiply BCE by alpha, Dice by 1 - alpha, and add them.", MEAN, **NEAR)
def mixed_loss():
    """alpha * BCE + (1 - alpha) * Dice from logits, answer(logits, targets, alpha)."""
    for logits, targets, alpha in _draw((0.25,), (0.8,), (0.5,), (1.0,), (0.0,)):
        bce, dice = BCELoss()(logits, targets), DiceLoss()(logits, targets)
        mistakes = {
            "alpha and 1 - alpha are swapped: alpha is the share of BCE.": (1 - alpha) * bce + alpha * dice,
            "both parts have the weight alpha: Dice gets what is left, 1 - alpha.": alpha * (bce + dice),
            "Dice has its full weight: it gets 1 - alpha of it.": alpha * bce + dice,
            "this is BCE plus Dice: alpha does nothing yet.": bce + dice,
            "this is BCE alone: alpha does nothing yet.": bce,
            "this is Dice alone: alpha does nothing yet.": dice,
        }
        yield (logits, targets, alpha), BCEDiceLoss(alpha)(logits, targets), NO_LOSS | mistakes


@cases("for small logits, the mean of -log(p) on person and -log(1 - p) elsewhere.", MEAN, **NEAR)
def stable_bce():
    """BCE from logits, answer(logits, targets), that survives logits of +-10,000."""
    capped = "the charge is capped, as by a clamp or a small number in the log. Worse must cost more."
    for pair in _draw((), (), (), ()):
        yield pair, BCELoss()(*pair), NO_LOSS | _bce_mistakes(*pair)
    for extreme in ((1e4, 0.0), (-1e4, 1.0), (1e4, 1.0), (-1e4, 0.0), (-60.0, 1.0), (60.0, 0.0)):
        pair = _full(*extreme)
        yield pair, BCELoss()(*pair), NO_LOSS | {capped: True}


def _bce_mistakes(logits: Tensor, targets: Tensor) -> dict:
    p, bce = logits.sigmoid(), F.binary_cross_entropy_with_logits
    right = bce(logits, targets, reduction="none")
    of_person, halves = targets * right, (right[targets > 0].mean() + right[targets == 0].mean()) / 2
    per_person = of_person.sum() / targets.sum().clamp(min=1)
    return {
        "this is the sum over the pixels: take the mean.": right.sum(),
        "the sign is turned: a loss is never below zero, and log(p) is.": -right.mean(),
        "sigmoid twice: the function you call takes the logit itself.": bce(p, targets),
        "only person pixels are charged: background has -log(1 - p).": either(of_person.mean(), per_person),
        "person and background are swapped: -log(p) where the target is 1.": bce(logits, 1 - targets),
        "this logarithm has another base: torch.log is the natural one.": right.mean() / math.log(2),
        "the two halves are averaged apart, so person pixels weigh more.": halves,
    }


@exercise
def balancing_weight(answer) -> None:
    """The weight of a person pixel with which both sides pull alike at p = 0.5, answer(mask) with (H, W)."""
    for seed, rng in draws(4):
        mask = np.float32(rng.random((4 + seed, 4 + 2 * seed)) < 0.15 + 0.12 * seed)
        mask *= seed > 0  # once a single person pixel
        mask[2, 3], mask[0, 0] = 1, 0
        person, pixels = int(mask.sum()), mask.size
        rest = pixels - person
        case = Case(rest / person)
        got = case.number(answer(torch.from_numpy(mask)))
        mistakes = {
            "upside down: the few get the larger weight.": person / rest,
            "this counts all pixels, not the background ones.": pixels / person,
            "this is the share of person, not a weight.": person / pixels,
            "this is the share of background, not a weight.": rest / pixels,
        }
        otherwise = "at p = 0.5 every pixel pulls with the same force: count them, background over person."
        case.compare(got, mistakes, otherwise, rtol=1e-4, atol=1e-5)
    case = Case("a finite number, 0 or more")
    got = case.number(answer(torch.zeros(4, 4)))
    if not math.isfinite(got):
        case.wrong("without a person this divides by zero: divide by max(1, ...).", got)
    if got < 0:
        case.wrong("a weight is not negative: it would reward misses.", got)


@cases("p_true is p on person, 1 - p elsewhere: the mean of (1 - p_true)^gamma * BCE.", MEAN, **NEAR)
def focal_loss():
    """The focal loss, answer(logits, targets, gamma): the mean of (1 - p_true)^gamma * BCE."""
    for logits, targets, gamma in _draw((2.0,), (1.0,), (3.0,), (0.0,), (2.0,)):
        p = logits.sigmoid()
        right = torch.where(targets > 0, p, 1 - p)
        bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        outside = ((1 - right) ** gamma).mean() * bce.mean()
        mistakes = {
            "the factor turns down what is wrong, not what is right.": (right**gamma * bce).mean(),
            "p_true is p on person pixels alone, 1 - p on background.": ((1 - p) ** gamma * bce).mean(),
            "gamma is an exponent, not a factor.": (gamma * (1 - right) * bce).mean(),
            "the factor is outside of the mean: each pixel needs its own.": outside,
            "this is BCE: gamma does nothing yet.": bce.mean(),
            "this is the sum: take the mean.": ((1 - right) ** gamma * bce).sum(),
        }
        yield (logits, targets, gamma), FocalLoss(gamma)(logits, targets), NO_LOSS | mistakes
    for extreme in ((120.0, 0.0), (-120.0, 1.0)):
        pair = _full(*extreme)
        yield (*pair, 2.0), FocalLoss(2.0)(*pair), NO_LOSS | {"take each BCE from the logit.": True}

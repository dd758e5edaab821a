"""Losses: the exercises of notebook 05."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.check.core import Wrong, exercise, from_start
from segkit.losses import BCELoss, DiceLoss, FocalLoss


def draw_logits(seed: int, images: int = 2, side: int = 4, share: float = 0.3) -> tuple[Tensor, Tensor]:
    """Random logits and masks, with a person in every picture: two of (N, 1, S, S)."""
    generator = torch.Generator().manual_seed(from_start(seed))
    logits = 2 * torch.randn(images, 1, side, side, generator=generator)
    masks = (torch.rand(images, 1, side, side, generator=generator) < share).float()
    masks[:, :, 0, 0] = 1
    return logits, masks


def as_number(value, given) -> float:
    """One number out of what a loss returned.   Raises: Wrong."""
    if isinstance(value, bool) or not isinstance(value, int | float | Tensor):
        raise Wrong(
            "a loss is one number, here a tensor with a single element.",
            given,
            type(value).__name__,
            "one number",
        )
    value = torch.as_tensor(value, dtype=torch.float64)
    if value.numel() != 1:
        raise Wrong(
            f"this is {value.numel()} numbers. A loss is one: take the mean.", given, value, "one number"
        )
    return value.item()


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5)


def name_mistake(got: float, expected: float, mistakes: dict[str, float], given, otherwise: str) -> None:
    """Raise Wrong for a wrong number, with the hint of the mistake that gives this very number."""
    if close(got, expected):
        return
    for hint, value in mistakes.items():
        if close(got, float(value)):
            raise Wrong(hint, given, got, expected)
    raise Wrong(otherwise, given, got, expected)


@exercise
def mixed_loss(answer) -> None:
    """alpha * BCE + (1 - alpha) * Dice from their two values, answer(bce, dice, alpha)."""
    for bce, dice, alpha in ((0.2, 0.6, 0.25), (1.3, 0.4, 0.8), (0.7, 0.9, 1.0), (0.7, 0.9, 0.0)):
        given = f"bce={bce}, dice={dice}, alpha={alpha}"
        name_mistake(
            as_number(answer(bce, dice, alpha), given),
            alpha * bce + (1 - alpha) * dice,
            {
                "alpha and 1 - alpha are swapped: alpha is the share of BCE.": (1 - alpha) * bce
                + alpha * dice,
                "both parts have the weight alpha: Dice gets what is left, 1 - alpha.": alpha * (bce + dice),
                "Dice has its full weight: it gets 1 - alpha of it.": alpha * bce + dice,
                "this is BCE plus Dice: alpha does nothing yet.": bce + dice,
            },
            given,
            "multiply BCE by alpha, Dice by 1 - alpha, and add them.",
        )


@exercise
def dice_loss(answer) -> None:
    """The Dice loss from logits, answer(logits, targets) with (N, 1, H, W), smooth 1, a mean over images."""
    for seed in range(4):
        logits, targets = draw_logits(seed, images=1 if seed == 0 else 3)
        if seed == 3:
            targets[0] = 0
        leaf = logits.clone().requires_grad_()
        value = answer(leaf, targets)
        given = f"logits and targets {tuple(logits.shape)}"
        got, expected = as_number(value, given), DiceLoss()(logits, targets).item()
        name_mistake(
            got, expected, _dice_mistakes(logits, targets), given, "1 - (2 * sum(p * y) + 1) / (...)."
        )
        if not isinstance(value, Tensor) or not value.requires_grad:
            raise Wrong(
                "the value is right, but no gradient flows: stay with tensors, no .item(), no threshold.",
                given,
                "a value without gradient",
                "a tensor that knows its gradient",
            )


def _dice_mistakes(logits: Tensor, targets: Tensor) -> dict[str, float]:
    def dice(p: Tensor, twice: float = 2, smooth: float = 1.0, pixels=(1, 2, 3)) -> Tensor:
        top = twice * (p * targets).sum(pixels) + smooth
        return (top / (p.sum(pixels) + targets.sum(pixels) + smooth)).mean()

    p = logits.sigmoid()
    union = (p + targets - p * targets).sum((1, 2, 3))
    return {
        "these are logits: sigmoid turns them into probabilities first.": 1 - dice(logits),
        "sigmoid twice: once is enough.": 1 - dice(p.sigmoid()),
        "this is the Dice score, which should grow. The loss is 1 minus it.": dice(p),
        "the 2 in front of the overlap is missing.": 1 - dice(p, twice=1),
        "smooth is missing: add 1 above and 1 below, or an empty picture divides by zero.": 1
        - dice(p, smooth=0),
        "all pictures are counted as one: sum over the pixels of each, then take the mean.": 1
        - dice(p, pixels=(0, 1, 2, 3)),
        "the mask was cut at 0.5 first: a step has no slope. Use the probabilities.": 1
        - dice((logits > 0).float()),
        "this is the IoU loss: below stands the sum of both areas, not their union.": 1
        - (((p * targets).sum((1, 2, 3)) + 1) / (union + 1)).mean(),
    }


@exercise
def stable_bce(answer) -> None:
    """BCE from logits, answer(logits, targets), that survives logits of +-10,000."""
    for seed in range(3):
        logits, targets = draw_logits(seed)
        given = (
            f"logits and targets {tuple(logits.shape)}, logits from {logits.min():.1f} to {logits.max():.1f}"
        )
        mistakes = _bce_mistakes(logits, targets)
        name_mistake(
            as_number(answer(logits, targets), given),
            BCELoss()(logits, targets).item(),
            mistakes,
            given,
            "for small logits it must be the mean of -log(p) on person and -log(1 - p) elsewhere.",
        )
    for logit, label in ((1e4, 0.0), (-1e4, 1.0), (1e4, 1.0), (-1e4, 0.0), (-60.0, 1.0), (60.0, 0.0)):
        leaf = torch.full((1, 1, 2, 2), logit, requires_grad=True)
        targets = torch.full((1, 1, 2, 2), label)
        given = f"logits all {logit:g}, targets all {label:g}"
        expected = abs(logit) if (logit > 0) != (label > 0) else 0.0
        value = answer(leaf, targets)
        got = as_number(value, given)
        if not math.isfinite(got):
            raise Wrong(
                "log(0) is minus infinity. Work with the logit x: max(x, 0) - x * y + log(1 + e^-|x|).",
                given,
                got,
                expected,
            )
        if not math.isclose(got, expected, rel_tol=1e-3, abs_tol=1e-3):
            raise Wrong(
                "the charge is capped, as by a clamp or a small number in the log. Worse must cost more.",
                given,
                got,
                expected,
            )
        if not isinstance(value, Tensor) or not value.requires_grad:
            raise Wrong("no gradient flows: stay with tensors, no .item().", given, got, "a tensor")
        (slope,) = torch.autograd.grad(value, leaf)
        steepness, wanted = slope.sum().item(), (logit > 0) - label
        if not math.isclose(steepness, wanted, abs_tol=1e-3):
            raise Wrong(
                "the value is right but its slope is not: training follows the slope, p - y.",
                given,
                f"slope {steepness:.4g}",
                f"slope {wanted:.4g}",
            )


def _bce_mistakes(logits: Tensor, targets: Tensor) -> dict[str, float]:
    p = logits.sigmoid()
    right = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return {
        "this is the sum over the pixels: take the mean.": right.sum(),
        "the sign is turned: a loss is never below zero, and log(p) is.": -right.mean(),
        "sigmoid twice: the function you call takes the logit itself.": F.binary_cross_entropy_with_logits(
            p, targets
        ),
        "only the person pixels are charged: background needs -log(1 - p).": -(targets * p.log()).mean(),
        "person and background are swapped: -log(p) where the target is 1.": F.binary_cross_entropy(
            p, 1 - targets
        ),
        "this logarithm has another base: torch.log is the natural one.": right.mean() / math.log(2),
    }


@exercise
def balancing_weight(answer) -> None:
    """The weight of a person pixel with which both sides pull alike at p = 0.5, answer(mask) with (H, W)."""
    for seed in range(4):
        generator = torch.Generator().manual_seed(from_start(seed))
        mask = (torch.rand(8 + seed, 10, generator=generator) < 0.05 + 0.12 * seed).float()
        mask[2, 3] = 1
        person, pixels = mask.sum().item(), mask.numel()
        rest = pixels - person
        given = f"a mask with {person:.0f} person pixels of {pixels}"
        name_mistake(
            as_number(answer(mask), given),
            rest / person,
            {
                "upside down: the few get the larger weight.": person / rest,
                "this counts all pixels, not the background ones.": pixels / person,
                "this is the share of person, not a weight.": person / pixels,
                "this is the share of background, not a weight.": rest / pixels,
            },
            given,
            "at p = 0.5 every pixel pulls with the same force, so count them: background over person.",
        )
    got = as_number(answer(torch.zeros(4, 4)), "a mask with nobody in it")
    if not math.isfinite(got):
        raise Wrong(
            "without a person this divides by zero: divide by max(1, ...).",
            "a mask with nobody in it",
            got,
            "a finite number",
        )


@exercise
def focal_loss(answer) -> None:
    """The focal loss, answer(logits, targets, gamma): the mean of (1 - p_true)^gamma * BCE."""
    for seed, gamma in enumerate((0.0, 1.0, 2.0, 3.0)):
        logits, targets = draw_logits(seed)
        p = logits.sigmoid()
        right = torch.where(targets > 0, p, 1 - p)
        bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        given = f"logits and targets {tuple(logits.shape)}, gamma={gamma:g}"
        name_mistake(
            as_number(answer(logits, targets, gamma), given),
            FocalLoss(gamma)(logits, targets).item(),
            {
                "the factor turns down what is wrong. It must turn down what is right: (1 - p_true)^gamma.": (
                    right**gamma * bce
                ).mean(),
                "1 - p is right for person pixels alone. On background p_true is 1 - p.": (
                    (1 - p) ** gamma * bce
                ).mean(),
                "gamma is an exponent, not a factor.": (gamma * (1 - right) * bce).mean(),
                "the factor is outside of the mean: each pixel needs its own.": (
                    ((1 - right) ** gamma).mean() * bce.mean()
                ),
                "this is BCE: gamma does nothing yet.": bce.mean(),
                "this is the sum: take the mean.": ((1 - right) ** gamma * bce).sum(),
            },
            given,
            "p_true is p on person, 1 - p elsewhere. Each pixel's BCE is multiplied by (1 - p_true)^gamma.",
        )

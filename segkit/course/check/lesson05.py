"""Losses: the exercises of notebook 05."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.course.check.core import Wrong, as_number, exercise, from_start
from segkit.losses import BCEDiceLoss, BCELoss, DiceLoss, FocalLoss


def draw_logits(seed: int, images: int = 2, side: int = 4, share: float = 0.3) -> tuple[Tensor, Tensor]:
    """Random logits and masks, with a person in every picture: two of (N, 1, S, S)."""
    generator = torch.Generator().manual_seed(from_start(seed))
    logits = 2 * torch.randn(images, 1, side, side, generator=generator)
    masks = (torch.rand(images, 1, side, side, generator=generator) < share).float()
    masks[:, :, 0, 0] = 1
    masks[:, :, 0, 1] = 0
    return logits, masks


def cases(count: int = 4) -> list[tuple[Tensor, Tensor]]:
    """Logits and masks to try an answer on: first a picture of four pixels, which a message shows in full."""
    drawn = [draw_logits(0, images=1, side=2)]
    drawn += [draw_logits(seed, images=1 + seed % 3) for seed in range(1, count)]
    drawn[-1][1][0] = 0  # nobody in the first picture of the last case
    return drawn


def loss_number(value) -> float:
    """The one number that a loss returned.   Raises: Wrong."""
    number = as_number(value)
    if number is None:
        many = isinstance(value, Tensor) and value.numel() > 1
        hint = f"this is {value.numel()} numbers. A loss is one: take the mean." if many else (
            "a loss is one number, here a tensor with a single element."
        )  # fmt: skip
        raise Wrong(hint, got="None" if value is None else value, expected="one number")
    return number


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5)


def name_mistake(got: float, expected: float, mistakes: dict[str, float], otherwise: str) -> None:
    """Raise Wrong for a wrong number, with the hint of the only mistake that gives this very number."""
    if close(got, expected):
        return
    if got == 0:
        raise Wrong("the loss of these logits is not zero.", got=got, expected=expected)
    fitting = [hint for hint, value in mistakes.items() if close(got, float(value))]
    raise Wrong(fitting[0] if fitting else otherwise, got=got, expected=expected)


def slope_of(value, leaf: Tensor) -> Tensor:
    """The gradient that flows from a loss back into its logits.   Raises: Wrong when none does."""
    slope = None
    if isinstance(value, Tensor) and value.requires_grad:
        (slope,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    if slope is None:
        raise Wrong(
            "the value is right, but no gradient flows: stay with tensors, no .item(), no detach, no numpy.",
            got="a value without gradient",
            expected="a tensor that knows its gradient",
        )
    return slope


def same_slope(value, leaf: Tensor, right: Tensor) -> None:
    """The answer must pull on every logit as the right loss does.   Raises: Wrong."""
    (wanted,) = torch.autograd.grad(right, leaf)
    got = slope_of(value, leaf)
    if not torch.allclose(got, wanted, rtol=1e-3, atol=1e-3 * max(wanted.abs().max().item(), 1e-6)):
        raise Wrong(
            "the value is right, its slope is not: some part is detached, rounded, cut or clamped, and "
            "training follows the slope.",
            got=got,
            expected=wanted,
        )


@exercise
def bce_loss(answer) -> None:
    """The mean binary cross-entropy from logits, answer(logits, targets) with (N, 1, H, W)."""
    for logits, targets in cases():
        leaf = logits.clone().requires_grad_()
        value, right = answer(leaf, targets.clone()), BCELoss()(leaf, targets)
        name_mistake(
            loss_number(value),
            right.item(),
            _bce_mistakes(logits, targets),
            "the mean over all pixels of -log(p) on person and -log(1 - p) elsewhere.",
        )
        same_slope(value, leaf, right)


@exercise
def dice_loss(answer) -> None:
    """The Dice loss from logits, answer(logits, targets) with (N, 1, H, W), smooth 1, a mean over images."""
    for logits, targets in cases():
        leaf = logits.clone().requires_grad_()
        value, right = answer(leaf, targets.clone()), DiceLoss()(leaf, targets)
        name_mistake(
            loss_number(value),
            right.item(),
            _dice_mistakes(logits, targets),
            "1 - (2 * sum(p * y) + 1) / (sum(p) + sum(y) + 1) for each picture, then the mean.",
        )
        same_slope(value, leaf, right)


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
def mixed_loss(answer) -> None:
    """alpha * BCE + (1 - alpha) * Dice from logits, answer(logits, targets, alpha)."""
    for (logits, targets), alpha in zip(cases(5), (0.25, 0.8, 0.5, 1.0, 0.0), strict=True):
        leaf = logits.clone().requires_grad_()
        value, right = answer(leaf, targets.clone(), alpha), BCEDiceLoss(alpha)(leaf, targets)
        bce, dice = BCELoss()(logits, targets), DiceLoss()(logits, targets)
        name_mistake(
            loss_number(value),
            right.item(),
            {
                "alpha and 1 - alpha are swapped: alpha is the share of BCE.": (1 - alpha) * bce
                + alpha * dice,
                "both parts have the weight alpha: Dice gets what is left, 1 - alpha.": alpha * (bce + dice),
                "Dice has its full weight: it gets 1 - alpha of it.": alpha * bce + dice,
                "this is BCE plus Dice: alpha does nothing yet.": bce + dice,
                "this is BCE alone: alpha does nothing yet.": bce,
                "this is Dice alone: alpha does nothing yet.": dice,
            },
            "multiply BCE by alpha, Dice by 1 - alpha, and add them.",
        )
        same_slope(value, leaf, right)


@exercise
def stable_bce(answer) -> None:
    """BCE from logits, answer(logits, targets), that survives logits of +-10,000."""
    for logits, targets in cases():
        name_mistake(
            loss_number(answer(logits.clone(), targets.clone())),
            BCELoss()(logits, targets).item(),
            _bce_mistakes(logits, targets),
            "for small logits it must be the mean of -log(p) on person and -log(1 - p) elsewhere.",
        )
    for logit, label in ((1e4, 0.0), (-1e4, 1.0), (1e4, 1.0), (-1e4, 0.0), (-60.0, 1.0), (60.0, 0.0)):
        leaf = torch.full((1, 1, 2, 2), logit, requires_grad=True)
        targets = torch.full((1, 1, 2, 2), label)
        expected = abs(logit) if (logit > 0) != (label > 0) else 0.0
        value = answer(leaf, targets.clone())
        got = loss_number(value)
        if not math.isfinite(got):
            raise Wrong(
                "log(0) is minus infinity. Work with the logit x: max(x, 0) - x * y + log(1 + e^-|x|).",
                got=got,
                expected=expected,
            )
        if not math.isclose(got, expected, rel_tol=1e-3, abs_tol=1e-3):
            raise Wrong(
                "the charge is capped, as by a clamp or a small number in the log. Worse must cost more.",
                got=got,
                expected=expected,
            )
        steepness, wanted = slope_of(value, leaf).sum().item(), (logit > 0) - label
        if not math.isclose(steepness, wanted, abs_tol=1e-3):
            raise Wrong(
                "the value is right but its slope is not: training follows the slope, p - y.",
                got=f"slope {steepness:.4g}",
                expected=f"slope {wanted:.4g}",
            )


def _bce_mistakes(logits: Tensor, targets: Tensor) -> dict[str, float]:
    p = logits.sigmoid()
    right = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    person = -(targets * F.logsigmoid(logits))
    return {
        "this is the sum over the pixels: take the mean.": right.sum(),
        "the sign is turned: a loss is never below zero, and log(p) is.": -right.mean(),
        "sigmoid twice: the function you call takes the logit itself.": F.binary_cross_entropy_with_logits(
            p, targets
        ),
        "only the person pixels are charged: background needs -log(1 - p).": person.mean(),
        "only the person pixels are charged: background needs -log(1 - p), too.": person.sum()
        / targets.sum().clamp(min=1),
        "person and background are swapped: -log(p) where the target is 1.": F.binary_cross_entropy(
            p, 1 - targets
        ),
        "this logarithm has another base: torch.log is the natural one.": right.mean() / math.log(2),
        "the two halves are averaged apart, so person pixels weigh more: one mean over all pixels.": (
            right[targets > 0].mean() + right[targets == 0].mean()
        )
        / 2,
    }


@exercise
def balancing_weight(answer) -> None:
    """The weight of a person pixel with which both sides pull alike at p = 0.5, answer(mask) with (H, W)."""
    for seed in range(4):
        generator = torch.Generator().manual_seed(from_start(seed))
        mask = (torch.rand(4 + seed, 4 + 2 * seed, generator=generator) < 0.15 + 0.12 * seed).float()
        mask *= seed > 0  # once a single person pixel
        mask[2, 3] = 1
        mask[0, 0] = 0
        person, pixels = mask.sum().item(), mask.numel()
        rest = pixels - person
        name_mistake(
            loss_number(answer(mask.clone())),
            rest / person,
            {
                "upside down: the few get the larger weight.": person / rest,
                "this counts all pixels, not the background ones.": pixels / person,
                "this is the share of person, not a weight.": person / pixels,
                "this is the share of background, not a weight.": rest / pixels,
            },
            "at p = 0.5 every pixel pulls with the same force, so count them: background over person.",
        )
    got = loss_number(answer(torch.zeros(4, 4)))
    if not math.isfinite(got):
        raise Wrong(
            "without a person this divides by zero: divide by max(1, ...).",
            got=got,
            expected="a finite number",
        )
    if got < 0:
        raise Wrong("a weight is not negative: it would reward misses.", got=got, expected="0 or more")


@exercise
def focal_loss(answer) -> None:
    """The focal loss, answer(logits, targets, gamma): the mean of (1 - p_true)^gamma * BCE."""
    for (logits, targets), gamma in zip(cases(5), (2.0, 1.0, 3.0, 0.0, 2.0), strict=True):
        leaf = logits.clone().requires_grad_()
        p = logits.sigmoid()
        right = torch.where(targets > 0, p, 1 - p)
        bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        value, ours = answer(leaf, targets.clone(), gamma), FocalLoss(gamma)(leaf, targets)
        name_mistake(
            loss_number(value),
            ours.item(),
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
            "p_true is p on person, 1 - p elsewhere. Each pixel's BCE is multiplied by (1 - p_true)^gamma.",
        )
        same_slope(value, leaf, ours)
    for logit, label in ((120.0, 0.0), (-120.0, 1.0)):
        leaf = torch.full((1, 1, 2, 2), logit, requires_grad=True)
        value = answer(leaf, torch.full((1, 1, 2, 2), label), 2.0)
        got = loss_number(value)
        if not math.isclose(got, 120, rel_tol=1e-3):
            raise Wrong(
                "the logarithm of 0 again: take each pixel's BCE from the logit.", got=got, expected=120.0
            )
        if not math.isclose(slope_of(value, leaf).abs().sum().item(), 1, abs_tol=1e-2):
            raise Wrong("the value is right, its slope is not: training follows the slope.")

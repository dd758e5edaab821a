"""Right and common wrong answers to the exercises of notebook 05; test_answers.py asks the checks."""

import torch
import torch.nn.functional as F

from segkit.losses import BCEDiceLoss, BCELoss, DiceLoss


def stable(x, y):
    return (x.clamp(min=0) - x * y + torch.log1p(torch.exp(-x.abs()))).mean()


def focal(logits, targets, gamma):
    return (sure(-logits, targets) ** gamma * bce(logits, targets)).mean()


def weight(mask):
    return (mask == 0).sum() / (mask == 1).sum().clamp(min=1)


def log_of_p(x, y):
    p = x.sigmoid()
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def one_by_one(x, y):
    """The Dice loss with a loop over the pictures."""
    losses = []
    for logits, target in zip(x, y, strict=True):
        p = 1 / (1 + torch.exp(-logits))
        losses.append(1 - (2 * torch.sum(p * target) + 1) / (p.sum() + target.sum() + 1))
    return sum(losses) / len(losses)


def naive_focal(x, y, gamma):
    return (-((1 - sure(x, y)) ** gamma) * sure(x, y).log()).mean()


def picked(x, y, gamma):
    """Focal loss by picking the two kinds of pixels."""
    charged = -F.logsigmoid(torch.where(y > 0, x, -x))
    return torch.mean((1 - torch.exp(-charged)) ** gamma * charged)


RIGHT = {
    "bce_loss": [
        lambda x, y: F.binary_cross_entropy(x.sigmoid(), y),
        lambda x, y: -torch.where(y == 1, x.sigmoid(), 1 - x.sigmoid()).log().mean(),
    ],
    "dice_loss": [DiceLoss(), one_by_one],
    "mixed_loss": [
        lambda x, y, alpha: BCEDiceLoss(alpha)(x, y),
        lambda x, y, alpha: DiceLoss()(x, y) + alpha * (BCELoss()(x, y) - DiceLoss()(x, y)),
    ],
    "stable_bce": [lambda x, y: F.softplus(torch.where(y > 0, -x, x)).mean(), stable],
    "balancing_weight": [weight, lambda mask: (mask.numel() - mask.sum().item()) / max(1, mask.sum().item())],
    "focal_loss": [focal, picked],
}


def sure(x, y):
    """The probability given to the true label."""
    return torch.where(y > 0, x, -x).sigmoid()


def bce(x, y):
    return F.binary_cross_entropy_with_logits(x, y, reduction="none")


WRONG = {
    "bce_loss": [
        (lambda x, y: -(y * F.logsigmoid(x)).mean(), "only person pixels"),
        (lambda x, y: -F.logsigmoid(x)[y > 0].mean(), "only person pixels"),
        (lambda x, y: log_of_p(x, y).item(), "no gradient flows"),
        (lambda x, y: log_of_p(x.detach(), y) + 0 * x.sum(), "its slope is not"),
        (lambda x, y: x.sum() * 0, "not zero"),
    ],
    "mixed_loss": [
        (lambda x, y, alpha: bce(x, y).mean() * DiceLoss()(x, y), "add them"),
    ],
    "dice_loss": [
        (lambda x, y: x.sum() * 0 - 7, "2 * sum"),
    ],
    "stable_bce": [
        (log_of_p, "log(0)"),
        (lambda x, y: F.binary_cross_entropy(x.sigmoid(), y), "capped"),
        (lambda x, y: -(y * F.logsigmoid(x)).mean(), "only person pixels"),
        (lambda x, y: stable(x.clamp(-20, 20), y), "capped"),
        (lambda x, y: stable(x.detach(), y) + 0 * x.sum(), "slope"),
        (lambda x, y: x.mean(), "small logits"),
    ],
    "balancing_weight": [
        (lambda mask: (1 - mask).sum().item() / max(2, mask.sum().item()), "count them"),
        (lambda mask: mask.sum() / (1 - mask).sum(), "upside down"),
        (lambda mask: mask.numel() / mask.sum(), "counts all pixels"),
        (lambda mask: mask.mean(), "share of person"),
        (lambda mask: 1 - mask.mean(), "share of background"),
        (lambda mask: (1 - mask).sum() / mask.sum(), "max(1, ...)"),
        (lambda mask: weight(mask) if mask.any() else -5, "not negative"),
        (lambda mask: (1 - mask).sum().item() / mask.sum().item(), "ZeroDivisionError"),
    ],
    "focal_loss": [
        (lambda x, y, gamma: BCEDiceLoss()(x, y), "p_true is p on person"),
        (lambda x, y, gamma: x.sum() * 0, "not zero"),
        (naive_focal, "log(0)"),
    ],
}

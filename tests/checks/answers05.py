"""Right and common wrong answers to the exercises of notebook 05; test_answers.py asks the checks."""

import math

import torch
import torch.nn.functional as F

from segkit.losses import BCEDiceLoss, BCELoss, DiceLoss, FocalLoss


def by_hand(logits, targets, twice=2, smooth=1.0, pixels=(1, 2, 3)):
    p = logits.sigmoid()
    top = twice * (p * targets).sum(pixels) + smooth
    return (1 - top / (p.sum(pixels) + targets.sum(pixels) + smooth)).mean()


def stable(x, y):
    return (x.clamp(min=0) - x * y + torch.log1p(torch.exp(-x.abs()))).mean()


def focal(logits, targets, gamma):
    bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = logits.sigmoid()
    return ((1 - torch.where(targets > 0, p, 1 - p)) ** gamma * bce).mean()


def weight(mask):
    return (mask == 0).sum() / (mask == 1).sum().clamp(min=1)


def with_a_factor(x, y, gamma):
    return (max(gamma, 1) * sure(-x, y) ** min(gamma, 1) * bce(x, y)).mean()


RIGHT = [
    ("mixed_loss", lambda bce, dice, alpha: alpha * bce + (1 - alpha) * dice),
    ("dice_loss", by_hand),
    ("dice_loss", DiceLoss()),
    ("stable_bce", F.binary_cross_entropy_with_logits),
    ("stable_bce", lambda x, y: F.softplus(torch.where(y > 0, -x, x)).mean()),
    ("stable_bce", stable),
    ("balancing_weight", weight),
    ("balancing_weight", lambda mask: (mask.numel() - mask.sum().item()) / max(1, mask.sum().item())),
    ("focal_loss", focal),
    ("focal_loss", lambda logits, targets, gamma: FocalLoss(gamma)(logits, targets)),
]


def log_of_p(x, y):
    p = x.sigmoid()
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


WRONG = {
    "mixed_loss": [
        (lambda bce, dice, alpha: (1 - alpha) * bce + alpha * dice, "swapped"),
        (lambda bce, dice, alpha: alpha * (bce + dice), "both parts"),
        (lambda bce, dice, alpha: alpha * bce + dice, "full weight"),
        (lambda bce, dice, alpha: bce + dice, "alpha does nothing"),
        (lambda bce, dice, alpha: bce * dice, "add them"),
        (lambda bce, dice, alpha: "0.7", "one number"),
    ],
    "dice_loss": [
        (lambda x, y: 1 - (2 * (x * y).sum() + 1) / (x.sum() + y.sum() + 1), "sigmoid turns them"),
        (lambda x, y: by_hand(x.sigmoid(), y), "sigmoid twice"),
        (lambda x, y: 1 - by_hand(x, y), "1 minus it"),
        (lambda x, y: by_hand(x, y, twice=1), "the 2 in front"),
        (lambda x, y: by_hand(x, y, smooth=0), "smooth is missing"),
        (lambda x, y: by_hand(x, y, pixels=(0, 1, 2, 3)), "all pictures are counted as one"),
        (lambda x, y: by_hand(torch.where(x > 0, 100.0, -100.0), y), "a step has no slope"),
        (
            lambda x, y: 1 - (((x.sigmoid() * y).sum((1, 2, 3)) + 1) / (union(x, y) + 1)).mean(),
            "the IoU loss",
        ),
        (lambda x, y: by_hand(x, y).item(), "no gradient flows"),
        (lambda x, y: by_hand(x, y, pixels=(2, 3))[None].expand(5), "5 numbers"),
        (lambda x, y: x.sum() * 0 - 7, "2 * sum"),
    ],
    "stable_bce": [
        (log_of_p, "log(0)"),
        (lambda x, y: F.binary_cross_entropy(x.sigmoid(), y), "capped"),
        (lambda x, y: F.binary_cross_entropy(x.sigmoid().clamp(1e-7, 1 - 1e-7), y), "capped"),
        (lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="sum"), "sum over the pixels"),
        (lambda x, y: -stable(x, y), "sign is turned"),
        (lambda x, y: stable(x.sigmoid(), y), "sigmoid twice"),
        (lambda x, y: -(y * F.logsigmoid(x)).mean(), "only the person pixels"),
        (lambda x, y: stable(x, 1 - y), "swapped"),
        (lambda x, y: stable(x, y) / math.log(2), "another base"),
        (lambda x, y: stable(x, y).item(), "no gradient flows"),
        (lambda x, y: stable(x.clamp(-20, 20), y), "capped"),
        (lambda x, y: stable(x.detach(), y) + 0 * x.sum(), "slope"),
        (lambda x, y: x.mean(), "small logits"),
    ],
    "balancing_weight": [
        (lambda mask: mask.sum() / (1 - mask).sum(), "upside down"),
        (lambda mask: mask.numel() / mask.sum(), "counts all pixels"),
        (lambda mask: mask.mean(), "share of person"),
        (lambda mask: 1 - mask.mean(), "share of background"),
        (lambda mask: (1 - mask).sum() / mask.sum(), "max(1, ...)"),
        (lambda mask: 10, "count them"),
        (lambda mask: (1 - mask).sum().item() / mask.sum().item(), "ZeroDivisionError"),
    ],
    "focal_loss": [
        (lambda x, y, gamma: (sure(x, y) ** gamma * bce(x, y)).mean(), "turns down what is wrong"),
        (lambda x, y, gamma: ((1 - x.sigmoid()) ** gamma * bce(x, y)).mean(), "person pixels alone"),
        (lambda x, y, gamma: BCELoss()(x, y), "gamma does nothing"),
        (lambda x, y, gamma: (sure(-x, y) ** gamma).mean() * BCELoss()(x, y), "outside of the mean"),
        (lambda x, y, gamma: (sure(-x, y) ** gamma * bce(x, y)).sum(), "the sum"),
        (lambda x, y, gamma: BCEDiceLoss()(x, y), "p_true is p on person"),
        (with_a_factor, "not a factor"),
    ],
}


WRONG = [(name, *case) for name, cases in WRONG.items() for case in cases]


def union(x, y):
    return (x.sigmoid() + y - x.sigmoid() * y).sum((1, 2, 3))


def sure(x, y):
    """The probability given to the true label."""
    return torch.where(y > 0, x, -x).sigmoid()


def bce(x, y):
    return F.binary_cross_entropy_with_logits(x, y, reduction="none")

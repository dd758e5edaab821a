"""What training makes small. Every loss takes logits, and works in float32 also under autocast.

logits and targets: (N, C, H, W); targets are {0, 1} (any dtype). Each loss returns one number.
Introduced in notebook 05.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.files import UserError


class _LossFromLogits(nn.Module):
    """Hands logits and targets on in float32, with autocast switched off.

    A Dice sum over 65,536 pixels does not fit half precision: float16 ends at 65,504.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if logits.shape != targets.shape:
            raise ValueError(
                f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} differ in shape."
            )
        with torch.autocast(logits.device.type, enabled=False):
            return self.compute(logits.float(), targets.float())

    def compute(self, logits: Tensor, targets: Tensor) -> Tensor:
        raise AssertionError("each loss writes its own compute")


class BCELoss(_LossFromLogits):
    """Binary cross-entropy: every pixel votes, and votes alike."""

    def compute(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets)


class TverskyLoss(_LossFromLogits):
    """1 - (TP + s) / (TP + fp_weight * FP + fn_weight * FN + s), from probabilities.

    fp_weight, fn_weight: what a false alarm and a miss cost. Both 0.5 give the Dice loss.
    smooth: s; keeps an empty mask from dividing by zero and gives it a gradient.
    pooled: False scores each image and averages; True counts the whole batch as one image.
    Salehi et al. (2017).
    """

    def __init__(
        self, fp_weight: float = 0.3, fn_weight: float = 0.7, smooth: float = 1.0, pooled: bool = False
    ):
        super().__init__()
        self.fp_weight, self.fn_weight, self.smooth, self.pooled = fp_weight, fn_weight, smooth, pooled

    def compute(self, logits: Tensor, targets: Tensor) -> Tensor:
        probs = logits.sigmoid()
        pixels = (0, 2, 3) if self.pooled else (2, 3)
        tp = (probs * targets).sum(pixels)
        fp = (probs * (1 - targets)).sum(pixels)
        fn = ((1 - probs) * targets).sum(pixels)
        overlap = (tp + self.smooth) / (tp + self.fp_weight * fp + self.fn_weight * fn + self.smooth)
        return (1 - overlap).mean()


class DiceLoss(_LossFromLogits):
    """1 - (2 |A∩B| + s) / (|A| + |B| + s), from probabilities: the person counts, the empty wall does not.

    smooth, pooled: as in TverskyLoss.   Milletari, Navab and Ahmadi, "V-Net" (2016).
    """

    def __init__(self, smooth: float = 1.0, pooled: bool = False):
        super().__init__()
        self.smooth, self.pooled = smooth, pooled

    def compute(self, logits: Tensor, targets: Tensor) -> Tensor:
        probs = logits.sigmoid()
        pixels = (0, 2, 3) if self.pooled else (2, 3)
        intersection = (probs * targets).sum(pixels)
        total = probs.sum(pixels) + targets.sum(pixels)
        return (1 - (2 * intersection + self.smooth) / (total + self.smooth)).mean()


class BCEDiceLoss(_LossFromLogits):
    """alpha * BCE + (1 - alpha) * Dice: steady gradients from one, balance from the other.

    alpha: 1 is BCE alone, 0 is Dice alone.
    """

    def __init__(self, alpha: float = 0.5, smooth: float = 1.0, pooled: bool = False):
        super().__init__()
        if not 0 <= alpha <= 1:
            raise UserError(f"alpha is a share from 0 (Dice alone) to 1 (BCE alone), found {alpha}.")
        self.alpha = alpha
        self.bce, self.dice = BCELoss(), DiceLoss(smooth, pooled)

    def compute(self, logits: Tensor, targets: Tensor) -> Tensor:
        bce, dice = self.bce.compute(logits, targets), self.dice.compute(logits, targets)
        return self.alpha * bce + (1 - self.alpha) * dice


class FocalLoss(_LossFromLogits):
    """Cross-entropy that turns down what is already right: (1 - p)^gamma * BCE.

    p is the probability given to the true label.

    gamma: 0 gives BCE back; 2 is the paper's choice.
    balance: weight of person pixels, 1 - balance of the rest; None weighs both alike.
    Lin et al. (2017).
    """

    def __init__(self, gamma: float = 2.0, balance: float | None = None):
        super().__init__()
        self.gamma, self.balance = gamma, balance

    def compute(self, logits: Tensor, targets: Tensor) -> Tensor:
        bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        # log(1 - p) straight from the logit: 1 - sigmoid would round to 0 and lose its gradient.
        log_wrong = F.logsigmoid(-logits * (2 * targets - 1))
        loss = (self.gamma * log_wrong).exp() * bce
        if self.balance is not None:
            loss = loss * (self.balance * targets + (1 - self.balance) * (1 - targets))
        return loss.mean()


LOSSES = {
    "bce": BCELoss,
    "dice": DiceLoss,
    "bce-dice": BCEDiceLoss,
    "focal": FocalLoss,
    "tversky": TverskyLoss,
}


def build_loss(name: str, alpha: float = 0.5) -> nn.Module:
    """A loss by its name: bce, dice, bce-dice, focal or tversky. alpha goes to bce-dice.

    Raises: UserError.
    """
    if name not in LOSSES:
        raise UserError(f"there is no loss '{name}'. The names are: {', '.join(LOSSES)}.")
    return BCEDiceLoss(alpha) if name == "bce-dice" else LOSSES[name]()

"""What training makes small. Every loss takes logits, and works in float32 also under autocast.

logits and targets: (N, C, H, W); targets are {0, 1} (any dtype), or 255 where nothing is asked. Each loss
returns one number.
Introduced in notebook 05.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.files import IGNORE, UNNAMED, UserError, check_choice


class _LossFromLogits(nn.Module):
    """Hands logits and targets on in float32, with autocast switched off.

    A Dice sum over 65,536 pixels does not fit half precision: float16 ends at 65,504.
    Each loss has its compute(logits, targets, per_asked); per_asked is what brings a mean over all pixels to
    one over those that are asked for.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if logits.shape != targets.shape:
            found = f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}"
            raise ValueError(f"{found} differ in shape.")
        with torch.autocast(logits.device.type, enabled=False):
            unasked = targets == IGNORE
            # Where nothing is asked, a sure and right "no": it costs nothing and has no gradient.
            logits = logits.float().masked_fill(unasked, -30)
            answers = targets.masked_fill(unasked, 0).float()
            return self.compute(logits, answers, targets.numel() / (~unasked).sum().clamp(min=1))


def _check(low: float, high: float, **settings: float) -> None:
    for name, value in settings.items():
        if not low <= value <= high:
            raise UserError(f"{name} goes from {low:g} to {high:g}, found {value}.")


class BCELoss(_LossFromLogits):
    """Binary cross-entropy: every pixel votes, and votes alike."""

    def compute(self, logits: Tensor, targets: Tensor, per_asked: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets) * per_asked


class TverskyLoss(_LossFromLogits):
    """1 - (TP + 1) / (TP + fp_weight * FP + fn_weight * FN + 1), from probabilities, image by image.

    fp_weight, fn_weight: what a false alarm and a miss cost. Both 0.5 give the Dice loss.
    Salehi et al. (2017).
    """

    def __init__(self, fp_weight: float = 0.3, fn_weight: float = 0.7):
        super().__init__()
        _check(0, 1e6, fp_weight=fp_weight, fn_weight=fn_weight)
        self.fp_weight, self.fn_weight = fp_weight, fn_weight

    def compute(self, logits: Tensor, targets: Tensor, per_asked: Tensor) -> Tensor:
        probs = logits.sigmoid()
        tp = (probs * targets).sum((2, 3))
        fp = (probs * (1 - targets)).sum((2, 3))
        fn = ((1 - probs) * targets).sum((2, 3))
        return (1 - (tp + 1) / (tp + self.fp_weight * fp + self.fn_weight * fn + 1)).mean()


class DiceLoss(_LossFromLogits):
    """1 - (2 |A∩B| + 1) / (|A| + |B| + 1), from probabilities: the person counts, the empty wall does not.

    The ones keep an empty mask from dividing by zero and give it a gradient.
    pooled: False scores each image and averages; True counts the whole batch as one image.
    Milletari, Navab and Ahmadi, "V-Net" (2016).
    """

    def __init__(self, pooled: bool = False):
        super().__init__()
        self.pooled = pooled

    def compute(self, logits: Tensor, targets: Tensor, per_asked: Tensor) -> Tensor:
        probs = logits.sigmoid()
        pixels = (0, 2, 3) if self.pooled else (2, 3)
        intersection = (probs * targets).sum(pixels)
        total = probs.sum(pixels) + targets.sum(pixels)
        return (1 - (2 * intersection + 1) / (total + 1)).mean()


class BCEDiceLoss(_LossFromLogits):
    """alpha * BCE + (1 - alpha) * Dice: steady gradients from one, balance from the other.

    alpha: 1 is BCE alone, 0 is Dice alone.   pooled: as in DiceLoss.
    outline: how much more the pixels within 3 of the person's outline weigh in BCE; 0 weighs all alike.
    """

    def __init__(self, alpha: float = 0.5, pooled: bool = False, outline: float = 0.0):
        super().__init__()
        _check(0, 1, alpha=alpha)
        _check(0, 1e6, outline=outline)
        self.alpha, self.outline, self.dice = alpha, outline, DiceLoss(pooled)

    def compute(self, logits: Tensor, targets: Tensor, per_asked: Tensor) -> Tensor:
        weight = 1 + self.outline * (_dilate(targets) + _dilate(1 - targets) - 1)
        bce = F.binary_cross_entropy_with_logits(logits, targets, weight, reduction="sum") / weight.sum()
        return self.alpha * bce * per_asked + (1 - self.alpha) * self.dice.compute(logits, targets, per_asked)


def _dilate(mask: Tensor) -> Tensor:
    return F.max_pool2d(mask, 7, stride=1, padding=3)


class DeepSupervisionLoss(nn.Module):
    """Every depth of the decoder answers, and is scored: each coarser answer counts half of the finer one.

    logits: (N, A, H, W), A answers of one class, finest first; targets: (N, 1, H, W). The weights
    1, 1/2, 1/4, ... are brought to a sum of 1, as in nnU-Net (Isensee et al., 2021). With A = 1, as in
    eval mode, it is the loss inside.   loss: of one answer; BCEDiceLoss unless given.
    Introduced in notebook 11.
    """

    def __init__(self, loss: nn.Module | None = None):
        super().__init__()
        self.loss = loss or BCEDiceLoss()

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = [2.0**-depth for depth in range(logits.shape[1])]
        losses = [self.loss(answer, targets) for answer in logits.split(1, dim=1)]
        return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)


class FocalLoss(_LossFromLogits):
    """Cross-entropy that turns down what is already right: (1 - p)^gamma * BCE.

    p is the probability given to the true label.

    gamma: 0 gives BCE back; 2 is the paper's choice.
    Lin et al. (2017).
    """

    def __init__(self, gamma: float = 2.0):
        super().__init__()
        _check(0, 100, gamma=gamma)
        self.gamma = gamma

    def compute(self, logits: Tensor, targets: Tensor, per_asked: Tensor) -> Tensor:
        bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        # log(1 - p) straight from the logit: 1 - sigmoid would round to 0 and lose its gradient.
        log_wrong = F.logsigmoid(-logits * (2 * targets - 1))
        return ((self.gamma * log_wrong).exp() * bce).mean() * per_asked


class CrossEntropyDiceLoss(nn.Module):
    """Several classes: alpha * cross-entropy + (1 - alpha) * the mean Dice loss of the classes.

    logits (N, C, H, W) go through a softmax, since a pixel has one class; targets (N, 1, H, W) hold class
    ids. Pixels that are IGNORE count nowhere; of those that are UNNAMED only this is asked, that they are no
    background. A class that an image does not hold is left out of that image's Dice.   Notebook 14.
    """

    def __init__(self, alpha: float = 0.5):
        super().__init__()
        _check(0, 1, alpha=alpha)
        self.alpha = alpha

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if targets.shape != (len(logits), 1, *logits.shape[2:]) or logits.shape[1] < 2:
            raise ValueError(
                f"for logits {tuple(logits.shape)} the targets are ids of shape "
                f"({len(logits)}, 1, {logits.shape[2]}, {logits.shape[3]}), found {tuple(targets.shape)}."
            )
        with torch.autocast(logits.device.type, enabled=False):
            logs = logits.float().masked_fill(targets == IGNORE, 0).log_softmax(1)
            ids = targets[:, 0].long()
            named, unnamed = (ids != IGNORE) & (ids != UNNAMED), ids == UNNAMED
            ids = ids.where(named, 0)
            # Whatever class it has: the probabilities of all but the background count together.
            right = logs.gather(1, ids[:, None])[:, 0].where(named, logs[:, 1:].logsumexp(1))
            entropy = -(right * (named | unnamed)).sum() / (named | unnamed).sum().clamp(min=1)
            asked = torch.stack([named | unnamed, *[named] * (logs.shape[1] - 1)], 1)
            one_hot = F.one_hot(ids, logs.shape[1]).movedim(-1, 1) * named[:, None]
            probs = logs.exp() * asked
            intersection, total = (probs * one_hot).sum((2, 3)), probs.sum((2, 3)) + one_hot.sum((2, 3))
            dice = (2 * intersection + 1) / (total + 1)
            held = one_hot.sum((2, 3)) > 0
            dice_loss = ((1 - dice) * held).sum() / held.sum().clamp(min=1)
            return self.alpha * entropy + (1 - self.alpha) * dice_loss


LOSSES = {
    "bce": BCELoss,
    "dice": DiceLoss,
    "bce-dice": BCEDiceLoss,
    "focal": FocalLoss,
    "tversky": TverskyLoss,
    "deep": DeepSupervisionLoss,
}


def build_loss(name: str, alpha: float = 0.5, num_classes: int = 1, outline: float = 0.0) -> nn.Module:
    """A loss by its name: bce, dice, bce-dice, focal, tversky or deep. alpha, outline: of bce-dice and deep.

    num_classes: with several classes, bce, dice and bce-dice stand for their forms with a softmax.
    Raises: UserError.
    """
    if outline and (num_classes > 1 or name not in ("bce-dice", "deep")):
        raise UserError(f"outline is for bce-dice and deep of one class: '{name}' would not use it.")
    if num_classes > 1:
        alphas = {"bce": 1.0, "dice": 0.0, "bce-dice": alpha}
        check_choice("with several classes, the loss", name, alphas)
        return CrossEntropyDiceLoss(alphas[name])
    check_choice("the loss", name, LOSSES)
    if name == "deep":
        return DeepSupervisionLoss(BCEDiceLoss(alpha, outline=outline))
    return BCEDiceLoss(alpha, outline=outline) if name == "bce-dice" else LOSSES[name]()

"""How the weights move: the optimiser, the plan of its learning rate, and the average of where they were.

Introduced in notebook 07; the moving average and the cosine plan come back in notebook 11.
"""

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from segkit.files import UserError


def build_optimizer(
    model: nn.Module, name: str, lr: float, weight_decay: float, encoder_lr: float = 1.0
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, 2015), or AdamW, which keeps weight decay out of the gradient (Loshchilov, 2019).

    encoder_lr: learning rate of the part called `encoder`, as a share of lr. What is pretrained should
        move less than what starts from nothing.
    Raises: UserError for another name.
    """
    if name not in ("adam", "adamw"):
        raise UserError(f"the optimiser is adam or adamw, found '{name}'.")
    groups = [{"params": list(model.parameters()), "lr": lr}]
    if encoder_lr != 1:
        encoder = [p for n, p in model.named_parameters() if n.startswith("encoder.")]
        rest = [p for n, p in model.named_parameters() if not n.startswith("encoder.")]
        groups = [{"params": rest, "lr": lr}, {"params": encoder, "lr": lr * encoder_lr}]
    make = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return make(groups, lr=lr, weight_decay=weight_decay)


class Schedule:
    """The learning rate of the next epoch.

    "plateau" halves it after `patience` epochs without a better validation Dice; "cosine" lets it glide
    from lr to almost nothing over num_epochs (Loshchilov and Hutter, "SGDR", 2017).
    """

    def __init__(self, optimizer, kind: str, num_epochs: int, patience: int):
        if kind not in ("plateau", "cosine"):
            raise UserError(f"the schedule is plateau or cosine, found '{kind}'.")
        self.scheduler = (
            ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=patience)
            if kind == "plateau"
            else LambdaLR(optimizer, lambda epoch: (1 + math.cos(math.pi * epoch / num_epochs)) / 2)
        )
        self.kind = kind

    def step(self, val_dice: float) -> None:
        """Once after every epoch."""
        self.scheduler.step(val_dice) if self.kind == "plateau" else self.scheduler.step()

    def state_dict(self) -> dict:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.scheduler.load_state_dict(state)


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """A second network that follows the first: average = decay * average + (1 - decay) * now, each step.

    It wanders less than the weights themselves and usually scores better (Polyak and Juditsky, 1992).
    The first steps count for more, or the average would hang on to the random start.
    """

    def update(average, now, steps):
        steps = float(steps)
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(average, now, steps)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)

"""What turns gradients into steps: the optimiser, its learning rate over time, a moving average."""

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from segkit.training.settings import TrainConfig


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, 2015), or AdamW, which keeps weight decay out of the gradient (Loshchilov, 2019).

    The part called `encoder` learns at its own share of the learning rate: what is pretrained should move
    less than what starts from nothing.
    """
    parts = {"rest": [], "encoder": []}
    for key, parameter in model.named_parameters():
        parts["encoder" if "encoder" in key.split(".") else "rest"].append(parameter)
    lrs = {"rest": config.lr, "encoder": config.lr * config.encoder_lr}
    groups = [{"params": parts[name], "lr": lr} for name, lr in lrs.items() if parts[name]]
    make = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return make(groups, weight_decay=config.weight_decay)


def build_schedule(optimizer: torch.optim.Optimizer, config: TrainConfig, done: int = 0) -> LRScheduler:
    """The learning rate of the next epoch, when `done` epochs are behind.

    "plateau" halves it after plateau_patience epochs without a better validation Dice; "cosine" lets it
    glide from lr to almost nothing over num_epochs (Loshchilov and Hutter, "SGDR", 2017), and is planned
    anew where a run is resumed for another number of epochs.
    """
    if config.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=config.plateau_patience)
    scheduler = CosineAnnealingLR(optimizer, T_max=config.num_epochs)
    optimizer.zero_grad()
    for _ in range(done):
        optimizer.step()  # no gradient, so nothing moves; torch wants to see it before the schedule's
        scheduler.step()
    return scheduler


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """A second network that follows the first: average = decay * average + (1 - decay) * now, each step.

    It wanders less than the weights themselves and usually scores better (Polyak and Juditsky, 1992).
    The first steps count for more, or the average would hang on to the random start.
    """

    def update(average, now, steps):
        steps = float(steps)
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(average, now, steps)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)

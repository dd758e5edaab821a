"""Trying a network before it trains: does it work at all, and in which precision is it fastest?"""

import torch
from torch import nn
from torch.utils.benchmark import Timer

from segkit.checkpoint import CheckpointInfo
from segkit.data import SegmentationDataset
from segkit.files import IGNORE, UserError, name_some
from segkit.models import build_model
from segkit.training.settings import TrainConfig


def check_network(
    model: nn.Module,
    config: TrainConfig,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset,
    piece: int,
    taught: CheckpointInfo | None,
) -> None:
    """Run the network without numbers, on the device "meta": what cannot work is said before it starts."""
    if not hasattr(model, "built_as"):
        raise UserError("a network is made by build_model: its checkpoint says how to build it again.")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("all weights are frozen, as load_checkpoint leaves them: model.requires_grad_(True).")
    if model.built_as.get("in_channels", 3) != 3:
        raise UserError("pictures have three channels: leave in_channels out of the model's settings.")
    by_masks = not taught or config.teacher_share < 1
    for what, dataset in [("validate on", val_set), *[("train on", train_set)] * by_masks]:
        masks = (dataset.pair(index)[1] for index in range(len(dataset)))
        if not any(((mask > 0) & (mask != IGNORE)).any() for mask in masks):
            raise UserError(
                f"no mask of the {len(dataset)} pictures to {what} shows {name_some(dataset.classes[-3:])}: "
                "segkit doctor DATA --picture look.png shows what is there."
            )
    if (train_set.preprocessing, train_set.classes) != (val_set.preprocessing, val_set.classes):
        raise UserError("training and validation set must be alike in size, colours (mean, std) and classes.")
    name, size, classes = model.built_as["name"], train_set.preprocessing.size, train_set.classes
    with torch.device("meta"):
        trial, images = build_model(**model.built_as).train(), torch.empty(piece, 3, size, size)
    try:
        answers, known = trial(images).shape[1], trial.eval()(images).shape[1]
    except (ValueError, RuntimeError) as error:  # batch norm needs two numbers of each channel
        raise UserError(
            f"the network '{name}' cannot train on {piece} images at a time of {size}x{size} ({error}): "
            "take a larger batch_size or size."
        ) from None
    if known != len(classes):
        raise UserError(f"the network knows {known} classes, the pictures {len(classes)}.")
    if answers > known and (config.loss != "deep" or taught):
        raise UserError(
            f"with deep supervision the network gives {answers} answers: take the loss deep and no teacher."
        )
    if taught and taught.classes != classes:
        raise UserError(f"the teacher knows {', '.join(taught.classes)}, the pictures {', '.join(classes)}.")


def choose_precision(model: nn.Module, batch_size: int, train_set: SegmentationDataset) -> str:
    """What "auto" means here. GPU: bf16 where the card has it, else fp16. CPU: whichever of fp32 and bf16
    takes a training step faster, measured; bf16 is slower on small networks and on older processors.
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    # What the processor can do in hardware; emulated bf16 is never faster.
    can = torch.cpu.get_capabilities()
    if not (can.get("avx512_bf16") or can.get("amx_bf16")):
        return "fp32"
    images = torch.randn(min(batch_size, 4), 3, *[train_set.preprocessing.size] * 2)
    # A copy: trying out must not change the weights or the running statistics of the network.
    trial = build_model(**model.built_as).eval().to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)

    def seconds(enabled: bool) -> float:
        used, threads = {"trial": trial, "images": images}, torch.get_num_threads()
        step = Timer("trial(images).float().mean().backward()", globals=used, num_threads=threads)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            return step.blocked_autorange(min_run_time=0).median

    return "bf16" if seconds(True) < 0.9 * seconds(False) else "fp32"

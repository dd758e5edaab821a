"""What to do when training goes wrong, or will, in a sentence."""

import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from segkit.checkpoint import CheckpointInfo
from segkit.data import SegmentationDataset
from segkit.files import IGNORE, UserError
from segkit.training.settings import TrainConfig


def advice_on_zero(info: CheckpointInfo, epoch: int) -> str:
    start = "" if info.config.get("start_from") else "--start_from person-base, "
    return (
        f"validation Dice is still 0 in epoch {epoch}: no {' or '.join(info.classes)} is found. What helps: "
        f"{start}--steps_per_epoch 50 where the set is small, a larger --size where things are tiny; "
        "and segkit doctor DATA --picture look.png shows whether the masks are right."
    )


def advice_on_nan(run: Path, epoch: int, lr: float, precision: str, history: list[dict]) -> str:
    kept = f"The best weights so far are kept in '{run / 'best.safetensors'}'. " if history else ""
    narrower = "" if precision == "fp32" else ", or --precision fp32"
    return (
        f"the loss is no longer a number in epoch {epoch} (learning rate {lr:g}, {precision}). {kept}"
        f"Try a learning rate ten times lower, --clip 1{narrower}."
    )


@contextmanager
def advised_on_memory(config: TrainConfig, size: int):
    """Raises: UserError in place of torch's error where memory, the GPU's or the machine's, is too small."""
    try:
        yield
    except RuntimeError as error:
        if not re.search("out of memory|allocate memory|not enough memory", str(error)):
            raise
        raise UserError(
            f"{config.batch_size // config.accumulate} pictures of {size}x{size} at a time do not fit into "
            f"memory: try --accumulate {2 * config.accumulate}, which cuts each batch into more pieces, or a "
            "smaller --batch_size, --width or --size."
        ) from error


TINY = 64
"""Pixels of the network's input: what covers fewer is hard to find."""


def doubts(dataset: SegmentationDataset, most: int = 100) -> list[str]:
    """A sentence where masks to train on are tiny at the network's size, and one where they lack a class.

    most: so many pictures are looked at for their size.
    """
    said, several = [], len(dataset.classes) > 1 and dataset.arrays is not None  # else decoding takes long
    shown = set().union(*(np.unique(mask).tolist() for mask in dataset.arrays[1])) if several else ()
    if several and (absent := [name for i, name in enumerate(dataset.classes) if i not in shown]):
        said = [f"no mask to train on shows {', '.join(absent)}: the network will never find that."]
    chosen = np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(int)
    masks = (dataset.pair(i)[1] for i in chosen)
    shares = [share for mask in masks if (share := ((mask > 0) & (mask != IGNORE)).mean()) > 0]
    size, pixels = dataset.preprocessing.size, np.median(shares or [1]) * dataset.preprocessing.size**2
    if pixels >= TINY:
        return said
    return [
        *said,
        f"tiny masks: half of them cover {pixels:.0f} or fewer of the network's {size} x {size} pixels. "
        "A larger --size, or pictures cropped around what is wanted, shows the network more of it.",
    ]

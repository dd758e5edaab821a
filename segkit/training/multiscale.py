"""Training at several sizes: the network sees each batch larger or smaller. Introduced in notebook 11."""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from segkit.files import UserError

SCALES = (0.75, 1.0, 1.25)


@contextmanager
def multi_scale(model: nn.Module, scales: Sequence[float] = SCALES, step: int = 32):
    """While this lasts, `model` sees each training batch at a size drawn from `scales`.

    images (N, C, H, W) go in and logits (N, K, H, W) come out at the size of the images, so loss and masks
    stay what they are; in between the network works at round(scale * H / step) * step. In eval mode
    nothing changes. The draw comes from torch's random numbers, so a seed repeats it.

        with multi_scale(model):
            fit(model, train_set, val_set, "runs/several-sizes", config)

    Raises: UserError.   The sizes of YOLO9000 (Redmon and Farhadi, 2017).
    """
    if not scales or min(scales) <= 0:
        raise UserError(f"multi-scale training needs scales above 0, found {tuple(scales)}.")
    asked = []

    def shrink_or_grow(module: nn.Module, inputs: tuple) -> tuple | None:
        if not module.training:
            return None
        (images,) = inputs
        asked.append(images.shape[-2:])
        scale = scales[torch.randint(len(scales), ()).item()]
        size = [max(step, round(scale * side / step) * step) for side in asked[-1]]
        images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=scale < 1)
        return (images.contiguous(memory_format=torch.channels_last),)

    def bring_back(module: nn.Module, _, logits: torch.Tensor) -> torch.Tensor | None:
        if not module.training:
            return None
        return F.interpolate(logits, size=asked.pop(), mode="bilinear", align_corners=False)

    hooks = model.register_forward_pre_hook(shrink_or_grow), model.register_forward_hook(bring_back)
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()

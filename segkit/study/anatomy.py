"""Look inside a network: how far it sees, what its gates let through, what it costs. Notebook 11."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from segkit.files import UserError
from segkit.models import count_parameters
from segkit.unet import AttentionGate


def input_gradient(model: nn.Module, images: Tensor, row: int, column: int) -> Tensor:
    """How strongly each input pixel moves the logit at (row, column): |gradient|, summed over the colours.

    images: (N, 3, H, W), normalised; the network works in eval mode.
    Returns: (H, W), summed over the N images. It is zero where a pixel has no say: the rest is the receptive
    field. Luo et al., "Understanding the Effective Receptive Field" (2016); the idea is notebook 03's.
    """
    was_training = model.training
    images = images.detach().clone().requires_grad_()
    logits = model.eval()(images)
    (gradient,) = torch.autograd.grad(logits[:, 0, row, column].sum(), images)
    model.train(was_training)
    return gradient.abs().sum((0, 1))


def field_of_view(gradient: Tensor) -> int:
    """Side of the square that holds every pixel with a say, in pixels.   gradient: (H, W), as above."""
    rows, columns = (gradient > 0).nonzero(as_tuple=True)
    if not len(rows):
        return 0
    return int(max(rows.max() - rows.min(), columns.max() - columns.min())) + 1


def effective_radius(gradient: Tensor, row: int, column: int, share: float = 0.5) -> float:
    """Radius in pixels, around (row, column), of the disc that holds this share of the gradient's sum.

    field_of_view says how far a network can look, effective_radius how far it does.
    gradient: (H, W), not all zero, as input_gradient's.
    """
    height, width = gradient.shape
    distance = torch.hypot(
        torch.arange(height)[:, None] - float(row), torch.arange(width)[None] - float(column)
    ).flatten()
    order = distance.argsort()
    held = gradient.flatten().double()[order].cumsum(0)
    return distance[order][int((held >= share * held[-1]).nonzero()[0])].item()


def attention_maps(model: nn.Module, images: Tensor) -> list[Tensor]:
    """What the gates of an attention U-Net let through, coarsest stage first.

    images: (N, 3, H, W), normalised.   Returns: one (N, H, W) per gate, each brought to the size of the
    images, in (0, 1): 0 shuts a place of the skip connection out, 1 lets it pass.
    Raises: UserError for a network without gates.
    """
    gates = [module for module in model.modules() if isinstance(module, AttentionGate)]
    if not gates:
        raise UserError("this network has no attention gates: build it with attention=True.")
    weights: list[Tensor] = []
    hooks = [gate.weight.register_forward_hook(lambda *call: weights.append(call[2])) for gate in gates]
    try:
        with torch.inference_mode():
            model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    size = images.shape[-2:]
    return [F.interpolate(w, size=size, mode="bilinear", align_corners=False)[:, 0] for w in weights]


def count_macs(model: nn.Module, size: int) -> int:
    """Multiplications (each with its addition) of one picture of size x size, in convolutions and matrices.

    Papers count these as MACs, MAdds, or twice as many FLOPs. It is a count: nothing is timed.
    """
    was_training = model.training
    images = torch.zeros(1, 3, size, size, device=next(model.parameters()).device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.eval()(images)
    model.train(was_training)
    return counter.get_total_flops() // 2


@dataclass(frozen=True)
class Cost:
    """What a network costs."""

    parameters: int
    macs: int
    ms: float


def measure_cost(model: nn.Module, size: int) -> Cost:
    """Parameters, multiplications, and the median milliseconds of one size x size picture, in eval mode."""
    device = next(model.parameters()).device
    model = model.eval().to(memory_format=torch.channels_last)
    images = torch.randn(1, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    called = {"model": model, "images": images}
    with torch.inference_mode():
        timer = Timer("model(images)", globals=called, num_threads=torch.get_num_threads())
        seconds = timer.blocked_autorange(min_run_time=0.3).median
    return Cost(count_parameters(model), count_macs(model, size), 1000 * seconds)


def used_points(rate: int, side: int) -> float:
    """How many of the nine points of a 3x3 at this rate lie inside a map of side x side, on average.

    From rate = side on, only the one in the middle does, and the 3x3 has become a 1x1.
    Chen et al., "Rethinking Atrous Convolution" (2017), figure 4.
    """
    along = 1 + 2 * max(0, side - rate) / side  # of the three rows, and of the three columns
    return along**2

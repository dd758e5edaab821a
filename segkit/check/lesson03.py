"""Checks of notebook 03, Building the U-Net."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.check.core import Wrong, exercise, from_start
from segkit.models import count_parameters
from segkit.unet import Block, pad_to_multiple


@exercise
def count_block(answer):
    for i, o in ((3, 64), (64, 128), (5, 7), (16, 16)):
        expected = count_parameters(Block(i, o, convs=2, norm="batch"))
        got = answer(i, o)
        if got == expected:
            continue
        first, second, norms = 9 * i * o, 9 * o * o, 4 * o
        hints = {
            first
            + second: "that is both convolutions; each normalisation adds a factor and an offset per channel",
            first
            + second
            + 2 * o: "only one number per channel and normalisation, or one normalisation, is in it: "
            "two normalisations hold a factor and an offset each",
            first
            + second
            + norms
            + 2 * o: "these convolutions have no bias: the normalisation would subtract it",
            2 * first + norms: "the second convolution takes out_channels in, not in_channels",
            first + 2 * o: "that is one convolution with its normalisation; a block has two",
            i * o + o * o + norms: "each pair of an old and a new channel has 3 × 3 numbers",
        }
        hint = hints.get(
            got, "add up: first convolution, its normalisation, second convolution, its normalisation"
        )
        raise Wrong(hint, f"in_channels={i}, out_channels={o}", got, expected)


@exercise
def pixels_to_add(answer):
    rng = np.random.default_rng(from_start(0))
    cases = [(100, 16), (96, 16), (1, 8), *rng.integers(1, 400, (20, 2)).tolist()]
    for side, divisor in cases:
        expected, got = -side % divisor, answer(side, divisor)
        if got == expected:
            continue
        hint = "the smallest number, 0 or more, that makes side + it a multiple of divisor"
        if got == divisor and expected == 0:
            hint = "where divisor divides side already nothing is missing: take the remainder once more"
        elif got == side % divisor:
            hint = "that is what is left over; asked is what is missing to the next multiple"
        elif got == side + expected:
            hint = "that is the side after padding; asked is how much to add"
        raise Wrong(hint, f"side={side}, divisor={divisor}", got, expected)


@exercise
def double_and_join(answer):
    generator = torch.Generator().manual_seed(from_start(0))
    for n, c, s, h, w in ((1, 2, 3, 4, 4), (2, 5, 1, 3, 6), (3, 4, 4, 2, 5)):
        x = torch.randn(n, c, h, w, generator=generator)
        skip = torch.randn(n, s, 2 * h, 2 * w, generator=generator)
        grown = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        expected, given = torch.cat([skip, grown], dim=1), f"x {tuple(x.shape)}, skip {tuple(skip.shape)}"
        got = answer(x, skip)
        if not isinstance(got, Tensor):
            raise Wrong("return one tensor", given, type(got).__name__, "a tensor")
        if got.shape != expected.shape:
            hint = "double x in height and width, then torch.cat([skip, ...], dim=1)"
            if got.shape == (n, s, 2 * h, 2 * w):
                hint = "a skip is joined, not added: its channels stand beside those of x"
            elif got.shape == (2 * n, c, 2 * h, 2 * w):
                hint = "dim=0 joins pictures of a batch; channels are dim=1"
            raise Wrong(hint, given, tuple(got.shape), tuple(expected.shape))
        if torch.allclose(got, expected, atol=1e-6):
            continue
        hint = "the shape is right, the values are not"
        if torch.allclose(got, torch.cat([grown, skip], dim=1), atol=1e-6):
            hint = "the order is swapped: the skip comes first, as the weights of a trained network expect it"
        for mode, corners in (("nearest", None), ("bilinear", False)):
            other = F.interpolate(x, scale_factor=2, mode=mode, align_corners=corners)
            if torch.allclose(got, torch.cat([skip, other], dim=1), atol=1e-6):
                hint = f"this is mode='{mode}' without align_corners=True; asked is the doubling from above"
        raise Wrong(hint, given, got, expected)


def _field(layers) -> int:
    field, step = 1, 1
    for kernel, stride in layers:
        field, step = field + (kernel - 1) * step, step * stride
    return field


@exercise
def field_of_view(answer):
    rng = np.random.default_rng(from_start(0))
    some = [[(int(k), int(s)) for k, s in rng.integers(1, 4, (n, 2))] for n in (2, 3, 4, 5, 6)]
    for layers in ([(3, 1)], [(3, 1), (3, 1)], [(3, 1), (3, 1), (2, 2), (3, 1)], [(1, 1)], *some):
        expected, got = _field(layers), answer(list(layers))
        if got == expected:
            continue
        early, step = 1, 1
        for kernel, stride in layers:
            step *= stride
            early += (kernel - 1) * step
        hint = "start with 1; each layer adds (kernel - 1) times the product of all strides before it"
        if got == 1 + sum(kernel - 1 for kernel, _ in layers):
            hint = "after a stride of 2, one step is two input pixels wide: the strides before a layer count"
        elif got == early:
            hint = "a layer's own stride matters only to the layers after it"
        elif got == expected - 1:
            hint = "start with 1: without any layer, a pixel sees itself"
        elif got == sum(kernel for kernel, _ in layers):
            hint = "two 3 × 3 layers see 5 pixels, not 6: their windows overlap"
        raise Wrong(hint, f"layers={layers}", got, expected)


class _Strict(nn.Module):
    """Fails unless the divisor divides both sides, and else gives the sum of the colours."""

    def __init__(self, divisor: int):
        super().__init__()
        self.divisor = divisor

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % self.divisor or width % self.divisor:
            raise Wrong(
                "the network was called with a size that divisor does not divide: pad first",
                got=f"{height} × {width}, divisor {self.divisor}",
                expected=f"multiples of {self.divisor}",
            )
        return images.sum(1, keepdim=True)


@exercise
def run_any_size(answer):
    generator = torch.Generator().manual_seed(from_start(0))
    for height, width, divisor in ((32, 32, 16), (20, 33, 8), (100, 90, 16), (7, 64, 4)):
        images = torch.rand(2, 3, height, width, generator=generator) + 1  # never 0: a black frame shows
        given, expected = f"images {tuple(images.shape)}, divisor {divisor}", images.sum(1, keepdim=True)
        before = images.clone()
        got = answer(_Strict(divisor), images, divisor)
        if not isinstance(got, Tensor) or got.shape != expected.shape:
            shape = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
            padded = pad_to_multiple(images, divisor).shape[-2:]
            forgot = isinstance(got, Tensor) and got.shape[1:] == (1, *padded)
            hint = (
                "padded and run; now crop the logits to the size of the images"
                if forgot
                else ("the logits have the height and width of the images, and one channel")
            )
            raise Wrong(hint, given, shape, tuple(expected.shape))
        if not torch.equal(images, before):
            raise Wrong("the images of the caller were changed: pad a copy", given)
        if not torch.allclose(got, expected):
            hint = "the values moved: crop the corner where the picture lies, and do not resize"
            if torch.allclose(got[..., 1:, 1:], expected[..., :-1, :-1]) or (got == 0).any():
                hint = "the crop holds padding: it has to start where the picture starts"
            raise Wrong(hint, given, got, expected)

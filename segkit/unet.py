"""The U-Net, written to be read: Ronneberger, Fischer and Brox, "U-Net" (2015). Introduced in notebook 03.

image ─ block ───────────────── skip ──────────────── join ─ block ─ 1x1 ─ logits
          └ halve ─ block ───── skip ────── join ─ block ┘ double
                      └ halve ─ bottleneck ─┘ double
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.files import UserError, check_choice


@dataclass(frozen=True)
class UNetConfig:
    """What tells one U-Net from another. The depth is the number of `widths`."""

    in_channels: int = 3
    num_classes: int = 1
    widths: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of each encoder stage, finest first."""
    bottleneck: int = 128
    """Channels at the coarsest stage."""
    convs_per_block: int = 2
    up: str = "bilinear"
    """"bilinear" (no weights) or "transposed" (a learned 2x2 kernel, as in the paper)."""
    halve_in_decoder: bool = False
    """Narrow each bilinear decoder block in its middle, to half of what comes in."""
    attention: bool = False
    """Let a gate weigh each skip connection before it is joined (notebook 11)."""
    norm: str = "batch"
    """"batch", or "group" where the statistics must not depend on the batch."""

    def __post_init__(self):
        # Configurations also come from checkpoint files, so nothing is taken on trust.
        object.__setattr__(self, "widths", tuple(self.widths))
        sizes = (self.in_channels, self.num_classes, self.bottleneck, *self.widths)
        if not all(isinstance(size, int) and 1 <= size <= 4096 for size in sizes):
            raise UserError(f"U-Net channels must be whole numbers from 1 to 4096, found {sizes}.")
        if not 1 <= len(self.widths) <= 8:
            raise UserError(f"a U-Net has 1 to 8 encoder stages, found {len(self.widths)} widths.")
        check_choice("convs_per_block", self.convs_per_block, (1, 2))
        check_choice("up", self.up, ("bilinear", "transposed"))
        check_choice("norm", self.norm, ("batch", "group"))


class Block(nn.Sequential):
    """One or two times: 3x3 convolution, normalisation, ReLU. The size stays, the channels change.

    (N, in_channels, H, W) -> (N, out_channels, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int, convs: int, norm: str, middle: int | None = None):
        layers = []
        for i in range(convs):
            is_last = i == convs - 1
            width = out_channels if is_last or middle is None else middle
            # No bias: the normalisation that follows would subtract it again.
            layers += [nn.Conv2d(in_channels, width, 3, padding=1, bias=False), _norm(norm, width)]
            layers += [nn.ReLU(inplace=True)]
            in_channels = width
        super().__init__(*layers)


def _norm(kind: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(math.gcd(8, channels), channels)


class AttentionGate(nn.Module):
    """Ask the coarser stage, which knows what it sees, where the skip connection is worth hearing.

    skip (N, S, H, W), gate (N, G, H, W) -> skip, each pixel times a weight in (0, 1).
    Oktay et al., "Attention U-Net" (2018). The weights are the output of `self.weight`.
    """

    def __init__(self, skip_channels: int, gate_channels: int, norm: str):
        super().__init__()
        inner = max(1, skip_channels // 2)
        self.from_skip = nn.Sequential(nn.Conv2d(skip_channels, inner, 1, bias=False), _norm(norm, inner))
        self.from_gate = nn.Sequential(nn.Conv2d(gate_channels, inner, 1, bias=False), _norm(norm, inner))
        self.weight = nn.Sequential(nn.ReLU(), nn.Conv2d(inner, 1, 1), nn.Sigmoid())

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        return skip * self.weight(self.from_skip(skip) + self.from_gate(gate))


class Up(nn.Module):
    """Double the size, join the skip connection, and let a block mix the two.

    x (N, C, H, W) and skip (N, S, 2H, 2W) -> (N, out, 2H, 2W)
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, config: UNetConfig):
        super().__init__()
        if config.up == "transposed":
            self.grow = nn.ConvTranspose2d(in_channels, skip_channels, 2, stride=2)
            in_channels = skip_channels
        else:
            self.grow = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.gate = AttentionGate(skip_channels, in_channels, config.norm) if config.attention else None
        joined = in_channels + skip_channels
        middle = joined // 2 if config.halve_in_decoder else None
        self.block = Block(joined, out_channels, config.convs_per_block, config.norm, middle)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.grow(x)
        if self.gate is not None:
            skip = self.gate(skip, x)
        return self.block(torch.cat([skip, x], dim=1))


class UNet(nn.Module):
    """An encoder that sees what, a decoder that says where, and skips that keep the edges sharp.

    images (N, in_channels, H, W), any H and W -> logits (N, num_classes, H, W).
    """

    def __init__(self, config: UNetConfig | None = None):
        super().__init__()
        self.config = config = config or UNetConfig()
        stages = [config.in_channels, *config.widths]
        like = config.convs_per_block, config.norm
        self.encoder = nn.ModuleList(Block(i, o, *like) for i, o in pairwise(stages))
        self.halve = nn.MaxPool2d(2)
        self.bottleneck = Block(config.widths[-1], config.bottleneck, *like)

        # A transposed convolution brings x to the skip's width by itself. Bilinear doubling cannot
        # change the channels, so each block already goes down to the width of the next finer stage.
        skips = config.widths[::-1]
        outs = skips if config.up == "transposed" else (*skips[1:], skips[-1])
        ins = (config.bottleneck, *outs[:-1])
        self.decoder = nn.ModuleList(Up(i, s, o, config) for i, s, o in zip(ins, skips, outs, strict=True))
        self.head = nn.Conv2d(outs[-1], config.num_classes, 1)

    @property
    def divisor(self) -> int:
        """The network halves the picture once per stage, so sides must be multiples of this."""
        return 2 ** len(self.encoder)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        x = pad_to_multiple(images, self.divisor)
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
            x = self.halve(x)
        x = self.bottleneck(x)
        for up in self.decoder:
            x = up(x, skips.pop())
        return self.head(x)[..., :height, :width]


def pad_to_multiple(images: Tensor, divisor: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of `divisor`.

    (N, C, H, W) -> (N, C, H', W') with H <= H' < H + divisor; unchanged when nothing is missing.
    """
    down, right = -images.shape[-2] % divisor, -images.shape[-1] % divisor
    return F.pad(images, (0, right, 0, down), mode="replicate") if down or right else images


FULL_WIDTHS = (64, 128, 256, 512)

UNET_VARIANTS = {
    # Four networks that all go by "the U-Net at 64/128/256/512"; notebook 03 tells them apart.
    "unet-7m": UNetConfig(widths=FULL_WIDTHS, bottleneck=512, convs_per_block=1),  # 7,083,649 parameters
    "unet-13m": UNetConfig(widths=FULL_WIDTHS, bottleneck=512),  # 13,391,361
    "unet-17m": UNetConfig(widths=FULL_WIDTHS, bottleneck=512, halve_in_decoder=True),  # 17,262,977
    "unet-31m": UNetConfig(widths=FULL_WIDTHS, bottleneck=1024, up="transposed"),  # 31,037,633
}

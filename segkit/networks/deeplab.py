"""DeepLabV3+: look at several distances at once, without shrinking the picture further.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution" (2018), here on the Lite0 encoder.
Introduced in notebook 11.

image ─ encoder ─ /4 24 ──────── 1x1 48 ─── join ─ 3x3 ─ 3x3 ─ 1x1 ─ four times as large ─ logits
            └ ... /16 320 ─ ASPP ─ double twice ┘
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.files import UserError
from segkit.networks.lite import InvertedResidual, LiteEncoder
from segkit.unet import pad_to_multiple

RATES = (6, 12, 18)

LOW_CHANNELS = 48


def _conv(in_channels: int, out_channels: int) -> nn.Sequential:
    layers = nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def _separable(in_channels: int, out_channels: int, rate: int = 1) -> nn.Sequential:
    """A 3x3 convolution channel by channel, its nine points `rate` pixels apart, then a 1x1 that mixes."""
    depthwise = nn.Conv2d(
        in_channels, in_channels, 3, padding=rate, dilation=rate, groups=in_channels, bias=False
    )
    return nn.Sequential(depthwise, nn.BatchNorm2d(in_channels), *_conv(in_channels, out_channels))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the same features seen near, at three distances, and as one average.

    (N, in_channels, H, W) -> (N, width, H, W)
    rates: how far apart the nine points of each 3x3 lie. A rate as large as H and W is too large: eight of
        the nine points then see padding everywhere.
    """

    def __init__(self, in_channels: int, width: int, rates: tuple[int, ...] = RATES):
        super().__init__()
        self.near = _conv(in_channels, width)
        self.far = nn.ModuleList(_separable(in_channels, width, rate) for rate in rates)
        # No batch norm here: its statistics would come from one number per image.
        self.everywhere = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, width, 1), nn.ReLU(inplace=True)
        )
        self.mix = nn.Sequential(_conv((2 + len(rates)) * width, width), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        average = self.everywhere(x).expand(-1, -1, *x.shape[2:])
        return self.mix(torch.cat([self.near(x), *(look(x) for look in self.far), average], dim=1))


class DeepLabV3Plus(nn.Module):
    """images (N, 3, H, W), any H and W -> logits (N, num_classes, H, W).

    channels: of the pyramid and the decoder; the paper has 256.
    rates: of the pyramid, in cells of 16 pixels; the paper's are for pictures of 513 pixels.
    pretrained: start from the ImageNet weights; images are then normalised by mean 0.5 and std 0.5.
    Raises: UserError.
    """

    divisor = 16

    def __init__(
        self,
        num_classes: int = 1,
        channels: int = 96,
        pretrained: bool = False,
        rates: tuple[int, ...] = RATES,
    ):
        super().__init__()
        if not all(isinstance(size, int) and 1 <= size <= 4096 for size in (num_classes, channels)):
            raise UserError(f"num_classes and channels must be 1 to 4096, found {num_classes}, {channels}.")
        if not rates or not all(isinstance(rate, int) and 1 <= rate <= 256 for rate in rates):
            raise UserError(f"the rates of the pyramid must be whole numbers from 1 to 256, found {rates}.")
        self.encoder = LiteEncoder().load_imagenet() if pretrained else LiteEncoder()
        keep_resolution(self.encoder)
        self.aspp = ASPP(320, channels, tuple(rates))
        self.low = _conv(24, LOW_CHANNELS)
        self.decode = nn.Sequential(
            _separable(LOW_CHANNELS + channels, channels), _separable(channels, channels)
        )
        self.head = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        _, low, *_, high = self.encoder(pad_to_multiple(images, self.divisor))
        x = F.interpolate(self.aspp(high), size=low.shape[-2:], mode="bilinear", align_corners=False)
        x = self.decode(torch.cat([self.low(low), x], dim=1))
        logits = F.interpolate(self.head(x), scale_factor=4, mode="bilinear", align_corners=False)
        return logits[..., :height, :width]


def keep_resolution(encoder: LiteEncoder) -> None:
    """Let the last halving go, and spread the kernels behind it instead: /32 becomes /16, as wide a view.

    The weights stay what they were: a kernel whose points lie two pixels apart on the finer grid sees
    what it saw on the coarser one.
    """
    for stage in encoder.stages[5:]:
        for block in stage:
            assert isinstance(block, InvertedResidual)
            for layer in block.layers:
                if isinstance(layer, nn.Conv2d) and layer.kernel_size[0] > 1:
                    first = layer.stride == (2, 2)
                    layer.stride = (1, 1)
                    # The one that halved sees the fine grid itself; those after it, every other pixel.
                    layer.dilation = (1, 1) if first else (2, 2)
                    layer.before = layer.after = layer.dilation[0] * (layer.kernel_size[0] - 1) // 2

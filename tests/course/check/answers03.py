"""Right and common wrong answers to the exercises of notebook 03; test_answers.py asks the checks."""

import numpy as np
import torch
import torch.nn.functional as F
from solutions import solutions
from torch import nn

from segkit.models import count_parameters
from segkit.unet import Block, UNet, UNetConfig

solution = solutions("03")
changed = solution.changed


def grow(x, mode="bilinear", corners=True):
    return F.interpolate(x, scale_factor=2, mode=mode, align_corners=corners)


def field_by_products(layers):
    steps = np.cumprod([1] + [stride for _, stride in layers])
    return 1 + sum((kernel - 1) * step for (kernel, _), step in zip(layers, steps[:-1], strict=True))


def resize_instead(net, images, divisor):
    height, width = images.shape[-2:]
    size = (-(-height // divisor) * divisor, -(-width // divisor) * divisor)
    resized = F.interpolate(images, size, mode="bilinear")
    return F.interpolate(net(resized), (height, width), mode="bilinear")


def reflect(net, images, divisor):
    height, width = images.shape[-2:]
    down, right = -height % divisor, -width % divisor
    rows = [*range(height), *range(height - 1, height - 1 - down, -1)]
    columns = [*range(width), *range(width - 1, width - 1 - right, -1)]
    return net(images[..., rows, :][..., columns])[..., :height, :width]


class TwoConvs(nn.Module):
    """Registered in another order than used, with the functional ReLU."""

    def __init__(self, i, o):
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(o), nn.BatchNorm2d(o)])
        self.convs = nn.ModuleList(nn.Conv2d(n, o, 3, padding=1, bias=False) for n in (i, o))

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        return x


def theirs(widths, bottleneck):
    return UNet(UNetConfig(widths=widths, bottleneck=bottleneck))


class Listed(nn.Module):
    """Nobody finds the weights."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return nn.Sequential(*self.layers)(x)


class Stub(nn.Module):
    def __init__(self, widths, bottleneck):
        super().__init__()
        ...

    def forward(self, images):
        return ...


ALIGNED = 'mode="bilinear", align_corners=True'
PADDING = "(0, -width % divisor, 0, -height % divisor)"
with_bias = changed("double_conv", "False", "True")
without_norm = changed("double_conv", "nn.BatchNorm2d(out_channels), ", "")
without_last_relu = changed("double_conv", "*layers", "*layers[:-1]")
other_corners = changed("double_and_join", ", align_corners=True", "")
nearest = changed("double_and_join", ALIGNED, 'mode="nearest"')
swapped = changed("double_and_join", "[skip, x]", "[x, skip]")

RIGHT = {
    "double_conv": [TwoConvs, lambda i, o: Block(i, o, 2, "batch")],
    "count_block": [
        lambda i, o: np.int64(9 * o * (i + o) + 4 * o),
        lambda i, o: count_parameters(solution.double_conv(i, o)),
    ],
    "double_and_join": [
        lambda x, skip: torch.concat((skip, nn.UpsamplingBilinear2d(scale_factor=2)(x)), -3),
        lambda x, skip: torch.cat([skip, F.interpolate(x, skip.shape[2:], None, "bilinear", True)], 1),
    ],
    "unet_class": [changed("unet_class", double_conv=TwoConvs), theirs],
    "field_of_view": [lambda layers: np.array(solution.field_of_view(layers)), field_by_products],
    "pixels_to_add": [lambda s, d: np.array([(d - s % d) % d]), lambda s, d: -(-s // d) * d - s],
    "run_any_size": [reflect, resize_instead],
}

WRONG = {
    "double_conv": [
        (with_bias, "bias=False"),
        (without_last_relu, "ReLU comes last"),
        ("padding=1", "padding=0", "padding=1"),
        (without_norm, "BatchNorm2d"),
        ("*layers", "*layers[:3]", "missing"),
        ("in (in_channels, ", "in (in_channels, out_channels, ", "too many"),
        (lambda i, o: solution.double_conv(o, i), "other channels"),
        ("nn.ReLU()", "nn.ReLU6()", "the same again"),
        ("*layers", "*layers, nn.Dropout(0.1)", "eval mode"),
        ("nn.BatchNorm2d(", "nn.GroupNorm(1, ", "number 2 to be used"),
        (changed("double_conv", "nn.Sequential(*layers)", "Listed(layers)", Listed=Listed), "plain list"),
        (lambda i, o: solution.double_conv(i, o)(torch.zeros(1, i, 4, 4)), "nn.Module"),
    ],
    "count_block": [
        (lambda i, o: 0, "add up"),
        (lambda i, o: sum(map(torch.numel, solution.double_conv(i, o).state_dict().values())), "kept"),
    ],
    "double_and_join": [
        (lambda x, skip: torch.cat([skip, 0 * grow(x)], 1), "then torch.cat"),
    ],
    "unet_class": [
        ("outs[-1], 1, 1", "outs[1], 1, 1", "write them down by stage"),
        (Stub, "not answered yet"),
        (changed("unet_class", double_and_join=swapped), "that of double_and_join"),
        ("skips.pop()", "skips.pop(0)", "last skip that was kept"),
        ("nn.Conv2d(outs[-1], 1, 1)", "nn.Conv2d(outs[-1], 2, 1)", "one channel"),
        (changed("unet_class", double_and_join=other_corners), "that of double_and_join"),
        (changed("unet_class", double_and_join=nearest), "that of double_and_join"),
        ("self.head(x)", "self.head(x).sigmoid()", "the sigmoid is"),
        ("self.head(x)", "F.max_pool2d(self.head(x), 2)", "size of the images"),
        ("return self.head(x)", "return", "one tensor"),
        (changed("unet_class", double_conv=with_bias), "bias=False"),
        (changed("unet_class", double_conv=without_norm), "BatchNorm2d"),
        (changed("unet_class", double_conv=without_last_relu), "one by one"),
        (lambda widths, bottleneck: theirs(widths, widths[-1]), "missing"),
        (lambda widths, bottleneck: theirs((4, 6), 8), "missing"),
        (lambda widths: solution.unet_class(widths, 8), "read the error"),
        (solution.unet_class((4, 6), 8), "the class itself"),
    ],
    "field_of_view": [
        (lambda layers: 0, "times all strides"),
    ],
    "pixels_to_add": [
        (lambda s, d: 7, "smallest number"),
        (lambda s, d: s - d, "smallest number"),
    ],
    "run_any_size": [
        (lambda *given: solution.run_any_size(*given) * np.nan, "values moved"),
        (lambda net, images, d: net(images), "pad first"),
        ("[..., :height, :width]", "", "now crop"),
        (lambda net, images, d: images, "one channel"),
        (lambda net, images, d: images.sum(1, keepdim=True), "never called"),
        (PADDING, "(-width % divisor, 0, -height % divisor, 0)", "where the picture"),
        (', mode="replicate"', "", "not in the world"),
        ("[..., :height, :width]", "[..., :height, :width].roll(1, -1)", "where the picture"),
        (lambda net, images, d: resize_instead(net, images, d).flip(-1), "values moved"),
        ("padded =", "images += 1; padded =", "work on a copy"),
        (lambda net, images, d: solution.run_any_size(net, images, 16), "pad first"),
        ("return net(padded)", "return net(padded).sigmoid()", "no sigmoid"),
        ("return net(padded)", "return 0 < net(padded)", "no sigmoid"),
    ],
}

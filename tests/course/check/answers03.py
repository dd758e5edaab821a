"""Right and common wrong answers to the exercises of notebook 03; test_answers.py asks the checks."""

import numpy as np
import torch
import torch.nn.functional as F
from solutions import solutions
from torch import nn

from segkit.models import count_parameters
from segkit.unet import Block, UNet, UNetConfig, pad_to_multiple

solution = solutions("03")


def grow(x, mode="bilinear", corners=True):
    return F.interpolate(x, scale_factor=2, mode=mode, align_corners=corners)


def field_by_products(layers):
    steps = np.cumprod([1] + [stride for _, stride in layers])
    return 1 + sum((kernel - 1) * step for (kernel, _), step in zip(layers, steps[:-1], strict=True))


def pad_top_left(net, images, divisor):
    down, right = -images.shape[-2] % divisor, -images.shape[-1] % divisor
    out = net(F.pad(images, (right, 0, down, 0)))
    return out[..., : images.shape[-2], : images.shape[-1]]


def resize_instead(net, images, divisor):
    height, width = images.shape[-2:]
    size = (-(-height // divisor) * divisor, -(-width // divisor) * divisor)
    resized = F.interpolate(images, size, mode="bilinear")
    return F.interpolate(net(resized), (height, width), mode="bilinear")


def scribble(net, images, divisor):
    images += 1
    return solution.run_any_size(net, images, divisor)


def reflect(net, images, divisor):
    height, width = images.shape[-2:]
    down, right = -height % divisor, -width % divisor
    rows = [*range(height), *range(height - 1, height - 1 - down, -1)]
    columns = [*range(width), *range(width - 1, width - 1 - right, -1)]
    return net(images[..., rows, :][..., columns])[..., :height, :width]


def pad_with(fill):
    def answer(net, images, divisor):
        height, width = images.shape[-2:]
        padded = fill(pad_to_multiple(images, divisor))
        padded[..., :height, :width] = images
        return net(padded)[..., :height, :width]

    return answer


def convs(i, o, bias=False, act=nn.ReLU, padding=1):
    first, second = (nn.Conv2d(n, o, 3, padding=padding, bias=bias) for n in (i, o))
    return nn.Sequential(first, nn.BatchNorm2d(o), nn.ReLU(), second, nn.BatchNorm2d(o), act())


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


class MyUNet(nn.Module):
    """As in the solutions; what a subclass changes is one of the usual mistakes."""

    skip_first, after_halving, head, last_first, block = True, False, 1, True, staticmethod(convs)

    def __init__(self, widths, bottleneck):
        super().__init__()
        ins, outs = [3, *widths[:-1]], [*widths[-2::-1], widths[0]]
        self.down = nn.ModuleList(self.block(i, o) for i, o in zip(ins, widths, strict=True))
        self.bottom = self.block(widths[-1], bottleneck)
        below = [bottleneck, *outs[:-1]]
        skips = widths[::-1]
        self.up = nn.ModuleList(self.block(s + b, o) for s, b, o in zip(skips, below, outs, strict=True))
        self.last = nn.Conv2d(outs[-1], self.head, 1)

    def double(self, x):
        return grow(x)

    def end(self, logits):
        return logits

    def forward(self, x):
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for block in self.up:
            pair = [skips.pop(-1 if self.last_first else 0), self.double(x)]
            x = block(torch.cat(pair if self.skip_first else pair[::-1], 1))
        return self.end(self.last(x))


def theirs(widths, bottleneck):
    return UNet(UNetConfig(widths=widths, bottleneck=bottleneck))


def like(**changes):
    """A U-Net class with something changed."""
    return type("Changed", (MyUNet,), changes)


class Stub(nn.Module):
    def __init__(self, widths, bottleneck):
        super().__init__()
        ...

    def forward(self, images):
        return ...


def group_block(i, o):
    return nn.Sequential(*[part for part in convs(i, o) if not isinstance(part, nn.BatchNorm2d)])


RIGHT = {
    "double_conv": [TwoConvs, lambda i, o: Block(i, o, 2, "batch")],
    "count_block": [
        lambda i, o: np.int64(9 * o * (i + o) + 4 * o),
        lambda i, o: count_parameters(convs(i, o)),
    ],
    "double_and_join": [
        lambda x, skip: torch.concat((skip, nn.UpsamplingBilinear2d(scale_factor=2)(x)), -3),
        lambda x, skip: torch.cat([skip, F.interpolate(x, skip.shape[2:], None, "bilinear", True)], 1),
    ],
    "unet_class": [MyUNet, like(block=staticmethod(TwoConvs))],
    "field_of_view": [lambda layers: np.array(solution.field_of_view(layers)), field_by_products],
    "pixels_to_add": [lambda s, d: np.array([(d - s % d) % d]), lambda s, d: -(-s // d) * d - s],
    "run_any_size": [reflect, resize_instead],
}

WRONG = {
    "double_conv": [
        (lambda i, o: convs(i, o, bias=True), "bias=False"),
        (lambda i, o: convs(i, o, act=nn.Identity), "ReLU comes last"),
        (lambda i, o: convs(i, o, padding=0), "padding=1"),
        (group_block, "BatchNorm2d"),
        (lambda i, o: nn.Sequential(*list(convs(i, o))[:3]), "missing"),
        (lambda i, o: nn.Sequential(convs(i, o), convs(o, o)), "too many"),
        (lambda i, o: convs(o, i), "other channels"),
        (lambda i, o: convs(i, o)(torch.zeros(1, i, 4, 4)), "nn.Module"),
    ],
    "count_block": [
        (lambda i, o: 0, "add up"),
    ],
    "double_and_join": [
        (lambda x, skip: torch.cat([skip, 0 * grow(x)], 1), "then torch.cat"),
    ],
    "unet_class": [
        (Stub, "not answered yet"),
        (like(skip_first=False), "order is swapped"),
        (like(last_first=False), "last skip that was kept"),
        (like(head=2), "one channel"),
        (like(double=lambda self, x: grow(x, corners=False)), "align_corners=True"),
        (like(double=lambda self, x: grow(x, "nearest", None)), "not nearest"),
        (like(end=lambda self, logits: logits.sigmoid()), "the sigmoid is"),
        (like(end=lambda self, logits: F.max_pool2d(logits, 2)), "size of the images"),
        (like(end=lambda self, logits: None), "one tensor"),
        (like(block=staticmethod(lambda i, o: convs(i, o, bias=True))), "bias=False"),
        (like(block=staticmethod(group_block)), "BatchNorm2d"),
        (like(block=staticmethod(lambda i, o: convs(i, o, act=nn.Identity))), "one by one"),
        (lambda widths, bottleneck: theirs(widths, widths[-1]), "missing"),
        (lambda widths, bottleneck: theirs((4, 6), 8), "missing"),
        (lambda widths: MyUNet(widths, 8), "read the error"),
        (MyUNet((4, 6), 8), "the class itself"),
    ],
    "field_of_view": [
        (lambda layers: 0, "times all strides"),
    ],
    "pixels_to_add": [
        (lambda s, d: 7, "smallest number"),
        (lambda s, d: s - d, "smallest number"),
    ],
    "run_any_size": [
        (lambda net, images, d: net(images), "pad first"),
        (lambda net, images, d: net(pad_to_multiple(images, d)), "now crop"),
        (lambda net, images, d: images, "one channel"),
        (lambda net, images, d: images.sum(1, keepdim=True), "never called"),
        (pad_top_left, "not in the world"),
        (pad_with(torch.zeros_like), "not in the world"),
        (lambda net, images, d: solution.run_any_size(net, images, d).roll(1, -1), "where the picture"),
        (lambda net, images, d: resize_instead(net, images, d).flip(-1), "values moved"),
        (scribble, "work on a copy"),
    ],
}

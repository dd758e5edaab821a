"""Right and common wrong answers to the exercises of notebook 03; test_answers.py asks the checks."""

import torch
import torch.nn.functional as F

from segkit.unet import pad_to_multiple


def grow(x, mode="bilinear", corners=True):
    return F.interpolate(x, scale_factor=2, mode=mode, align_corners=corners)


def field_of_view(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


def field_with_own_stride(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        field += (kernel - 1) * step
    return field


def run_any_size(net, images, divisor):
    return net(pad_to_multiple(images, divisor))[..., : images.shape[-2], : images.shape[-1]]


def pad_top_left(net, images, divisor):
    down, right = -images.shape[-2] % divisor, -images.shape[-1] % divisor
    out = net(F.pad(images, (right, 0, down, 0)))
    return out[..., : images.shape[-2], : images.shape[-1]]


def resize_instead(net, images, divisor):
    height, width = images.shape[-2:]
    size = (-(-height // divisor) * divisor, -(-width // divisor) * divisor)
    return F.interpolate(net(F.interpolate(images, size)), (height, width))


def scribble(net, images, divisor):
    images += 1
    return run_any_size(net, images, divisor)


RIGHT = [
    ("count_block", lambda i, o: 9 * i * o + 9 * o * o + 4 * o),
    ("pixels_to_add", lambda side, divisor: -side % divisor),
    ("double_and_join", lambda x, skip: torch.cat([skip, grow(x)], dim=1)),
    ("field_of_view", field_of_view),
    ("run_any_size", run_any_size),
]

WRONG = [
    ("count_block", lambda i, o: 9 * i * o + 9 * o * o, "factor and an offset"),
    ("count_block", lambda i, o: 9 * i * o + 9 * o * o + 2 * o, "two normalisations"),
    ("count_block", lambda i, o: 9 * i * o + 9 * o * o + 6 * o, "no bias"),
    ("count_block", lambda i, o: 18 * i * o + 4 * o, "second convolution takes out_channels"),
    ("count_block", lambda i, o: 9 * i * o + 2 * o, "a block has two"),
    ("count_block", lambda i, o: i * o + o * o + 4 * o, "3 × 3"),
    ("count_block", lambda i, o: 0, "add up"),
    ("pixels_to_add", lambda s, d: d - s % d, "nothing is missing"),
    ("pixels_to_add", lambda s, d: s % d, "left over"),
    ("pixels_to_add", lambda s, d: s + -s % d, "side after padding"),
    ("pixels_to_add", lambda s, d: 7, "smallest number"),
    ("double_and_join", lambda x, skip: torch.cat([grow(x), skip], dim=1), "order is swapped"),
    ("double_and_join", lambda x, skip: torch.cat([skip, grow(x, "nearest", None)], 1), "nearest"),
    ("double_and_join", lambda x, skip: torch.cat([skip, grow(x, corners=False)], 1), "align_corners=True"),
    ("double_and_join", lambda x, skip: skip + grow(x).sum(1, keepdim=True), "joined, not added"),
    ("double_and_join", lambda x, skip: grow(x), "torch.cat"),
    ("double_and_join", lambda x, skip: torch.cat([skip, 0 * grow(x)], 1), "values are not"),
    ("double_and_join", lambda x, skip: None, "one tensor"),
    ("field_of_view", lambda layers: 1 + sum(k - 1 for k, _ in layers), "two input pixels wide"),
    ("field_of_view", field_with_own_stride, "layers after it"),
    ("field_of_view", lambda layers: field_of_view(layers) - 1, "start with 1: without"),
    ("field_of_view", lambda layers: sum(k for k, _ in layers) if len(layers) > 1 else 3, "overlap"),
    ("field_of_view", lambda layers: 0, "product of all strides"),
    ("run_any_size", lambda net, images, d: net(images), "pad first"),
    ("run_any_size", lambda net, images, d: net(pad_to_multiple(images, d)), "now crop"),
    ("run_any_size", lambda net, images, d: images, "one channel"),
    ("run_any_size", pad_top_left, "holds padding"),
    ("run_any_size", resize_instead, "do not resize"),
    ("run_any_size", scribble, "pad a copy"),
]

"""Checks of notebook 03, Building the U-Net."""

from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.course.check.core import Unanswered, Wrong, as_number, exercise, from_start
from segkit.models import count_parameters
from segkit.unet import Block, UNet, UNetConfig, pad_to_multiple


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(from_start(seed)))


def _built(answer, given: str, *args) -> nn.Module:
    """What the reader's class or function builds, with the input beside its error."""
    if isinstance(answer, nn.Module):
        raise Wrong("hand over the class itself, without calling it", got=answer)
    try:
        net = answer(*args)
    except (Wrong, Unanswered):
        raise
    except Exception as error:
        raise Wrong(
            "building it stopped: read the error", given, f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(net, nn.Module):
        raise Wrong("build one network, an nn.Module", given, "None" if net is None else net, "an nn.Module")
    return net


def _answered(net: nn.Module, images: Tensor, given: str) -> Tensor:
    """What the reader's network says, with the input beside its error."""
    try:
        got = net(images.clone())
    except Exception as error:
        hint = "the network stopped on its way: read the error"
        if "to have" in str(error) and "channels, but got" in str(error):
            hint = "a convolution got other channels than it was built for: write them down stage by stage"
        elif "Sizes of tensors must match" in str(error):
            hint = "tensors of two sizes were joined: the last skip that was kept is the first to be joined"
        raise Wrong(hint, given, f"{type(error).__name__}: {error}") from error
    if got is ...:
        raise Unanswered
    if not isinstance(got, Tensor):
        raise Wrong("forward must return one tensor", given, "None" if got is None else got, "a tensor")
    return got


def _parts(net: nn.Module, images: Tensor) -> list[nn.Module]:
    """Every part with weights of its own, in the order in which the network uses them."""
    used: list[nn.Module] = []
    own = [part for part in net.modules() if next(part.parameters(recurse=False), None) is not None]
    hooks = [part.register_forward_hook(lambda part, *_: used.append(part)) for part in own]
    with torch.no_grad():
        net(images.clone())
    for hook in hooks:
        hook.remove()
    return used


def _give_weights(mine: nn.Module, theirs: nn.Module, images: Tensor, given: str) -> None:
    """Random weights and statistics for both networks, the same ones.   Raises: Wrong if they do not fit."""
    shapes = [Counter(tuple(p.shape) for p in net.parameters()) for net in (mine, theirs)]
    if shapes[0] != shapes[1]:
        too_many, missing = (sorted((a - b).elements()) for a, b in (shapes, shapes[::-1]))
        hint = "the weights are others: compare kernel, channels, bias and normalisation of every part"
        convs = sum(isinstance(part, nn.Conv2d) and part.bias is not None for part in mine.modules())
        if convs > sum(isinstance(part, nn.Conv2d) and part.bias is not None for part in theirs.modules()):
            hint = "a convolution before a normalisation has no bias: bias=False"
        elif not any(isinstance(part, nn.BatchNorm2d) for part in mine.modules()):
            hint = "after each convolution of a block comes nn.BatchNorm2d"
        elif any(isinstance(part, nn.ConvTranspose2d) for part in mine.modules()):
            hint = "doubling has no weights here: nn.Upsample, as above"
        raise Wrong(hint, given, f"too many: {too_many}" if too_many else "all there", f"missing: {missing}")
    order = [_parts(net, images) for net in (mine, theirs)]
    for i, part in enumerate(order[1]):
        for j, (name, values) in enumerate(sorted(part.state_dict().items())):
            if values.is_floating_point():
                random = _random(*values.shape, seed=50 * i + j)
                values.copy_(random.abs() + 0.5 if "var" in name else random / values[0].numel() ** 0.5)
        found = order[0][i] if i < len(order[0]) else None
        if found is None or [p.shape for p in found.parameters()] != [p.shape for p in part.parameters()]:
            hint = f"of the parts with weights, number {i + 1} to be used is another one"
            raise Wrong(hint, given, found or "nothing", part)
        found.load_state_dict(part.state_dict())


@exercise
def double_conv(answer):
    for i, o in ((3, 8), (5, 4), (6, 6)):
        given = f"in_channels={i}, out_channels={o}"
        images = _random(2, i, 6, 7)
        mine, theirs = _built(answer, given, i, o), Block(i, o, convs=2, norm="batch")
        shape = tuple(_answered(mine, images, given).shape)
        if shape != (2, o, 6, 7):
            hint = "padding=1 keeps height and width" if shape[2:] != (6, 7) else "the channels are others"
            raise Wrong(hint, f"{given}, images {tuple(images.shape)}", shape, (2, o, 6, 7))
        _give_weights(mine, theirs, images, given)
        for net in (mine, theirs):
            net.eval()
        got, expected = mine(images), theirs(images)
        if torch.allclose(got, expected, atol=1e-5):
            continue
        hint = "the same weights give other numbers: convolution, normalisation, ReLU, and the same again"
        if (got < 0).any():
            hint = "there are negative numbers: ReLU comes last"
        raise Wrong(hint, f"{given}, with random weights", got, expected)


@exercise
def count_block(answer):
    for i, o in ((3, 64), (64, 128), (5, 7), (16, 16)):
        given, expected = f"in_channels={i}, out_channels={o}", count_parameters(Block(i, o, 2, "batch"))
        result = answer(i, o)
        got = as_number(result)
        if got is None:
            raise Wrong("return one number", given, "None" if result is None else result, expected)
        if got == expected:
            continue
        first, second, norms = 9 * i * o, 9 * o * o, 4 * o
        convs = first + second
        hints = {
            convs: "that is both convolutions; each normalisation adds a factor and an offset per channel",
            convs + 2 * o: "only one number per channel and normalisation, or one normalisation, is in it: "
            "two normalisations hold a factor and an offset each",
            convs + norms + 2 * o: "these convolutions have no bias: the normalisation would subtract it",
            2 * first + norms: "the second convolution takes out_channels in, not in_channels",
            first + 2 * o: "that is one convolution with its normalisation; a block has two",
            i * o + o * o + norms: "each pair of an old and a new channel has 3 × 3 numbers",
        }
        hint = hints.get(
            got, "add up: first convolution, its normalisation, second convolution, its normalisation"
        )
        raise Wrong(hint, given, result, expected)


@exercise
def double_and_join(answer):
    for seed, (n, c, s, h, w) in enumerate(((1, 2, 3, 4, 4), (2, 5, 1, 3, 6), (3, 4, 4, 2, 5))):
        x, skip = _random(n, c, h, w, seed=2 * seed), _random(n, s, 2 * h, 2 * w, seed=2 * seed + 1)
        grown = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        expected, given = torch.cat([skip, grown], dim=1), f"x {tuple(x.shape)}, skip {tuple(skip.shape)}"
        got = answer(x.clone(), skip.clone())
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


def _forward(net: UNet, images: Tensor, skip_first: bool = True, **doubling) -> Tensor:
    """segkit's U-Net by hand, with the order of joining and the doubling to choose."""
    x, skips = images, []
    for block in net.encoder:
        skips.append(block(x))
        x = net.halve(skips[-1])
    x = net.bottleneck(x)
    for up in net.decoder:
        pair = [skips.pop(), F.interpolate(x, scale_factor=2, **doubling)]
        x = up.block(torch.cat(pair if skip_first else pair[::-1], dim=1))
    return net.head(x)


@exercise
def unet_class(answer):
    for widths, bottleneck in (((4, 6), 8), ((4, 6, 10), 7)):
        given, images = f"widths={widths}, bottleneck={bottleneck}", _random(2, 3, 24, 32)
        mine = _built(answer, given, widths, bottleneck)
        theirs = UNet(UNetConfig(widths=widths, bottleneck=bottleneck))
        given += f", images {tuple(images.shape)}"
        got = _answered(mine, images, given)
        if got.shape != (2, 1, 24, 32):
            hint = "logits have the size of the images and one channel"
            if got.shape[2:] == (24, 32):
                hint = "the head is a 1 × 1 convolution down to one channel"
            raise Wrong(hint, given, tuple(got.shape), (2, 1, 24, 32))
        _give_weights(mine, theirs, images, given)
        with torch.no_grad():
            got, expected = mine.eval()(images), theirs.eval()(images)
            others = {
                "the order is swapped: in a join the skip comes first": {"skip_first": False},
                "doubling is bilinear with align_corners=True, as above": {"align_corners": False},
                "doubling is bilinear, not nearest": {"mode": "nearest", "align_corners": None},
            }
            usual = {"mode": "bilinear", "align_corners": True}
            made = {hint: _forward(theirs, images, **usual | other) for hint, other in others.items()}
        if torch.allclose(got, expected, atol=1e-4):
            continue
        made["return logits: the sigmoid is the loss's business"] = expected.sigmoid()
        hint = next(
            (hint for hint, value in made.items() if torch.allclose(got, value, atol=1e-4)),
            "the same weights give other logits: go through the nine lines above, one by one",
        )
        raise Wrong(hint, f"{given}, with random weights", got, expected)


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
        given, expected, result = f"layers={layers}", _field(layers), answer(list(layers))
        got = as_number(result)
        if got is None:
            raise Wrong("return one number", given, "None" if result is None else result, expected)
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
        raise Wrong(hint, given, result, expected)


@exercise
def pixels_to_add(answer):
    rng = np.random.default_rng(from_start(0))
    cases = [(100, 16), (96, 16), (1, 8), *rng.integers(1, 400, (20, 2)).tolist()]
    for side, divisor in cases:
        given, expected, result = f"side={side}, divisor={divisor}", -side % divisor, answer(side, divisor)
        got = as_number(result)
        if got is None:
            raise Wrong("return one number", given, "None" if result is None else result, expected)
        if got == expected:
            continue
        hint = "the smallest number, 0 or more, that makes side + it a multiple of divisor"
        if got == divisor and expected == 0:
            hint = "where divisor divides side already nothing is missing: take the remainder once more"
        elif got == side % divisor:
            hint = "that is what is left over; asked is what is missing to the next multiple"
        elif got == side + expected:
            hint = "that is the side after padding; asked is how much to add"
        raise Wrong(hint, given, result, expected)


class _Strict(nn.Module):
    """Mixes the colours of each pixel, if the divisor divides both sides. Keeps what it was given."""

    def __init__(self, divisor: int, weights: Tensor):
        super().__init__()
        self.divisor, self.weights, self.given = divisor, weights, []

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % self.divisor or width % self.divisor:
            raise Wrong(
                "the network was called with a size that divisor does not divide: pad first",
                got=f"{height} × {width}, divisor {self.divisor}",
                expected=f"multiples of {self.divisor}",
            )
        self.given.append(images.detach().clone())
        return (images * self.weights.view(1, 3, 1, 1)).sum(1, keepdim=True)


def _lies_in(images: Tensor, larger: Tensor) -> bool:
    """Whether the images stand somewhere in the larger ones, pixel by pixel."""
    (height, width), (high, wide) = images.shape[-2:], larger.shape[-2:]
    return any(
        torch.equal(larger[..., y : y + height, x : x + width], images)
        for y in range(high - height + 1)
        for x in range(wide - width + 1)
    )


@exercise
def run_any_size(answer):
    weights = _random(3).abs() + 0.5
    for height, width, divisor in ((32, 32, 16), (20, 33, 8), (100, 90, 16), (7, 64, 4)):
        # Smooth, so that a picture may also be resized; never 0, so that a black frame shows.
        coarse = _random(2, 3, 3, 3, seed=height).abs() + 1
        images = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
        net, before = _Strict(divisor, weights), images.clone()
        given = f"images {tuple(images.shape)}, divisor {divisor}"
        expected = (images * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
        got = answer(net, images, divisor)
        if not isinstance(got, Tensor) or got.shape != expected.shape:
            shape = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
            padded = pad_to_multiple(before, divisor).shape[-2:]
            hint = "the logits have the height and width of the images, and one channel"
            if isinstance(got, Tensor) and got.shape[1:] == (1, *padded):
                hint = "padded and run; now crop the logits to the size of the images"
            raise Wrong(hint, given, shape, tuple(expected.shape))
        if not torch.equal(images, before):
            raise Wrong("the images of the caller were changed: pad a copy", given)
        if not net.given:
            raise Wrong("the network was never called: the logits come from net(...)", given, got, expected)
        is_padded = all(
            len(larger) == len(before)
            and larger.shape[-2] >= height
            and larger.shape[-1] >= width
            and _lies_in(before, larger)
            for larger in net.given
        )
        if is_padded and not all(torch.isin(larger, before).all() for larger in net.given):
            raise Wrong(
                "the padding holds values that are not in the picture, such as black: "
                "the network would see an edge that is not in the world. Repeat what is at the border",
                given,
                "a frame of other values",
                "mode='replicate' or 'reflect'",
            )
        # A resized picture comes back nearly the same; a crop at the wrong place does not.
        allowed = 1e-4 if is_padded else 0.05
        if (got - expected).abs().mean() > allowed * expected.std():
            hint = "the values moved: a pixel's logit stands at its place, so crop where the picture starts"
            raise Wrong(hint, given, got, expected)

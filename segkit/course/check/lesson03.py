"""Checks of notebook 03, Building the U-Net."""

import itertools
from collections import Counter
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segkit.course.check.core import Case, cases, either, exercise, generator, torch_generator
from segkit.models import count_parameters
from segkit.unet import Block, UNet, UNetConfig, pad_to_multiple


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch_generator(seed))


def _built(answer, case: Case, *args) -> nn.Module:
    """What the reader's class or function builds, with the input beside its error."""
    if isinstance(answer, nn.Module):
        case.wrong("hand over the class itself, without calling it", answer)
    net = case.run(answer, *args)
    if not isinstance(net, nn.Module):
        case.refuse(net, "one network, an nn.Module")
    return net


STOPPED = {
    "channels, but got": "a convolution got other channels than it was built for: write them down by stage",
    "Sizes of tensors must match": "two sizes were joined: the last skip that was kept is the first to join",
}
"""Hints by a part of torch's error."""


def _check_shape(mine: nn.Module, theirs: nn.Module, images: Tensor, case: Case, of_size, of_channels):
    """Raises: Wrong, with the input beside its error, where the reader's network says something else."""
    got = case.run(mine, images.clone(), hints=STOPPED)
    if not isinstance(got, Tensor):
        case.refuse(got, "one tensor from forward")
    if got.shape != (right := theirs(images).shape):
        case.wrong(of_channels if got.shape[2:] == right[2:] else of_size, tuple(got.shape), tuple(right))


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


def _shapes(part: nn.Module) -> dict[str, tuple]:
    return {name: tuple(values.shape) for name, values in part.state_dict().items()}


def _biased(net: nn.Module) -> int:
    return sum(isinstance(part, nn.Conv2d) and part.bias is not None for part in net.modules())


def _give_weights(mine: nn.Module, theirs: nn.Module, images: Tensor, case: Case) -> None:
    """Random weights and statistics for both networks, the same ones.   Raises: Wrong if they do not fit."""
    shapes = [Counter(tuple(p.shape) for p in net.parameters()) for net in (mine, theirs)]
    if shapes[0] != shapes[1]:
        too_many, missing = (sorted((a - b).elements()) for a, b in (shapes, shapes[::-1]))
        kinds = [type(part) for part in mine.modules()]
        held = [value for part in mine.modules() for value in vars(part).values() if isinstance(value, list)]
        hint = "the weights are others: compare kernel, channels, bias and normalisation of every part"
        if any(isinstance(one, nn.Module) for one in itertools.chain(*held)):
            hint = "the parts of a plain list are not found: nn.Sequential or nn.ModuleList makes them yours"
        elif _biased(mine) > _biased(theirs) and all(len(shape) == 1 for shape in too_many):
            hint = "a convolution before a normalisation has no bias: bias=False"
        elif nn.BatchNorm2d not in kinds:
            hint = "after each convolution of a block comes nn.BatchNorm2d"
        case.wrong(hint, f"too many: {too_many}" if too_many else "all there", f"missing: {missing}")
    order = [_parts(net, images) for net in (mine, theirs)]
    for i, part in enumerate(order[1]):
        for j, (name, values) in enumerate(sorted(part.state_dict().items())):
            if values.is_floating_point():
                random = _random(*values.shape, seed=50 * i + j)
                values.copy_(random.abs() + 0.5 if "var" in name else random / values[0].numel() ** 0.5)
        found = order[0][i] if i < len(order[0]) else None
        if found is None or _shapes(found) != _shapes(part):
            case.wrong(f"of the parts with weights, number {i + 1} to be used is another one", found, part)
        found.load_state_dict(part.state_dict())


@exercise
def double_conv(answer):
    for i, o in ((3, 8), (5, 4), (6, 6)):
        images, case = 9 * _random(2, i, 6, 7), Case(given=f"in_channels={i}, out_channels={o}")
        mine, theirs = _built(answer, case, i, o), Block(i, o, convs=2, norm="batch")
        _check_shape(mine, theirs, images, case, "padding=1 keeps both sides", "the channels are others")
        _give_weights(mine, theirs, images, case)
        for training in (False, True):
            got, case.expected = mine.train(training)(images), theirs.train(training)(images)
            mistakes = {"there are negative numbers: ReLU comes last": (got < 0).any().item()}
            mistakes["right in eval mode only: a block drops nothing while it trains"] = training
            case.compare(got, mistakes, "convolution, normalisation, ReLU, and the same again", atol=1e-5)


@cases("add up: convolution, normalisation, and both again")
def count_block():
    for i, o in ((3, 64), (64, 128), (5, 7), (16, 16)):
        right, norms = count_parameters(Block(i, o, 2, "batch")), 4 * o
        convs = right - norms
        mistakes = {
            "that is both convolutions; each normalisation adds a factor and an offset per channel": convs,
            "two normalisations hold a factor and an offset each; half of that is missing": convs + 2 * o,
            "these convolutions have no bias: the normalisation would subtract it": right + 2 * o,
            "running mean and variance are kept, not learned": either(right + 4 * o, right + 4 * o + 2),
            "the second convolution takes out_channels in, not in_channels": 2 * 9 * i * o + norms,
            "that is one convolution with its normalisation; a block has two": 9 * i * o + 2 * o,
            "each pair of an old and a new channel has 3 × 3 numbers": convs / 9 + norms,
        }
        yield (i, o), right, mistakes


@cases("double x in height and width, then torch.cat([skip, ...], dim=1)")
def double_and_join():
    for seed, (n, c, s, h, w) in enumerate(((1, 2, 3, 4, 4), (2, 5, 1, 3, 6), (3, 4, 4, 2, 5))):
        x, skip = _random(n, c, h, w, seed=2 * seed), _random(n, s, 2 * h, 2 * w, seed=2 * seed + 1)
        twice = partial(F.interpolate, x, scale_factor=2)
        grown, linear = twice(mode="bilinear", align_corners=True), twice(mode="bilinear")
        mistakes = {
            "a skip is joined, not added: its channels stand beside those of x": skip,
            "the order is swapped: the skip comes first": torch.cat([grown, skip], dim=1),
            "doubling is bilinear, not nearest": torch.cat([skip, twice()], dim=1),
            "align_corners=True is missing": torch.cat([skip, linear], dim=1),
        }
        yield (x, skip), torch.cat([skip, grown], dim=1), mistakes


@exercise
def unet_class(answer):
    for widths, bottleneck in (((4, 6), 8), ((4, 6, 10, 8), 7)):
        images, case = _random(2, 3, 32, 48), Case(given=f"widths={widths}, bottleneck={bottleneck}")
        mine = _built(answer, case, widths, bottleneck)
        theirs = UNet(UNetConfig(widths=widths, bottleneck=bottleneck))
        case.given += f", images {tuple(images.shape)}"
        of_size = "logits have the size of the images and one channel"
        of_channels = "the head is a 1 × 1 convolution down to one channel"
        _check_shape(mine, theirs, images, case, of_size, of_channels)
        _give_weights(mine, theirs, images, case)
        case.given += ", with random weights"
        with torch.no_grad():
            got, case.expected = mine.eval()(images), theirs.eval()(images)
        mistakes = {"return logits: the sigmoid is the loss's business": case.expected.sigmoid()}
        otherwise = "go through the nine lines above, one by one; every join is that of double_and_join"
        case.compare(got, mistakes, otherwise, atol=1e-4)


def _field(layers, own_stride_counts: bool = False) -> int:
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step * (stride if own_stride_counts else 1)
        step *= stride
    return field


@cases("1, and for each layer (kernel - 1) times all strides before it")
def field_of_view():
    rng = generator()
    some = [[(int(k), int(s)) for k, s in rng.integers(1, 4, (n, 2))] for n in (2, 3, 4, 5, 6)]
    for layers in ([(3, 1)], [(3, 1), (3, 1)], [(3, 1), (3, 1), (2, 2), (3, 1)], [(1, 1)], *some):
        right, without_strides = _field(layers), 1 + sum(k - 1 for k, _ in layers)
        mistakes = {
            "after a stride of 2, a step is two pixels wide: strides before a layer count": without_strides,
            "a layer's own stride matters only to those after it": _field(layers, own_stride_counts=True),
            "start with 1: without any layer, a pixel sees itself": right - 1,
            "two 3 × 3 layers see 5 pixels, not 6: their windows overlap": sum(k for k, _ in layers),
        }
        yield (layers,), right, mistakes


@cases("the smallest number, 0 or more, that divisor finds missing in side")
def pixels_to_add():
    for side, divisor in [(100, 16), (96, 16), (1, 8), *generator().integers(1, 400, (20, 2)).tolist()]:
        left_over = side % divisor
        mistakes = {
            "where divisor divides side nothing is missing: % divisor once more": divisor - left_over,
            "that is what is left over; asked is what is missing to the next multiple": left_over,
            "that is the side after padding; asked is how much to add": side + -side % divisor,
        }
        yield (side, divisor), -side % divisor, mistakes


class _Strict(nn.Module):
    """Mixes the colours of each pixel, if the divisor divides both sides. Keeps what it was given."""

    def __init__(self, divisor: int, weights: Tensor):
        super().__init__()
        self.divisor, self.weights, self.given = divisor, weights, []

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % self.divisor or width % self.divisor:
            Case(f"multiples of {self.divisor}").wrong("pad first: no such size fits", f"{height} × {width}")
        self.given.append(images.detach().clone())
        return (images * self.weights.view(1, 3, 1, 1)).sum(1, keepdim=True)


def _lies_in(images: Tensor, larger: Tensor) -> bool:
    """Whether the images stand somewhere in the larger ones, pixel by pixel."""
    (height, width), (high, wide) = images.shape[-2:], larger.shape[-2:]
    places = itertools.product(range(high - height + 1), range(wide - width + 1))
    return any(torch.equal(larger[..., y : y + height, x : x + width], images) for y, x in places)


@exercise
def run_any_size(answer):
    weights = _random(3).abs() + 0.5
    for height, width, divisor in ((32, 32, 16), (20, 33, 8), (100, 90, 12), (7, 64, 4)):
        # Smooth, so that a picture may also be resized; never 0, so that a black frame shows.
        coarse = _random(2, 3, 3, 3, seed=height).abs() + 1
        images = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
        net = _Strict(divisor, weights)
        case = Case((images * weights.view(1, 3, 1, 1)).sum(1, keepdim=True))
        result = answer(net, images, divisor)
        padded = pad_to_multiple(images[:, :1], divisor)
        mistakes = {"padded and run; now crop the logits to the size of the images": padded}
        what = "logits with the height and width of the images, and one channel"
        got = torch.from_numpy(case.array(result, what, mistakes)).float()
        if not net.given:
            case.wrong("the network was never called: the logits come from net(...)", got)
        is_padded = all(len(larger) == len(images) and _lies_in(images, larger) for larger in net.given)
        if is_padded and not all(torch.isin(larger, images).all() for larger in net.given):
            hint = "the padding holds other values, such as black: an edge that is not in the world"
            case.wrong(hint)
        # A resized picture comes back nearly the same; a crop at the wrong place does not.
        allowed = 1e-4 if is_padded else 0.05
        if not (got - case.expected).abs().mean() <= allowed * case.expected.std():  # nor may it be NaN
            hint = "the values moved: crop where the picture starts"
            if got.min() >= 0 and got.max() <= 1:  # the network's own are larger
                hint = "return what the network says, its logits: no sigmoid, no mask"
            case.wrong(hint, got)

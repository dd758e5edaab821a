"""Checks of lesson 08: from a file to a cut-out."""

import tempfile
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from segkit.course.check.core import Case, cases, draws, either, exercise, generator
from segkit.files import read_image


@cases("each colour: over 255, minus its own mean, over its own std.", dtype="float32", atol=1e-4)
def network_input():
    """answer(image, mean, std): uint8 (H, W, 3) -> float32 (1, 3, H, W), normalised."""
    for _, rng in draws(3):
        height, width = (int(side) for side in rng.choice([4, 5, 6, 7], 2, replace=False))
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        # Plain numbers, as a checkpoint holds them: torch makes float64 of NumPy's.
        mean, std = (tuple(rng.uniform(*ends, 3).round(3).tolist()) for ends in ((0.3, 0.6), (0.15, 0.35)))
        right, none, ones = _normalised(image / 255, mean, std), (0, 0, 0), (1, 1, 1)
        ways = {
            "these are the raw numbers: divide by 255, minus mean, over std.": (image, none, ones),
            "divided by 255, and then nothing: the mean and the std are missing.": (image / 255, none, ones),
            "mean and std are for colours in [0, 1].": (image, mean, std),
            "the mean is gone, but nothing was divided by std.": (image / 255, mean, ones),
            "divided by std, but the mean was never subtracted.": (image / 255, none, std),
            "divide by std, do not multiply.": (image / 255, mean, 1 / np.array(std)),
            "red and blue have changed places.": (image[..., ::-1] / 255, mean, std),
        }
        shapes = {
            "channels come first, and a batch axis before them: permute(2, 0, 1)[None].": image,
            "with a batch axis, and the channels still last: permute(2, 0, 1).": image[None],
            "the network takes a batch, even of one: put an axis in front with [None].": right[0],
            "rows and columns have changed places: permute(2, 0, 1), not (2, 1, 0).": right.swapaxes(2, 3),
        }
        made = {hint: _normalised(*parts) for hint, parts in ways.items()}
        yield (image, mean, std), right, shapes | made


def _normalised(image, mean, std):
    return ((image - np.array(mean)) / np.array(std)).transpose(2, 0, 1)[None]


# Any smooth way to enlarge is right: on so few pixels they differ, where stairs differ on more.
@cases("cv2.INTER_LINEAR to (width, height), then > threshold.", dtype="bool", share=0.015)
def full_size_mask():
    """answer(prob, height, width, threshold): float32 (h, w) -> bool (height, width)."""
    for _, rng in draws(4):
        noise = cv2.resize(rng.random((5, 5), dtype=np.float32), (24, 24), interpolation=cv2.INTER_CUBIC)
        prob = noise.clip(0, 1)
        height, width = (int(side) for side in rng.choice([80, 97, 110, 131], 2, replace=False))
        threshold = float(rng.choice([0.3, 0.4, 0.6, 0.7]))

        def enlarged(array, cut, how=cv2.INTER_LINEAR, size=(width, height)):
            return cv2.resize(array, size, interpolation=how) > cut

        right, small = enlarged(prob, threshold), (prob > threshold).astype(np.float32)
        stairs = [enlarged(small, 0, how) for how in (cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT)]
        stairs += [enlarged(small, cut) for cut in (0, 0.5)]
        mistakes = {
            "turned on its side: cv2.resize takes (width, height), unlike arrays.": right.T,
            "the mask still has the network's size.": prob,
            "these are still probabilities: prob > threshold.": lambda got: len(np.unique(got)) > 2,
            "this cuts at 0.5: use the threshold that was given.": enlarged(prob, 0.5),
            "background and person have changed places.": ~right,
            "the edge has stairs: resize prob smoothly, by cv2.INTER_LINEAR, and cut last.": either(*stairs),
        }
        yield (prob, height, width, threshold), right, mistakes


@cases("predict both, mirror the second back, take the mean.", atol=1e-4)
def mirror_average():
    """answer(predict, image): the mean of the answers to the photograph and to its mirror image."""
    for _, rng in draws(3):
        image = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        weight = rng.random(image.shape)

        def predict(picture, weight=weight):
            return (picture / 255 * weight).mean(2).astype(np.float32)

        plain, mirrored = predict(image), predict(image[:, ::-1])
        back = mirrored[:, ::-1]
        mistakes = {
            "this is the plain answer: the mirror image was not asked.": plain,
            "this is the mirrored answer alone, and it still looks the wrong way.": mirrored,
            "this is the mirrored answer alone: take the mean of both.": back,
            "the second answer still looks the wrong way: mirror it back first.": (plain + mirrored) / 2,
            "this is the sum, and reaches 2: divide by two.": plain + back,
            "this stands on its head: mirror the columns.": (plain + predict(image[::-1])[::-1]) / 2,
        }
        swapped = (plain + predict(image[..., ::-1])) / 2
        mistakes["that swaps red and blue: the last axis is colour. Use [:, ::-1]."] = swapped
        yield (predict, image), (plain + back) / 2, mistakes


@cases("image * alpha + background * (1 - alpha), in floats: uint8 restarts at 0.", dtype="uint8", atol=2.01)
def put_behind():
    """answer(image, alpha, background): the person of image on another background, uint8."""
    for _, rng in draws(3):
        image, background = rng.integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)
        alpha = rng.random((5, 6)).astype(np.float32)
        a = alpha[..., None]
        both = image * a + background
        mistakes = {
            "person and background have changed places.": image * (1 - a) + background * a,
            "a hard cut: alpha lies between 0 and 1, so mix by it.": np.where(a > 0.5, image, background),
            "the person is there, on black: add background * (1 - alpha).": image * a,
            "it shines through: weigh by 1 - alpha.": either(both, both.astype(np.uint8), rtol=0, atol=1.01),
        }
        yield (image, alpha, background), image * a + background * (1 - a), mistakes


@exercise
def keep_shape(answer):
    """answer(predict, image, size): probability (H, W) without squeezing the photograph."""
    for (seed, rng), (height, width) in zip(draws(3), [(60, 120), (130, 70), (90, 200)], strict=True):
        size, side = 64, 24
        # At one end of the long side, so that cropping the middle out would lose it; in the middle of the
        # short side, so that a mirrored copy in the padding stays apart.
        ends = (int(rng.integers(2, 6)), (min(height, width) - side) // 2)
        left, top = ends if width > height else ends[::-1]
        if seed == 1:
            top = height - side - top
        grey = np.linspace(20, 110, width).astype(np.uint8)
        image = np.broadcast_to(grey[:, None], (height, width, 3)).copy()
        image[top : top + side, left : left + side] = 240
        predict = _Predict(size, side * size / max(height, width) - 2)
        case = Case(0.95 - 0.9 * image.max(2) / 255, f"an image of shape {image.shape}, size {size}")
        got = case.array(answer(predict, image, size))
        if got.dtype.kind != "f" or not np.isfinite(got).all():
            case.wrong("a probability for every pixel: floats, none of them NaN.", got)
        if (apart := np.abs(got - case.expected).mean()) > 0.06:
            hint = "this is not predict's answer in its place: the whole photograph in, no padding out."
            if np.array_equal(got, got.round()):
                hint = "this is a mask: return the probabilities, uncut."
            case.wrong(hint, f"{apart:.2f} away on average", "below 0.06")


class _Predict:
    """Answers by the brightness, 0.05 where it is white, if it gets all of the picture in its shape."""

    def __init__(self, size: int, smallest: float):
        self.size, self.smallest = size, smallest

    def __call__(self, picture) -> np.ndarray:
        wanted = (self.size, self.size, 3)
        if np.shape(picture) != wanted:
            Case(wanted).wrong("predict takes a square: put the small picture into one.", np.shape(picture))
        brightest = np.asarray(picture).max(2)
        # The padding may be white, whiter than the square.
        *_, boxes, _ = cv2.connectedComponentsWithStats(cv2.inRange(np.float32(brightest), 180, 250))
        _, _, wide, tall, _ = max(boxes[1:].tolist(), key=itemgetter(cv2.CC_STAT_AREA), default=[0] * 5)
        if abs(tall - wide) > 2:
            hint = "the photograph is squeezed: use one scale, size / max(height, width), for both sides."
            Case("as tall as wide").wrong(hint, f"a square of the photograph became {tall}x{wide}")
        if min(tall, wide) < self.smallest:
            Case().wrong("part of the photograph is missing: scale by size / max(height, width), no crop.")
        return (0.95 - 0.9 * brightest / 255).astype(np.float32)


# Any way to average is right, and any smooth way back.
@cases("read, resize, normalise, model, sigmoid, resize back, cut: in this order.", dtype="bool", share=0.02)
def file_to_mask():
    """answer(path, model, size, mean, std, threshold): a picture file -> bool (H, W), upright."""
    ways = {
        "cut at the threshold that was given, and not at 0.5.": {"threshold": 0.5},
        "logits were cut: the sigmoid comes first, then the threshold.": {"logits": True},
        "red and blue have changed places: cv2.imread gives blue first.": {"bgr": True},
        "the colours are not normalised: divide by 255, minus mean, over std.": {"raw": True},
        "the edge has stairs: resize the probabilities smoothly, and cut last.": {"stairs": True},
        "shrinking must average, or thin things flicker: cv2.INTER_AREA.": {"shrink": cv2.INTER_LINEAR},
        "background and person have changed places.": {"flip": True},
    }
    rng = generator()
    with tempfile.TemporaryDirectory() as folder:
        for i, (kind, picture, options) in enumerate(_pictures(rng)):
            settings = {"size": int(rng.choice([16, 24])), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}
            settings["threshold"] = (0.3, 0.7)[i % 2]
            picture.save(path := Path(folder) / f"photo_{i}.{options['format'].lower()}", **options)
            image = read_image(path)
            right = _path_to_mask(image, **settings)
            mistakes = {
                "on its side: obey the EXIF note; cv2.resize wants (width, height).": right.T,
            } | {hint: _path_to_mask(image, **settings | way) for hint, way in ways.items()}
            if picture.mode == "RGBA":
                hidden = _path_to_mask(np.asarray(picture)[..., :3], **settings)
                mistakes["what is transparent is white, as by read_image, not what hides there."] = hidden
            given = f"a {kind}, {', '.join(f'{name} {value}' for name, value in settings.items())}"
            yield (path, _Probe(settings["size"]), *settings.values()), right, mistakes, given


class _Probe(torch.nn.Module):
    """A network whose answer follows from the colours, and that is particular about its input."""

    def __init__(self, size: int):
        super().__init__()
        self.wanted = f"torch.float32 {(1, 3, size, size)}"

    def forward(self, x):
        if (found := f"{x.dtype} {tuple(x.shape)}") != self.wanted:
            Case(self.wanted).wrong("the model takes a batch of one normalised square.", found)
        return (x * torch.tensor([1.5, 0.2, -1.1]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _pictures(rng: np.random.Generator) -> Iterator[tuple[str, Image.Image, dict]]:
    """Blobs of colour in several kinds of file: what it is, the picture, how to save it."""
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    soft = cv2.resize(small, (200, 150), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 40, soft.shape)  # it averages out
    upright = (soft + grain).clip(0, 255).astype(np.uint8)
    note, alpha = Image.Exif(), np.full(upright.shape[:2], 255, np.uint8)
    note[0x0112], alpha[:40] = 6, 0
    yield "colour PNG", Image.fromarray(upright), {"format": "PNG"}
    turned = Image.fromarray(np.rot90(upright))
    yield "JPEG that says: turn me clockwise", turned, {"format": "JPEG", "quality": 98, "exif": note}
    yield "grey PNG", Image.fromarray(upright).convert("L"), {"format": "PNG"}
    yield "PNG with transparency", Image.fromarray(np.dstack([upright, alpha])), {"format": "PNG"}


def _path_to_mask(
    image, size, mean, std, threshold, logits=False, bgr=False, raw=False, stairs=False, flip=False,
    shrink=cv2.INTER_AREA,
):  # fmt: skip
    height, width = image.shape[:2]
    small = cv2.resize(image[..., ::-1] if bgr else image, (size, size), interpolation=shrink)
    x = small.transpose(2, 0, 1)[None] if raw else _normalised(small / 255, mean, std)
    answer = _Probe(size)(torch.from_numpy(np.ascontiguousarray(x)).float())
    prob = (answer if logits else answer.sigmoid())[0, 0].numpy()
    if stairs:
        small_mask = (prob > threshold).astype(np.uint8)
        return cv2.resize(small_mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return (cv2.resize(prob, (width, height), interpolation=cv2.INTER_LINEAR) > threshold) != flip

"""Checks of lesson 08: from a file to a cut-out."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from segkit.course.check.core import Wrong, exercise, from_start
from segkit.files import read_image


@exercise
def network_input(answer):
    """answer(image, mean, std): uint8 (H, W, 3) -> float32 (1, 3, H, W), normalised."""
    for seed in range(3):
        rng = np.random.default_rng(from_start(seed))
        height, width = (int(side) for side in rng.choice([4, 5, 6, 7], 2, replace=False))
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        # Plain numbers, as a checkpoint holds them: torch makes float64 of NumPy's.
        mean = tuple(rng.uniform(0.3, 0.6, 3).round(3).tolist())
        std = tuple(rng.uniform(0.15, 0.35, 3).round(3).tolist())
        right = _normalised(image / 255, mean, std)
        given = f"an image of shape {image.shape}, mean {mean}, std {std}"
        got = np.asarray(answer(image.copy(), mean, std))
        if got.shape != right.shape:
            raise Wrong(
                _wrong_shape(got.shape, right.shape), given, f"shape {got.shape}", f"shape {right.shape}"
            )
        if got.dtype != np.float32:
            raise Wrong(
                "the weights are float32, and torch refuses to mix: end with .float().",
                given,
                got.dtype,
                "float32",
            )
        pixel = [np.round(a[0, :, 0, 0], 3) for a in (got, right)]
        swapped = _normalised(image[..., ::-1] / 255, mean, std)
        for wrong, hint in {
            "raw": (image.astype(float), "these are the raw numbers: divide by 255, minus mean, over std."),
            "scaled": (image / 255, "divided by 255, and then nothing: the mean and the std are missing."),
            "no 255": ((image - np.array(mean)) / np.array(std), "mean and std are for colours in [0, 1]."),
            "no std": (image / 255 - np.array(mean), "the mean is gone, but nothing was divided by std."),
            "no mean": (image / 255 / np.array(std), "divided by std, but the mean was never subtracted."),
            "product": ((image / 255 - np.array(mean)) * np.array(std), "divide by std, do not multiply."),
        }.values():
            if _close(got, wrong.transpose(2, 0, 1)[None]):
                raise Wrong(hint, given, f"first pixel {pixel[0]}", f"first pixel {pixel[1]}")
        if _close(got, swapped):
            raise Wrong("red and blue have changed places.", given, pixel[0], pixel[1])
        if not _close(got, right):
            raise Wrong(
                "each colour: divide by 255, subtract its own mean, divide by its own std.",
                given,
                f"first pixel {pixel[0]}",
                f"first pixel {pixel[1]}",
            )


def _normalised(image, mean, std):
    return ((image - np.array(mean)) / np.array(std)).transpose(2, 0, 1)[None]


def _wrong_shape(got, right):
    _, _, height, width = right
    return {
        (height, width, 3): "channels come first, and a batch axis before them: permute(2, 0, 1)[None].",
        (1, height, width, 3): "the batch axis is there, but the channels are still last: permute(2, 0, 1).",
        (3, height, width): "the network takes a batch, even of one: put an axis in front with [None].",
        (1, 3, width, height): "rows and columns have changed places: permute(2, 0, 1), not (2, 1, 0).",
    }.get(tuple(got), "the network takes (batch, channels, height, width).")


def _close(a, b):
    return a.shape == b.shape and np.allclose(a, b, atol=1e-4)


@exercise
def full_size_mask(answer):
    """answer(prob, height, width, threshold): float32 (h, w) -> bool (height, width)."""
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        noise = cv2.resize(rng.random((5, 5), dtype=np.float32), (24, 24), interpolation=cv2.INTER_CUBIC)
        prob = noise.clip(0, 1)
        height, width = (int(side) for side in rng.choice([80, 97, 110, 131], 2, replace=False))
        threshold = float(rng.choice([0.3, 0.4, 0.6, 0.7]))
        given = f"prob of shape (24, 24), height {height}, width {width}, threshold {threshold}"
        right = cv2.resize(prob, (width, height), interpolation=cv2.INTER_LINEAR) > threshold
        got = np.asarray(answer(prob.copy(), height, width, threshold))
        if got.shape == (width, height) != right.shape:
            raise Wrong(
                "turned on its side: cv2.resize takes (width, height), arrays are (height, width).",
                given,
                f"shape {got.shape}",
                f"shape {right.shape}",
            )
        if got.shape != right.shape:
            hint = (
                "the mask still has the network's size." if got.shape == prob.shape else "the shape is off."
            )
            raise Wrong(hint, given, f"shape {got.shape}", f"shape {right.shape}")
        if got.dtype != bool:
            is_prob = np.issubdtype(got.dtype, np.floating) and len(np.unique(got)) > 2
            hint = (
                "these are still probabilities: compare them" if is_prob else "a comparison gives True, False"
            )
            raise Wrong(f"{hint}: prob > threshold.", given, got, "True and False")
        small = (prob > threshold).astype(np.uint8)
        nearest = cv2.INTER_NEAREST_EXACT
        half = cv2.resize(prob, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
        blocks = [
            cv2.resize(small, (width, height), interpolation=how) > 0
            for how in (cv2.INTER_NEAREST, nearest, cv2.INTER_LINEAR)
        ] + [cv2.resize(small.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.5]
        shares = f"{got.mean():.1%} of the pixels", f"{right.mean():.1%} of the pixels"
        # Any smooth way to enlarge is right: what counts is to be much nearer to it than stairs are.
        stairs = min((block != right).mean() for block in blocks)
        if (got != right).mean() < max(0.001, stairs / 3):
            continue
        if _alike(got, half):
            raise Wrong("this cuts at 0.5: use the threshold that was given.", given, *shares)
        if _alike(got, ~right):
            raise Wrong("background and person have changed places.", given, *shares)
        if any(_alike(got, block) for block in blocks):
            raise Wrong(
                "cut first and resized after (or resized by nearest neighbour): the edge has stairs. "
                "Resize the probabilities with INTER_LINEAR, cut last.",
                given,
                *shares,
            )
        raise Wrong("resize prob with cv2.INTER_LINEAR to (width, height), then > threshold.", given, *shares)


def _alike(a, b):
    return a.shape == b.shape and (a == b).mean() > 0.999


@exercise
def mirror_average(answer):
    """answer(predict, image): the mean of the answers to the photograph and to its mirror image."""
    for seed in range(3):
        rng = np.random.default_rng(from_start(seed))
        height, width = 6, 9
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        weight = rng.random((height, width, 3))

        def predict(picture, weight=weight):
            return (picture / 255 * weight).mean(2).astype(np.float32)

        plain, mirrored = predict(image), predict(image[:, ::-1])
        right = (plain + mirrored[:, ::-1]) / 2
        upside_down = (plain + predict(image[::-1])[::-1]) / 2
        given = f"an image of shape {image.shape}"
        got = np.asarray(answer(predict, image.copy()))
        if got.shape != right.shape:
            raise Wrong("one probability per pixel.", given, f"shape {got.shape}", f"shape {right.shape}")
        for wrong, hint in (
            (plain, "this is the plain answer: the mirror image was not asked."),
            (mirrored, "this is the mirrored answer alone, and it still looks the wrong way."),
            (mirrored[:, ::-1], "this is the mirrored answer alone: take the mean of both."),
            ((plain + mirrored) / 2, "the second answer still looks the wrong way: mirror it back first."),
            (2 * right, "this is the sum, and reaches 2: divide by two."),
            (upside_down, "that turns the photograph upside down: the first axis is rows. Use [:, ::-1]."),
            (
                (plain + predict(image[..., ::-1])) / 2,
                "that swaps red and blue: the last axis is colour. Use [:, ::-1].",
            ),
        ):
            if _close(got, wrong):
                raise Wrong(hint, given, f"first pixel {got[0, 0]:.4f}", f"first pixel {right[0, 0]:.4f}")
        if not _close(got, right):
            raise Wrong(
                "predict both, mirror the second answer back, take the mean.",
                given,
                f"first pixel {got[0, 0]:.4f}",
                f"first pixel {right[0, 0]:.4f}",
            )


@exercise
def put_behind(answer):
    """answer(image, alpha, background): the person of image on another background, uint8."""
    for seed in range(3):
        rng = np.random.default_rng(from_start(seed))
        image, background = rng.integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)
        alpha = rng.random((5, 6)).astype(np.float32)
        a = alpha[..., None]
        right = image * a + background * (1 - a)
        given = "image and background of shape (5, 6, 3), alpha of shape (5, 6)"
        got = np.asarray(answer(image.copy(), alpha.copy(), background.copy()))
        if got.shape != right.shape:
            raise Wrong("a picture of the same shape.", given, f"shape {got.shape}", f"shape {right.shape}")
        pixel = f"first pixel {got[0, 0]}", f"first pixel {right[0, 0].round().astype(np.uint8)}"
        hard = np.where(a > 0.5, image, background)
        values = got.astype(float)
        for wrong, hint in (
            (image * (1 - a) + background * a, "person and background have changed places."),
            (hard, "a hard cut: alpha lies between 0 and 1, so mix by it."),
            (image * a, "the person is there, on black: add background * (1 - alpha)."),
            (image * a + background, "the background shines through the person: weigh it by 1 - alpha."),
        ):
            if np.abs(values - wrong).max() < 1.01 or np.array_equal(got, wrong.astype(np.uint8)):
                raise Wrong(hint, given, *pixel)
        if got.dtype != np.uint8:
            raise Wrong("a picture is uint8: end with .round().astype(np.uint8).", given, got.dtype, "uint8")
        if np.abs(values - right).max() > 1.01:
            raise Wrong(
                "image * alpha + background * (1 - alpha), with alpha[..., None], and in floats: "
                "uint8 numbers start again at 0 after 255.",
                given,
                *pixel,
            )


@exercise
def keep_shape(answer):
    """answer(predict, image, size): probability (H, W) without squeezing the photograph."""
    for seed, (height, width) in enumerate([(60, 120), (130, 70), (90, 200)]):
        rng = np.random.default_rng(from_start(seed))
        size, side = 64, 24
        # At one end of the long side, so that cropping the middle out would lose it; in the middle of the
        # short side, so that a mirrored copy in the padding stays apart.
        ends = (int(rng.integers(2, 6)), (min(height, width) - side) // 2)
        left, top = ends if width > height else ends[::-1]
        if seed == 1:
            top = height - side - top
        image = np.zeros((height, width, 3), np.uint8)
        image[:] = np.linspace(20, 110, width).astype(np.uint8)[None, :, None]
        image[top : top + side, left : left + side] = 240
        seen = []

        def predict(picture, seen=seen, size=size):
            seen.append(np.asarray(picture).copy())
            brightest = seen[-1].reshape(*seen[-1].shape[:2], -1).max(2)
            return (0.95 - 0.9 * brightest / 255).astype(np.float32)

        given = f"an image of shape {image.shape}, size {size}"
        got = np.asarray(answer(predict, image.copy(), size))
        if not seen:
            raise Wrong("predict was never called.", given)
        if seen[0].shape != (size, size, 3):
            raise Wrong(
                "predict takes a square: put the small photograph into one of size x size.",
                given,
                f"predict got {seen[0].shape}",
                f"{(size, size, 3)}",
            )
        tall, wide = _largest_blob(seen[0].max(2) > 180)
        fits = side * size / max(height, width)
        if min(tall, wide) < fits - 2 and abs(tall - wide) <= 2:
            hint = "part of the photograph is missing: scale by size / max(height, width), do not crop."
            raise Wrong(hint, given)
        if abs(tall - wide) > 2:
            raise Wrong(
                "the photograph is squeezed: use one scale, size / max(height, width), for both sides.",
                given,
                f"a square of the photograph became {tall}x{wide}",
                "as tall as wide",
            )
        if got.shape != (height, width):
            raise Wrong(
                "resize the answer back to the photograph's size; cv2.resize takes (width, height).",
                given,
                f"shape {got.shape}",
                f"shape {(height, width)}",
            )
        if got.dtype.kind != "f" or not np.isfinite(got).all():
            raise Wrong("a probability for every pixel: floats, none of them NaN.", given, got)
        right = 0.95 - 0.9 * image.max(2) / 255
        apart = np.abs(got - right).mean()
        if apart > 0.06 and np.array_equal(got, got.round()):
            raise Wrong("this is a mask: return the probabilities, uncut.", given, got)
        if apart > 0.06:
            raise Wrong(
                "this is not predict's answer in its place: cut the padding off before you resize back.",
                given,
                f"{apart:.2f} away from it on average",
                "below 0.06",
            )


def _largest_blob(mask: np.ndarray) -> tuple[int, int]:
    """Height and width of the box around the largest connected part."""
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if len(boxes) < 2:
        return 0, 0
    box = boxes[1 + boxes[1:, cv2.CC_STAT_AREA].argmax()]
    return int(box[cv2.CC_STAT_HEIGHT]), int(box[cv2.CC_STAT_WIDTH])


@exercise
def file_to_mask(answer):
    """answer(path, model, size, mean, std, threshold): a picture file -> bool (H, W), upright."""
    with tempfile.TemporaryDirectory() as folder:
        for seed, kind in enumerate(_KINDS):
            rng = np.random.default_rng(from_start(seed))
            size, threshold = int(rng.choice([16, 24])), float(rng.choice([0.3, 0.7]))
            mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
            path = _write(kind, Path(folder) / f"photo_{seed}.png", _smooth(rng, 150, 200))
            given = f"a {kind}, size {size}, mean {mean}, std {std}, threshold {threshold}"
            model = _Probe()
            got = answer(path, model, size, mean, std, threshold)
            if not model.seen:
                raise Wrong("the model was never asked.", given)
            if model.seen[0] != ((1, 3, size, size), torch.float32):
                shape, dtype = model.seen[0]
                raise Wrong(
                    "the model takes a batch of one normalised square, float32 (1, 3, size, size).",
                    given,
                    f"{dtype} {shape}",
                    f"torch.float32 {(1, 3, size, size)}",
                )
            if isinstance(got, torch.Tensor):
                got = got.cpu().numpy()
            got, image = np.asarray(got), read_image(path)
            ways = {
                "": {},
                "cut at the threshold that was given, and not at 0.5.": {"threshold": 0.5},
                "logits were cut: the sigmoid comes first, then the threshold.": {"logits": True},
                "red and blue have changed places: cv2.imread gives blue first.": {"bgr": True},
                "the colours are not normalised: divide by 255, minus mean, over std.": {"raw": True},
                "cut first, resized after: the edge has stairs. Probabilities travel, masks do not.": {
                    "stairs": True
                },
                "background and person have changed places.": {"flip": True},
            }
            masks = {
                hint: _path_to_mask(image, size, mean, std, **{"threshold": threshold} | way)
                for hint, way in ways.items()
            }
            right = masks.pop("")
            if got.shape != right.shape:
                hint = "the mask has the photograph's own size, upright."
                if got.shape == right.shape[::-1]:
                    hint = "turned on its side: obey the EXIF note, and cv2.resize wants (width, height)."
                raise Wrong(hint, given, f"shape {got.shape}", f"shape {right.shape}")
            if got.dtype != bool:
                raise Wrong("a mask of True and False: end with > threshold.", given, got.dtype, "bool")
            wrong = (got != right).mean()
            nearest = min(masks, key=lambda hint: (masks[hint] != got).mean())
            if wrong < 0.01 and wrong <= (masks[nearest] != got).mean():
                continue
            shown = f"{wrong:.1%} of the pixels differ", "below 1 %"
            if (masks[nearest] != got).mean() < 0.005:
                raise Wrong(nearest, given, *shown)
            raise Wrong(
                "read, resize, normalise, model, sigmoid, resize back, cut: in this order.", given, *shown
            )


_KINDS = ("colour PNG", "JPEG that says: turn me clockwise", "grey PNG", "PNG with transparency")


class _Probe(torch.nn.Module):
    """A network whose answer follows from the colours, and that notes what it was asked."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append((tuple(x.shape), x.dtype))
        return (x * torch.tensor([1.5, 0.2, -1.1]).view(1, 3, 1, 1).to(x.dtype)).sum(1, keepdim=True)


def _smooth(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Soft blobs of colour: uint8 (H, W, 3)."""
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _write(kind: str, path: Path, upright: np.ndarray) -> Path:
    picture = Image.fromarray(upright)
    if kind.startswith("JPEG"):
        note = Image.Exif()
        note[0x0112] = 6
        path = path.with_suffix(".jpg")
        Image.fromarray(np.rot90(upright)).save(path, quality=98, exif=note)
    elif kind.startswith("grey"):
        picture.convert("L").save(path)
    elif kind.endswith("transparency"):
        alpha = np.full(upright.shape[:2], 255, np.uint8)
        alpha[:40] = 0
        Image.fromarray(np.dstack([upright, alpha])).save(path)
    else:
        picture.save(path)
    return path


def _path_to_mask(
    image, size, mean, std, threshold, logits=False, bgr=False, raw=False, stairs=False, flip=False
):
    height, width = image.shape[:2]
    small = cv2.resize(image[..., ::-1] if bgr else image, (size, size), interpolation=cv2.INTER_AREA)
    x = small.transpose(2, 0, 1)[None] if raw else _normalised(small / 255, mean, std)
    answer = _Probe()(torch.from_numpy(np.ascontiguousarray(x)).float())
    prob = (answer if logits else answer.sigmoid())[0, 0].numpy()
    if stairs:
        small_mask = (prob > threshold).astype(np.uint8)
        return cv2.resize(small_mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return (cv2.resize(prob, (width, height), interpolation=cv2.INTER_LINEAR) > threshold) != flip

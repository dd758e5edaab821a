"""Checks of lesson 08: from a file to a cut-out."""

import cv2
import numpy as np

from segkit.course.check.core import Wrong, exercise, from_start
from segkit.metrics import count_pixels


@exercise
def network_input(answer):
    """answer(image, mean, std): uint8 (H, W, 3) -> float32 (1, 3, H, W), normalised."""
    for seed in range(3):
        rng = np.random.default_rng(from_start(seed))
        height, width = (int(side) for side in rng.choice([4, 5, 6, 7], 2, replace=False))
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        mean, std = tuple(rng.uniform(0.3, 0.6, 3).round(3)), tuple(rng.uniform(0.15, 0.35, 3).round(3))
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
        if _alike(got, right):
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
        # In a corner, so that cropping the middle out would lose it.
        top, left = (int(rng.integers(2, 6)), int(rng.integers(2, 6)))
        if seed == 1:
            top, left = height - side - top, width - side - left
        image = np.full((height, width, 3), 20, np.uint8)
        image[top : top + side, left : left + side] = 240
        seen = []

        def predict(picture, seen=seen, size=size):
            seen.append(np.asarray(picture).copy())
            return (seen[-1].reshape(*seen[-1].shape[:2], -1).max(2) / 255).astype(np.float32)

        given = f"an image of shape {image.shape}, size {size}"
        got = np.asarray(answer(predict, image.copy(), size))
        if not seen:
            raise Wrong("predict was never called.", given)
        if seen[0].shape != (size, size, 3):
            raise Wrong(
                "predict takes a square: paste the small photograph onto a black square of size x size.",
                given,
                f"predict got {seen[0].shape}",
                f"{(size, size, 3)}",
            )
        rows, columns = np.nonzero(seen[0].max(2) > 128)
        tall, wide = (int(np.ptp(axis)) + 1 if len(axis) else 0 for axis in (rows, columns))
        fits = side * size / max(height, width)
        if len(rows) == 0 or (min(tall, wide) < fits - 2 and abs(tall - wide) <= 2):
            raise Wrong(
                "part of the photograph is missing: scale by size / max(height, width), do not crop.", given
            )
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
        dice = count_pixels(got[None] > 0.5, image[None, ..., 0] > 128).dice().item()
        if dice < 0.85:
            raise Wrong(
                "the answer sits in the wrong place: cut the padding off before you resize back.",
                given,
                f"Dice {dice:.2f} with the truth",
                "above 0.85",
            )

"""Augmentation: the exercises of notebook 06."""

import cv2
import numpy as np
import torch
from torch import Tensor

from segkit.check.core import Wrong, exercise, from_start


def draw_pair(seed: int, height: int = 12, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A random picture uint8 (H, W, 3) and mask uint8 {0, 1} (H, W), neither like its mirror image."""
    rng = np.random.default_rng(from_start(seed))
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, rng.integers(0, 2, (height, width), dtype=np.uint8)


def as_pair(value, given) -> tuple[np.ndarray, np.ndarray]:
    """An image and a mask out of what an answer returned.   Raises: Wrong."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Wrong("return two arrays: image, mask.", given, type(value).__name__, "(image, mask)")
    return np.asarray(value[0]), np.asarray(value[1])


@exercise
def flip_both(answer) -> None:
    """Mirror image and mask left to right, answer(image, mask)."""
    for seed in range(3):
        image, mask = draw_pair(seed)
        before = image.copy(), mask.copy()
        given = f"image {image.shape}, mask {mask.shape}"
        got, moved = as_pair(answer(image, mask), given)
        if not (np.array_equal(image, before[0]) and np.array_equal(mask, before[1])):
            raise Wrong(
                "the arrays that went in have changed: make new ones.", given, "changed input", "as it was"
            )
        image_right = np.array_equal(got, image[:, ::-1])
        mask_right = np.array_equal(moved, mask[:, ::-1])
        if got.shape == image.shape and np.array_equal(got, image[..., ::-1]):
            raise Wrong(
                "this turns red into blue: the last axis holds the colours. Columns are axis 1.", given
            )
        if np.array_equal(got, image[::-1]) or np.array_equal(moved, mask[::-1]):
            raise Wrong("this stands on its head: rows are axis 0, columns axis 1.", given)
        if image_right and np.array_equal(moved, mask):
            raise Wrong("the image is mirrored, its mask is not. Both, or neither.", given)
        if mask_right and np.array_equal(got, image):
            raise Wrong("the mask is mirrored, its image is not. Both, or neither.", given)
        if not (image_right and mask_right):
            raise Wrong("mirror the columns of both: array[:, ::-1].", given, got, image[:, ::-1])
        if got.dtype != np.uint8 or moved.dtype != np.uint8:
            raise Wrong("mirroring keeps the type.", given, f"{got.dtype}, {moved.dtype}", "uint8, uint8")


MOVERS = {"flip", "rotate", "crop", "shear"}
STILL = {"brightness", "blur", "noise", "JPEG", "grey"}


@exercise
def moves_the_mask(answer) -> None:
    """The set of those of MOVERS and STILL that move the mask."""
    if not isinstance(answer, set | list | tuple):
        raise Wrong("answer with a set of names.", got=type(answer).__name__, expected='{"flip", ...}')
    named = set(answer)
    if unknown := named - MOVERS - STILL:
        raise Wrong(f"these names are not in the list: {', '.join(sorted(map(str, unknown)))}.", got=named)
    if "blur" in named:
        raise Wrong("blur smears colours, but nobody has moved: the person still ends at the same pixel.")
    if wrong := sorted(named - MOVERS):
        raise Wrong(f"{wrong[0]} changes colours, not places: the mask stays as it is.")
    if missing := MOVERS - named:
        raise Wrong(f"{len(missing)} more: ask of each whether a pixel changes its place.", got=named)


@exercise
def resize_labels(answer) -> None:
    """Resize a label map without inventing labels, answer(labels, height, width)."""
    for seed, (height, width) in enumerate([(20, 30), (7, 5), (24, 10)]):
        rng = np.random.default_rng(from_start(seed))
        labels = cv2.resize(
            rng.choice(np.array([0, 3, 5, 7], np.uint8), (3, 4)), (16, 12), interpolation=cv2.INTER_NEAREST
        )
        given = f"labels {labels.shape} with {np.unique(labels).tolist()}, height={height}, width={width}"
        got = np.asarray(answer(labels.copy(), height, width))
        if got.shape == (width, height) and height != width:
            raise Wrong(
                "height and width are swapped: cv2.resize takes (width, height).",
                given,
                got.shape,
                (height, width),
            )
        if got.shape != (height, width):
            raise Wrong("the size is another one.", given, got.shape, (height, width))
        if invented := sorted(set(np.unique(got).tolist()) - set(np.unique(labels).tolist())):
            raise Wrong(
                "labels have appeared that were not there: this interpolates. Use cv2.INTER_NEAREST.",
                given,
                f"new labels {invented[:6]}",
                "none",
            )
        if got.dtype != np.uint8:
            raise Wrong("labels stay uint8.", given, str(got.dtype), "uint8")
        near = [
            cv2.resize(labels, (width, height), interpolation=way)
            for way in (cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT)
        ]
        if max((got == one).mean() for one in near) < 0.9:
            raise Wrong(
                "no new labels, but they are not where they were: resize, do not cut or fill.",
                given,
                got,
                near[1],
            )


@exercise
def crop_both(answer) -> None:
    """Cut the same random square out of both, answer(image, mask, size, seed)."""
    height, width, size = 24, 32, 8
    rows, columns = np.mgrid[0:height, 0:width]
    # Every pixel knows its own place, so a crop tells where it was cut.
    image = np.stack([rows, columns, rows * 0], -1).astype(np.uint8)
    mask = (rows * 7 + columns * 3).astype(np.uint8)
    corners = []
    for seed in range(12):
        given = f"image {image.shape}, mask {mask.shape}, size={size}, seed={seed}"
        cut, cut_mask = as_pair(answer(image.copy(), mask.copy(), size, seed), given)
        if cut.shape != (size, size, 3) or cut_mask.shape != (size, size):
            raise Wrong(
                "the crops have another size.",
                given,
                f"{cut.shape} and {cut_mask.shape}",
                f"{(size, size, 3)} and {(size, size)}",
            )
        top, left = (int(v) for v in cut[0, 0, :2])
        if not np.array_equal(cut, image[top : top + size, left : left + size]):
            raise Wrong("this is not a square of neighbouring pixels: slice, do not resize.", given)
        if not np.array_equal(cut_mask, mask[top : top + size, left : left + size]):
            raise Wrong("the mask is cut at another place than the image: draw the corner once.", given)
        again, _ = as_pair(answer(image.copy(), mask.copy(), size, seed), given)
        if not np.array_equal(again, cut):
            raise Wrong("the same seed gives another crop: use np.random.default_rng(seed).", given)
        corners.append((top, left))
    if len(set(corners)) == 1:
        raise Wrong(
            "twelve seeds, always the same corner: draw it from the seed.", got=corners[0], expected="many"
        )
    for name, places in zip(("top", "left"), zip(*corners, strict=True), strict=True):
        if len(set(places)) == 1:
            raise Wrong(f"{name} never changes: draw both, top and left.", got=places[0], expected="many")


@exercise
def flip_average(answer) -> None:
    """Test-time flip, answer(predict, images): the mean of both looks; (N, 3, H, W) -> (N, 1, H, W)."""
    for seed in range(3):
        generator = torch.Generator().manual_seed(from_start(seed))
        images = torch.randn(2, 3, 6, 8, generator=generator)
        weight = torch.randn(1, 3, 3, 3, generator=generator)

        def predict(batch: Tensor, weight: Tensor = weight) -> Tensor:
            return torch.nn.functional.conv2d(batch, weight, padding=1).sigmoid()

        plain, mirrored = predict(images), predict(images.flip(-1))
        expected = (plain + mirrored.flip(-1)) / 2
        given = f"predict and images {tuple(images.shape)}"
        got = answer(predict, images)
        if not isinstance(got, Tensor) or got.shape != expected.shape:
            shape = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
            raise Wrong("return one probability per pixel.", given, shape, tuple(expected.shape))
        mistakes = {
            "the second answer is still mirrored: flip it back before adding.": (plain + mirrored) / 2,
            "this is the sum of both: take their mean.": plain + mirrored.flip(-1),
            "this is the plain answer: also look at the mirror image.": plain,
            "this is the mirrored look alone: average it with the plain one.": mirrored.flip(-1),
            "this is the mirrored look alone, and still mirrored.": mirrored,
            "this stands on its head: columns are the last axis.": (plain + predict(images.flip(-2)).flip(-2))
            / 2,
        }
        if torch.allclose(got, expected, atol=1e-5):
            continue
        for hint, value in mistakes.items():
            if torch.allclose(got, value, atol=1e-5):
                raise Wrong(hint, given, got, expected)
        raise Wrong("mean of predict(images) and the flipped-back predict(flipped).", given, got, expected)

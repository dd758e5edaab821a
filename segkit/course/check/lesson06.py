"""Augmentation: the exercises of notebook 06."""

import cv2
import numpy as np
import torch
from torch import Tensor

from segkit.course.check.core import Wrong, exercise, from_start


def draw_pair(seed: int, height: int = 12, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A random picture uint8 (H, W, 3) and mask uint8 {0, 1} (H, W), neither like its mirror image."""
    rng = np.random.default_rng(from_start(seed))
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, rng.integers(0, 2, (height, width), dtype=np.uint8)


def as_pair(value) -> tuple[np.ndarray, np.ndarray]:
    """An image and a mask out of what an answer returned.   Raises: Wrong."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        what = "None" if value is None else type(value).__name__
        raise Wrong("return two arrays: image, mask.", got=what, expected="(image, mask)")
    return np.asarray(value[0]), np.asarray(value[1])


@exercise
def flip_both(answer) -> None:
    """Mirror image and mask left to right, answer(image, mask)."""
    for seed in range(3):
        image, mask = draw_pair(seed)
        given = image.copy(), mask.copy()
        got, moved = as_pair(answer(*given))
        if not (np.array_equal(image, given[0]) and np.array_equal(mask, given[1])):
            raise Wrong("the arrays that went in have changed: make new ones.")
        if np.array_equal(got, image[..., ::-1]):
            raise Wrong("this turns red into blue: the last axis holds the colours. Columns are axis 1.")
        if np.array_equal(got, image[::-1]) or np.array_equal(moved, mask[::-1]):
            raise Wrong("this stands on its head: rows are axis 0, columns axis 1.")
        image_right = np.array_equal(got, image[:, ::-1])
        mask_right = np.array_equal(moved, mask[:, ::-1])
        if image_right and np.array_equal(moved, mask):
            raise Wrong("the image is mirrored, its mask is not. Both, or neither.")
        if mask_right and np.array_equal(got, image):
            raise Wrong("the mask is mirrored, its image is not. Both, or neither.")
        if not (image_right and mask_right):
            raise Wrong("mirror the columns of both: array[:, ::-1].", got=got, expected=image[:, ::-1])
        if got.dtype != np.uint8 or moved.dtype != np.uint8:
            hint = "mirroring keeps the type."
            raise Wrong(hint, got=f"{got.dtype}, {moved.dtype}", expected="uint8, uint8")


MOVERS = {"flip", "rotate", "crop", "shear"}

STILL = {"brightness", "blur", "noise", "JPEG", "grey"}


@exercise
def moves_the_mask(answer) -> None:
    """The set of those of MOVERS and STILL that move the mask, or a function that returns it."""
    answer = answer() if callable(answer) else answer
    if not isinstance(answer, set | frozenset | list | tuple):
        raise Wrong("answer with a set of names.", expected='{"flip", ...}', got=answer)
    known = {name.casefold(): name for name in MOVERS | STILL}
    named = {known.get(str(name).strip().casefold(), str(name)) for name in answer}
    if unknown := named - MOVERS - STILL:
        raise Wrong(f"these names are not in the list: {', '.join(sorted(unknown))}.", got=sorted(named))
    if "blur" in named:
        raise Wrong("blur smears colours, but nobody has moved: the person still ends at the same pixel.")
    if wrong := sorted(named - MOVERS):
        raise Wrong(f"{wrong[0]} changes colours, not places: the mask stays as it is.", got=sorted(named))
    if missing := MOVERS - named:
        hint = f"{len(missing)} more: ask of each whether a pixel changes its place."
        raise Wrong(hint, got=sorted(named))


@exercise
def paired_transform(answer) -> None:
    """A random change of both, answer(image, mask, seed): mirror, turn and zoom, and the image's light.

    No particular change is asked for: what is checked are the properties that any paired transform has.
    """
    height, width = 48, 64
    rng = np.random.default_rng(from_start(0))
    scene = cv2.GaussianBlur(rng.integers(60, 200, (height, width, 3), dtype=np.uint8), (0, 0), 3)
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (28, 26), (7, 14), 20, 0, 360, 1, -1)
    start = int(rng.integers(1000))
    seeds = range(start, start + 60)
    draws = [_one_draw(answer, scene, mask, seed) for seed in seeds]
    for seed in (start, start + 7):
        again = _one_draw(answer, scene, mask, seed)
        if not all(map(np.array_equal, again, draws[seed - start])):
            raise Wrong("the same seed gives another draw: np.random.default_rng(seed), and nothing else.")
    if len({image.tobytes() for image, _ in draws}) < 30:
        raise Wrong("60 seeds hardly give different pictures: draw the numbers from the seed.")
    _keeps_labels(answer, scene, mask, start)
    _moves_alike(answer, mask, seeds)
    still = [np.array_equal(m, mask) or np.array_equal(m, mask[:, ::-1]) for _, m in draws]
    if np.mean(still) > 0.5:
        hint = "the mask hardly ever turns, grows or shrinks: cv2.warpAffine with a drawn angle and zoom."
        raise Wrong(hint, got=f"{sum(still)} of 60 masks only as they were or mirrored")
    _mirrors_about_half(answer, mask, seeds)
    _changes_the_light(answer, mask, seeds)


def _one_draw(answer, image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the answer makes of a pair, if it is a pair of the same kind.   Raises: Wrong."""
    given = image.copy(), mask.copy()
    changed, moved = as_pair(answer(*given, seed))
    if not (np.array_equal(given[0], image) and np.array_equal(given[1], mask)):
        raise Wrong("the arrays that went in have changed: make new ones.")
    for got, was, name in ((changed, image, "image"), (moved, mask, "mask")):
        if got.shape != was.shape:
            hint = f"the {name} has another shape: cv2.warpAffine takes (width, height)."
            raise Wrong(hint, got=got.shape, expected=was.shape)
        if got.dtype != np.uint8:
            raise Wrong(f"the {name} stays uint8.", got=str(got.dtype), expected="uint8")
    return changed, moved


def _keeps_labels(answer, scene: np.ndarray, mask: np.ndarray, start: int) -> None:
    """No new label may appear, whatever the labels are."""
    for seed in range(start, start + 12):
        for labels in (mask, mask * 255, np.where(mask > 0, 7, 2).astype(np.uint8)):
            found = sorted(set(np.unique(_one_draw(answer, scene, labels, seed)[1]).tolist()))
            if invented := sorted(set(found) - set(np.unique(labels).tolist()) - {0}):
                raise Wrong(
                    "labels have appeared that were not there: move the mask by cv2.INTER_NEAREST, and leave "
                    "its values alone.",
                    got=f"new labels {invented[:6]}",
                    expected="none",
                )


def _moves_alike(answer, mask: np.ndarray, seeds: range) -> None:
    """Where the image is the mask itself, painted, the two must still agree."""
    overlaps = []
    for seed in seeds:
        painted = np.where(mask[..., None] > 0, np.uint8(210), np.uint8(60)).repeat(3, axis=2)
        changed, moved = _one_draw(answer, painted, mask, seed)
        grey = changed.astype(float).mean(-1)
        bright = grey > (grey.max() + grey.min()) / 2 if np.ptp(grey) > 20 else np.zeros_like(grey, bool)
        either = (bright | (moved > 0)).sum()
        overlaps.append((bright & (moved > 0)).sum() / either if either else 1.0)
    if np.mean(overlaps) < 0.85:
        raise Wrong(
            "image and mask have parted: draw the numbers once, and use the same ones for both. (The image "
            "was the mask itself, painted light on dark.)",
            got=f"a mean overlap (IoU) of {np.mean(overlaps):.2f} over 60 seeds",
            expected="above 0.85",
        )


def _mirrors_about_half(answer, mask: np.ndarray, seeds: range) -> None:
    """Red, green and blue dots run clockwise; in a mirror they run the other way, however turned."""
    dots = np.full((*mask.shape, 3), 90, np.uint8)
    for place, colour in (((32, 15), (230, 20, 20)), ((39, 30), (20, 230, 20)), ((25, 30), (20, 20, 230))):
        cv2.circle(dots, place, 4, colour, -1)
    ways = []
    for seed in seeds:
        changed = _one_draw(answer, dots, mask, seed)[0].astype(float)
        over = changed - np.sort(changed, axis=2)[..., 1:2]  # by how much a colour leads the next one
        spots = [np.argwhere(over[..., c] > 40) for c in range(3)]
        if all(len(spot) >= 5 for spot in spots):
            red, green, blue = (spot.mean(0) for spot in spots)
            (a, b), (c, d) = green - red, blue - red
            ways.append(a * d - b * c > 0)
    share = 1 - np.mean(ways) if len(ways) >= 20 else 0.5
    clockwise = (30 - 15) * (25 - 32) - (39 - 32) * (30 - 15) > 0
    share = share if clockwise else 1 - share
    if not 0.15 < share < 0.85:
        raise Wrong("mirror about half of the pictures.", got=f"{share:.0%} of 60 mirrored", expected="half")


def _changes_the_light(answer, mask: np.ndarray, seeds: range) -> None:
    middle = mask.shape[0] // 2, mask.shape[1] // 2
    for level in (120, 245):
        flat = np.full((*mask.shape, 3), level, np.uint8)
        found = np.array([_one_draw(answer, flat, mask, seed)[0][middle].mean() for seed in seeds])
        if level == 120 and found.std() < 2:
            raise Wrong("the light never changes: make the image (not the mask) darker or lighter.")
        if level == 245 and found.min() < 60:
            raise Wrong(
                "white turns black: above 255, uint8 starts at 0 again. Clip before you go back to uint8.",
                got=f"{found.min():.0f} in a picture of all {level}",
            )


@exercise
def resize_labels(answer) -> None:
    """Resize a label map without inventing labels, answer(labels, height, width)."""
    for seed, (height, width) in enumerate([(4, 6), (40, 60), (17, 13), (48, 20)]):
        rng = np.random.default_rng(from_start(seed))
        few = rng.choice(np.array([0, 3, 5, 7], np.uint8), (2, 2) if seed == 0 else (3, 4))
        few.flat[:2] = 0, 7
        side = 1 if seed == 0 else 10
        labels = few.repeat(side, axis=0).repeat(side, axis=1)
        got = np.asarray(answer(labels.copy(), height, width))
        if got.shape == (width, height) and height != width:
            hint = "height and width are swapped: cv2.resize takes (width, height)."
            raise Wrong(hint, got=got.shape, expected=(height, width))
        if got.shape != (height, width):
            raise Wrong("the size is another one.", got=got.shape, expected=(height, width))
        if invented := sorted(set(np.unique(got).tolist()) - set(np.unique(labels).tolist())):
            raise Wrong(
                "labels have appeared that were not there: this interpolates. Use cv2.INTER_NEAREST.",
                got=f"new labels {invented[:6]}",
                expected="none",
            )
        if got.dtype != np.uint8:
            raise Wrong("labels stay uint8.", got=str(got.dtype), expected="uint8")
        certain, label = _certain_labels(labels, height, width)
        if (got == label)[certain].mean() < 0.98:
            hint = "no new labels, but they are not where they were: resize, do not cut or fill."
            raise Wrong(hint, got=got, expected=label)


def _certain_labels(labels: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where every way of resizing must agree, since all old pixels near a new one have one label; and which.

    Returns: bool (height, width), uint8 (height, width).
    """

    def reach(old: int, new: int) -> list[slice]:
        middles = (np.arange(new) + 0.5) * old / new - 0.5
        radius = max(1.0, old / new / 2)
        return [slice(max(0, int(m - radius)), int(np.ceil(m + radius)) + 1) for m in middles]

    certain, label = np.zeros((height, width), bool), np.zeros((height, width), np.uint8)
    for i, rows in enumerate(reach(labels.shape[0], height)):
        for j, columns in enumerate(reach(labels.shape[1], width)):
            near = labels[rows, columns]
            label[i, j] = near[near.shape[0] // 2, near.shape[1] // 2]
            certain[i, j] = (near == near[0, 0]).all()
    certain[[0, 0, -1, -1], [0, -1, 0, -1]] = True  # a corner stays the corner
    label[[0, 0, -1, -1], [0, -1, 0, -1]] = labels[[0, 0, -1, -1], [0, -1, 0, -1]]
    return certain, label


@exercise
def crop_both(answer) -> None:
    """Cut the same random square out of both, answer(image, mask, size, seed)."""
    height, width, size = 6, 9, 4
    rows, columns = np.mgrid[0:height, 0:width]
    # Every pixel knows its own place, so a crop tells where it was cut.
    image = np.stack([rows, columns, rows * 0], -1).astype(np.uint8)
    mask = (rows * 16 + columns).astype(np.uint8)
    places, start = (height - size + 1) * (width - size + 1), from_start(0)
    corners = [_corner(answer, image, mask, size, seed) for seed in range(start, start + 30 * places)]
    again = [_corner(answer, image, mask, size, seed) for seed in range(start, start + 12)]
    if again != corners[:12]:
        raise Wrong("the same seed gives another crop: use np.random.default_rng(seed).")
    if len(set(corners)) == 1:
        hint = f"{len(corners)} seeds, always the same corner: draw it from the seed."
        raise Wrong(hint, got=corners[0], expected="many")
    for name, found, room in zip(("top", "left"), zip(*corners, strict=True), (height, width), strict=True):
        if len(set(found)) == 1:
            raise Wrong(f"{name} never changes: draw both, top and left.", got=found[0], expected="many")
        if missing := sorted(set(range(room - size + 1)) - set(found)):
            hint = "integers(0, n) ends at n - 1, and the last place is the side minus size."
            raise Wrong(f"{name} is never {missing}, in {len(corners)} draws: {hint}", got=sorted(set(found)))
    if missing := places - len(set(corners)):
        hint = f"{missing} of {places} corners never come: draw top and left apart from one another."
        raise Wrong(hint, got=sorted(set(corners)))
    if len(set(corners[:places])) == places:
        hint = "seed after seed, every corner once, in turn: this counts. Draw, and some come twice."
        raise Wrong(hint, got=corners[:places])
    _corner(answer, image[:size], mask[:size], size, start)  # as high as the square: one top is left


def _corner(answer, image: np.ndarray, mask: np.ndarray, size: int, seed: int) -> tuple[int, int]:
    """Where the answer cut.   Raises: Wrong unless it is one square of both."""
    cut, cut_mask = as_pair(answer(image.copy(), mask.copy(), size, seed))
    if cut.shape != (size, size, 3) or cut_mask.shape != (size, size):
        raise Wrong(
            "the crops have another size.",
            got=f"{cut.shape} and {cut_mask.shape}",
            expected=f"{(size, size, 3)} and {(size, size)}",
        )
    top, left = (int(v) for v in cut[0, 0, :2])
    if not np.array_equal(cut, image[top : top + size, left : left + size]):
        raise Wrong("this is not a square of neighbouring pixels: slice, do not resize.", got=cut[..., :2])
    if not np.array_equal(cut_mask, mask[top : top + size, left : left + size]):
        raise Wrong("the mask is cut at another place than the image: draw the corner once.")
    return top, left


@exercise
def flip_average(answer) -> None:
    """Test-time flip, answer(predict, images): the mean of both looks; (N, 3, H, W) -> (N, 1, H, W)."""
    for seed in range(3):
        generator = torch.Generator().manual_seed(from_start(seed))
        images = torch.randn(2, 3, 2, 4, generator=generator)
        weight = torch.randn(1, 3, 3, 3, generator=generator)

        def predict(batch: Tensor, weight: Tensor = weight) -> Tensor:
            return torch.nn.functional.conv2d(batch, weight, padding=1).sigmoid()

        plain, mirrored = predict(images), predict(images.flip(-1))
        expected = (plain + mirrored.flip(-1)) / 2
        got = answer(predict, images.clone())
        if isinstance(got, np.ndarray):
            got = torch.from_numpy(got)
        if not isinstance(got, Tensor) or got.shape != expected.shape:
            shape = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
            raise Wrong("return one probability per pixel.", got=shape, expected=tuple(expected.shape))
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
                raise Wrong(hint, got=got, expected=expected)
        hint = "the mean of predict(images) and the flipped-back predict(flipped)."
        raise Wrong(hint, got=got, expected=expected)

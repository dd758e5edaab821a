"""Checks of notebook 01."""

import cv2
import numpy as np

from segkit.course.check.core import Wrong, as_number, as_numbers, exercise, from_start
from segkit.metrics import count_pixels


def draw_mask(seed: int, height: int = 40, width: int = 56, discs: int = 3) -> np.ndarray:
    """Some discs on nothing: uint8 {0, 1} (H, W)."""
    rng = np.random.default_rng(from_start(seed))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(discs):
        x, y = int(rng.integers(6, width - 6)), int(rng.integers(6, height - 6))
        cv2.circle(mask, (x, y), int(rng.integers(2, 6)), 1, -1)
    return mask


@exercise
def foreground_share(answer) -> None:
    masks = {
        "some discs": draw_mask(0),
        "one disc": draw_mask(1, discs=1),
        "many discs": draw_mask(2, discs=9),
    }
    masks |= {"nobody": np.zeros((6, 9), np.uint8), "all person": np.ones((7, 5), np.uint8)}
    for what, mask in masks.items():
        for name, given in {"True/False": mask > 0, "0/1": mask, "0/255": mask * np.uint8(255)}.items():
            handed, expected = given.copy(), float(mask.mean())
            with np.errstate(all="ignore"):
                returned = answer(handed)
            got = as_number(returned)
            if got is not None and np.isclose(got, expected, atol=1e-6):
                if not np.array_equal(handed, given):
                    raise Wrong("the mask that came in has changed: leave it as it was.")
                continue
            told = {"given": f"a {name} mask of shape {mask.shape} ({what})", "got": returned}
            told["expected"] = expected
            if returned is None:
                raise Wrong("the function returns nothing: is there a return?", **told)
            if got is None:
                raise Wrong("one number is asked for, the share of the whole picture.", **told)
            if np.isnan(got):
                raise Wrong("0 / 0: with nobody in the picture there is nothing to divide by.", **told)
            if np.isclose(got, 255 * expected):
                raise Wrong("in a 0/255 mask each person pixel counts 255 times: ask mask > 0 first.", **told)
            if np.isclose(got, 100 * expected):
                raise Wrong("that is in percent: a share goes from 0 to 1.", **told)
            if np.isclose(got, expected / 255):
                raise Wrong(
                    "dividing by 255 suits 0/255 masks only: ask mask > 0, and all three kinds are one.",
                    **told,
                )
            if np.isclose(got, 0):
                raise Wrong("> 127 finds nobody in a mask of 0 and 1: the smallest yes here is 1.", **told)
            if got > 1:
                raise Wrong(
                    "that is more than the whole picture: divide by how many pixels there are.", **told
                )
            if np.isclose(got, 1 - expected, atol=1e-6):
                raise Wrong("that is the share of the background.", **told)
            raise Wrong("count the pixels that are not 0, and divide by all pixels.", **told)


@exercise
def box_of_mask(answer) -> None:
    for seed in range(6):
        mask = draw_mask(seed, discs=1 + seed % 3)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top, right, bottom = expected = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        expected = tuple(int(value) for value in expected)
        returned = answer(mask.copy())
        told = {"given": f"a mask of shape {mask.shape}", "got": returned, "expected": expected}
        got = as_numbers(returned)
        if got is None or len(got) != 4:
            raise Wrong("four numbers are asked for: left, top, right, bottom.", **told)
        if got == expected:
            continue
        if got != tuple(map(round, got)):
            raise Wrong("the edges of a box are whole pixels: fractions cannot index an array.", **told)
        if got == (top, left, bottom, right):
            raise Wrong("rows and columns are exchanged: left and right are columns (x).", **told)
        if got == (left, top, right - 1, bottom - 1):
            raise Wrong(
                "a slice leaves its end out: mask[2:5] has the rows 2, 3 and 4. Add 1 to right and bottom.",
                **told,
            )
        if got == (left, top, right - left, bottom - top):
            raise Wrong("these are width and height: right is left + width, bottom is top + height.", **told)
        raise Wrong("np.nonzero(mask) gives the rows and the columns of all person pixels.", **told)
    nobody = {"given": "an empty mask of shape (8, 8)", "expected": "None"}
    try:
        got = answer(np.zeros((8, 8), np.uint8))
    except (ValueError, IndexError) as error:
        raise Wrong(
            f"an empty mask has no smallest row ({error}): look for that first, and return None.", **nobody
        ) from None
    if got is not None:
        raise Wrong("an empty mask has no box.", got=got, **nobody)


@exercise
def dice_of_all_person(answer) -> None:
    shares = np.random.default_rng(from_start(0)).uniform(0.02, 0.9, 8).round(3).tolist()
    for share in [*shares, 1.0, 0.0]:
        returned, expected = answer(share), 2 * share / (1 + share)
        got, told = as_number(returned), {"given": f"share = {share}", "got": returned, "expected": expected}
        if returned is None:
            raise Wrong("the function returns nothing: is there a return?", **told)
        if got is None:
            raise Wrong("one number is asked for, the Dice.", **told)
        if np.isclose(got, expected, atol=1e-6):
            continue
        if np.isclose(got, share):
            raise Wrong(
                "that is IoU, and pixel accuracy: blue over blue and orange. Dice counts blue twice.", **told
            )
        if np.isclose(got, 2 * share):
            raise Wrong("2 * blue is there, but what is it divided by? 2 * blue + orange.", **told)
        if np.isclose(got, share / (1 + share)):
            raise Wrong("blue counts twice above the line as well.", **told)
        if np.isclose(got, 0):
            raise Wrong("0 is the Dice of all background. Here every person pixel is found.", **told)
        if np.isclose(got, 100 * expected):
            raise Wrong("that is in percent: Dice goes from 0 to 1.", **told)
        raise Wrong("blue is share, orange is 1 - share, and yellow is 0: nobody is missed.", **told)


def _draw_blobs(seed: int) -> tuple[np.ndarray, list[int]]:
    """Blobs of many shapes that do not touch: uint8 {0, 1} (40, 60), and how many pixels each has."""
    rng = np.random.default_rng(from_start(seed))
    mask, sizes = np.zeros((40, 60), np.uint8), []
    for place in rng.permutation(6)[: rng.integers(4, 7)]:  # six places, too far apart to touch
        blob = np.zeros((20, 20), np.uint8)
        height, width = (int(v) for v in rng.integers(3, 15, 2))
        blob[2 : 2 + height, 2 : 2 + width] = 1
        if rng.random() < 0.7:  # a frame or an angle: fewer pixels than its box
            blob[3 : 1 + height, 3 : 2 + width - int(rng.random() < 0.5)] = 0
        top, left = 20 * (place // 3), 20 * (place % 3)
        mask[top : top + 20, left : left + 20] = blob
        sizes.append(int(blob.sum()))
    return mask, sizes


@exercise
def count_blobs(answer) -> None:
    for seed in range(8):
        mask, sizes = _draw_blobs(seed)
        # Exactly as large as one of them, so that "at least" is put to the test.
        min_pixels = sorted(sizes)[len(sizes) // 2]
        returned, expected = answer(mask.copy(), min_pixels), sum(size >= min_pixels for size in sizes)
        told = {
            "given": f"blobs of {', '.join(map(str, sorted(sizes)))} pixels, min_pixels = {min_pixels}",
            "got": returned,
            "expected": expected,
        }
        got = as_number(returned)
        if got is None or got != round(got):
            raise Wrong("one whole number is asked for.", **told)
        if got == expected:
            continue
        if got == expected + 1:
            raise Wrong("one too many: row 0 is the background, and it is large. Leave it out.", **told)
        if got == sum(size > min_pixels for size in sizes):
            raise Wrong("'at least' includes blobs of exactly min_pixels: use >=.", **told)
        if got in (len(sizes), len(sizes) + 1):
            raise Wrong("small blobs are counted too: compare the last column of the table.", **told)
        raise Wrong(
            "the last column holds the pixels of each blob, which need not fill its box.",
            **told,
        )
    returned = answer(np.zeros((8, 8), np.uint8), 1)
    if as_number(returned) != 0:
        raise Wrong("an empty mask has no blobs.", "an empty mask, min_pixels = 1", returned, 0)


@exercise
def best_threshold(answer) -> None:
    thresholds = [0.05, 0.2, 0.3, 0.45, 0.6, 0.8]
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        masks = np.zeros((12, 24, 24), np.uint8)
        for mask in masks:  # some large, most small, all near the middle
            radius = int(rng.choice([2, 3, 4, 11]))
            cv2.circle(mask, tuple(int(v) for v in rng.integers(10, 14, 2)), radius, 1, -1)
        mean = masks.mean(0)
        counts = [count_pixels(np.repeat((mean > t)[None], 12, 0), masks) for t in thresholds]
        dice = [c.dice().mean().item() for c in counts]
        returned, expected = answer(masks.copy(), list(thresholds)), thresholds[int(np.argmax(dice))]
        table = ", ".join(f"{t:g}: {d:.3f}" for t, d in zip(thresholds, dice, strict=True))
        told = {"given": f"12 masks; mean Dice by threshold {table}", "got": returned, "expected": expected}
        if returned is None:
            raise Wrong("the function returns nothing: is there a return?", **told)
        if (got := as_number(returned)) is None:
            raise Wrong("return one of the thresholds, a single number.", **told)
        if np.isclose(got, expected):
            continue
        if np.isclose(got, max(dice), atol=1e-6):
            raise Wrong("that is the best Dice. The threshold that gave it is asked for.", **told)
        if got == int(np.argmax(dice)):
            raise Wrong("that is its place in the list: return thresholds[place].", **told)
        if not np.isclose(got, thresholds).any():
            raise Wrong("return one of the thresholds, as it stands in the list.", **told)
        for score, word in (
            ([c.pixel_accuracy().mean().item() for c in counts], "pixel accuracy"),
            ([c.pooled().dice().item() for c in counts], "pooled Dice, in which a large person counts more"),
        ):
            if np.isclose(got, thresholds[int(np.argmax(score))]):
                raise Wrong(f"this is the best by {word}. Take the Dice of each mask, then the mean.", **told)
        raise Wrong("compare (mean > threshold) with every mask, for each threshold; keep the best.", **told)

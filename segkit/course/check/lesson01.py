"""Checks of notebook 01."""

import cv2
import numpy as np

from segkit.course.check.core import Case, cases, draws, exercise, generator
from segkit.metrics import count_pixels


def _draw_mask(seed: int, discs: int = 3) -> np.ndarray:
    """Some discs on nothing: uint8 {0, 1} (H, W)."""
    rng = generator(seed)
    mask = np.zeros((40, 56), np.uint8)
    for _ in range(discs):
        cv2.circle(mask, rng.integers(6, (50, 34)).tolist(), int(rng.integers(2, 6)), 1, -1)
    return mask


@cases("count the pixels that are not 0, and divide by all pixels.")
def foreground_share():
    drawn = [_draw_mask(0), _draw_mask(1, discs=1), _draw_mask(2, discs=9)]
    for mask in (*drawn, np.zeros((6, 9), np.uint8), np.ones((7, 5), np.uint8)):
        share = mask.mean()
        for given in (mask > 0, mask, mask * np.uint8(255)):
            mistakes = {
                "0 / 0: with nobody in the picture there is nothing to divide by.": np.isnan,
                "in a 0/255 mask each person pixel counts 255 times: ask mask > 0 first.": given.mean(),
                "that is in percent: a share goes from 0 to 1.": 100 * share,
                "dividing by 255 suits 0/255 masks only: ask mask > 0 first.": given.mean() / 255,
                "nobody is found: 1 is a yes too, and // leaves no fractions.": (given > 127).mean(),
                "more than the whole picture: divide by how many pixels there are.": lambda got: got > 1,
                "that is the share of the background.": 1 - share,
            }
            yield (given,), share, mistakes


@exercise
def box_of_mask(answer) -> None:
    for seed in range(6):
        # At last one pixel, whose row and column are 0.
        mask = _draw_mask(seed, discs=1 + seed % 3) if seed < 5 else np.eye(1, 9, dtype=np.uint8)
        rows, columns = np.flatnonzero(mask.any(1)).tolist(), np.flatnonzero(mask.any(0)).tolist()
        left, top, right, bottom = box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        case = Case(box)
        got = case.numbers(answer(mask), 4, "four numbers: left, top, right, bottom")
        end_inside, sides = (left, top, right - 1, bottom - 1), (left, top, right - left, bottom - top)
        mistakes = {
            "edges are whole pixels: fractions cannot index an array.": any(edge % 1 != 0 for edge in got),
            "rows and columns are exchanged: left and right are columns (x).": (top, left, bottom, right),
            "a slice leaves its end out: mask[2:5] has rows 2, 3, 4. Add 1 to right and bottom.": end_inside,
            "these are width and height: right is left + width, bottom is top + height.": sides,
            "these are the edges, in another order: left, top, right, bottom.": sorted(got) == sorted(box),
        }
        case.compare(got, mistakes, "np.nonzero(mask) gives the rows and columns of all person pixels.")
    nobody = Case("None", "an empty mask of shape (8, 8)")
    hint = "an empty mask has no smallest row: look for that first, and return None."
    got = nobody.run(answer, np.zeros((8, 8), np.uint8), hints={"": hint})
    if got is not None:
        nobody.wrong("an empty mask has no box.", got)


@cases("blue is share, orange is 1 - share, and yellow is 0: nobody is missed.")
def dice_of_all_person():
    for share in [*generator().uniform(0.02, 0.9, 8).round(3).tolist(), 1.0, 0.0]:
        dice = 2 * share / (1 + share)
        mistakes = {
            "that is IoU, and pixel accuracy: blue over blue and orange. Dice counts blue twice.": share,
            "2 * blue is there, but what is it divided by? 2 * blue + orange.": 2 * share,
            "blue counts twice above the line as well.": share / (1 + share),
            "0 is the Dice of all background. Here every person pixel is found.": 0,
            "that is in percent: Dice goes from 0 to 1.": 100 * dice,
        }
        yield (share,), dice, mistakes


def _draw_blobs(seed: int) -> tuple[np.ndarray, list[int]]:
    """Blobs of many shapes that do not touch: uint8 {0, 1} (40, 60), and how many pixels each has."""
    rng = generator(seed)
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


@cases("the last column holds each blob's pixels, which need not fill its box.", "one whole number")
def count_blobs():
    for seed in range(8):
        mask, sizes = _draw_blobs(seed)
        # Exactly as large as one of them, so that "at least" is put to the test.
        least = sorted(sizes)[len(sizes) // 2]
        right = sum(size >= least for size in sizes)
        mistakes = {
            "return one whole number.": lambda got: got % 1 != 0,
            "one too many: row 0 is the background, and it is large. Leave it out.": right + 1,
            "'at least' includes blobs of exactly min_pixels: use >=.": sum(size > least for size in sizes),
            "small blobs are counted too: compare the last column of the table.": len(sizes),
        }
        given = f"blobs of {', '.join(map(str, sorted(sizes)))} pixels, min_pixels = {least}"
        yield (mask, least), right, mistakes, given
    yield (np.zeros((8, 8), np.uint8), 1), 0, {"an empty mask has no blobs.": True}
    yield (np.pad(np.ones((6, 6), np.uint8), 1), 30), 1, {"leave row 0 out: it may be small.": True}


@cases("compare (mean > threshold) with every mask; keep the best threshold.")
def best_threshold():
    thresholds = [0.05, 0.2, 0.3, 0.45, 0.6, 0.8]
    for _, rng in draws(6):
        masks = np.zeros((12, 24, 24), np.uint8)
        for mask in masks:  # some large, most small, all near the middle
            radius = int(rng.choice([2, 3, 4, 11]))
            cv2.circle(mask, rng.integers(10, 14, 2).tolist(), radius, 1, -1)
        mean = masks.mean(0)
        counts = [count_pixels(np.repeat((mean > t)[None], 12, 0), masks) for t in thresholds]
        dice = [c.dice().mean().item() for c in counts]
        pooled, accuracy = [c.pooled().dice() for c in counts], [c.pixel_accuracy().mean() for c in counts]
        best, by_accuracy, by_pooled = (int(np.argmax(score)) for score in (dice, accuracy, pooled))
        of_each = "Take the Dice of each mask, then the mean."
        mistakes = {
            "that is the best Dice. The threshold that gave it is asked for.": max(dice),
            "this is its place: return thresholds[place].": best,
            f"this is the best by pixel accuracy. {of_each}": thresholds[by_accuracy],
            f"this is the best by pooled Dice: a large person counts more. {of_each}": thresholds[by_pooled],
            "return one of the thresholds in the list.": lambda got: not np.isclose(got, thresholds).any(),
        }
        table = ", ".join(f"{t:g}: {d:.3f}" for t, d in zip(thresholds, dice, strict=True))
        yield (masks, thresholds), thresholds[best], mistakes, f"12 masks; mean Dice by threshold {table}"

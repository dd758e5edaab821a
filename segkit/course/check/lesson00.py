"""Checks of lesson 00: masks, thresholds, backgrounds."""

import numpy as np

from segkit.course.check.core import cases, either, generator
from segkit.study.analysis import dice_by_threshold


def _random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A probability map float32 (12, 16) and the bool mask that it roughly follows."""
    rng = generator(seed)
    truth = np.zeros((12, 16), bool)
    top, left = rng.integers(1, 4, 2)
    truth[top : top + 7, left : left + 8] = True
    middle = rng.uniform(0.25, 0.75)  # this network's 0.5 is somewhere else
    prob = np.where(truth, middle + 0.12, middle - 0.12) + rng.normal(0, 0.1, truth.shape)
    return prob.clip(0, 1).astype(np.float32), truth


@cases("compare every probability with the threshold: over it is person", dtype="bool")
def mask_from_prob():
    drawn = [(_random_case(seed)[0], 0.1 + 0.2 * seed) for seed in range(5)]
    for prob, threshold in [*drawn, (np.array([[0.2, 0.25, 0.3]], np.float32), 0.25)]:
        mistakes = {
            "this is the background: person is where the probability is larger": prob <= threshold,
            "you always cut at 0.5: use the threshold that was handed in": prob > 0.5,
            "a pixel exactly on the threshold is not over it: > in place of >=": prob >= threshold,
            "check the scales: both go from 0 to 1": either(prob > 1, prob * 255 > threshold),
        }
        yield (prob, threshold), prob > threshold, mistakes


@cases("person pixels are 255, all others 0", dtype="uint8")
def mask_for_file():
    for seed in range(5):
        mask = _random_case(seed)[1][: 5 + seed, : 6 + seed]
        right = np.where(mask, np.uint8(255), np.uint8(0))
        mistakes = {
            "this is still True and False: .astype(np.uint8) makes numbers": lambda got: got.dtype == bool,
            "0 and 1: opened as a picture this looks all black: 1 of 255 is nearly nothing": right // 255,
            "black and white are exchanged: person is 255": 255 - right,
            "all zero: 256 does not fit into uint8, which ends at 255, and starts again at 0": 0 * right,
        }
        yield (mask,), right, mistakes


@cases("inside the mask the image, outside it the colour", dtype="uint8")
def paint_background():
    for seed in range(5):
        rng, mask = generator(seed), _random_case(seed)[1]
        image = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
        colour = tuple(int(part) for part in rng.integers(0, 256, 3))
        where, paint = mask[..., None], np.array(colour, np.uint8)
        right, swapped_paint = (np.where(where, image, one) for one in (paint, paint[::-1]))
        mistakes = {
            "nothing was painted: ~mask selects the background": image,
            "you painted the person: the background is ~mask": np.where(where, paint, image),
            "the background is black: put the colour there": image * where,
            "red and blue are exchanged: images here are RGB": either(right[..., ::-1], swapped_paint),
        }
        yield (image, mask, colour), right, mistakes


THRESHOLDS = np.arange(1, 20) / 20


@cases("try every threshold, keep the one with the highest Dice")
def highest_dice_threshold():
    for seed in range(9):
        prob, truth = _random_case(seed)
        if seed > 5:  # the best is the first of all thresholds, the last, and once 0 would be better
            centre = (prob[truth].mean() + prob[~truth].mean()) / 2
            prob = ((0.05, 0.95, 0.01)[seed - 6] + 0.3 * (prob - centre)).clip(0, 1).astype(np.float32)
        scores = dice_by_threshold([prob], [truth], THRESHOLDS)[0].tolist()
        place, best = int(np.argmax(scores)), max(scores)
        if scores.count(best) > 1:
            continue
        recall = [(prob > threshold)[truth].mean() for threshold in THRESHOLDS]
        mistakes = {
            "this is the highest Dice itself: return the threshold that reaches it": best,
            "this is the place in the list: return the threshold that stands there": place or None,
            "this is none of 0.05, 0.10, ... 0.95": lambda got: not np.isclose(got, THRESHOLDS).any(),
            "lowest Dice: find the highest, of 2 * both / (mask + truth)": THRESHOLDS[np.argmin(scores)],
            "0.5 is a good habit, but not the best cut here: try them all": 0.5,
            "this has the highest recall: false alarms count too": THRESHOLDS[np.argmax(recall)],
        }
        yield (prob, truth), THRESHOLDS[place], mistakes

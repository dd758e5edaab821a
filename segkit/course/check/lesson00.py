"""Checks of lesson 00: masks, thresholds, backgrounds."""

import numpy as np

from segkit.course.check.core import Case, exercise, from_start, same, untouched


def _random_case(seed: int, height: int = 12, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A probability map float32 (H, W) and the bool mask (H, W) that it roughly follows."""
    rng = np.random.default_rng(from_start(seed))
    truth = np.zeros((height, width), bool)
    top, left = rng.integers(1, 4, 2)
    truth[top : top + 7, left : left + 8] = True
    middle = rng.uniform(0.25, 0.75)  # this network's 0.5 is somewhere else
    prob = np.where(truth, middle + 0.12, middle - 0.12) + rng.normal(0, 0.1, truth.shape)
    return prob.clip(0, 1).astype(np.float32), truth


@exercise
def mask_from_prob(answer):
    cases = [(_random_case(seed)[0], 0.1 + 0.2 * seed) for seed in range(5)]
    for prob, threshold in [*cases, (np.array([[0.2, 0.25, 0.3]], np.float32), 0.25)]:
        case = Case(prob > threshold)
        got = _one_for_every_pixel(case, answer(prob, threshold), "a bool array")
        case.dtype(got, "bool", "a mask holds True and False: a comparison gives that by itself")
        scales = not got.any() or same(got, prob * 255 > threshold)
        mistakes = {
            "this is the background: person is where the probability is over the threshold": ~case.expected,
            "you always cut at 0.5: use the threshold that was handed in": prob > 0.5,
            "a pixel exactly on the threshold is not over it: > in place of >=": prob >= threshold,
            "check the scales: both the probability and the threshold go from 0 to 1": scales,
        }
        case.compare(got, mistakes, "compare every probability with the threshold: over it is person")


def _one_for_every_pixel(case: Case, result, what: str) -> np.ndarray:
    if result is not None and not isinstance(result, np.ndarray):
        case.refuse(result, f"an array, not a {type(result).__name__}: {what}")
    return case.array(result, f"{what}, with one answer for every pixel: keep height and width")


@exercise
def mask_for_file(answer):
    for seed in range(5):
        mask = _random_case(seed)[1][: 5 + seed, : 6 + seed]
        case = Case(np.where(mask, np.uint8(255), np.uint8(0)))
        got = _one_for_every_pixel(case, answer(mask), "a uint8 array")
        mistakes = {
            "this is still True and False: .astype(np.uint8) makes numbers": got.dtype == bool,
            "0 and 1: opened as a picture this looks all black, since 1 of 255 is nearly nothing": mask,
            "black and white are exchanged: person is 255": 255 - case.expected,
            "all zero: 256 does not fit into uint8, which ends at 255, and starts again at 0": not got.any(),
        }
        case.compare(got, mistakes, "person pixels are 255, all others 0")
        case.dtype(got, "uint8", "the numbers are right, the type is not: .astype(np.uint8)")


@exercise
def paint_background(answer):
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
        mask = _random_case(seed)[1]
        image = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
        colour = tuple(int(part) for part in rng.integers(0, 256, 3))
        where, paint = mask[..., None], np.array(colour, np.uint8)
        case = Case(np.where(where, image, paint))
        result = untouched(answer, image, mask, colour)
        got = _one_for_every_pixel(case, result, "a uint8 array (H, W, 3)")
        swapped = same(got, case.expected[..., ::-1]) or same(got, np.where(where, image, paint[::-1]))
        mistakes = {
            "nothing was painted: ~mask selects the background": image,
            "you painted the person: the background is ~mask": np.where(where, paint, image),
            "the background is black: put the colour there": image * where,
            "red and blue are exchanged: images here are RGB": swapped,
        }
        case.compare(got, mistakes, "inside the mask the image, outside it the colour")
        case.dtype(got, "uint8", "the colours are right, the type is not: keep uint8")


def _dice(prob: np.ndarray, truth: np.ndarray, threshold: float) -> float:
    mask = prob > threshold
    return 2 * (mask & truth).sum() / (mask.sum() + truth.sum())


@exercise
def highest_dice_threshold(answer):
    thresholds = np.arange(1, 20) / 20
    for seed in range(6):
        prob, truth = _random_case(seed)
        if seed > 3:  # the best is the first of all thresholds, then the last
            centre = (prob[truth].mean() + prob[~truth].mean()) / 2
            prob = ((0.05, 0.95)[seed - 4] + 0.3 * (prob - centre)).clip(0, 1).astype(np.float32)
        scores = [_dice(prob, truth, threshold) for threshold in thresholds]
        place, best = int(np.argmax(scores)), max(scores)
        case = Case(f"{thresholds[place]:.2f}, whose Dice is {best:.3f}")
        got = case.number(answer(prob, truth), "one number, the threshold")
        # Any threshold with the same score is as good; 0.15000000000000002 is 0.15.
        near = thresholds[np.abs(thresholds - got) < 1e-6]
        if len(near) and _dice(prob, truth, near[0]) >= best - 1e-9:
            continue
        accuracy = [((prob > threshold) == truth).mean() for threshold in thresholds]
        recall = [(prob > threshold)[truth].mean() for threshold in thresholds]
        most_right = accuracy[int(np.argmin(np.abs(thresholds - got)))] == max(accuracy)
        mistakes = {
            "this is the highest Dice itself: return the threshold that reaches it": best,
            "this is the place in the list: return the threshold that stands there": got == place,
            "this is none of the thresholds 0.05, 0.10, ... 0.95": not len(near),
            "this is the lowest Dice: look for the highest": thresholds[np.argmin(scores)],
            "0.5 is a good habit, but not the best cut here: try them all": 0.5,
            "this has the highest recall: false alarms count too": thresholds[np.argmax(recall)],
            "this has the most pixels right: Dice leaves the empty background out": most_right,
        }
        case.compare(got, mistakes, "try every threshold, keep the one with the highest Dice")

"""Checks of lesson 00: masks, thresholds, backgrounds."""

import numpy as np

from segkit.course.check.core import Wrong, as_number, exercise, from_start


def _random_case(seed: int, height: int = 12, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """A probability map float32 (H, W) and the bool mask (H, W) that it roughly follows."""
    rng = np.random.default_rng(from_start(seed))
    truth = np.zeros((height, width), bool)
    top, left = rng.integers(1, 4, 2)
    truth[top : top + 7, left : left + 8] = True
    middle = rng.uniform(0.25, 0.75)  # this network's 0.5 is somewhere else
    prob = np.where(truth, middle + 0.12, middle - 0.12) + rng.normal(0, 0.1, truth.shape)
    return prob.clip(0, 1).astype(np.float32), truth


def _need_array(answer, shape: tuple, what: str) -> np.ndarray:
    if answer is None:
        raise Wrong("your function returns nothing. End it with `return ...`", expected=what)
    if not isinstance(answer, np.ndarray):
        raise Wrong(f"return an array, not a {type(answer).__name__}", got=answer, expected=what)
    if answer.shape != shape:
        raise Wrong("one answer for every pixel: keep height and width", got=answer.shape, expected=shape)
    return answer


@exercise
def mask_from_prob(answer):
    cases = [(_random_case(seed)[0], 0.1 + 0.2 * seed) for seed in range(5)]
    for prob, threshold in [*cases, (np.array([[0.2, 0.25, 0.3]], np.float32), 0.25)]:
        got = _need_array(answer(prob.copy(), threshold), prob.shape, "a bool array")
        expected = prob > threshold
        given = f"prob {prob.tolist()}, threshold {threshold:g}" if prob.size < 4 else None
        given = given or f"prob of shape {prob.shape}, threshold {threshold:.1f}"
        if got.dtype != bool:
            raise Wrong(
                "the pixels may be right, but a mask holds True and False: a comparison gives that by itself",
                given,
                got.dtype,
                "bool",
            )
        if np.array_equal(got, expected):
            continue
        hint = "compare every probability with the threshold: over it is person"
        if np.array_equal(got, ~expected):
            hint = "this is the background: person is where the probability is over the threshold"
        elif np.array_equal(got, prob > 0.5) or np.array_equal(got, prob.round() > 0):
            hint = "you always cut at 0.5: use the threshold that was handed in"
        elif np.array_equal(got, prob >= threshold):
            hint = "a pixel exactly on the threshold is not over it: > in place of >="
        elif np.array_equal(got, prob * 255 > threshold) or not got.any():
            hint = "check the scales: both the probability and the threshold go from 0 to 1"
        raise Wrong(hint, given, got, expected)


@exercise
def mask_for_file(answer):
    for seed in range(5):
        mask = _random_case(seed)[1][: 5 + seed, : 6 + seed]
        got = _need_array(answer(mask.copy()), mask.shape, "a uint8 array")
        expected = mask.astype(np.uint8) * np.uint8(255)
        given = f"a mask of shape {mask.shape} with {mask.sum()} person pixels"
        if got.dtype == bool:
            raise Wrong("this is still True and False: .astype(np.uint8) makes numbers", given, got, expected)
        if np.array_equal(got, mask.astype(got.dtype)):
            raise Wrong(
                "0 and 1: opened as a picture this looks all black, since 1 of 255 is nearly nothing",
                given,
                got,
                expected,
            )
        if np.array_equal(got, 255 - expected):
            raise Wrong("black and white are exchanged: person is 255", given, got, expected)
        if np.array_equal(got, mask.astype(np.uint8) * np.uint8(0)) and mask.any():
            raise Wrong(
                "all zero: 256 does not fit into uint8, which ends at 255, and starts again at 0",
                given,
                got,
                expected,
            )
        if np.array_equal(got, expected) and got.dtype != np.uint8:
            raise Wrong(
                "the numbers are right, the type is not: .astype(np.uint8)", given, got.dtype, "uint8"
            )
        if not np.array_equal(got, expected):
            raise Wrong("person pixels are 255, all others 0", given, got, expected)


@exercise
def paint_background(answer):
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
        mask = _random_case(seed)[1]
        image = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
        colour = tuple(int(part) for part in rng.integers(0, 256, 3))
        expected = np.where(mask[..., None], image, np.array(colour, np.uint8))
        given = f"an image of shape {image.shape}, a mask, colour {colour}"
        handed, handed_mask = image.copy(), mask.copy()
        got = _need_array(answer(handed, handed_mask, colour), image.shape, "a uint8 array (H, W, 3)")
        if not (np.array_equal(handed, image) and np.array_equal(handed_mask, mask)):
            raise Wrong(
                "the picture that was handed in has changed: paint on a copy, image.copy()",
                given,
                "a changed input",
                "the input as it was",
            )
        if np.array_equal(got, image):
            raise Wrong("nothing was painted: ~mask selects the background", given, got, expected)
        if np.array_equal(got, np.where(mask[..., None], np.array(colour, np.uint8), image)):
            raise Wrong("you painted the person: the background is ~mask", given, got, expected)
        if np.array_equal(got, image * mask[..., None]):
            raise Wrong("the background is black: put the colour there", given, got, expected)
        if np.array_equal(got, expected[..., ::-1]) or np.array_equal(
            got, np.where(mask[..., None], image, np.array(colour[::-1], np.uint8))
        ):
            raise Wrong("red and blue are exchanged: images here are RGB", given, got, expected)
        if np.array_equal(got, expected) and got.dtype != np.uint8:
            raise Wrong("the colours are right, the type is not: keep uint8", given, got.dtype, "uint8")
        if not np.array_equal(got, expected):
            raise Wrong("inside the mask the image, outside it the colour", given, got, expected)


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
        returned = answer(prob.copy(), truth.copy())
        scores = [_dice(prob, truth, threshold) for threshold in thresholds]
        best = thresholds[int(np.argmax(scores))]
        given = f"prob and truth of shape {prob.shape}, with {truth.sum()} person pixels"
        expected = f"{best:.2f}, whose Dice is {max(scores):.3f}"
        if returned is None:
            raise Wrong("your function returns nothing. End it with `return ...`", given, None, expected)
        if (got := as_number(returned)) is None:
            raise Wrong("return one number, the threshold", given, returned, expected)
        # Any threshold with the same score is as good; 0.15000000000000002 is 0.15.
        near = thresholds[np.abs(thresholds - got) < 1e-6]
        if len(near) and _dice(prob, truth, float(near[0])) >= max(scores) - 1e-9:
            continue
        accuracy = [((prob > threshold) == truth).mean() for threshold in thresholds]
        recall = [(prob > threshold)[truth].mean() for threshold in thresholds]
        hint = "try every threshold, keep the one with the highest Dice"
        if np.isclose(got, max(scores)):
            hint = "this is the highest Dice itself: return the threshold that reaches it"
        elif np.isclose(got, int(np.argmax(scores))):
            hint = "this is the place in the list: return the threshold that stands there"
        elif not len(near):
            hint = "this is none of the thresholds 0.05, 0.10, ... 0.95"
        elif np.isclose(got, thresholds[int(np.argmin(scores))]):
            hint = "this is the lowest Dice: look for the highest"
        elif np.isclose(got, 0.5):
            hint = "0.5 is a good habit, but not the best cut here: try them all"
        elif np.isclose(got, thresholds[int(np.argmax(recall))]):
            hint = "this has the highest recall: it forgets the pixels that are too much"
        elif accuracy[int(np.argmin(np.abs(thresholds - got)))] == max(accuracy):
            hint = "this has the most pixels right: count with Dice, which leaves the empty background out"
        raise Wrong(hint, given, f"{got:.4g}", expected)

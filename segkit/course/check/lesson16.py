"""Checks of notebook 16, Applications."""

import cv2
import numpy as np

from segkit.course.check.core import Case, cases, draws, either, exercise, generator


def _infinite(got) -> bool:
    return not np.isfinite(got).all()


@cases("solve pixel = alpha * person + (1 - alpha) * behind for person", atol=1.01)
def pure_colour():
    for seed, rng in draws(6):
        person, behind = rng.integers(0, 256, (2, 1, 5, 3)).astype(float)
        alpha = rng.permutation([[0.0, 0.05, 0.25, 0.5, 1.0]], axis=1)
        share = alpha[..., None]
        mixed = person * share + behind * (1 - share)
        if seed % 2 == 0:
            mixed = np.clip(mixed + rng.normal(0, 20, mixed.shape), 0, 255)  # a photograph has noise
        taken_out, safe = mixed - (1 - share) * behind, np.where(share > 0, share, 1)
        unclipped, swapped, divided = (
            np.where(share > 0, one / safe, mixed) for one in (taken_out, mixed - share * behind, mixed)
        )
        right = unclipped.clip(0, 255)
        mistakes = {
            "NaN or infinite: somewhere was divided by 0": _infinite,
            "that is the pixel as it was, with the old background still in it": mixed,
            "where alpha is 0 nothing of the person is seen: leave the pixel as it is": right * (share > 0),
            "right, but a colour below 0 or above 255 does not exist: clip it": unclipped,
            "alpha * person is left, to be divided by alpha": np.where(share > 0, taken_out, mixed),
            "alpha is the share of the person: the background has 1 - alpha": swapped.clip(0, 255),
            "dividing alone makes it brighter: first take (1 - alpha) * behind away": divided.clip(0, 255),
        }
        yield (mixed, alpha, behind), right, mistakes


def _counts(mask: np.ndarray, order: str = "F") -> list[int]:
    flat = mask.ravel(order).astype(int)
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, len(flat)]).tolist()
    return [0, *runs] if flat[0] else runs


@cases("down the columns: how long is each run of equal pixels, background first", "a list of whole numbers")
def run_lengths():
    some = [rng.random((3, 5)) < 0.5 for _, rng in draws(8)]
    plain = np.zeros((2, 3), bool)
    for mask in (np.eye(3, 4) == 0, np.eye(3, 4) > 0, *some, plain, ~plain):
        runs = _counts(mask)
        mistakes = {
            "these are rows; COCO goes down the columns, as Fortran keeps arrays": _counts(mask, "C"),
            "the first number counts background, even where that is 0": runs[runs[0] == 0 :],
            "the last run is missing: it ends with the picture, where nothing changes any more": runs[:-1],
            "background and person are swapped: the first run is background": _counts(~mask),
            "only the runs of person are counted; those of background belong in too": runs[1::2],
            "all runs together must be all pixels": lambda got, size=mask.size: np.sum(got) != size,
        }
        yield (mask,), runs, mistakes


@cases("2 * overlap / (size + size), with probabilities for the true mask")
def expected_dice():
    for seed, rng in draws(10):
        prob = rng.random((3, 4)) ** 2
        mask = prob > (0.3, 0.5)[seed % 2]  # the threshold is the mask's own affair
        mask.flat[0] = True
        cut = prob > 0.5
        overlap, sizes = prob[mask].sum(), prob.sum() + mask.sum()
        mistakes = {
            "that is the mean probability inside the mask: what it left out is not seen": prob[mask].mean(),
            "that is a share of the picture, no overlap": either(prob.mean(), mask.mean()),
            "the factor 2 is missing: a sure network would expect 0.5": overlap / sizes,
            "not every pixel of the mask is right: each is with its probability": 2 * mask.sum() / sizes,
            "that is the IoU that is to be expected; asked is Dice": overlap / (sizes - overlap),
            "that is expected accuracy: easy background makes it flatter": np.maximum(prob, 1 - prob).mean(),
            "take the mask as it is given": 2 * prob[cut].sum() / (prob.sum() + cut.sum()),
        }
        yield (prob, mask), 2 * overlap / sizes, mistakes


def _blur(x: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(np.asarray(x, np.float32), (0, 0), 3.0)


@exercise
def blur_around_person(answer):
    """By what must be true of any answer: blurred far away, flat stays flat, and no colour of the person."""
    rng = generator()
    rows, columns = np.indices((56, 60))
    middle = rng.integers(24, 32, 2)
    away = np.maximum(abs(rows - middle[0]), abs(columns - middle[1]))
    alpha = (away < 14).astype(np.float32)  # so large that the blur of its middle has no background
    flat = np.full((56, 60, 3), rng.integers(60, 220, 3), np.float32)
    striped = np.where(rows[..., None] % 14 < 7, flat * 0.5, flat)
    outside, far, near = alpha == 0, away > 27, (alpha == 0) & (away < 17)
    for name, behind in {"a striped": striped, "an even": flat}.items():
        colours = np.float32([(255, 0, 0), (0, 0, 0), (0, 255, 255)])
        images = [np.where(alpha[..., None] > 0, colour, behind) for colour in colours]
        image = images[0]
        case = Case(image, f"a square person before {name} background of colour {behind[1, 0].astype(int)}")
        red, black, cyan = (case.array(answer(one, alpha, _blur)).astype(float) for one in images)
        if any(map(_infinite, (red, black, cyan))):
            case.wrong("NaN or infinite: somewhere was divided by 0", red)
        case.expected = f"about {flat[0, 1].round()}" if name == "an even" else None
        shown = f"beside a red person, on average {red[near].mean(0).round()}"
        if np.abs(red - _blur(image))[far].max() > 2:
            case.wrong("the background's weight is 1 - alpha: far from the person it is blur(image)")
        other_colour = np.maximum(np.abs(red - black), np.abs(cyan - black))
        if other_colour[outside].max() > 2:
            hint = "the person's colour is in it, a glow around them: blur only what is background"
            case.wrong(hint, shown)
        if other_colour.max() > 2:
            case.wrong("outside it is right; inside, the person is still there")
        if name == "an even" and np.abs(red - flat)[outside].max() > 2:
            hint = "an even background stays as it is: the person is no black, divide by blur(weight) once"
            case.wrong(hint, shown)

"""Checks of notebook 16, Applications."""

import cv2
import numpy as np

from segkit.course.check.core import Wrong, as_number, as_numbers, exercise, from_start


def _array(value, shape: tuple[int, ...], given=None) -> np.ndarray:
    """An answer as finite floats of a wanted shape.   Raises: Wrong."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise Wrong("return an array", given, type(value).__name__, f"shape {shape}") from None
    if array.shape != shape:
        raise Wrong("the answer has another shape", given, f"shape {array.shape}", f"shape {shape}")
    if not np.isfinite(array).all():
        raise Wrong("NaN or infinite: somewhere was divided by 0", given, array)
    return array


@exercise
def pure_colour(answer):
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        person, behind = rng.integers(0, 256, (2, 3, 4, 3)).astype(float)
        alpha = rng.choice([0.0, 0.05, 0.25, 0.5, 1.0], (3, 4))
        alpha.flat[:2] = (0.0, 0.5)
        share = alpha[..., None]
        mixed = person * share + behind * (1 - share)
        if seed % 2:
            mixed = np.clip(mixed + rng.normal(0, 20, mixed.shape), 0, 255)  # a photograph has noise
        safe = np.where(share > 0, share, 1)
        unmixed = (mixed - (1 - share) * behind) / safe
        expected = np.where(share > 0, unmixed.clip(0, 255), mixed)
        with np.errstate(all="ignore"):
            got = _array(answer(mixed.copy(), alpha.copy(), behind.copy()), mixed.shape)
        if np.allclose(got, expected, atol=0.51):
            continue
        at = tuple(np.argwhere(np.abs(got - expected).max(2) > 0.51)[0])
        given = f"pixel {np.round(mixed[at], 1)}, alpha {alpha[at]}, behind {behind[at]}"
        hint = "solve pixel = alpha * person + (1 - alpha) * behind for person"
        if np.allclose(got, mixed):
            hint = "that is the pixel as it was, with the old background still in it; " + hint
        elif alpha[at] == 0:
            hint = "where alpha is 0 nothing of the person is seen: leave the pixel as it is"
        elif np.allclose(got, np.where(share > 0, unmixed, mixed), atol=0.51):
            hint = "right, but a colour below 0 or above 255 does not exist: clip it"
        elif np.allclose(got[at], (mixed - (1 - share) * behind)[at], atol=0.51):
            hint = "the background is taken out; what is left is alpha * person, still to be divided by alpha"
        elif np.allclose(got[at], ((mixed - share * behind) / safe)[at].clip(0, 255), atol=0.51):
            hint = "alpha is the share of the person: the background has 1 - alpha"
        elif np.allclose(got[at], (mixed / safe)[at].clip(0, 255), atol=0.51):
            hint = "dividing alone makes it brighter: first take (1 - alpha) * behind away"
        raise Wrong(hint, given, got[at], expected[at])


def _counts(mask: np.ndarray, order: str = "F") -> list[int]:
    flat = mask.ravel(order).astype(int)
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, len(flat)]).tolist()
    return [0, *runs] if flat[0] else runs


@exercise
def run_lengths(answer):
    corner = np.zeros((3, 4), bool)
    corner[:2, :2] = True
    some = [np.random.default_rng(from_start(seed)).random((3, 5)) < 0.5 for seed in range(8)]
    plain = np.zeros((2, 3), bool)
    for mask in (np.eye(3, 4) == 0, np.eye(3, 4) > 0, corner, *some, plain, ~plain):
        expected = _counts(mask)
        rows = ("".join(".#"[int(v)] for v in row) for row in mask)
        given = "\n".join(["# is person", *rows]).replace("\n", "\n" + " " * 11)
        result = answer(mask.copy())
        numbers = as_numbers(result)
        if numbers is None or any(n != int(n) for n in numbers):
            raise Wrong(
                "return a list of whole numbers", given, "None" if result is None else result, expected
            )
        got = [int(n) for n in numbers]
        if got == expected:
            continue
        hint = "go down the columns and count how long each run of equal pixels is, background first"
        if got == _counts(mask, "C"):
            hint = "these are rows; COCO goes down the columns: the order Fortran keeps arrays in"
        elif [0, *got] == expected:
            hint = "the first number counts background, even where there is none: then it is 0"
        elif expected[:-1] == got:
            hint = "the last run is missing: it ends with the picture, where nothing changes any more"
        elif got == _counts(~mask):
            hint = "background and person are swapped: the first run is background"
        elif sum(got) == mask.sum():
            hint = "only the runs of person are counted; the ones of background between them belong in too"
        elif sum(got) != mask.size:
            hint = f"all runs together must be all {mask.size} pixels: " + hint
        raise Wrong(hint, given, got, expected)


@exercise
def expected_dice(answer):
    for seed in range(10):
        prob = np.random.default_rng(from_start(seed)).random((3, 4)) ** 2
        mask = prob > (0.5, 0.3)[seed % 2]  # the threshold is the mask's own affair
        mask.flat[0] = True
        overlap, sizes = prob[mask].sum(), prob.sum() + mask.sum()
        expected = 2 * overlap / sizes
        given = f"prob {prob.round(2).tolist()}, mask {mask.astype(int).tolist()}"
        result = answer(prob.copy(), mask.copy())
        got = as_number(result)
        if got is None:
            raise Wrong("return one number", given, "None" if result is None else result, expected)
        if np.isclose(got, expected, atol=1e-6):
            continue
        cut = prob > 0.5
        for value, hint in (
            (prob[mask].mean(), "that is the mean probability inside the mask: what it left out is not seen"),
            (prob.mean(), "that is a share of the picture, no overlap"),
            (mask.mean(), "that is a share of the picture, no overlap"),
            (overlap / sizes, "the factor 2 is missing: a sure network would expect 0.5"),
            (2 * mask.sum() / sizes, "not every pixel of the mask is right: each is with its probability"),
            (overlap / (sizes - overlap), "that is the IoU that is to be expected; asked is Dice"),
            (
                np.maximum(prob, 1 - prob).mean(),
                "that is expected accuracy: easy background makes it flatter",
            ),
            (
                2 * prob[cut].sum() / (prob.sum() + cut.sum()),
                "take the mask that is given, wherever it was cut",
            ),
        ):
            if np.isclose(got, value):
                raise Wrong(hint, given, got, expected)
        hint = (
            "2 * overlap / (size + size), with the sum of probabilities for what nobody knows: the true mask"
        )
        raise Wrong(hint, given, got, expected)


def _blur(x: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(np.asarray(x, np.float32), (0, 0), 3.0)


@exercise
def blur_around_person(answer):
    """By what must be true of any answer: blurred far away, flat stays flat, and no colour of the person."""
    rng = np.random.default_rng(from_start(0))
    rows, columns = np.indices((56, 60))
    middle = rng.integers(24, 32, 2)
    away = np.hypot(rows - middle[0], columns - middle[1])
    alpha = (away < 9).astype(np.float32)
    flat = np.full((56, 60, 3), rng.integers(60, 220, 3), np.float32)
    striped = np.where(rows[..., None] % 6 == 0, flat * 0.5, flat)
    outside, far, near = alpha == 0, away > 24, (alpha == 0) & (away < 12)
    for name, behind in {"striped": striped, "even": flat}.items():
        given = f"a round person before an {name} background of colour {behind[1, 0].astype(int)}"
        got = {}
        for colour in ((255, 0, 0), (0, 0, 0), (0, 255, 255)):
            image = np.where(alpha[..., None] > 0, np.float32(colour), behind)
            with np.errstate(all="ignore"):
                got[colour] = _array(answer(image.copy(), alpha.copy(), _blur), image.shape, given)
        red, black = got[255, 0, 0], got[0, 0, 0]
        image = np.where(alpha[..., None] > 0, np.float32((255, 0, 0)), behind)
        shown = f"beside a red person, on average {red[near].mean(0).round()}"
        wanted = f"about {flat[0, 1].round()}" if name == "even" else None
        if np.allclose(red[outside], image[outside], atol=1) and name == "striped":
            raise Wrong("nothing is blurred", given, shown)
        if max(np.abs(one - black)[outside].max() for one in got.values()) > 2:
            hint = "the person's colour is in it, a glow around them: blur only what is background"
            if np.abs(red[far] - image[far]).max() > 60:
                hint = "that is the person's colour spread out: the background's weight is 1 - alpha"
            raise Wrong(hint, given, shown, wanted)
        if max(np.abs(one - black).max() for one in got.values()) > 2:
            raise Wrong("outside it is right; inside, the person is still there", given)
        if name == "even" and np.abs(red - flat)[outside].max() > 2:
            hint = "an even background stays as it is, however it is blurred"
            if red[near].mean() < flat[near].mean() - 2:
                hint = "dark around the person: missing pixels counted as black. Divide by the blurred weight"
            raise Wrong(hint, given, shown, wanted)
        if np.abs(red - _blur(image))[far].max() > 2:
            raise Wrong("far from the person nothing is in the way: there it is blur(image)", given)

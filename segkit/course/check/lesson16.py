"""Checks of notebook 16, Applications."""

import cv2
import numpy as np

from segkit.course.check.core import Wrong, exercise, from_start


def _array(value, shape: tuple[int, ...], name: str = "the answer") -> np.ndarray:
    """An array of this shape with no NaN, or a hint that it is none."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise Wrong(
            f"{name} should be an array", got=type(value).__name__, expected=f"shape {shape}"
        ) from None
    if array.shape != shape:
        raise Wrong(f"{name} has another shape than the input", got=array.shape, expected=shape)
    if np.isnan(array).any():
        raise Wrong("NaN: somewhere 0 was divided by 0. What does the task say for alpha 0?", got=array)
    return array


@exercise
def pure_colour(answer):
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        person, behind = rng.integers(0, 256, (2, 3, 4, 3)).astype(float)
        alpha = rng.choice([0.0, 0.25, 0.5, 1.0], (3, 4))
        alpha.flat[:2] = (0.0, 0.5)
        mixed = person * alpha[..., None] + behind * (1 - alpha[..., None])
        if seed % 2:
            mixed = np.clip(mixed + rng.normal(0, 20, mixed.shape), 0, 255)  # a photograph has noise
        safe = np.where(alpha > 0, alpha, 1)[..., None]
        unmixed = (mixed - (1 - alpha[..., None]) * behind) / safe
        expected = np.where(alpha[..., None] > 0, unmixed.clip(0, 255), mixed)
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
        elif np.allclose(got, np.where(alpha[..., None] > 0, unmixed, mixed), atol=0.51):
            hint = "right, but a colour below 0 or above 255 does not exist: clip it"
        elif np.allclose(got[at], (mixed - (1 - alpha[..., None]) * behind)[at], atol=0.51):
            hint = "the background is taken out; what is left is alpha * person, still to be divided by alpha"
        elif np.allclose(got[at], ((mixed - alpha[..., None] * behind) / safe)[at].clip(0, 255), atol=0.51):
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
    for mask in (
        np.eye(3, 4) == 0,
        np.eye(3, 4) > 0,
        corner,
        *some,
        np.zeros((2, 3), bool),
        np.ones((2, 3), bool),
    ):
        expected = _counts(mask)
        result = answer(mask.copy())
        try:
            got = [int(n) for n in result]
        except (TypeError, ValueError):
            raise Wrong("return a list of whole numbers", got=result, expected=expected) from None
        if got == expected:
            continue
        rows = ("".join(".#"[int(v)] for v in row) for row in mask)
        given = "\n".join(["# is person", *rows]).replace("\n", "\n" + " " * 11)
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
    cases = [np.random.default_rng(from_start(seed)).random((3, 4)) ** 2 for seed in range(10)]
    for prob in cases:
        mask = prob > 0.5
        mask.flat[0] = True
        expected = 2 * prob[mask].sum() / (prob.sum() + mask.sum())
        try:
            got = float(answer(prob.copy(), mask.copy()))
        except (TypeError, ValueError):
            raise Wrong("the answer should be one number", expected="a number") from None
        if np.isclose(got, expected, atol=1e-6):
            continue
        hint = (
            "2 * overlap / (size + size), with the sum of probabilities for what nobody knows: the true mask"
        )
        if np.isclose(got, prob[mask].mean()):
            hint = "that is the mean probability inside the mask: it never sees what the mask has left out"
        elif np.isclose(got, prob.mean()) or np.isclose(got, mask.mean()):
            hint = "that is a share of the picture: " + hint
        elif np.isclose(got, prob[mask].sum() / (prob.sum() + mask.sum())):
            hint = "the factor 2 is missing: a sure network would expect 0.5"
        elif np.isclose(got, 2 * mask.sum() / (prob.sum() + mask.sum())):
            hint = "not every pixel of the mask is right: each is with its probability"
        elif np.isclose(got, prob[mask].sum() / (prob.sum() + mask.sum() - prob[mask].sum())):
            hint = "that is the IoU that is to be expected: also good, but asked is Dice"
        elif np.isclose(got, np.maximum(prob, 1 - prob).mean()):
            hint = "that is expected pixel accuracy, and the easy background makes it flatter"
        raise Wrong(hint, f"prob {prob.round(2).tolist()}, mask {mask.astype(int).tolist()}", got, expected)


def _blur(x: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(np.asarray(x, np.float32), (0, 0), 3.0)


@exercise
def blur_around_person(answer):
    side = 48
    rows, columns = np.indices((side, side))
    alpha = (np.hypot(rows - 24, columns - 24) < 9).astype(np.float32)
    for person, behind in (((255, 0, 0), (0, 0, 200)), ((0, 0, 0), (220, 220, 220))):
        image = np.where(alpha[..., None] > 0, np.float32(person), np.float32(behind)).astype(np.float32)
        image[::6] = np.where(alpha[::6, :, None] > 0, image[::6], image[::6] * 0.5)
        weight = 1 - alpha
        expected = _blur(image * weight[..., None]) / np.maximum(_blur(weight), 1e-6)[..., None]
        with np.errstate(all="ignore"):
            got = answer(image.copy(), alpha.copy(), _blur)
        outside = alpha == 0
        got = np.asarray(got, float)
        if got.shape != image.shape:
            raise Wrong("return the blurred background, as large as the image", got=got.shape)
        if np.isnan(got[outside]).any():
            raise Wrong("NaN: deep inside the person no background is near; keep the divisor above 0")
        if np.allclose(got[outside], expected[outside], atol=1):
            continue
        hint = "blur only what is background, and divide by how much of it was in the window"
        if np.allclose(got[outside], _blur(image)[outside], atol=1):
            hint = "this blurs the person in, and a glow of their colour stands around them: " + hint
        elif np.allclose(got[outside], _blur(image * weight[..., None])[outside], atol=1):
            hint = "dark around the person: the missing pixels counted as black. Divide by the blurred weight"
        elif np.allclose(got[outside], image[outside], atol=1):
            hint = "nothing is blurred"
        elif np.allclose(
            got[outside],
            (_blur(image * alpha[..., None]) / np.maximum(_blur(alpha), 1e-6)[..., None])[outside],
            atol=1,
        ):
            hint = "that is the person's colour spread out: the background's weight is 1 - alpha"
        near = outside & (cv2.dilate(alpha, np.ones((7, 7))) > 0)
        raise Wrong(
            hint,
            f"a person of colour {person} before {behind}",
            f"beside the person, on average {got[near].mean(0).round()}",
            f"about {expected[near].mean(0).round()}",
        )

"""Augmentation: the exercises of notebook 06."""

import cv2
import numpy as np

from segkit.course.check.core import Case, cases, draws, exercise, from_start


def _moved_pair(answer, image: np.ndarray, mask: np.ndarray, *more) -> tuple[np.ndarray, np.ndarray]:
    """The image and the mask that an answer makes of a pair.   Raises: Wrong."""
    result = answer(image, mask, *more)
    pair = Case("(image, mask)").items(result, 2, "two arrays: image, mask")
    return np.asarray(pair[0]), np.asarray(pair[1])


@cases("mirror the columns of both: array[:, ::-1].", "two arrays: image, mask", dtype="uint8")
def flip_both():
    """Mirror image and mask left to right, answer(image, mask)."""
    for _, rng in draws(3):
        image = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        mask = rng.integers(0, 2, (12, 16), dtype=np.uint8)
        right = image[:, ::-1], mask[:, ::-1]
        mistakes = {
            "this turns red into blue: the last axis holds the colours.": (image[..., ::-1], right[1]),
            "this stands on its head: rows are axis 0, columns axis 1.": (image[::-1], mask[::-1]),
            "the image is mirrored, its mask is not. Both, or neither.": (right[0], mask),
            "the mask is mirrored, its image is not. Both, or neither.": (image, right[1]),
        }
        yield (image, mask), right, mistakes


MOVERS = {"flip", "rotate", "crop", "shear"}

STILL = {"brightness", "blur", "noise", "JPEG", "grey"}


@exercise
def moves_the_mask(answer) -> None:
    """The set of those of MOVERS and STILL that move the mask, or a function that returns it."""
    case = Case()
    answer = case.listed(answer() if callable(answer) else answer, "a set of names")
    known = {name.casefold(): name for name in MOVERS | STILL}
    named = {known.get(str(name).strip().casefold(), str(name)) for name in answer}
    shown = sorted(named)
    if unknown := named - MOVERS - STILL:
        case.wrong(f"these names are not in the list: {', '.join(sorted(unknown))}.", shown)
    if wrong := sorted(named - MOVERS):
        case.wrong(f"{wrong[0]} changes colours, not places: the mask stays as it is.", shown)
    if missing := MOVERS - named:
        case.wrong(f"{len(missing)} more: ask of each whether a pixel changes its place.", shown)


@exercise
def paired_transform(answer) -> None:
    """A random change of both, answer(image, mask, seed): mirror, turn and zoom, and the image's light.

    No particular change is asked for: what is checked are the properties that any paired transform has.
    """
    mask, labels, start = np.zeros((48, 64), np.uint8), (90, 170, 250), from_start(0)
    cv2.ellipse(mask, (30, 24), (10, 16), 20, 0, 360, 30, -1)
    for place, label in zip(((32, 14), (36, 29), (25, 29)), labels, strict=True):  # clockwise
        cv2.circle(mask, place, 3, label, -1)
    image = _flat(mask, 60)
    image[mask > 0] = 210
    seeds = range(start, start + 60)
    drawn = [_one_draw(answer, image, mask, seed) for seed in seeds]
    for seed in (start, start + 7):
        again = _one_draw(answer, image, mask, seed)
        if not all(map(np.array_equal, again, drawn[seed - start])):
            Case().wrong("the same seed gives another draw: np.random.default_rng(seed), and nothing else.")
    if len({image.tobytes() for image, _ in drawn}) < 30:
        Case().wrong("60 seeds hardly give different pictures: draw the numbers from the seed.")
    hint = "move the mask by cv2.INTER_NEAREST, and leave its values alone."
    for _, moved in drawn:
        _refuse_new_labels(moved, {0, 30, *labels}, hint)
    _changes_the_light(answer, mask, seeds)
    overlap = np.mean([_overlap(*pair) for pair in drawn])
    if overlap < 0.93:  # a mask one pixel off has 0.89, blur and noise leave 0.95
        hint = "image and mask, one shape in two paints, have parted: draw once, use the numbers for both."
        Case("above 0.93").wrong(hint, f"a mean overlap (IoU) of {overlap:.2f} over 60 seeds")
    still = [np.array_equal(m, mask) or np.array_equal(m, mask[:, ::-1]) for _, m in drawn]
    if np.mean(still) > 0.5:
        Case().wrong("the mask hardly ever turns, grows or shrinks.", f"{sum(still)} of 60 as before")
    # The labels run clockwise; in a mirror they run the other way, however turned.
    spots = [[np.argwhere(moved == label) for label in labels] for _, moved in drawn]
    corners = [[spot.mean(0) for spot in three] for three in spots if all(map(len, three))]
    mirrored = [(a, b) for a, b, c in corners if np.linalg.det([b - a, c - a]) > 0]
    share = len(mirrored) / len(corners)
    if not 0.15 < share < 0.85:
        Case("half").wrong("mirror about half of the pictures.", f"{share:.0%} of 60 mirrored")
    if all(head[0] > foot[0] for head, foot in mirrored):
        Case().wrong("what is mirrored stands on its head: mirror the columns, array[:, ::-1].")


def _flat(mask: np.ndarray, level: int) -> np.ndarray:
    return np.full((*mask.shape, 3), level, np.uint8)


def _overlap(image: np.ndarray, mask: np.ndarray) -> float:
    """The IoU of a mask and of the brighter half of its image."""
    grey = image.mean(-1)
    bright = grey > (grey.max() + grey.min()) / 2
    return (bright & (mask > 0)).sum() / max(1, (bright | (mask > 0)).sum())


def _one_draw(answer, image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the answer makes of a pair, if it is a pair of the same kind.   Raises: Wrong."""
    changed, moved = _moved_pair(answer, image, mask, seed)
    for got, was, name in ((changed, image, "image"), (moved, mask, "mask")):
        if got.shape != was.shape:
            Case(was.shape).wrong(f"the {name} has another shape (OpenCV takes width, height).", got.shape)
        Case().dtype(got, "uint8")
    return changed, moved


def _refuse_new_labels(got: np.ndarray, known: set, hint: str) -> None:
    if invented := sorted(set(np.unique(got).tolist()) - known):
        Case("none").wrong(f"labels have appeared that were not there: {hint}", f"new labels {invented[:6]}")


def _changes_the_light(answer, mask: np.ndarray, seeds: range) -> None:
    changed = [_one_draw(answer, _flat(mask, 235), mask, seed)[0] for seed in seeds]
    middle = [image[16:32, 24:40].mean() for image in changed]  # many pixels: noise is no light
    if np.std(middle) < 2:
        Case().wrong("the light never changes: make the image (not the mask) darker or lighter.")
    if min(middle) < 60:
        Case().wrong("white turns black: clip before you go back to uint8.", min(middle))


@exercise
def resize_labels(answer) -> None:
    """Resize a label map without inventing labels, answer(labels, height, width)."""
    for (seed, rng), (height, width) in zip(draws(4), [(4, 6), (40, 60), (17, 13), (48, 20)], strict=True):
        few = rng.choice(np.array([0, 3, 5, 7], np.uint8), (2, 2) if seed == 0 else (3, 4))
        few.flat[:2] = 0, 7
        side = 1 if seed == 0 else 10
        labels = few.repeat(side, axis=0).repeat(side, axis=1)
        # Where every way of resizing agrees, since all old pixels near a new one have one label.
        ways = cv2.INTER_NEAREST_EXACT, cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA
        label, *others = (cv2.resize(labels, (width, height), interpolation=way) for way in ways)
        certain = (np.array(others) == label).all(0)
        case = Case(label)
        shapes = {"height and width are swapped: cv2.resize takes (width, height).": label.T}
        got = case.array(answer(labels, height, width), mistakes=shapes)
        _refuse_new_labels(got, set(few.flat), "this interpolates. Use cv2.INTER_NEAREST.")
        case.dtype(got, "uint8")
        if (got == label)[certain].mean() < 0.98:
            case.wrong("no new labels, but they are not where they were: resize, do not cut or fill.", got)


@exercise
def crop_both(answer) -> None:
    """Cut the same random square out of both, answer(image, mask, size, seed)."""
    height, width, size = 6, 9, 4
    rows, columns = np.mgrid[0:height, 0:width]
    # Every pixel knows its own place, so a crop tells where it was cut.
    image = np.stack([rows, columns, rows * 0], -1).astype(np.uint8)
    mask = (rows * 16 + columns).astype(np.uint8)
    case = Case()
    places, start = (height - size + 1) * (width - size + 1), from_start(0)
    corners = [_corner(answer, image, mask, size, seed) for seed in range(start, start + 30 * places)]
    again = [_corner(answer, image, mask, size, seed) for seed in range(start, start + 12)]
    if again != corners[:12]:
        case.wrong("the same seed gives another crop: use np.random.default_rng(seed).")
    for name, found, room in zip(("top", "left"), zip(*corners, strict=True), (height, width), strict=True):
        if missing := sorted(set(range(room - size + 1)) - set(found)):
            hint = "draw it from integers(0, n) with n - 1 the last place, the side minus size."
            case.wrong(f"{name} is never {missing}, in {len(corners)} draws: {hint}", sorted(set(found)))
    if missing := places - len(set(corners)):
        case.wrong(f"{missing} of {places} corners never come: draw top and left apart.", set(corners))
    if len(set(corners[:places])) == places:
        case.wrong("every corner once, in turn: this counts. Draw, and some come twice.", corners[:places])
    _corner(answer, image[:size], mask[:size], size, start)  # as high as the square: one top is left


def _corner(answer, image: np.ndarray, mask: np.ndarray, size: int, seed: int) -> tuple[int, int]:
    """Where the answer cut.   Raises: Wrong unless it is one square of both."""
    cut, cut_mask = _moved_pair(answer, image, mask, size, seed)
    if cut.shape != (size, size, 3) or cut_mask.shape != (size, size):
        case = Case(f"{(size, size, 3)} and {(size, size)}")
        case.wrong("the crops have another size.", f"{cut.shape} and {cut_mask.shape}")
    top, left = (int(v) for v in cut[0, 0, :2])
    if not np.array_equal(cut, image[top : top + size, left : left + size]):
        Case().wrong("this is not a square of neighbouring pixels: slice, do not resize.", cut[..., :2])
    if not np.array_equal(cut_mask, mask[top : top + size, left : left + size]):
        Case().wrong("the mask is cut at another place than the image: draw the corner once.")
    return top, left

"""Right and common wrong answers to the exercises of notebook 06; test_answers.py asks the checks."""

import cv2
import numpy as np
from solutions import solutions

from segkit.augment import Augmentation

AUGMENT = Augmentation()
solution = solutions("06")
changed = solution.changed


def one_hot(labels, height, width):
    """Each label as a soft mask of its own, the largest wins."""
    ids = np.unique(labels)
    soft = [cv2.resize((labels == i).astype(np.float32), (width, height)) for i in ids]
    return ids[np.argmax(soft, axis=0)]


def crop_by_choice(image, mask, size, seed):
    random = np.random.RandomState(seed)
    top = random.choice(image.shape[0] - size + 1)
    left = random.choice(image.shape[1] - size + 1)
    return image[top:, left:][:size, :size], mask[top:, left:][:size, :size]


class Plain:
    """Another way: a class, a black border, remap in place of an affine matrix."""

    def __call__(self, image, mask, seed):
        random = np.random.RandomState(seed % 2**32)
        side, zoom = random.choice([-1, 1]), random.uniform(0.8, 1.3)
        height, width = mask.shape
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        x = (x - width / 2) * np.float32(side / zoom) + width / 2
        y = (y - height / 2) / np.float32(zoom) + height / 2
        moved = cv2.remap(mask, x, y, cv2.INTER_NEAREST)
        changed = cv2.remap(image, x, y, cv2.INTER_LINEAR).astype(int) + random.randint(-30, 30)
        return changed.clip(0, 255).astype(np.uint8), moved


TOP, LEFT = (f"rng.integers(0, mask.shape[{axis}] - size + 1)" for axis in (0, 1))
BY_TURNS = "seed % (mask.shape[0] - size + 1)", "seed // 3 % (mask.shape[1] - size + 1)"
BOTH = "rng.integers(0, np.array(mask.shape) - size + 1)"
crop_at_once = changed("crop_both", f"top = {TOP}", f"top, left = {BOTH}", f"    left = {LEFT}\n", "")
MOVERS = ["shear", "crop", "rotate", "flip"]
MOVED = "rng.uniform(-12, 12), rng.uniform(0.8, 1.7)"
smooth_labels = changed("move", "cv2.INTER_NEAREST if array.ndim == 2 else ", "")

RIGHT = {
    "flip_both": [
        lambda image, mask: [np.fliplr(image), cv2.flip(mask, 1)],
        lambda image, mask: tuple(np.take(a, range(a.shape[1])[::-1], 1) for a in (image, mask)),
    ],
    "moves_the_mask": [
        {"flip", "rotate", "crop", "shear"},
        ("Crop", "Flip", "shear", " rotate"),
        lambda: [*MOVERS],
    ],
    "paired_transform": [Plain(), lambda image, mask, seed: AUGMENT(image, mask, seed=seed)],
    "resize_labels": [changed("resize_labels", "_EXACT", ""), one_hot],
    "crop_both": [crop_by_choice, crop_at_once],
}

WRONG = {
    "flip_both": [
        ("image[:, ::-1]", "image[:, ::-1] / 1.0", "must be uint8"),
        (lambda image, mask: (image, mask), "array[:, ::-1]"),
        ("return image[:, ::-1]", "image[:] = image[:, ::-1].copy()\n    return image", "work on a copy"),
    ],
    "moves_the_mask": [
        ({"flip", "rotate", "crop", "shear", "blur"}, "blur changes colours"),
        ({"flip", "rotate", "crop", "shear", "JPEG"}, "JPEG changes colours"),
        ({"flip", "rotate"}, "2 more"),
        ({"flip", "zoom"}, "not in the list: zoom"),
        ("flip", "a set of names"),
    ],
    "paired_transform": [
        (lambda *a: (solution.paired(*a)[0], solution.paired(*a[:2], a[2] + 1000)[1]), "have parted"),
        ("move(mask, *numbers)", "mask", "have parted"),
        ("move(mask, *numbers)", "move(mask, numbers[0], -numbers[1], numbers[2])", "have parted"),
        (changed("paired", move=smooth_labels), "labels have appeared"),
        ("rng.random() < 0.5", "False", "about half"),
        ("rng.random() < 0.5", "True", "about half"),
        (changed("paired", move=changed("move", "[:, ::-1]", "[::-1]")), "on its head"),
        (MOVED, "0, 1", "hardly ever turns"),
        ("rng.uniform(0.7, 1.3)", "1", "light never changes"),
        ("numbers) * light", "numbers) + rng.normal(0, 5, image.shape)", "light never changes"),
        ("clip(0, 255)", "astype(np.int64)", "white turns black"),
        ("default_rng(seed)", "default_rng()", "another draw"),
        (lambda image, mask, seed: (image, mask), "hardly give different"),
        (".astype(np.uint8)", "", "must be uint8"),
        (lambda *given: [array[:40, :40] for array in solution.paired(*given)], "another shape"),
        (lambda *given: solution.paired(*given)[0], "two arrays"),
    ],
    "resize_labels": [
        ("INTER_NEAREST_EXACT", "INTER_LINEAR", "labels have appeared"),
        ("(width, height)", "(height, width)", "swapped"),
        (lambda labels, height, width: labels, "of shape (4, 6)"),
        ("labels, (width", "labels / 1.0, (width", "must be uint8"),
        (lambda labels, height, width: np.full((height, width), labels[0, 0]), "not where they were"),
        (lambda labels, h, w: np.pad(labels, ((0, 99), (0, 99)), "edge")[:h, :w], "not where they were"),
    ],
    "crop_both": [
        ("mask[square]", f"mask[{TOP} :, {LEFT} :][:size, :size]", "another place"),
        ("default_rng(seed)", "default_rng()", "the same seed gives another crop"),
        ("[0] - size + 1", "[0] - size", "[1] - size + 1", "[1] - size", "top is never [2]"),
        (TOP, "0", "top is never [1, 2]"),
        ("mask.shape[1]", "mask.shape[0]", "left is never [3, 4, 5]"),
        (TOP, BY_TURNS[0], LEFT, BY_TURNS[1], "this counts"),
        (lambda image, mask, size, seed: (image, mask), "another size"),
        (lambda i, m, size, seed: [cv2.resize(one, (size, size)) for one in (i, m)], "do not resize"),
        (", mask[square]", "", "two arrays"),
    ],
}

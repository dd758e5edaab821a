"""Right and common wrong answers to the exercises of notebook 06; test_answers.py asks the checks."""

import cv2
import numpy as np

from segkit.augment import Augmentation

AUGMENT = Augmentation()


def resized(way):
    return lambda labels, height, width: cv2.resize(labels, (width, height), interpolation=way)


def one_hot(labels, height, width):
    """Each label as a soft mask of its own, the largest wins."""
    ids = np.unique(labels)
    soft = [cv2.resize((labels == i).astype(np.float32), (width, height)) for i in ids]
    return ids[np.argmax(soft, axis=0)]


def crop(image, mask, size, seed, room=1):
    rng = np.random.default_rng(seed)
    top, left = (int(rng.integers(0, max(1, side - size + room))) for side in mask.shape)
    square = np.s_[top : top + size, left : left + size]
    return image[square], mask[square]


def crop_by_choice(image, mask, size, seed):
    random = np.random.RandomState(seed)
    top = random.choice(image.shape[0] - size + 1)
    left = random.choice(image.shape[1] - size + 1)
    return image[top:, left:][:size, :size], mask[top:, left:][:size, :size]


def crop_where(place):
    """A crop whose corner is place(seed, rng, height, width, size)."""

    def answer(image, mask, size, seed):
        top, left = place(seed, np.random.default_rng(seed), *mask.shape, size)
        square = np.s_[top : top + size, left : left + size]
        return image[square], mask[square]

    return answer


def by_turns(seed, rng, height, width, size):
    return seed % (height - size + 1), seed // (height - size + 1) % (width - size + 1)


def tiles(seed, rng, height, width, size):
    return int(rng.integers(0, height // size)) * size, int(rng.integers(0, width // size)) * size


def from_the_height(seed, rng, height, width, size):
    return int(rng.integers(0, height - size + 1)), int(rng.integers(0, height - size + 1))


def paired(image, mask, seed, way=cv2.INTER_NEAREST, mirrored=0.5, turned=True, light=0.3, clip=True):
    """A transform with a switch for each mistake."""
    rng = np.random.default_rng(seed)
    flip, angle = rng.random() < mirrored, rng.uniform(-12, 12) * turned
    zoom, bright = 1 + (rng.uniform(-0.2, 0.6)) * turned, 1 + rng.uniform(-light, light)
    middle = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D(middle, angle, zoom)
    size = image.shape[1], image.shape[0]
    if flip:
        image, mask = image[:, ::-1].copy(), mask[:, ::-1].copy()
    image = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT_101) * bright
    mask = cv2.warpAffine(mask, matrix, size, flags=way, borderMode=cv2.BORDER_REFLECT_101)
    return (image.clip(0, 255) if clip else image.astype(np.int64)).astype(np.uint8), mask


def but(**changes):
    return lambda image, mask, seed: paired(image, mask, seed, **changes)


def two_draws(image, mask, seed):
    return paired(image, mask, seed)[0], paired(image, mask, seed + 1000)[1]


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


def flip_in_place(image, mask):
    image[:] = image[:, ::-1].copy()
    return image, mask[:, ::-1]


RIGHT = {
    "flip_both": [
        lambda image, mask: [np.fliplr(image), cv2.flip(mask, 1)],
        lambda image, mask: tuple(np.take(a, range(a.shape[1])[::-1], 1) for a in (image, mask)),
    ],
    "moves_the_mask": [{"flip", "rotate", "crop", "shear"}, ("Crop", "Flip", "shear", " rotate")],
    "paired_transform": [paired, Plain(), lambda image, mask, seed: AUGMENT(image, mask, seed=seed)],
    "resize_labels": [resized(cv2.INTER_NEAREST_EXACT), one_hot],
    "crop_both": [crop_by_choice, crop],
    "flip_average": [
        lambda predict, x: (predict(x) + predict(x.flip(3)).flip(3)).mul(0.5),
        lambda predict, x: np.mean([predict(x), predict(x.flip(3)).flip(3)], axis=0),
    ],
}

WRONG = {
    "flip_both": [
        (lambda image, mask: (image[:, ::-1] / 1.0, mask[:, ::-1]), "must be uint8"),
        (lambda image, mask: (image, mask), "array[:, ::-1]"),
        (flip_in_place, "work on a copy"),
    ],
    "moves_the_mask": [
        ({"flip", "rotate", "crop", "shear", "blur"}, "smears colours"),
        ({"flip", "rotate", "crop", "shear", "JPEG"}, "JPEG changes colours"),
        ({"flip", "rotate"}, "2 more"),
        ({"flip", "zoom"}, "not in the list: zoom"),
        ("flip", "a set of names"),
    ],
    "paired_transform": [
        (two_draws, "have parted"),
        (lambda image, mask, seed: (paired(image, mask, seed)[0], mask), "have parted"),
        (but(way=cv2.INTER_LINEAR), "labels have appeared"),
        (but(mirrored=0), "about half"),
        (but(mirrored=1), "about half"),
        (but(turned=False), "hardly ever turns"),
        (but(light=0), "light never changes"),
        (but(clip=False), "white turns black"),
        (lambda image, mask, seed: paired(image, mask, None), "another draw"),
        (lambda image, mask, seed: (image, mask), "hardly give different"),
        (lambda image, mask, seed: (paired(image, mask, seed)[0] / 255, mask), "must be uint8"),
        (lambda image, mask, seed: [a[:40, :40] for a in paired(image, mask, seed)], "another shape"),
        (lambda image, mask, seed: paired(image, mask, seed)[0], "two arrays"),
    ],
    "resize_labels": [
        (resized(cv2.INTER_LINEAR), "labels have appeared"),
        (lambda labels, height, width: cv2.resize(labels, (height, width)), "swapped"),
        (lambda labels, height, width: labels, "of shape (4, 6)"),
        (
            lambda labels, height, width: resized(cv2.INTER_NEAREST)(labels, height, width) / 1.0,
            "must be uint8",
        ),
        (lambda labels, height, width: np.full((height, width), labels[0, 0]), "not where they were"),
        (lambda labels, h, w: np.pad(labels, ((0, 99), (0, 99)), "edge")[:h, :w], "not where they were"),
    ],
    "crop_both": [
        (
            lambda i, m, size, seed: (crop(i, m, size, seed)[0], crop(i, m, size, seed + 1)[1]),
            "another place",
        ),
        (lambda image, mask, size, seed: crop(image, mask, size, None), "the same seed gives another crop"),
        (lambda image, mask, size, seed: (image[:size, :size], mask[:size, :size]), "the same corner"),
        (lambda image, mask, size, seed: crop(image, mask, size, seed, room=0), "the last place is"),
        (crop_where(tiles), "top never changes"),
        (crop_where(from_the_height), "left is never [3, 4, 5]"),
        (crop_where(by_turns), "this counts"),
        (lambda image, mask, size, seed: (image, mask), "another size"),
        (lambda i, m, size, seed: [cv2.resize(one, (size, size)) for one in (i, m)], "do not resize"),
        (lambda image, mask, size, seed: image[:size, :size], "two arrays"),
    ],
    "flip_average": [
        (lambda predict, images: predict(images) * 0, "flipped-back"),
    ],
}

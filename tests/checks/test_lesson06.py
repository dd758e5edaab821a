"""The checks of notebook 06: a stub is unanswered, a right answer passes, a known mistake gets its hint."""

import cv2
import numpy as np
import pytest

from segkit import check

NAMES = ("flip_both", "moves_the_mask", "resize_labels", "crop_both", "flip_average")


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_is_not_answered(name):
    result = getattr(check, name)(...)
    assert not result
    assert "not answered yet" in result.message


@pytest.mark.parametrize("name", [name for name in NAMES if name != "moves_the_mask"])
def test_a_function_that_returns_the_stub_is_not_answered(name):
    assert "not answered yet" in getattr(check, name)(lambda *args: ...).message


def resized(way):
    return lambda labels, height, width: cv2.resize(labels, (width, height), interpolation=way)


def crop(image, mask, size, seed):
    rng = np.random.default_rng(seed)
    top, left = (int(rng.integers(0, side - size + 1)) for side in mask.shape)
    square = np.s_[top : top + size, left : left + size]
    return image[square], mask[square]


RIGHT = [
    ("flip_both", lambda image, mask: (image[:, ::-1], mask[:, ::-1])),
    ("flip_both", lambda image, mask: [np.fliplr(image), cv2.flip(mask, 1)]),
    ("moves_the_mask", {"flip", "rotate", "crop", "shear"}),
    ("moves_the_mask", ["crop", "flip", "shear", "rotate"]),
    ("resize_labels", resized(cv2.INTER_NEAREST)),
    ("resize_labels", resized(cv2.INTER_NEAREST_EXACT)),
    ("crop_both", crop),
    ("flip_average", lambda predict, images: (predict(images) + predict(images.flip(-1)).flip(-1)) / 2),
]


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_a_right_answer_passes(name, answer):
    result = getattr(check, name)(answer)
    assert result, result


def flip_in_place(image, mask):
    image[:] = image[:, ::-1].copy()
    return image, mask[:, ::-1]


def two_corners(image, mask, size, seed):
    return crop(image, mask, size, seed)[0], crop(image, mask, size, seed + 1)[1]


def unseeded(image, mask, size, seed):
    return crop(image, mask, size, None)


WRONG = {
    "flip_both": [
        (lambda image, mask: (image[:, ::-1], mask), "its mask is not"),
        (lambda image, mask: (image, mask[:, ::-1]), "its image is not"),
        (lambda image, mask: (image[::-1], mask[::-1]), "on its head"),
        (lambda image, mask: (image[..., ::-1], mask[:, ::-1]), "red into blue"),
        (lambda image, mask: (image[:, ::-1] / 1.0, mask[:, ::-1]), "keeps the type"),
        (lambda image, mask: (image, mask), "array[:, ::-1]"),
        (lambda image, mask: image[:, ::-1], "two arrays"),
        (flip_in_place, "have changed"),
    ],
    "moves_the_mask": [
        ({"flip", "rotate", "crop", "shear", "blur"}, "smears colours"),
        ({"flip", "rotate", "crop", "shear", "JPEG"}, "JPEG changes colours"),
        ({"flip", "rotate"}, "2 more"),
        ({"flip", "zoom"}, "not in the list: zoom"),
        ("flip", "a set of names"),
    ],
    "resize_labels": [
        (resized(cv2.INTER_LINEAR), "labels have appeared"),
        (lambda labels, height, width: cv2.resize(labels, (height, width)), "swapped"),
        (lambda labels, height, width: labels, "another one"),
        (
            lambda labels, height, width: resized(cv2.INTER_NEAREST)(labels, height, width) / 1.0,
            "stay uint8",
        ),
        (lambda labels, height, width: np.full((height, width), labels[0, 0]), "not where they were"),
    ],
    "crop_both": [
        (two_corners, "at another place"),
        (unseeded, "the same seed gives another crop"),
        (lambda image, mask, size, seed: (image[:size, :size], mask[:size, :size]), "the same corner"),
        (
            lambda image, mask, size, seed: (
                image[:size, seed : seed + size],
                mask[:size, seed : seed + size],
            ),
            "top never changes",
        ),
        (lambda image, mask, size, seed: (image, mask), "another size"),
        (
            lambda image, mask, size, seed: (cv2.resize(image, (size, size)), cv2.resize(mask, (size, size))),
            "do not resize",
        ),
        (lambda image, mask, size, seed: image[:size, :size], "two arrays"),
    ],
    "flip_average": [
        (lambda predict, images: (predict(images) + predict(images.flip(-1))) / 2, "flip it back"),
        (lambda predict, images: predict(images) + predict(images.flip(-1)).flip(-1), "the sum"),
        (lambda predict, images: predict(images), "plain answer"),
        (lambda predict, images: predict(images.flip(-1)).flip(-1), "alone: average"),
        (lambda predict, images: predict(images.flip(-1)), "still mirrored"),
        (
            lambda predict, images: (predict(images) + predict(images.flip(-2)).flip(-2)) / 2,
            "on its head",
        ),
        (lambda predict, images: predict(images) * 0, "flipped-back"),
        (lambda predict, images: images, "one probability per pixel"),
    ],
}


@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [(name, answer, hint) for name, cases in WRONG.items() for answer, hint in cases],
)
def test_a_known_mistake_gets_its_hint(name, answer, hint):
    result = getattr(check, name)(answer)
    assert not result
    assert hint in result.message, result

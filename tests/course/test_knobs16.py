"""The explorers of lesson 16, driven as a hand would: by setting the value of a slider."""

import cv2
import numpy as np
import pytest

from segkit.course.knobs.lesson16 import (
    PortraitExplorer,
    RecolourExplorer,
    ReviewExplorer,
    blur_everything,
    lab_colour,
)

CLASSES = ("background", "hair", "upper")


@pytest.fixture
def parts(astronaut):
    image = cv2.resize(astronaut, (200, 160))
    prob = np.zeros((3, 160, 200), np.float32)
    prob[1, 20:60, 80:120] = prob[2, 60:150, 60:140] = 1
    prob[0] = 1 - prob[1] - prob[2]
    return image, prob


@pytest.fixture
def explorers(parts):
    image, prob = parts
    scores = {f"p{i}": i / 10 for i in range(11)}
    sure = {name: score + 0.01 * (i % 3) for i, (name, score) in enumerate(scores.items())}
    return [
        RecolourExplorer(image, prob, CLASSES),
        PortraitExplorer(image, 1 - prob[0]),
        ReviewExplorer(scores, sure),
    ]


def decoded(explorer) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(explorer.picture.value, np.uint8), cv2.IMREAD_COLOR).astype(int)


def test_every_control_changes_the_picture_and_the_words(explorers):
    for explorer in explorers:
        for control in explorer.children[0].children:
            before, words = decoded(explorer), explorer.words.value
            options = getattr(control, "options", None)
            if options:
                control.value = next(option for option in options if option != control.value)
            elif isinstance(control.value, bool):
                control.value = not control.value
            else:
                control.value = control.max if control.value != control.max else control.min
            after = decoded(explorer)
            assert after.shape != before.shape or np.abs(after - before).max() > 20, control.description
            assert explorer.words.value != words


def test_every_one_has_a_still_picture(explorers):
    for explorer in explorers:
        assert explorer.figure()._repr_png_()[:4] == b"\x89PNG"


def test_the_chosen_part_takes_the_chosen_colour_and_nothing_else_does(explorers):
    explorer = explorers[0]
    assert explorer.part.value == "upper"
    explorer.hue.value, explorer.light.value, explorer.strength.value = 140, 60, 60  # a green
    red, green, blue = explorer.colour
    assert green > red and green > blue
    result = explorer.recoloured(explorer.colour)
    upper = explorer.shares[2] == 1
    assert (result[upper, 1] > result[upper, 0]).mean() > 0.9
    untouched = explorer.shares[2] == 0
    assert np.array_equal(result[untouched], explorer.image[untouched])


def test_a_part_that_is_not_there_is_not_the_first_choice(parts):
    image, prob = parts
    prob[0] += prob[2]
    prob[2] = 0
    assert RecolourExplorer(image, prob, CLASSES).part.value == "hair"


def test_lab_colours_are_what_they_say():
    assert lab_colour(0, 0, 0) == (0, 0, 0) and lab_colour(100, 0, 0) == (255, 255, 255)
    grey = lab_colour(50, 0, 77)
    assert max(grey) - min(grey) <= 1


def test_blurring_everything_lets_the_person_glow_and_filling_does_not():
    image = np.full((200, 200, 3), (0, 0, 200), np.uint8)
    alpha = np.zeros((200, 200), np.float32)
    alpha[60:140, 60:140] = 1
    image[alpha > 0] = (255, 0, 0)
    explorer = PortraitExplorer(image, alpha, 1.0)
    ring = (cv2.dilate(explorer.alpha, np.ones((15, 15))) > 0) & (explorer.alpha == 0)
    assert explorer.result(1.0, True)[ring, 0].mean() < 5
    assert explorer.result(1.0, False)[ring, 0].mean() > 40
    assert np.array_equal(blur_everything(image, np.ones((200, 200), np.float32), 1.0), image)


def test_correcting_the_least_sure_first_beats_chance_and_ends_at_one(explorers):
    curves = explorers[2].curves
    assert all(curve[0] == pytest.approx(0.5) and curve[-1] == pytest.approx(1) for curve in curves.values())
    assert curves["worst first (nobody can)"][3] >= curves["least sure first"][3] > curves["at random"][3]
    explorers[2].count.value = 3
    assert f"{curves['least sure first'][3]:.3f}" in explorers[2].words.value

"""The explorers of lesson 16, driven as a hand would: by setting the value of a slider."""

import cv2
import numpy as np
import pytest
from explorers import dressed, review

from segkit.course.knobs.lesson16 import PortraitExplorer, RecolourExplorer, blur_everything, lab_colour

CLASSES = ("background", "hair", "upper")


def test_the_chosen_part_takes_the_chosen_colour_and_nothing_else_does():
    explorer = RecolourExplorer(*dressed(), CLASSES)
    assert explorer.part.value == "upper"
    explorer.hue.value, explorer.light.value, explorer.strength.value = 140, 60, 60  # a green
    red, green, blue = explorer.colour
    assert green > red and green > blue
    result = explorer.recoloured(explorer.colour)
    upper = explorer.shares[2] == 1
    assert (result[upper, 1] > result[upper, 0]).mean() > 0.9
    untouched = explorer.shares[2] == 0
    assert np.array_equal(result[untouched], explorer.image[untouched])


def test_a_part_that_is_not_there_is_not_the_first_choice():
    image, prob = dressed()
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


def test_correcting_the_least_sure_first_beats_chance_and_ends_at_one():
    explorer = review()
    curves = explorer.curves
    assert all(curve[0] == pytest.approx(0.5) and curve[-1] == pytest.approx(1) for curve in curves.values())
    assert curves["worst first (nobody can)"][3] >= curves["least sure first"][3] > curves["at random"][3]
    explorer.count.value = 3
    assert f"{curves['least sure first'][3]:.3f}" in explorer.words.value

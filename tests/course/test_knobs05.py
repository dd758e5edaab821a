"""The networks of lesson 05 behind sliders: what is shown is what segkit scores."""

import numpy as np
import pytest
from explorers import networks as build

from segkit.course.knobs.lesson05 import NetworkExplorer
from segkit.metrics import count_pixels


@pytest.fixture
def networks() -> NetworkExplorer:
    return build()


def test_it_starts_at_the_nearest_alpha_and_fits_a_narrow_window(networks):
    assert networks.alpha.value == 0.5
    assert networks.draw().shape[1] <= 960  # a narrow window


def test_scores_are_those_of_the_mask_that_is_shown(networks):
    for alpha, seed, threshold, number in ((0.0, 0, 0.5, 0), (1.0, 1, 0.3, 2), (0.5, 0, 0.7, 1)):
        networks.alpha.value, networks.seed.value = alpha, seed
        networks.threshold.value, networks.picture_number.value = threshold, number
        mask = networks.probs[networks.alphas.index(alpha), seed, number] > 255 * threshold
        assert np.array_equal(networks.predicted(), mask)
        counts = count_pixels(mask[None], networks.masks[number][None])
        assert networks.scores["Dice"] == counts.dice().item()
        assert networks.scores["IoU"] == counts.iou().item()
        cut = round(threshold / 0.05) - 1
        assert networks.scores["Dice of all"] == pytest.approx(networks.dice[alpha][seed][cut])
        assert f"Dice {networks.scores['Dice']:.3f}" in networks.words.value


def test_its_figure_shows_every_alpha_and_every_second_picture(networks):
    figure = networks.figure()
    assert len(figure.axes) == 3 * 2
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["alpha 0", "alpha 0.5", "alpha 1"]

"""The networks of lesson 05 behind sliders: what is shown is what segkit scores."""

import cv2
import numpy as np
import pytest
import torch

from segkit.course.knobs.lesson05 import NetworkExplorer
from segkit.metrics import count_pixels, dice_score

ALPHAS, CUTS = (0.0, 0.5, 1.0), np.linspace(0.05, 0.95, 19)


@pytest.fixture
def networks() -> NetworkExplorer:
    """Three alphas, two seeds, three pictures; the higher alpha, the less sure."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (3, 40, 40, 3), np.uint8)
    masks = np.zeros((3, 40, 40), np.uint8)
    for number, mask in enumerate(masks):
        cv2.circle(mask, (20, 20), 6 + 4 * number, 1, -1)
    soft = np.stack([cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3) for mask in masks])
    probs = np.stack([[soft * (1 - alpha / 2) + 0.1 * seed for seed in range(2)] for alpha in ALPHAS])
    probs = (probs.clip(0, 1) * 255).astype(np.uint8)
    truths = torch.from_numpy(masks)[:, None] > 0
    dice = {
        alpha: np.array(
            [[dice_score(torch.from_numpy(p)[:, None] > 255 * c, truths).mean() for c in CUTS] for p in own]
        )
        for alpha, own in zip(ALPHAS, probs, strict=True)
    }
    return NetworkExplorer(images, masks, probs, ALPHAS, dice, CUTS, alpha=0.6)


def test_the_slider_starts_at_the_nearest_alpha(networks):
    assert networks.alpha.value == 0.5


def test_scores_are_those_of_the_mask_that_is_shown(networks):
    for alpha, seed, threshold, number in ((0.0, 0, 0.5, 0), (1.0, 1, 0.3, 2), (0.5, 0, 0.7, 1)):
        networks.alpha.value, networks.seed.value = alpha, seed
        networks.threshold.value, networks.picture_number.value = threshold, number
        mask = networks.probs[ALPHAS.index(alpha), seed, number] > 255 * threshold
        assert np.array_equal(networks.predicted(), mask)
        counts = count_pixels(mask[None], networks.masks[number][None])
        assert networks.scores["Dice"] == counts.dice().item()
        assert networks.scores["IoU"] == counts.iou().item()
        cut = round(threshold / 0.05) - 1
        assert networks.scores["Dice of all"] == pytest.approx(networks.dice[alpha][seed][cut])
        assert f"Dice {networks.scores['Dice']:.3f}" in networks.words.value


def test_every_knob_changes_the_picture_and_the_words(networks):
    for control in networks.children[0].children:
        picture, words = networks.picture.value, networks.words.value
        control.value = networks.alphas[0] if control is networks.alpha else control.max
        assert networks.picture.value != picture, control.description
        assert networks.words.value != words, control.description


def test_it_fits_a_narrow_window(networks):
    assert networks.draw().shape[1] <= 960


def test_its_figure_shows_every_alpha_and_every_picture(networks):
    figure = networks.figure()
    assert len(figure.axes) == len(ALPHAS) * 3
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["alpha 0", "alpha 0.5", "alpha 1"]


def test_every_slider_has_a_name_for_screen_readers(networks):
    """The line that hands the names over is shown with the sliders; test_browser.py reads them."""
    assert "aria-label" in networks.children[-1].value
    assert all(control.description for control in networks.children[0].children)

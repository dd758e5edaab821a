"""The explorer of notebook 07: what it says of each epoch."""

import numpy as np
import pytest
from explorers import HISTORY, epochs

from segkit.course.knobs.lesson07 import EpochExplorer


@pytest.fixture
def explorer() -> EpochExplorer:
    return epochs()


def test_it_starts_at_the_last_epoch(explorer):
    assert "epoch 12 · training loss 0.083" in explorer.words.value


def test_it_names_the_lowest_loss_and_the_best_dice_apart(explorer):
    explorer.epoch.value = 4
    assert "lowest validation loss" in explorer.words.value and "kept" not in explorer.words.value
    explorer.epoch.value = 9
    assert "kept" in explorer.words.value and "lowest" not in explorer.words.value


def test_it_shows_the_answer_of_the_epoch_it_stands_on(explorer):
    found = explorer._found("training", 12)
    assert np.array_equal(explorer._found("training", 7), found)  # the same mask
    assert not np.array_equal(explorer._found("training", 5), found)  # below one half: all missed


def test_it_has_a_still_figure_of_some_epochs(explorer):
    figure = explorer.figure()
    titles = [axes.get_title() for axes in figure.get_axes()]
    assert "training, epoch 6" in titles and "validation, epoch 12" in titles


def test_one_map_for_every_epoch_is_wanted(astronaut):
    with pytest.raises(ValueError, match="'training' has 3 maps for 12 epochs"):
        EpochExplorer(HISTORY, {"training": (astronaut, astronaut[..., 0] > 9, np.zeros((3, 8, 8)))})

"""The explorer of notebook 07, driven as a hand would: by setting the value of its slider."""

import time

import cv2
import numpy as np
import pytest

from segkit.course.knobs.explorer import HEIGHT, TITLE
from segkit.course.knobs.lesson07 import EpochExplorer

EPOCHS = 12


@pytest.fixture
def history() -> list[dict]:
    """The validation loss is lowest at epoch 4, Dice best at epoch 9."""
    return [
        {
            "epoch": e,
            "train_loss": 1 / e,
            "val_loss": 0.5 + 0.02 * abs(e - 4),
            "val_dice": 0.7 - 0.01 * abs(e - 9),
        }
        for e in range(1, EPOCHS + 1)
    ]


@pytest.fixture
def explorer(history, astronaut) -> EpochExplorer:
    image = cv2.resize(astronaut, (64, 64))
    mask = np.zeros((64, 64), np.uint8)
    mask[20:50, 20:40] = 1
    probs = np.stack([mask * e / EPOCHS for e in range(1, EPOCHS + 1)])  # a mask from epoch 7 on
    return EpochExplorer(history, {"training": (image, mask, probs), "validation": (image, mask, 1 - probs)})


def picture(explorer) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(explorer.picture.value, np.uint8), cv2.IMREAD_COLOR)


def test_it_starts_at_the_last_epoch_and_draws(explorer):
    assert explorer.epoch.value == EPOCHS
    assert picture(explorer).shape[0] == HEIGHT + TITLE
    assert "epoch 12" in explorer.words.value


def test_turning_the_slider_changes_picture_and_words_and_turning_back_restores_them(explorer):
    first = explorer.picture.value, explorer.words.value
    explorer.epoch.value = 3
    assert explorer.picture.value != first[0]
    assert "epoch 3 · training loss 0.333" in explorer.words.value
    explorer.epoch.value = EPOCHS
    assert (explorer.picture.value, explorer.words.value) == first


def test_it_names_the_lowest_loss_and_the_best_dice_apart(explorer):
    explorer.epoch.value = 4
    assert "lowest validation loss" in explorer.words.value and "kept" not in explorer.words.value
    explorer.epoch.value = 9
    assert "kept" in explorer.words.value and "lowest" not in explorer.words.value


def test_it_shows_the_answer_of_the_epoch_it_stands_on(explorer):
    found = explorer._found("training", 12)
    assert np.array_equal(explorer._found("training", 7), found)  # the same mask
    assert not np.array_equal(explorer._found("training", 5), found)  # below one half: all missed


def test_it_answers_within_a_tenth_of_a_second(explorer):
    seconds = []
    for epoch in (1, 5, 9, 2, 7, 11, 3):
        start = time.process_time()
        explorer.epoch.value = epoch
        seconds.append(time.process_time() - start)
    assert np.median(seconds) < 0.1


def test_an_error_is_raised_and_shown_and_the_next_turn_recovers(explorer, monkeypatch):
    def broken():
        raise RuntimeError("the knob broke")

    with monkeypatch.context() as patch:
        patch.setattr(explorer, "draw", broken)
        with pytest.raises(RuntimeError, match="knob broke"):
            explorer.epoch.value = 2
    assert "knob broke" in explorer.words.value
    explorer.epoch.value = 3
    assert "knob broke" not in explorer.words.value


def test_it_has_a_still_figure_of_chosen_epochs(explorer):
    figure = explorer.figure([1, 6, 12])
    titles = [axes.get_title() for axes in figure.get_axes()]
    assert "training, epoch 6" in titles and "validation, epoch 12" in titles
    assert len(figure._repr_png_()) > 5000
    assert "EpochExplorer" in repr(explorer)


def test_one_map_for_every_epoch_is_wanted(history, astronaut):
    with pytest.raises(ValueError, match="'training' has 3 maps for 12 epochs"):
        EpochExplorer(history, {"training": (astronaut, astronaut[..., 0] > 9, np.zeros((3, 8, 8)))})

"""The explorers of lessons 14 and 15, driven as a hand would, and their pictures."""

import numpy as np
import pytest
from explorers import PARTS, ball, head_and_body, parts

from segkit.course.knobs.lesson14 import PartsExplorer
from segkit.course.knobs.lesson15 import VolumeExplorer
from segkit.metrics import hausdorff
from segkit.plots import CLASS_COLOURS, paint_labels, show_classes
from segkit.study.analysis import show_confusion


def test_a_louder_class_takes_pixels_and_a_quieter_one_gives_them_back():
    explorer = parts()
    assert np.array_equal(explorer.labels, head_and_body()[1].argmax(0))
    sizes = []
    for louder in (-6, -2, 0, 2, 6):
        explorer.louder.value = louder
        sizes.append((explorer.labels == 1).sum())
    assert sizes == sorted(sizes) and sizes[0] < sizes[2] < sizes[4]
    assert "louder by +6.00" in explorer.words.value
    explorer.part.value = "body"
    explorer.opacity.value = 0
    assert np.allclose(explorer.probabilities().sum(0), 1, atol=1e-5)


def test_the_parts_are_scored_by_dice_and_one_that_is_neither_there_nor_called_is_not():
    image, prob, truth = head_and_body()
    explorer = PartsExplorer(image, np.concatenate([prob, 0 * prob[:1]]), (*PARTS, "feet"), truth)
    head = prob.argmax(0) == 1
    dice = 2 * (head & (truth == 1)).sum() / (head.sum() + (truth == 1).sum())
    assert explorer.scores["head"] == pytest.approx(dice) and np.isnan(explorer.scores["feet"])
    assert "nan" not in explorer.words.value.partition("mean IoU")[2]
    with pytest.raises(ValueError, match="should be"):
        PartsExplorer(image, prob[:2], PARTS, truth)


def test_labels_are_painted_in_their_colours_and_what_is_not_asked_stays_white():
    painted = paint_labels(np.array([[0, 1], [2, 255]], np.uint8))
    assert painted.tolist()[0] == [list(CLASS_COLOURS[0]), list(CLASS_COLOURS[1])]
    assert painted.tolist()[1] == [list(CLASS_COLOURS[2]), [255, 255, 255]]


def test_a_confusion_matrix_is_drawn_in_shares_of_its_rows():
    figure = show_confusion(np.array([[8, 2, 0], [1, 1, 0], [0, 0, 0]]), PARTS)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["80%", "20%", "·", "50%", "50%", "·", "·", "·", "·"]
    figure = show_classes([np.zeros((9, 9, 3), np.uint8)], ["black"], PARTS)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["head", "body"]


def test_leafing_through_a_scan_follows_the_slider():
    explorer = VolumeExplorer(*ball(), spacing=(3, 1, 1))
    explorer.slice.value = 7
    assert "this slice 0.000" in explorer.words.value
    explorer.threshold.value = 0.2
    assert "this slice 1.000" in explorer.words.value
    assert explorer.scores["Dice"] == 1 and explorer.scores["HD95 mm"] == 0
    assert explorer.scores["volume error ml"] == 0


def test_the_scores_of_a_volume_are_of_the_volume():
    images, prob, target = ball()
    explorer = VolumeExplorer(images, prob, target, spacing=(3, 1, 1))
    pred = prob > 0.5
    assert explorer.scores["HD95 mm"] == hausdorff(pred, target, 95, (3, 1, 1))
    missing = int(target.sum()) - int(pred.sum())
    assert explorer.scores["volume error ml"] == pytest.approx(-missing * 3 / 1000)
    with pytest.raises(ValueError, match="one"):
        VolumeExplorer(images, prob[:3], target)

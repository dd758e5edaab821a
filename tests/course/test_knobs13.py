"""The knob of notebook 13, driven as a hand would."""

import time

import cv2
import numpy as np
import pytest

from segkit.course.knobs.explorer import HEIGHT, TITLE
from segkit.course.knobs.lesson13 import SmoothingExplorer
from segkit.video.smooth import Clip, Smoother, score_masks, smooth_clip


@pytest.fixture
def clip() -> Clip:
    """A bright square that walks to the right and stops: 12 frames of 80 x 120."""
    images, masks = [], []
    for t in range(12):
        mask = np.zeros((80, 120), bool)
        left = 10 + 8 * min(t, 6)
        mask[20:60, left : left + 30] = True
        masks.append(mask)
        images.append(np.where(mask[..., None], 200, 40).astype(np.uint8).repeat(3, 2))
    return Clip("square", images, masks, 10)


@pytest.fixture
def probs(clip) -> list[np.ndarray]:
    """What an unsure network might say, at its own size."""
    rng = np.random.default_rng(0)
    edges = [cv2.blur(cv2.resize(mask.astype(np.float32), (60, 40)), (5, 5)) for mask in clip.masks]
    return [(edge + rng.normal(0, 0.2, edge.shape)).clip(0, 1).astype(np.float32) for edge in edges]


@pytest.fixture
def explorer(clip, probs) -> SmoothingExplorer:
    return SmoothingExplorer(clip, probs)


def decoded(explorer) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(explorer.picture.value, np.uint8), cv2.IMREAD_COLOR)


def test_every_knob_changes_the_picture_and_back_again(explorer):
    for control, value in (
        (explorer.strength, 0.2),
        (explorer.frame, 2),
        (explorer.gate, False),
        (explorer.flow, True),
    ):
        picture, before = explorer.picture.value, control.value
        control.value = value
        assert explorer.picture.value != picture, control.description
        assert decoded(explorer).shape[0] >= HEIGHT + TITLE
        control.value = before
        assert explorer.picture.value == picture, control.description


@pytest.mark.parametrize(
    ("strength", "gate", "flow"), [(0, True, False), (0.8, False, False), (0.5, True, True)]
)
def test_its_scores_are_those_of_the_smoother_it_stands_for(explorer, clip, probs, strength, gate, flow):
    explorer.strength.value, explorer.gate.value, explorer.flow.value = strength, gate, flow
    smoother = Smoother(strength, flow=flow) if gate else Smoother(strength, gate=None, flow=flow)
    masks = [prob > 0.5 for prob in smooth_clip(smoother, probs, clip)]
    assert explorer.scores == score_masks(masks, clip.masks)
    assert f"flicker {explorer.scores['flicker']:.4f}" in explorer.words.value


def test_without_the_gate_a_ghost_follows_what_moves(explorer):
    explorer.strength.value = 0.9
    gated = explorer.scores
    explorer.gate.value = False
    assert explorer.scores["iou"] < gated["iou"] - 0.1


def test_a_time_slice_has_one_row_for_each_frame(explorer, clip):
    assert explorer.slice(clip.masks).shape == (12, 120, 3)
    assert SmoothingExplorer(clip, [np.zeros((8, 8), np.float32)] * 12, row=30).row == 30


def test_it_answers_within_a_tenth_of_a_second(explorer):
    seconds = []
    for strength in (0.1, 0.3, 0.5, 0.7, 0.9):  # none of them computed before
        start = time.process_time()
        explorer.strength.value = strength
        seconds.append(time.process_time() - start)
    assert np.median(seconds) < 0.1


def test_it_has_a_still_figure_and_says_its_name(explorer):
    figure = explorer.figure((0, 0.9))
    assert len(figure._repr_png_()) > 5000
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == [
        "gate, strength 0",
        "gate, strength 0.9",
        "no gate, strength 0",
        "no gate, strength 0.9",
    ]
    assert "SmoothingExplorer" in repr(explorer)

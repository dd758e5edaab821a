"""The knob of notebook 13: the smoother that it stands for."""

import numpy as np
import pytest
from explorers import square

from segkit.course.knobs.lesson13 import SmoothingExplorer
from segkit.video.smooth import Smoother, score_masks, smooth_clip


@pytest.fixture
def explorer() -> SmoothingExplorer:
    return SmoothingExplorer(*square())


SETTINGS = [(0, True, False), (0.8, False, False), (0.5, True, True)]


@pytest.mark.parametrize(("strength", "gate", "flow"), SETTINGS)
def test_its_scores_are_those_of_the_smoother_it_stands_for(explorer, strength, gate, flow):
    explorer.strength.value, explorer.gate.value, explorer.flow.value = strength, gate, flow
    clip, probs = square()
    smoother = Smoother(strength, flow=flow) if gate else Smoother(strength, gate=None, flow=flow)
    masks = [prob > 0.5 for prob in smooth_clip(smoother, probs, clip)]
    assert explorer.scores == score_masks(masks, clip.masks)
    assert f"flicker {explorer.scores['flicker']:.4f}" in explorer.words.value


def test_without_the_gate_a_ghost_follows_what_moves(explorer):
    explorer.strength.value = 0.9
    gated = explorer.scores
    explorer.gate.value = False
    assert explorer.scores["iou"] < gated["iou"] - 0.1


def test_a_time_slice_has_one_row_for_each_frame(explorer):
    assert explorer.slice(explorer.clip.masks).shape == (12, 120, 3)
    assert SmoothingExplorer(explorer.clip, [np.zeros((8, 8), np.float32)] * 12, row=30).row == 30


def test_its_still_figure_has_the_gate_on_the_left_and_none_on_the_right(explorer):
    assert [axes.get_title().split("\n")[0] for axes in explorer.figure().axes] == [
        f"{gate}, strength {strength}" for strength in (0, 0.7, 0.96) for gate in ("gate", "no gate")
    ]

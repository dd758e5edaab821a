"""The explorer of notebook 11, driven as a hand would: by setting the value of a slider."""

import numpy as np
import pytest

from segkit.course.knobs.lesson11 import AtrousExplorer
from segkit.study.anatomy import used_points


@pytest.fixture
def explorer(astronaut) -> AtrousExplorer:
    return AtrousExplorer(astronaut)


def test_nine_points_lie_a_rate_apart(explorer):
    where = explorer.landing(3, 160) * 10  # in cells
    assert where.shape == (9, 2)
    assert np.allclose(where[4], 5.5) and np.allclose(np.unique(where), [2.5, 5.5, 8.5])


def test_a_rate_wider_than_the_picture_leaves_one_point(explorer):
    explorer.size.value, explorer.rate.value = 96, 6
    assert explorer.points == {"inside": 1, "mean": 1.0}
    assert "1 of the nine in the middle see" in explorer.words.value
    explorer.rate.value = 2
    assert explorer.points["inside"] == 9 and explorer.points["mean"] == used_points(2, 6)


def test_points_in_the_padding_are_orange_and_those_on_the_picture_blue(explorer):
    orange = lambda p: int(((p[..., 0] > 180) & (p[..., 1] < 120) & (p[..., 2] < 60)).sum())  # noqa: E731
    grey = AtrousExplorer(np.full((64, 64, 3), 90, np.uint8))
    assert orange(grey._picture(2, 224)) == 0 and orange(grey._picture(12, 224)) > 100


def test_its_still_picture_shows_four_settings(explorer):
    figure = explorer.figure()
    assert len(figure.axes) == 4 and "1.0 of 9" in figure.axes[0].get_title()

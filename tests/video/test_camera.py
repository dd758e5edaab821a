"""A camera moves over a photograph: what it sees can be laid back, so what changes there is known."""

import numpy as np
import pytest

from segkit.video.camera import camera_over, carry_back, in_the_evening


@pytest.fixture(scope="module")
def film(astronaut):
    return camera_over(astronaut, 8, (128, 160))


def test_every_frame_laid_back_is_the_photograph(film, astronaut):
    frames, poses = film
    assert {frame.shape for frame in frames} == {(128, 160, 3)}
    back = carry_back([frame[..., 1] for frame in frames], poses, astronaut.shape[:2])
    apart = np.abs(back - astronaut[..., 1])
    assert np.nanmean(apart) < 12  # a frame is blurred and smaller than the photograph
    moved = np.abs(carry_back([f[..., 1] for f in frames], poses[1:] + poses[:1], astronaut.shape[:2]))
    assert np.nanmean(np.abs(moved - astronaut[..., 1])) > 1.5 * np.nanmean(apart)


def test_it_never_looks_beyond_the_photograph_and_says_where_it_did_not_look(film, astronaut):
    frames, poses = film
    corners = np.array([[0, 0, 1], [159, 127, 1]]).T
    assert all((pose @ corners >= 0).all() and (pose @ corners < 512).all() for pose in poses)
    seen = ~np.isnan(carry_back([frame[..., 0] for frame in frames], poses, astronaut.shape[:2]))
    assert 0.2 < seen.mean() < 0.9


def test_the_hand_shakes_by_its_seed_and_moves_between_all_frames(astronaut):
    first, again, other = (camera_over(astronaut, 4, seed=seed) for seed in (1, 1, 2))
    assert (first[0][3] == again[0][3]).all() and (first[0][3] != other[0][3]).any()
    assert all((a != b).any() for a, b in zip(first[1], first[1][1:], strict=False))


def test_the_grain_of_the_evening_is_new_in_every_frame():
    day = [np.full((40, 40, 3), 100, np.uint8)] * 3
    dark = in_the_evening(day, 5)
    assert all(abs(frame.mean() - 60) < 1 and 18 < frame.std() < 22 for frame in dark)
    assert (dark[0] != dark[1]).mean() > 0.9 and (dark[2] == in_the_evening(day, 5)[2]).all()

"""Slices, bootstrap, calibration and thresholds, against independent sources and cases done by hand."""

import math

import cv2
import numpy as np
import pytest
import torch
from conftest import cases, draw_pair
from scipy import stats
from torchmetrics.functional.classification import binary_calibration_error

from segkit.metrics import dice_score
from segkit.study import analysis


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# --- traits and slices ----------------------------------------------------------------------------------


def blank(*rectangles, size=100):
    mask = np.zeros((size, size), np.uint8)
    for top, left, bottom, right in rectangles:
        mask[top:bottom, left:right] = 1
    return mask


@cases(
    "rectangles share cut_off pieces",
    ([(10, 10, 30, 60)], 0.1, False, 1),
    ([(0, 10, 9, 20)], 0.009, True, 1),
    ([(90, 10, 100, 20)], 0.01, True, 1),
    ([(10, 0, 20, 9)], 0.009, True, 1),
    ([(10, 90, 20, 100)], 0.01, True, 1),
    ([(10, 10, 50, 30), (10, 50, 50, 70)], 0.16, False, 2),
    ([(10, 10, 50, 30), (80, 80, 83, 83)], 0.0809, False, 1),  # a crumb does not count
    ([], 0, False, 0),
)
def test_size_frame_and_pieces_are_those_of_the_mask(rectangles, share, cut_off, pieces):
    traits = analysis.measure_traits(np.full((100, 100, 3), 128, np.uint8), blank(*rectangles))
    assert traits.share == pytest.approx(share)
    assert (traits.cut_off, traits.pieces) == (cut_off, pieces)


def test_dark_is_darker_and_blurred_is_less_sharp():
    image, mask = draw_pair(0, 256, 192)
    plain, dark = analysis.measure_traits(image, mask > 0), analysis.measure_traits(image // 2, mask > 0)
    assert dark.brightness == pytest.approx(plain.brightness / 2, abs=0.01)
    assert dark.sharpness == pytest.approx(plain.sharpness, abs=0.02)
    softer = (cv2.GaussianBlur(image, (0, 0), sigma) for sigma in (1, 2, 4))
    blurred = [analysis.measure_traits(picture, mask > 0).sharpness for picture in softer]
    assert plain.sharpness > blurred[0] > blurred[1] > blurred[2]


def test_a_photograph_saved_larger_does_not_count_as_much_more_blurred():
    image, mask = draw_pair(0, 256, 192)
    large = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    difference = analysis.measure_traits(large, np.kron(mask, np.ones((3, 3))) > 0).sharpness
    assert abs(difference - analysis.measure_traits(image, mask > 0).sharpness) < 0.3


def test_slices_of_a_trait_are_disjoint_and_leave_only_empty_pictures_out():
    masks = [blank((40, 40, 40 + side, 40 + side)) for side in range(0, 60, 3)]
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 10 + 9 * i, (100, 100, 3), np.uint8) for i in range(len(masks))]
    traits = [analysis.measure_traits(image, mask) for image, mask in zip(images, masks, strict=True)]
    for trait, parts in analysis.slice_groups(traits).items():
        covered = sum(chosen.astype(int) for chosen in parts.values())
        needs_person = trait in ("person size", "frame", "people")
        assert covered.tolist() == [int(mask.any() or not needs_person) for mask in masks], trait
    assert analysis.slice_groups(traits)["light"]["darkest quarter"].tolist() == [i < 5 for i in range(20)]


# --- the bootstrap --------------------------------------------------------------------------------------


def test_the_interval_is_scipys(rng):
    scores = rng.beta(5, 2, 60)
    ours = analysis.interval(analysis.resampled_means(scores, resamples=20_000))
    theirs = stats.bootstrap((scores,), np.mean, n_resamples=20_000, method="percentile", rng=1)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.003)


def test_copies_of_a_picture_add_no_certainty_when_they_are_drawn_as_one(rng):
    scores, scenes = rng.random(30), np.arange(30)
    plain = analysis.resampled_means(scores)
    copied, grouped = np.repeat(scores, 4), np.repeat(scenes, 4)
    assert analysis.resampled_means(copied, grouped).std() == pytest.approx(plain.std(), rel=1e-9)
    assert analysis.resampled_means(copied).std() == pytest.approx(plain.std() / 2, rel=0.08)


def test_the_bootstrap_repeats_itself_and_wants_scores():
    first, again = (analysis.resampled_means([0.1, 0.9], seed=1) for _ in range(2))
    assert np.array_equal(first, again)
    for wrong in ([], [[0.1, 0.2]], [0.1, math.nan]):
        with pytest.raises(ValueError, match="one row of numbers"):
            analysis.resampled_means(wrong)


def test_a_slice_table_counts_and_an_empty_slice_has_no_mean():
    slices = {"size": {"low": np.array([1, 1, 0, 0], bool), "none": np.zeros(4, bool)}}
    low, none = analysis.slice_table([0.2, 0.4, 0.9, 0.9], slices, groups=range(4))
    assert (low["count"], low["mean"]) == (2, pytest.approx(0.3))
    assert low["low"] == pytest.approx(0.2) and low["high"] == pytest.approx(0.4)
    assert (none["count"], none["mean"], none["low"]) == (0, None, None)
    assert len(analysis.plot_slices([low, none], 0.6).axes[0].get_yticks()) == 1


# --- calibration ----------------------------------------------------------------------------------------


def test_the_calibration_error_of_a_case_done_by_hand():
    # Two bins. Four pixels said 0.2, one of them person: off by 0.05. Two said 0.9, one of them: off by 0.4.
    curve = analysis.reliability([np.array([0.2] * 4), np.array([0.9] * 2)], [[1, 0, 0, 0], [1, 0]], bins=2)
    assert curve.count.tolist() == [4, 2] and curve.said == pytest.approx([0.2, 0.9])
    assert curve.true == pytest.approx([0.25, 0.5])
    assert curve.ece == pytest.approx((4 * 0.05 + 2 * 0.4) / 6)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_calibration_error_is_that_of_torchmetrics(rng, bins):
    probs = rng.random((3, 40, 50)).astype(np.float32)
    masks = rng.random((3, 40, 50)) < probs**2
    theirs = binary_calibration_error(torch.tensor(probs).ravel(), torch.tensor(masks).ravel().int(), bins)
    assert analysis.reliability(probs, masks, bins).ece == pytest.approx(theirs.item(), abs=1e-5)


def test_a_probability_of_one_falls_into_the_last_bin_and_an_empty_bin_costs_nothing():
    curve = analysis.reliability([np.array([1.0, 1.0])], [np.array([1, 1])], bins=10)
    assert curve.count.tolist() == [0] * 9 + [2] and curve.ece == 0
    assert len(analysis.plot_reliability({"a": curve}).axes) == 2


def test_the_temperature_that_was_applied_is_found_again(rng):
    honest = rng.beta(0.6, 0.9, (4, 100, 100))
    masks = rng.random(honest.shape) < honest
    found = analysis.fit_temperature([analysis.temper(prob, 1 / 2.5) for prob in honest], masks)
    assert found == pytest.approx(2.5, rel=0.05)
    assert analysis.reliability(analysis.temper(analysis.temper(honest, 0.4), found), masks).ece < 0.01


def test_a_temperature_moves_no_pixel_across_one_half_and_one_changes_nothing(rng):
    prob = rng.random((20, 20))
    assert np.allclose(analysis.temper(prob, 1), prob, atol=1e-6)
    for temperature in (0.3, 3):
        assert ((analysis.temper(prob, temperature) > 0.5) == (prob > 0.5)).all()
        logits = torch.logit(torch.tensor(prob)) / temperature
        assert np.allclose(analysis.temper(prob, temperature), logits.sigmoid(), atol=1e-6)
    assert np.isfinite(analysis.temper(np.array([0.0, 1.0]), 0.3)).all()


# --- thresholds -----------------------------------------------------------------------------------------


def test_dice_by_threshold_is_the_dice_of_every_cut(rng):
    probs = [rng.random((20, 30)).astype(np.float32), rng.random((10, 10)).astype(np.float32)]
    masks = [rng.random(prob.shape) < prob for prob in probs]
    thresholds = np.linspace(0, 1, 21)
    table = analysis.dice_by_threshold(probs, masks, thresholds)
    for row, prob, mask in zip(table, probs, masks, strict=True):
        one_by_one = [dice_score((prob > np.float32(t))[None], mask[None]).item() for t in thresholds]
        assert row == pytest.approx(one_by_one)


def test_a_pixel_exactly_at_the_threshold_is_background_and_two_empty_masks_agree():
    table = analysis.dice_by_threshold([np.full((4, 4), 0.5)], [np.zeros((4, 4))], np.array([0.4, 0.5]))
    assert table.tolist() == [[0.0, 1.0]] and not math.isnan(table.sum())

"""Distances between surfaces: by hand, against monai, and where a mask is empty."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from segkit.metrics import hausdorff, mean_surface_distance, surface, surface_distances


def blobs(shape, seed):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return noise > np.quantile(noise, 0.7)


def two_pixels(*places, shape=(9, 9)):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def test_two_single_pixels_are_as_far_apart_as_a_ruler_says():
    one, other = two_pixels((1, 1)), two_pixels((4, 5))
    assert hausdorff(one, other) == mean_surface_distance(one, other) == 5
    assert hausdorff(one, other, spacing=(2, 1)) == pytest.approx(math.hypot(6, 4))


def test_the_surface_of_a_square_is_its_rim():
    square = np.zeros((7, 7), bool)
    square[1:6, 1:6] = True
    rim = square.copy()
    rim[2:5, 2:5] = False
    assert np.array_equal(surface(square), rim)
    assert surface(np.ones((3, 3), bool)).sum() == 8  # the picture ends, and so does the mask


def test_one_stray_pixel_decides_hausdorff_but_not_its_percentile():
    square = np.zeros((60, 60), bool)
    square[5:30, 5:30] = True
    stray = square | two_pixels((58, 58), shape=(60, 60))
    assert hausdorff(stray, square) == pytest.approx(math.hypot(29, 29))
    assert hausdorff(stray, square, percentile=95) == 0
    assert 0 < mean_surface_distance(stray, square) < 1


@pytest.mark.slow  # to load monai
@pytest.mark.parametrize("shape", [(40, 50), (20, 24, 28)])
def test_both_distances_are_monais(shape):
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    pred, target, spacing = blobs(shape, 1), blobs(shape, 2), (3.0, 1.0, 1.5)[: len(shape)]
    pair = [torch.from_numpy(mask)[None, None] for mask in (pred, target)]
    given = {"include_background": True, "spacing": spacing}
    for percentile in (100, 95):
        theirs = compute_hausdorff_distance(*pair, percentile=percentile, **given)
        assert hausdorff(pred, target, percentile, spacing) == pytest.approx(theirs.item(), rel=1e-5)
    theirs = compute_average_surface_distance(*pair, symmetric=True, **given)
    assert mean_surface_distance(pred, target, spacing) == pytest.approx(theirs.item(), rel=1e-5)


def test_empty_masks_have_a_rule():
    empty, full = np.zeros((5, 5), bool), two_pixels((2, 2), shape=(5, 5))
    assert hausdorff(empty, empty) == mean_surface_distance(empty, empty) == 0
    assert hausdorff(empty, full) == hausdorff(full, empty) == math.inf
    assert mean_surface_distance(full, empty) == math.inf
    there, back = surface_distances(full, empty)
    assert np.isinf(there).all() and not len(back)


def test_shapes_and_spacing_must_fit():
    with pytest.raises(ValueError, match="differ"):
        hausdorff(np.zeros((3, 3)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="spacing"):
        hausdorff(np.zeros((3, 3)), np.zeros((3, 3)), spacing=(1, 2, 3))

import os
import warnings

import numpy as np
import pytest
from conftest import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.augment import Augmentation

GROUPS = ("mirror", "move", "colour", "quality")


def figure_and_mask(size: int = 64):
    mask = np.zeros((size, size), np.uint8)
    mask[16:50, 20:40] = 1
    return np.where(mask[..., None] > 0, 230, 20).astype(np.uint8).repeat(3, -1), mask


@pytest.mark.parametrize("strength", [0, 0.3, 1, 2])
def test_every_step_is_built_without_a_warning(strength):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # albumentations only warns about arguments it ignores
        Augmentation(strength)(*figure_and_mask(), seed=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.0, 2.0]))
def test_masks_keep_their_labels_type_and_size(seed, strength):
    image, mask = figure_and_mask()
    changed, moved = Augmentation(strength)(image, mask * 5, seed=seed)
    assert changed.shape == image.shape and changed.dtype == moved.dtype == np.uint8
    assert set(np.unique(moved)) <= {0, 5}


def test_the_mask_follows_the_figure():
    image, mask = figure_and_mask()
    overlaps = []
    for seed in range(30):
        changed, moved = Augmentation()(image, mask, seed=seed)
        grey = changed.mean(-1)
        if moved.any() and not moved.all():
            bright = grey > (grey.max() + grey.min()) / 2
            overlaps.append((bright & (moved > 0)).sum() / (bright | (moved > 0)).sum())
    assert np.mean(overlaps) > 0.85


def test_some_groups_alone_do_what_their_names_say():
    image, mask = figure_and_mask()
    mask[:, 20:24] = 0  # no longer in the middle
    draws = {name: [Augmentation(only=[name])(image, mask, seed=s) for s in range(20)] for name in GROUPS}
    for name in ("colour", "quality"):
        assert all((moved == mask).all() for _, moved in draws[name])
        assert any((changed != image).any() for changed, _ in draws[name])
    assert {moved.tobytes() for _, moved in draws["mirror"]} == {mask.tobytes(), mask[:, ::-1].tobytes()}
    assert len({moved.tobytes() for _, moved in draws["move"]}) > 10
    said = "a group of changes is one of mirror, move, colour, quality; found 'zoom'"
    refused(said, Augmentation, only=["zoom"])


def test_all_groups_together_are_the_whole():
    image, mask = figure_and_mask()
    for seed in range(5):
        pairs = (augment(image, mask, seed=seed) for augment in (Augmentation(only=GROUPS), Augmentation()))
        assert all(np.array_equal(one, other) for one, other in zip(*pairs, strict=True))


def test_the_same_seed_is_the_same_draw_and_another_is_not():
    image, mask = figure_and_mask()
    first, other, again = (Augmentation()(image, mask, seed=seed) for seed in (5, 6, 5))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (other[0] != first[0]).any()


def test_strength_0_changes_nothing_and_odd_strengths_are_refused():
    image, mask = figure_and_mask()
    same, mask_again = Augmentation(0)(image, mask, seed=1)
    assert (same == image).all() and (mask_again == mask).all()
    refused("0 to 2", Augmentation, 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_crops_come_at_the_size_asked_for_and_keep_the_mask_on_the_figure(seed):
    image, mask = figure_and_mask(128)
    cut, moved = Augmentation(0, crop_to=48)(image, mask * 5, seed=seed)
    assert cut.shape == (48, 48, 3) and moved.shape == (48, 48)
    assert set(np.unique(moved)) <= {0, 5}
    assert ((cut.mean(-1) > 125) == (moved > 0)).mean() > 0.9  # all but the edge


def test_crops_are_often_closer_than_the_whole_picture():
    image, mask = figure_and_mask(128)
    shares = [Augmentation(0, crop_to=48)(image, mask, seed=seed)[1].mean() for seed in range(40)]
    assert np.std(shares) > 0.02 and min(shares) < mask.mean() < max(shares)


def test_a_small_person_is_in_most_crops():
    image, mask = np.full((128, 128, 3), 90, np.uint8), np.zeros((128, 128), np.uint8)
    mask[4:16, 100:112] = 1
    cuts = [Augmentation(0, crop_to=48)(image, mask, seed=seed)[1] for seed in range(200)]
    holding = np.mean([cut.any() for cut in cuts])
    assert 0.55 < holding < 0.95  # crops without a person are lessons too
    shares = [cut.mean() for cut in cuts if cut.any()]
    assert np.quantile(shares, 0.9) > 5 * mask.mean()  # and near ones are near


def test_albumentations_is_told_not_to_ask_the_network():
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"

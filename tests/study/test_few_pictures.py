"""Sets of other domains and training on few pictures."""

import numpy as np
import pytest
import torch

from segkit.data import find_samples, load_dataset, read_table
from segkit.files import UserError, read_image
from segkit.models import build_model
from segkit.sets.brain import draw_head, make_brain_set, make_ears, make_patient
from segkit.sets.groups import deal_folder, find_leaks
from segkit.study.few_pictures import baselines, dice_of, excerpt, fine_tune, learning_curve, starting_network


@pytest.fixture(scope="module")
def template():
    """Something like a brain: a bright ball with a brighter middle, and that middle as white matter."""
    z, y, x = np.mgrid[:95, :40, :36]
    distance = np.hypot(np.hypot((z - 47) / 2.4, y - 20), x - 18)
    white = (distance < 10).astype(np.float32)
    return (0.5 * (distance < 17) + 0.4 * white).astype(np.float32), white


def test_a_patient_is_always_the_same_and_never_another(template):
    images, masks = make_patient(*template, seed=3)
    again, _ = make_patient(*template, seed=3)
    other, other_masks = make_patient(*template, seed=4)
    assert images.dtype == np.uint8 and masks.dtype == bool and images.shape == masks.shape == (20, 40, 36)
    assert np.array_equal(images, again) and not np.array_equal(images, other)
    assert 0.5 < (masks & other_masks).sum() / masks.sum() < 0.99  # alike, and bent in another way
    assert other[other_masks].mean() > other[~other_masks].mean() + 20  # white matter shines, as in a T1 scan
    tissue = ~masks & (images > 60)
    assert images[masks].mean() < images[tissue].mean() - 20  # an odd seed: it is dark, as in a T2 scan


def test_slices_of_a_patient_depend_on_where_they_are_not_on_which_are_asked_for(template):
    one, _ = make_patient(*template, seed=0, slices=[40, 41])
    assert np.abs(one[0].astype(int) - one[1]).mean() < 30


def test_no_patient_of_the_brain_set_is_in_two_splits(template, tmp_path):
    folder = make_brain_set(tmp_path / "brain", template, patients=6)
    of_patient = {}
    for name, row in read_table(folder / "splits.csv").items():
        of_patient.setdefault(name[:3], set()).add(row["split"])
    assert len(of_patient) == 6 and all(len(found) == 1 for found in of_patient.values())
    assert set().union(*of_patient.values()) == {"train", "val", "test"}
    with pytest.raises(UserError, match="three patients"):
        make_brain_set(tmp_path / "few", template, patients=2)


def test_ears_are_drawn_two_to_a_head_and_named(tmp_path):
    folder = make_ears(tmp_path / "ears", heads=5)
    deal_folder(folder, group=r"(h\d+)_")
    samples = find_samples(folder)
    assert len(samples) == 10 and len({s.group for s in samples}) == 5 and find_leaks(folder) == []
    data = load_dataset(folder, split="train", size=64)
    assert data.classes == ("ear",) and 0.01 < data.arrays[1].mean() < 0.1
    assert np.array_equal(draw_head((0, 17, 3), 1)[0], read_image(folder / "images" / "h03_1.png"))


def test_an_excerpt_holds_the_chosen_pictures_and_leaves_the_set_alone(make_dataset):
    base = load_dataset(make_dataset(20), split="train", size=32)
    part = excerpt(base, [3, 1])
    assert len(part) == 2 and [s.name for s in part.samples] == [base.samples[i].name for i in (3, 1)]
    for i in range(2):
        assert np.array_equal(part.pair(i)[0], base.pair([3, 1][i])[0])
    assert len(base) > 2


@pytest.mark.slow
def test_few_pictures_are_enough_for_a_start(make_dataset, tmp_path):
    folder = make_dataset(30)
    sets = {split: load_dataset(folder, split=split, size=32) for split in ("train", "val", "test")}
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = build_model("unet", widths=(8, 16), bottleneck=16)
        how = {"pictures": 4, "seed": seed, "lr": 5e-3}
        run = fine_tune(model, sets["train"], sets["val"], tmp_path / str(seed), 40, 4, **how)
        assert len(run.history) == 4
        dice = dice_of(run.checkpoint, sets["test"])
        assert dice.shape == (len(sets["test"]),) and dice.mean() > 0.3


def test_a_fresh_network_is_built_like_the_trained_one_and_knows_nothing():
    trained, preprocessing = starting_network("person-unet", 48)
    fresh, _ = starting_network("person-unet", 48, fresh=True)
    assert preprocessing.size == 48
    assert trained.built_as == fresh.built_as
    theirs = dict(fresh.named_parameters())
    assert not any(torch.equal(p, theirs[n]) for n, p in trained.named_parameters() if p.ndim == 4)
    assert all(parameter.requires_grad for parameter in trained.parameters())


@pytest.mark.slow
def test_a_learning_curve_has_a_row_for_every_start_count_and_seed(make_dataset, tmp_path):
    trained = {"start_from": "person-unet", "lr": 1e-3}
    starts = {"trained": trained, "fresh": trained | {"fresh": True}}
    folder = make_dataset(16)
    rows = learning_curve(folder, tmp_path / "curve", [2, 999], starts, num_seeds=2, num_steps=1, size=32)
    everything = len(load_dataset(folder, split="train", size=32))
    keys = {(row["start"], row["pictures"], row["seed"]) for row in rows}
    assert keys == {(s, c, k) for s in starts for c in (2, everything) for k in (0, 1)}
    assert all(0 <= row["dice"] <= 1 for row in rows)


def test_the_bright_part_is_found_by_its_brightness(make_dataset):
    folder = make_dataset(20)
    sets = {split: load_dataset(folder, split=split, size=48) for split in ("train", "test")}
    scores = baselines(sets["train"], sets["test"])
    assert "where it usually is" in scores and len(scores) == 5
    assert scores["the bright part"] > max(scores["all of it"], scores["the dark part"])
    assert scores["the brightest"] > 0.5
    share = np.mean([mask.mean() for _, mask in map(sets["test"].pair, range(len(sets["test"])))])
    assert scores["all of it"] == pytest.approx(2 * share / (1 + share), abs=0.03)

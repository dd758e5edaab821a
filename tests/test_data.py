import os
from unicodedata import normalize

import numpy as np
import pytest
import torch
from conftest import cases, refused
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from segkit.augment import Augmentation, recolour_person
from segkit.data import (
    Preprocessing,
    SegmentationDataset,
    assign_splits,
    find_samples,
    load_dataset,
    load_pair_full,
    resize_smoothly,
)
from segkit.files import UserError, write_image
from segkit.sets.groups import write_splits

names = st.lists(st.text("abcdefgh0123", min_size=1, max_size=8), unique=True, max_size=60)


def test_missing_masks_are_an_error_that_lists_the_names(make_dataset):
    folder = make_dataset(6)
    for name in ("001", "004"):
        (folder / "masks" / f"{name}.png").unlink()
    refused(r"2 of 6 pictures .* have no mask: 001, 004", find_samples, folder)
    (folder / "masks").rename(folder / "parts")
    refused(r"--labels parts takes those of parts/\. Add masks/NAME", find_samples, folder)
    refused(r"have no mask: 001, 004\. Add parts/NAME", find_samples, folder, labels="parts")


@given(names, st.integers(0, 5))
def test_every_name_is_in_one_split_and_always_the_same(some, seed):
    splits = assign_splits(some, seed)
    assert splits.keys() == set(some) and splits == assign_splits(some[::-1], seed)
    assert len(some) < 3 or set(splits.values()) == {"train", "val", "test"}


def test_adding_pictures_moves_none_of_the_others():
    before = assign_splits([f"p{i}" for i in range(200)])
    after = assign_splits([f"p{i}" for i in range(300)])
    assert all(after[name] == split for name, split in before.items())
    assert before != assign_splits(list(before), seed=1)
    shares = [list(after.values()).count(s) / 300 for s in ("train", "val", "test")]
    assert shares == pytest.approx([0.7, 0.15, 0.15], abs=0.06)


@cases(
    "image mask name",
    ("Jose\u0301", "Jos\u00e9", "Jos\u00e9"),  # accents, as two systems write them
    (os.fsdecode(b"M\xfcller"), os.fsdecode(b"M\xfcller"), "M\ufffdller"),  # as an old zip file has it
    (" x ", " x ", " x "),
)
def test_any_name_pairs_a_picture_with_its_mask_and_with_its_line_of_splits_csv(
    make_dataset, image, mask, name
):
    folder = make_dataset(3)
    (folder / "images" / "001.jpg").rename(folder / "images" / f"{image}.jpg")
    (folder / "masks" / "001.png").rename(folder / "masks" / f"{mask}.png")
    rows = [
        f"{normalize('NFD', s.name)},{'val' if s.name == name else 'test'}\n" for s in find_samples(folder)
    ]
    (folder / "splits.csv").write_text("name,split\n" + "".join(rows))  # as one system spells accents
    assert {s.name: s.split for s in find_samples(folder)} == {"000": "test", "002": "test", name: "val"}


@cases(
    "table said",
    (b"000,train\n", "columns name and split"),
    (b"name,split\n000,training\n", "the split 'training'"),
    (b"name,split\n001,val\n", "no line"),
    (b"name,split\n000,train\n000,test\n", "train and test"),
    (b"name,split\n\xff\xfe,train\n", "UTF-8"),
    (b"name,split\n" + b"a" * 200_000 + b",train\n", "field larger"),
    (None, "not a table"),
)
def test_a_splits_csv_that_cannot_be_meant_is_one_sentence(make_dataset, table, said):
    folder = make_dataset(1)
    (folder / "splits.csv").mkdir() if table is None else (folder / "splits.csv").write_bytes(table)
    refused(said, find_samples, folder)


def test_fine_stripes_become_grey_also_where_only_one_side_shrinks():
    stripes = np.zeros((360, 1280, 3), np.uint8)
    stripes[:, ::8] = 255  # one column in eight: 32 in the mean
    small = Preprocessing(size=384).resize(stripes)
    assert small.shape == (384, 384, 3) and abs(small.mean() - 32) < 1 and small.max() < 90
    assert (Preprocessing(size=360).resize(stripes[:, :360]) == stripes[:, :360]).all()


@pytest.mark.parametrize("separator", [",", ";", "\t", " , "])
def test_splits_csv_may_say_where_the_files_are_as_tables_of_others_do(make_dataset, separator):
    folder = make_dataset(4)
    names = ["images/000.jpg", "001.jpg", " 002", "images/003"]
    rows = [("name", "split"), *zip(names, ("train", "train", "val", "test"), strict=True)]
    (folder / "splits.csv").write_text("".join(separator.join(row) + "\r\n" for row in rows))
    assert [s.split for s in find_samples(folder)] == ["train", "train", "val", "test"]


def test_splits_csv_says_the_split_the_source_and_the_group_where_there_is_one(make_dataset):
    folder = make_dataset(4)
    assert {sample.source for sample in find_samples(folder)} == {folder.name}
    table = "name,split,source,scene\n000,test,,a\n001,train,phone,b\n002 ,train,phone, b\n003,val,phone,\n"
    (folder / "splits.csv").write_text(table)
    samples = find_samples(folder)
    assert [s.split for s in samples] == ["test", "train", "train", "val"]
    assert [s.source for s in samples] == [folder.name, "phone", "phone", "phone"]
    assert [s.group for s in samples] == ["a", "b", "b", "003"]
    assert len(load_dataset(folder, split="train", size=32)) == 2


def test_dealing_anew_keeps_what_else_the_table_says(make_dataset):
    folder = make_dataset(4)
    names = [f"{i:03}" for i in range(4)]
    rows = [f"{name},train,phone\n" for name in names]
    (folder / "splits.csv").write_text("".join(["name,split,source\n", *rows]))
    write_splits(folder, dict.fromkeys(names, "val"), {name: name[:2] for name in names}, overwrite=True)
    assert {(s.split, s.source, s.group) for s in find_samples(folder)} == {("val", "phone", "00")}


def test_a_picture_that_is_not_there_gets_a_sentence(make_dataset):
    people = load_dataset(make_dataset(), split="train", size=32)
    with pytest.raises(IndexError, match=rf"picture 500: there are {len(people)} pictures here"):
        people.pair(500)
    assert len(list(people)) == len(people)


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_every_cache_gives_the_same_pairs(make_dataset, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path / "cache"))
    folder = make_dataset(8)
    plain = load_dataset(folder, split="train", size=48, cache="none")
    cached = load_dataset(folder, split="train", size=48, cache=cache)
    for (a, m), (b, n) in zip(plain, cached, strict=True):
        assert torch.equal(a, b) and torch.equal(m, n)
        assert a.shape == (3, 48, 48) and m.shape == (1, 48, 48)
        assert set(m.unique().tolist()) <= {0, 1}


def test_the_disk_cache_is_found_again_and_notices_changed_files(make_dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path / "cache"))
    folder = make_dataset(5)
    first = load_dataset(folder, split="train", size=32, cache="disk")
    decoded, pair = [], (np.zeros((32, 32, 3)), np.zeros((32, 32)))
    monkeypatch.setattr("segkit.data.load_pair", lambda *a: decoded.append(a) or pair)
    again = load_dataset(folder, split="train", size=32, cache="disk")
    assert not decoded
    assert torch.equal(first[0][0], again[0][0])
    write_image(first.samples[0].image, np.full((96, 80, 3), 7, np.uint8))
    load_dataset(folder, split="train", size=32, cache="disk")
    assert decoded


def test_a_mask_of_another_size_is_refused_with_both_sizes(make_dataset):
    folder = make_dataset(3)
    write_image(folder / "masks" / "001.png", np.zeros((50, 60), np.uint8))
    with pytest.raises(UserError, match=r"001.*80x96 .*mask is 60x50"):
        [load_dataset(folder, split=s, size=32) for s in ("train", "val", "test")]
    write_image(folder / "ignore" / "000.png", np.zeros((50, 60), np.uint8))
    refused(r"000.*80x96 .*ignore/ is 60x50", load_pair_full, find_samples(folder)[0])


def test_resizing_a_mask_keeps_its_labels_and_its_place():
    mask = np.zeros((400, 300), np.uint8)
    mask[100:300, 75:225] = 3
    small = Preprocessing(size=100).resize_mask(mask)
    assert set(np.unique(small)) == {0, 3}
    middle = np.argwhere(small).mean(0)  # plain nearest would be off by up to half a pixel
    assert middle == pytest.approx([49.5, 49.5], abs=0.01)


def test_normalised_imagenet_colours_have_mean_0_and_spread_1():
    prep = Preprocessing()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (prep.mean, prep.std))
    assert prep.normalise(mean * 255).abs().max() < 1e-6
    assert (prep.normalise((mean + std) * 255) - 1).abs().max() < 1e-6


def test_an_epoch_looks_the_same_with_and_without_workers(make_dataset):
    dataset = load_dataset(make_dataset(8), split="train", size=48, transform=Augmentation())
    dataset.set_epoch(3)
    alone = [image for image, _ in dataset]
    with_workers = torch.cat([image for image, _ in DataLoader(dataset, 1, num_workers=2)])
    assert torch.equal(torch.stack(alone), with_workers)
    dataset.set_epoch(4)
    assert not torch.equal(torch.stack(alone), torch.stack([image for image, _ in dataset]))


def test_empty_folders_and_wrong_words_are_refused(tmp_path, make_dataset):
    one = make_dataset(1, "one")
    (one / "splits.csv").write_text("name,split\n000,train\n")
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "empty" / "masks").mkdir()
    write_image(make_dataset(1, "two") / "images" / "000.png", np.zeros((96, 80, 3), np.uint8))
    for call, said in (
        (lambda: find_samples(tmp_path / "none"), "not a folder"),
        (lambda: find_samples(tmp_path / "empty"), "holds no pictures"),
        (lambda: find_samples(tmp_path / "two"), "share a name"),
        (lambda: load_dataset(one, split="training"), "split is one of"),
        (lambda: load_dataset(one, split="val"), r"val split .* is empty \(1 pictures"),
        (lambda: SegmentationDataset([], cache="tape"), "cache"),
        (lambda: Preprocessing(size=0), "input size"),
        (lambda: load_dataset(one, one.parent / "." / "one", split="train"), "more than once"),
    ):
        refused(said, call)


def test_several_folders_are_joined_and_a_limit_is_a_fixed_sample(make_dataset):
    folders = [make_dataset(10, "a"), make_dataset(10, "b")]
    both = load_dataset(*folders, split="train", size=32)
    assert len(both) == sum(len(load_dataset(f, split="train", size=32)) for f in folders)
    few = load_dataset(*folders, split="train", size=32, limit=4)
    assert few.samples == load_dataset(*folders, split="train", size=32, limit=4).samples
    assert len(few) == 4


def test_zoom_keeps_pictures_larger_and_hands_out_the_networks_size(make_dataset):
    crops = Augmentation(1.0, crop_to=32)
    dataset = load_dataset(make_dataset(8), split="train", size=32, zoom=2.0, transform=crops)
    assert [array.shape for array in dataset.pair(0)] == [(64, 64, 3), (64, 64)]
    assert [tensor.shape for tensor in dataset[0]] == [(3, 32, 32), (1, 32, 32)]


def test_recolouring_changes_the_person_and_nothing_else():
    image = np.full((20, 20, 3), (200, 60, 30), np.uint8)
    mask = np.zeros((20, 20), np.uint8)
    mask[4:18, 5:15] = 1
    for seed in range(5):
        changed = recolour_person(image, mask, np.random.default_rng(seed))
        assert (changed[:3] == image[:3]).all() and (changed[:, :3] == image[:, :3]).all()
        assert (changed[12:17, 7:13] != image[12:17, 7:13]).any(axis=-1).all()
    assert (recolour_person(image, mask * 0, np.random.default_rng(0)) == image).all()


def test_what_ignore_marks_is_255_in_the_mask_and_is_never_pasted(make_dataset):
    folder = make_dataset(6)
    samples = find_samples(folder)
    unasked = np.zeros((96, 80), np.uint8)
    unasked[:72] = 255
    plain = SegmentationDataset(samples, Preprocessing(32), paste=1.0, seed=3)
    write_image(folder / "ignore" / f"{samples[0].name}.PNG", unasked)  # any ending, as everywhere
    asked = SegmentationDataset(find_samples(folder), Preprocessing(32), paste=1.0, seed=3)
    assert (asked.pair(0)[1][:24] == 255).all() and (asked.pair(1)[1] == plain.pair(1)[1]).all()
    assert (asked.pair(0)[1][24:] == plain.pair(0)[1][24:]).all()
    assert all(not (asked[i][1] == 255).any() for i in range(1, 6))


@pytest.mark.parametrize("channels", [3, 5, 9])
def test_many_channels_are_averaged_like_few(channels):
    image = np.random.default_rng(0).random((12, 8, channels), np.float32)
    means = image.reshape(6, 2, 4, 2, channels).mean((1, 3))
    assert np.allclose(resize_smoothly(image, 6, 4), means, atol=1e-6)

"""What belongs together lies in one split, and what does not is said."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from conftest import cases, refused
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.data import find_samples
from segkit.evaluate import Evaluation
from segkit.files import read_image, write_image
from segkit.metrics import count_pixels
from segkit.sets.doctor import inspect_dataset
from segkit.sets.groups import (
    MOST_PAIRS,
    deal_folder,
    deal_folds,
    deal_groups,
    find_leaks,
    group_by_pattern,
    join_groups,
    near_duplicates,
    read_groups,
    series_leak,
    series_pattern,
)


def rename(folder, name_of) -> None:
    for kind in ("images", "masks"):
        for path in sorted((folder / kind).iterdir()):
            target = folder / kind / f"{name_of(int(path.stem))}{path.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


@given(st.lists(st.integers(1, 9), min_size=3, max_size=40), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_every_group_lies_in_one_split_and_no_split_is_empty(sizes, seed):
    groups = {f"{g}-{i}": str(g) for g, size in enumerate(sizes) for i in range(size)}
    splits = deal_groups(groups, {name: (hash(name) % 7) / 10 for name in groups}, seed)
    assert len({(groups[name], split) for name, split in splits.items()}) == len(sizes)
    assert set(splits.values()) == {"train", "val", "test"}


def test_many_small_groups_are_dealt_near_to_70_15_15():
    groups = {f"{g:02}-{i}": str(g) for g in range(50) for i in range(4)}
    counts = Counter(deal_groups(groups, {}, 0).values())
    assert counts["train"] / 200 == pytest.approx(0.7, abs=0.04)


def test_a_film_by_a_pattern_a_folder_or_a_table_stays_whole(make_dataset, tmp_path):
    folder = make_dataset(24)
    rename(folder, lambda i: f"film{i // 4}/shot_{i % 4:04}")
    listing = tmp_path / "films.csv"
    rows = [f"film{i // 4}/shot_{i % 4:04},{i // 4}\n" for i in range(24)]
    listing.write_text("name,group\n" + "".join(rows))
    for group in (r"(.+)_\d+", "folder", str(listing)):
        said = deal_folder(folder, group=group, overwrite=True)
        places = {(s.group, s.split) for s in find_samples(folder)}
        assert len(places) == 6 and {split for _, split in places} == {"train", "val", "test"}
        assert "groups" in said and find_leaks(folder) == []
    refused("--overwrite", deal_folder, folder, group="folder")
    deal_folder(folder, seed=1, overwrite=True)  # the groups that splits.csv has stay together
    assert len({(s.group, s.split) for s in find_samples(folder)}) == 6
    assert "4 pictures stand alone" in deal_folder(folder, group=r"(film[0-4])/", overwrite=True)


@pytest.mark.parametrize(("length", "digits"), [(6, 4), (12, 4), (12, 1)])
def test_a_series_is_pointed_out_and_the_command_that_is_named_cures_it(make_dataset, length, digits):
    folder = make_dataset(24)
    rename(folder, lambda i: f"film{i // length}_{i % length:0{digits}}")
    (leak,) = find_leaks(folder)
    assert "look like a film or a series" in leak
    pattern = re.search(r"--group '(.+)'", leak)[1]
    assert f"segkit data split {folder} --group" in leak
    assert any(finding.kind == "series across splits" for finding in inspect_dataset(folder).findings)
    assert "--overwrite" in deal_folder(folder)  # dealt by name, and said
    assert "alone" not in deal_folder(folder, group=pattern, overwrite=True)
    assert find_leaks(folder) == []
    assert not [f for f in inspect_dataset(folder).findings if "splits" in f.kind]


def test_two_films_too_short_for_three_splits_are_said_without_a_command(make_dataset):
    folder = make_dataset(14)
    rename(folder, lambda i: f"film{i // 7}_{i % 7:04}")
    assert "2 of them fill no 3 splits" in deal_folder(folder) and "fill no 3" in find_leaks(folder)[0]
    assert "1 of them fills no 3" in series_leak({f"frame{i}": "val" if i else "test" for i in range(9)}, "")


def test_the_same_picture_under_two_names_is_one_group(make_dataset):
    folder = make_dataset(20)
    for i in range(20):
        copy, image = f"z{(i * 7919) % 97}x.png", read_image(folder / "images" / f"{i:03}.jpg")
        write_image(folder / "images" / copy, (image * 0.9 + 9).clip(0, 255).astype(np.uint8))
        write_image(folder / "masks" / copy, read_image(folder / "masks" / f"{i:03}.png")[..., 0])
    assert any("nearly the same picture" in leak for leak in find_leaks(folder))
    deal_folder(folder)
    assert find_leaks(folder) == [] and len({s.group for s in find_samples(folder)}) == 20


def test_the_frames_of_a_still_camera_are_one_group_in_few_pairs():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (32, 32))
    frames = {str(i): (scene + rng.normal(0, 2, (32, 32))).astype(np.float32) for i in range(300)}
    pairs = near_duplicates(frames)
    assert len(pairs) <= MOST_PAIRS * 300
    assert len(set(join_groups({name: name for name in frames}, pairs).values())) == 1


def test_the_same_picture_in_two_data_sets_is_a_leak(make_dataset):
    first, second = make_dataset(12), make_dataset(12, name="second")
    rename(second, lambda i: f"z{(i * 7919) % 97}x")
    (leak,) = [leak for leak in find_leaks(first, second) if "two data sets" in leak]
    assert str(first) in leak and str(second) in leak
    assert not [leak for leak in find_leaks(first) if "two data sets" in leak]


def test_a_group_that_is_torn_by_hand_is_said(make_dataset):
    folder = make_dataset(6)
    rows = [f"{i:03},{('train', 'val', 'test')[i % 3]},{i // 2}" for i in range(6)]
    (folder / "splits.csv").write_text("\n".join(["name,split,group", *rows]) + "\n")
    assert find_leaks(folder)[0].startswith("leak: 3 groups lie in more than one split, such as 0.")
    assert sum(f.kind == "group across splits" for f in inspect_dataset(folder).findings) == 3
    (folder / "splits.csv").write_text("\n".join(["name,split,group", *rows, "gone,train,9"]) + "\n")
    assert [f.name for f in inspect_dataset(folder).findings if "line of splits.csv" in f.kind] == ["gone"]


@cases(
    "names pattern",
    ([f"a_{i:04}" for i in range(9)] + [f"b_{i:04}" for i in range(9)], r"(.*\D)\d+"),
    ([f"patient{p}/slice-{i}" for p in range(3) for i in range(5)], r"(.*\D)\d+"),
    ([f"1.2.840.{p}.{i}" for p in (7, 9) for i in range(1, 6)], r"(.*\D)\d+"),
    ([f"frame{i}" for i in range(30)], r"(.*)\d"),
    ([f"a_mp4-{i:03}_jpg.rf.{i}c{i:x}" for i in range(30)], r"(.*)\d_[a-z]+\.rf\.\w+"),
    ([f"{a}_mov-{i}_jpg.rf.{i}c0" for i in range(9) for a in "ab"], r"(.*\D)\d+_[a-z]+\.rf\.\w+"),
    ([f"IMG_{i:04}_jpg.rf.{i:x}{c}" for i in range(9) for c in "ab"], r"(.+)\.rf\."),  # turned and so on
    ([f"IMG_{i:04}_jpg.rf.{i:x}" for i in range(9)], None),
    ([f"p{p}_{i:06}_leftImg8bit" for p in (7, 9) for i in range(5)], r"(.*\D)\d+_leftImg8bit"),
    ([f"{film}_{i:04}" for i in range(20) for film in "ab"], r"(.*)\d"),
    ([f"frame_{i:04}" for i in range(150)], r"(.*)\d"),
    ([f"IM-0001-{i:04}" for i in range(300)], r"(.*)\d\d"),
    ([f"IMG_{i:04}" for i in range(30)], None),
    ([f"{i:012}" for i in range(0, 3000, 7)], None),
    (["anna", "bert", "carla"], None),
    ([f"s{i:04}{view}" for i in range(9) for view in "ab"], None),
)
def test_names_of_films_and_series_are_known(names, pattern):
    assert series_pattern(names) == pattern
    if pattern:
        assert 1 < len(set(group_by_pattern(names, pattern).values())) < len(names)


def test_pairs_join_groups_and_a_pattern_may_find_one_anywhere_in_a_name():
    joined = join_groups({name: name for name in "abcde"}, [("d", "c"), ("b", "c"), ("e", "e")])
    assert joined == {"a": "a", "b": "b", "c": "b", "d": "b", "e": "e"}
    assert group_by_pattern(["001_s7", "b"], r"_(s\d+)$") == {"001_s7": "s7", "b": "b"}


@cases(
    "group said",
    ("(", "no pattern"),
    (r"(.+)", "stands alone"),
    ("folder", "stands alone"),
    ("no.CSV", "no.CSV' is not a table"),
    (r"(\d)", "found [12]: add pictures, or give smaller groups\\.$"),
)
def test_what_deals_nothing_is_a_sentence(make_dataset, group, said):
    folder = make_dataset(9)
    refused(said, deal_folder, folder, group=group)
    assert not (folder / "splits.csv").exists()


def test_a_table_of_groups_may_spell_accents_in_two_pieces_and_leave_groups_open(tmp_path):
    names = ["Jos\u00e9", "b", "c", "d"]
    table = tmp_path / "groups.csv"
    table.write_text("name,group\nJose\u0301,g\nb,\nc,\nd,g\n", encoding="utf-8")
    assert read_groups(tmp_path, names, str(table)) == {"Jos\u00e9": "g", "b": "b", "c": "c", "d": "g"}
    table.write_text("name,group\nb,g\nc,g\nd,h\n")
    refused("has no line for 1 picture, such as Jos", read_groups, tmp_path, names, str(table))
    table.write_text("name,group\nb,g\nb,h\n")
    refused("puts 'b' into g and h", read_groups, tmp_path, names, str(table))


def test_folds_are_of_like_size_and_hold_whole_groups():
    groups = {str(i): str(i // 2) for i in range(40)}
    folds = deal_folds(groups, {}, 5)
    assert set(Counter(folds.values()).values()) == {8}
    assert len({(groups[name], fold) for name, fold in folds.items()}) == 20


def test_an_interval_speaks_of_groups_and_is_wider_by_them(make_dataset):
    samples = find_samples(make_dataset(12))
    masks = np.zeros((12, 8, 8), bool)
    masks[:, :4] = True
    preds = masks.copy()
    preds[:6, :3] = False  # one film of two goes wrong
    counts = count_pixels(preds, masks)
    alone = Evaluation(samples, counts, np.ones(12))
    of = [type(s)(s.name, s.image, s.mask, s.split, group=str(i // 3)) for i, s in enumerate(samples)]
    grouped = Evaluation(of, counts, np.ones(12))
    assert alone.certainty().endswith("from 12 pictures")
    assert "from 4 groups of 12 pictures; of so few it is too narrow: segkit train" in grouped.certainty()
    assert replace(grouped, no_folds=True).certainty().endswith("too narrow")
    width = lambda e: -np.subtract(*map(float, re.findall(r"0\.\d+|1\.0+", e.certainty())[:2]))  # noqa: E731
    assert width(grouped) > 1.3 * width(alone)
    one = [type(s)(s.name, s.image, s.mask, s.split, group="only") for s in samples]
    assert "too few for an interval" in Evaluation(one, counts, np.ones(12)).certainty()

"""Claims about the embedded set in data/people: what data/README.md says of it is true of its files."""

import csv
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segkit.sets.doctor import inspect_dataset

PEOPLE = Path(__file__).resolve().parents[1] / "data" / "people"
CLIPS = sorted(p for p in (PEOPLE / "clips").glob("*") if p.is_dir())


@cache
def rows():
    with open(PEOPLE / "splits.csv", newline="") as file:
        return list(csv.DictReader(file))


def pixels(folder, kind, name):
    """The masks of one picture as 8-bit grey, as every loader reads them, or its parts."""
    picture = Image.open(folder / kind / f"{name}.png")
    return np.asarray(picture.convert("L") if kind == "masks" else picture)


def bytes_of(*folders):
    return sum(p.stat().st_size for f in folders for p in (PEOPLE / f).rglob("*") if p.is_file())


def test_the_doctor_finds_nothing_and_no_scene_is_in_two_splits():
    """So no mask is missing, empty or of another size, and no picture is nearly another's copy."""
    report = inspect_dataset(PEOPLE)
    assert report.findings == []
    assert report.groups == {row["name"]: row["scene"] for row in rows()}  # it reports a torn group
    assert report.sizes == {row["name"]: (int(row["height"]), int(row["width"])) for row in rows()}
    assert {max(size) for size in report.sizes.values()} == {320} and len(report.splits) >= 600


def test_parts_agree_with_masks_pixel_by_pixel():
    known = {int(i) for i in json.loads((PEOPLE / "parts.json").read_text())}
    for name in (row["name"] for row in rows()):
        mask, parts = (pixels(PEOPLE, kind, name) for kind in ("masks", "parts"))
        assert set(np.unique(mask)) == {0, 255}, name
        assert set(np.unique(parts)) <= known, name
        assert np.array_equal(mask > 0, parts > 0), name


def test_the_parts_are_named_and_each_is_seen_often():
    parts = json.loads((PEOPLE / "parts.json").read_text())
    assert parts["0"] == "background"
    assert {"head", "torso", "arms", "hands", "legs", "feet"} <= set(parts.values())
    seen = np.zeros(len(parts), int)
    for row in rows():
        seen[np.unique(pixels(PEOPLE, "parts", row["name"]))] += 1
    assert seen.min() >= 100, dict(zip(parts.values(), seen, strict=True))


def test_the_shares_of_the_splits_are_70_15_15():
    for split, share in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        assert abs(sum(row["split"] == split for row in rows()) / len(rows()) - share) < 0.03


def test_the_set_is_wide():
    """Near and far, alone and together, indoors and out, day and night, from behind, half hidden."""

    wide = {"framing": "portrait,selfie,half,full,far,group,crop", "light": "day,indoor,night,backlit"}
    wide |= {"pose": "standing,walking,sitting,arms raised", "place": "street,studio,living"}
    for column, values in wide.items():
        assert set(values.split(",")) <= {row[column] for row in rows()}
    for column in ("from_behind", "occluder", "holding"):
        assert sum(row[column] not in ("", "0") for row in rows()) >= len(rows()) / 15, column


def test_the_bytes_stay_in_their_budget():
    assert bytes_of("images", "masks", "parts") <= 20_000_000 and bytes_of(".") <= 26_000_000


def test_the_licence_lies_beside_the_files():
    assert "CC0 1.0 Universal" in (PEOPLE / "LICENSE").read_text()


@pytest.mark.parametrize("clip", CLIPS, ids=lambda c: c.name)
def test_a_clip_is_a_data_set_of_frames(clip):
    facts = json.loads((clip / "clip.json").read_text())
    frames = sorted(p.stem for p in (clip / "images").glob("*.jpg"))
    assert frames == [f"{i:05d}" for i in range(facts["frames"])]
    assert 2 <= facts["frames"] / facts["fps"] <= 4
    assert len({Image.open(clip / "images" / f"{f}.jpg").size for f in frames}) == 1
    for frame in frames:
        mask, parts = (pixels(clip, kind, frame) for kind in ("masks", "parts"))
        assert set(np.unique(mask)) <= {0, 255} and np.array_equal(mask > 0, parts > 0)
        assert mask.shape[::-1] == Image.open(clip / "images" / f"{frame}.jpg").size

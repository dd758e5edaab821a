"""The weights that ship, and the scripts of data/weights that decide about them."""

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from segkit.checkpoint import load_checkpoint
from segkit.data import find_samples
from segkit.files import embedded_path, write_image
from segkit.models import count_parameters
from segkit.train import split_settings

SCRIPTS = Path(__file__).parent.parent / "data" / "weights"


@pytest.mark.parametrize(
    ("name", "parameters", "megabytes"), [("person-base", 6e6, 12), ("person-small", 1e6, 2)]
)
def test_weights_are_as_small_as_promised_and_name_their_data(name, parameters, megabytes):
    path = embedded_path("weights") / f"{name}.safetensors"
    model, info = load_checkpoint(path)
    assert count_parameters(model) < parameters and path.stat().st_size < megabytes * 1e6
    assert "people" in {data["name"] for data in info.trained_on}


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_holds_settings_of_training(path):
    split_settings(yaml.safe_load(path.read_text()))


@pytest.fixture
def photographs(tmp_path):
    """ccp_0 and ccp_1; coco_0 to coco_7, of which 1 to 6 are close-ups and 7 is for validation."""
    folder, random = tmp_path / "photographs", np.random.default_rng(0)
    for name in ("ccp_0", "ccp_1", *(f"coco_{i}" for i in range(8))):
        mask = np.zeros((200, 240), np.uint8)
        mask[60:140, 60 : 200 if name in {f"coco_{i}" for i in range(1, 7)} else 120] = 255
        write_image(folder / "images" / f"{name}.jpg", random.integers(0, 255, (200, 240, 3), np.uint8))
        write_image(folder / "masks" / f"{name}.png", mask)
    with (folder / "splits.csv").open("w", newline="") as file:
        names = sorted(path.stem for path in (folder / "images").iterdir())
        rows = [(name, "val" if name == "coco_7" else "train") for name in names]
        csv.writer(file).writerows([("name", "split"), *rows])
    return folder


def test_a_quarter_of_the_close_ups_is_held_out(photographs, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    out = tmp_path / "split"
    runpy.run_path(str(SCRIPTS / "split.py"))["main"](photographs, out)
    splits = {kind: {s.name: s.split for s in find_samples(out / kind)} for kind in ("ccp", "coco")}
    assert splits["ccp"] == {"ccp_0": "train", "ccp_1": "train"}
    held_out = {name for name, split in splits["coco"].items() if split == "val"}
    assert held_out == {"coco_1", "coco_5", "coco_7"}
    for sample in find_samples(out / "coco"):
        assert sample.mask.read_bytes() == (photographs / "masks" / sample.mask.name).read_bytes()

    runpy.run_path(str(SCRIPTS / "validate.py"))["write_pictures"](out / "coco", tmp_path / "val")
    written = {kind.name: {s.name for s in find_samples(kind)} for kind in (tmp_path / "val").iterdir()}
    assert written["close"] == {"coco_1", "coco_5"} and written["whole"] == {"coco_7"}
    assert written["cut"] and all(name.startswith("coco_7-") for name in written["cut"])
    sys.modules.pop("split", None)  # the name is too common to be left behind

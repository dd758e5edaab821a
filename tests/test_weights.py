"""The weights that ship, and the scripts of data/weights that decide about them."""

import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import yaml
from safetensors.torch import load_file

from segkit.checkpoint import load_checkpoint, read_tensors
from segkit.data import find_samples
from segkit.evaluate import Evaluation
from segkit.files import embedded_path, read_labels, write_image, write_table
from segkit.metrics import Counts
from segkit.models import count_parameters
from segkit.predict import Segmenter
from segkit.training.settings import split_settings

SCRIPTS = Path(__file__).parent.parent / "data" / "weights"


@pytest.fixture
def script(monkeypatch):
    """Returns a function: the name of a script, to what it defines."""
    monkeypatch.syspath_prepend(SCRIPTS)
    yield lambda name: runpy.run_path(str(SCRIPTS / name))
    for name in ("publish", "card"):  # too common to be left behind
        sys.modules.pop(name, None)


PARAMETERS_AND_MEGABYTES = {"person-base": (6e6, 12), "person-parts": (6e6, 12)}
PARAMETERS_AND_MEGABYTES |= {"person-small": (4e6, 8), "person-unet": (1e6, 2)}


@pytest.mark.parametrize("name", PARAMETERS_AND_MEGABYTES)
def test_weights_are_as_small_as_promised_checked_and_name_their_data(name):
    path = embedded_path("weights") / f"{name}.safetensors"
    parameters, megabytes = PARAMETERS_AND_MEGABYTES[name]
    model, info = load_checkpoint(path)
    assert count_parameters(model) < parameters and path.stat().st_size < megabytes * 1e6
    assert "sha256" in read_tensors(path)[1]
    assert {"people", "clothes"} & {data["name"] for data in info.trained_on}


@pytest.mark.parametrize("path", sorted((SCRIPTS / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_holds_settings_of_training(path):
    split_settings(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("name", ["person-base", "person-small"])
def test_the_astronauts_suit_is_whole_and_flag_cat_coffee_and_rocket_are_nobody(name):
    person = Segmenter.load(name, "cpu")
    mask = person(skimage.data.astronaut()) > 0.5
    assert mask[260:480, 60:260].mean() > 0.95  # chest and arm
    assert mask[:200, :80].mean() < 0.01 and mask[:330, 370:].mean() < 0.01  # the flag, the shuttle
    for picture in (skimage.data.cat, skimage.data.coffee, skimage.data.rocket):
        share = (person(picture()[..., :3]) > person.threshold).mean()
        assert share < 0.02, f"{picture.__name__}: {share:.1%} of the pixels are called person"


def test_clothes_hair_and_skin_of_the_astronaut_are_told_apart():
    clothes = Segmenter.load("person-parts", "cpu")
    labels = clothes.labels(clothes(skimage.data.astronaut()))
    upper, hair, skin = (labels == clothes.classes.index(name) for name in ("upper", "hair", "skin"))
    assert upper[260:480, 60:260].mean() > 0.7 and hair[20:100, 170:280].mean() > 0.7  # with a sleeve
    assert skin[90:160, 195:255].mean() > 0.9
    assert not labels[:200, :80].any() and not labels[:330, 370:].any()  # the flag, the shuttle


def write_sample(folder, name: str, mask: np.ndarray) -> None:
    noise = np.random.default_rng(list(name.encode())).integers(0, 255, (*mask.shape, 3), np.uint8)
    write_image(folder / "images" / f"{name}.jpg", noise)
    write_image(folder / "masks" / f"{name}.png", mask)


@pytest.fixture
def photographs(tmp_path):
    """ccp_0000 to 2; coco_0 to 7: 1 to 6 are close-ups, 7 is for validation; aiseg_0 has a matte."""
    folder = tmp_path / "photographs"
    names = ["aiseg_0", "ccp_0000", "ccp_0001", "ccp_0002", *(f"coco_{i}" for i in range(8))]
    for name in names:
        mask = np.zeros((200, 240), np.uint8)
        mask[60:140, 60 : 200 if name in {f"coco_{i}" for i in range(1, 7)} else 120] = 255
        write_sample(folder, name, mask)
    write_image(folder / "alphas" / "aiseg_0.png", mask)
    for name in names[1:4]:
        write_image(folder / "parts" / f"{name}.png", mask // 255 * np.uint8(3))
    sources = {"aiseg": "aisegment", "ccp": "ccp", "coco": "coco_single"}
    rows = [{"name": n, "split": "train", "source": sources[n.split("_")[0]]} for n in names]
    write_table(folder / "splits.csv", [*rows[:-1], rows[-1] | {"split": "val"}])
    return folder


def test_what_is_measured_or_chosen_by_is_held_out_of_training(photographs, tmp_path, monkeypatch, script):
    out, kinds = tmp_path / "out", tmp_path / "val"
    monkeypatch.setattr(sys, "argv", ["photographs.py", str(photographs), "--out", str(out)])
    script("photographs.py")["main"]()
    samples = find_samples(out)
    for split, held in {"test": "aiseg_0 ccp_0001", "val": "ccp_0000 coco_1 coco_5 coco_7"}.items():
        assert {sample.name for sample in samples if sample.split == split} == set(held.split())
    for sample in samples:
        assert sample.mask.read_bytes() == (photographs / "masks" / sample.mask.name).read_bytes()

    script("validate.py")["write_pictures"](out, kinds)
    written = {kind.name: {s.name for s in find_samples(kind)} for kind in kinds.iterdir()}
    assert written["close"] == {"coco_1", "coco_5"} and written["whole"] == {"coco_7"}
    assert written["full"] == {"ccp_0000"} and all(name.startswith("coco_7-") for name in written["cut"])


@pytest.fixture
def more(tmp_path):
    """Three pictures of each source that a recipe names and `photographs` lacks; in neg_* is nobody."""
    folder, rows = tmp_path / "more", []
    for source in ("selfie", "ecssd", "coco_val", "voc", "neg_ecssd"):
        for name in (f"{source}_{i}" for i in range(3)):
            mask = np.zeros((60, 80), np.uint8)
            mask[20:50, 30:60] = 0 if source.startswith("neg") else 255
            write_sample(folder, name, mask)
            rows.append({"name": name, "split": "train", "source": source})
    write_table(folder / "splits.csv", rows)
    return folder


@pytest.mark.slow
def test_one_command_goes_from_photographs_to_clothes(photographs, more, tmp_path, monkeypatch, script):
    make = script("make.py")["main"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["make.py", "person-parts", str(photographs), str(more), "--trial"])
    make()
    clothes, run = tmp_path / "runs" / "clothes", tmp_path / "runs" / "person-parts"
    samples = {sample.name: sample for sample in find_samples(clothes, labels="parts")}
    labels = {name: set(np.unique(read_labels(sample.mask))) for name, sample in samples.items()}
    assert labels["ccp_0002"] == {0, 3} and samples["ccp_0001"].split == "test"
    upper = [name for name in samples if name.endswith("-upper")]
    assert {samples[name].split for name in upper} == {"train"} and labels[upper[0]] == {0, 3}
    others = [found for name, found in labels.items() if name.startswith(("coco", "selfie", "voc"))]
    assert len(others) > 3 and all(found == {0, 254} for found in others)
    rendered = [found for name, found in labels.items() if samples[name].source == "people"]
    assert len(rendered) == 419 and set().union(*rendered) == {0, 1, 2, 254}

    shipped = tmp_path / "runs" / "person-parts.safetensors"
    person = Segmenter.load(shipped, "cpu")
    assert person.classes[:4] == ("background", "hair", "skin", "upper") and len(person.classes) == 8
    weights, history = load_file(shipped), (run / "history.csv").read_text()
    shipped.unlink()
    make()
    again = load_file(shipped)
    assert all(torch.equal(again[key], value) for key, value in weights.items())
    assert (run / "history.csv").read_text() == history

    validate = script("validate.py")
    validate["write_halves"](clothes, tmp_path / "val")
    half = read_labels(tmp_path / "val" / "half" / "parts" / "ccp_0000.png")
    assert half.shape == (44, 240) and (half[4:, 60:120] == 3).all() and not half[:4].any()
    person.preprocessing = replace(person.preprocessing, size=64)
    # nan where nobody wears it and nothing was called so
    line = validate["classes_line"](person, tmp_path / "val")
    assert re.match(r"mean IoU 0\.\d{4} \(whole 0\.\d{4}, half 0\.\d{4}\)  \|", line)
    assert re.findall(r"(\w+) (?:nan|0\.\d{3})/(?:nan|0\.\d{3})", line) == list(person.classes[1:])


def test_a_class_is_scored_over_all_pixels_with_an_interval_that_draws_photographs(script):
    tp, fp, fn = torch.tensor([[90, 10], [80, 0]]), torch.tensor([[0, 5], [5, 0]]), torch.tensor([[5, 0]] * 2)
    counts = Counts(tp, fp, fn, tp * 0)
    table = script("card.py")["classes_table"](Evaluation([], counts, np.array([]), ("background", "hair")))
    # One photograph has hair: IoU 10 / 15 whenever it is drawn.
    assert table[2] == "| background | 2 | 0.958 (0.941 to 0.973) | 0.919 (0.889 to 0.947) |"
    assert table[3] == "| hair | 1 | 0.800 (0.800 to 0.800) | 0.667 (0.667 to 0.667) |"


def test_errors_of_a_cutout_count_everywhere_and_where_the_matte_is_soft(script):
    errors = script("mattes.py")["errors"]
    exact = np.zeros((50, 100), np.float32)
    exact[:, 20], exact[:, 21:] = 0.5, 1
    hard = (exact > 0.4).astype(np.float32)
    assert errors(exact, exact) == (0, 0)
    assert errors(hard, exact) == pytest.approx((1000 * 0.5 / 100, 1000 * 0.5 / 21))


def test_only_people_away_from_the_labelled_one_are_not_asked_for(script):
    passers_by = script("photographs.py")["passers_by"]
    mask, prob = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.float32)
    mask[20:80, 40:60] = 1
    prob[20:80, 38:62] = 1  # the labelled one, a little wider
    prob[30:60, 80:90] = 0.9  # a passer-by
    prob[30:60, 5:15] = 0.6  # not sure
    prob[90, 90] = 1  # a speck
    found = passers_by(mask, prob)
    assert found[30:60, 80:90].all() and not found[:, :75].any() and not found[70:].any()


@pytest.mark.parametrize("name", PARAMETERS_AND_MEGABYTES)
def test_every_stage_has_a_recipe_and_goes_on_from_the_one_before(name, script):
    stages, met = (script("make.py")[key] for key in ("STAGES", "MET"))
    stages = stages[name]
    recipes = [yaml.safe_load((SCRIPTS / "recipes" / f"{stage}.yaml").read_text()) for stage in stages]
    assert recipes[0].get("start_from") == ("person-base" if name == "person-parts" else None)
    for before, recipe in zip(stages, recipes[1:], strict=False):
        start = f"{met[before][0]}.safetensors" if before in met else f"{before}/best.safetensors"
        assert recipe["start_from"] == f"runs/{start}"

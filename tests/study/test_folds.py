"""Cross-validation: every picture scored by a network that was not shown it."""

import json

import numpy as np
import pytest
import torch
from conftest import refused

from segkit.checkpoint import CheckpointInfo, save_checkpoint
from segkit.data import find_samples, load_pair_full, read_table
from segkit.files import UserError
from segkit.metrics import count_pixels
from segkit.models import build_model, to_probs
from segkit.predict import Segmenter
from segkit.study.folds import cross_validate
from segkit.train import Recipe, TrainConfig, train
from segkit.training.setup import network_of

RECIPE = Recipe(size=32, model_settings={"widths": (8, 16), "bottleneck": 16})
CONFIG = TrainConfig(num_epochs=2, batch_size=4, precision="fp32", lr=5e-3)


@pytest.fixture
def grouped(make_dataset):
    """Twelve pictures, two by two of one scene."""
    folder = make_dataset(12)
    rows = [f"{i:03},{'train' if i < 8 else 'val' if i < 10 else 'test'},{i // 2}" for i in range(12)]
    (folder / "splits.csv").write_text("\n".join(["name,split,group", *rows]) + "\n")
    return folder


@pytest.mark.slow
def test_every_picture_gets_one_score_of_a_network_that_was_not_shown_it(grouped, tmp_path, monkeypatch):
    out = tmp_path / "cv"
    (out / "fold2").mkdir(parents=True)
    (out / "fold2" / "history.csv").touch()  # so that this fold fails
    said = r"1 of 3 folds failed; .*--resume goes on .* fold2: .* holds history"
    refused(said, cross_validate, [grouped], out, 3, RECIPE, CONFIG)
    (out / "fold2" / "history.csv").unlink()
    kept = (out / "fold3" / "best.safetensors").stat().st_mtime_ns
    ran = cross_validate([grouped], out, 3, RECIPE, CONFIG, resume=True, parallel=2)
    assert (out / "fold3" / "best.safetensors").stat().st_mtime_ns == kept
    table = read_table(out / "per_image.csv", ("name", "dice"))
    rows = {name: float(row["dice"]) for name, row in table.items()}
    assert rows.keys() == {sample.name for sample in find_samples(grouped)}
    for fold in (1, 2, 3):
        table = read_table(out / f"fold{fold}" / "splits.csv")
        held = [name for name, row in table.items() if row["split"] == "test"]
        assert len(held) == 4 and len({row["group"] for name, row in table.items() if name in held}) == 2
        person = Segmenter.load(out / f"fold{fold}")
        for sample in find_samples(grouped):
            if sample.name in held:
                image, mask = load_pair_full(sample)
                dice = count_pixels(person(image)[None] > person.threshold, mask[None]).dice().item()
                assert rows[sample.name] == pytest.approx(dice, abs=1e-4)
    assert "from 6 groups of 12 pictures" in str(ran) and (out / "worst.png").exists()

    mean, photo = Segmenter.load(out), load_pair_full(find_samples(grouped)[0])[0]
    each = [Segmenter.load(out / f"fold{fold}")(photo) for fold in (1, 2, 3)]
    assert np.allclose(mean(photo), np.mean(each, 0), atol=1e-4)
    assert mean.info.trained_on == ({"name": "drawn", "images": 12},)

    more = train([grouped], tmp_path / "more", Recipe(size=32, start_from=str(out)), CONFIG)
    assert len(Segmenter.load(more.folder).model.members) == 3  # all go on to learn

    refused("--resume", cross_validate, [grouped], out, 3, RECIPE, CONFIG)
    (out / "fold3" / "per_image.csv").unlink()  # as if the last fold had been cut off after its training
    monkeypatch.setattr(
        "segkit.training.sampler.EpochSampler.__iter__", lambda self: pytest.fail("nothing is left")
    )
    again = cross_validate([grouped], out, 3, RECIPE, CONFIG, resume=True)
    assert again.result.rows() == ran.result.rows()
    with pytest.raises(UserError, match="with the settings and"):
        cross_validate([grouped], out, 3, RECIPE, TrainConfig(num_epochs=3), resume=True)
    assert json.loads((out / "cv.json").read_text())["folds"] == 3
    table = grouped / "splits.csv"
    table.write_text(table.read_text().replace("000,train,0", "000,train,other"))
    with pytest.raises(UserError, match="with the settings and pictures it has"):
        cross_validate([grouped], out, 3, RECIPE, CONFIG, resume=True)


def test_what_cannot_be_cross_validated_is_a_sentence(grouped, tmp_path):
    with pytest.raises(UserError, match="one data set, found 2"):
        cross_validate([grouped, grouped], tmp_path / "a", 3, RECIPE, CONFIG)
    with pytest.raises(UserError, match="7 parts need as many groups, found 6: add pictures"):
        cross_validate([grouped], tmp_path / "b", 7, RECIPE, CONFIG)
    refused("three folds or more", cross_validate, [grouped], tmp_path / "c", 2, RECIPE, CONFIG)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").write_text("mine")
    with pytest.raises(UserError, match=r"already holds best\.safetensors: choose another folder\.$"):
        cross_validate([grouped], tmp_path / "run", 3, RECIPE, CONFIG)
    (tmp_path / "run" / "config.json").touch()
    with pytest.raises(UserError, match="a run without folds: go on without --folds"):
        cross_validate([grouped], tmp_path / "run", 3, RECIPE, CONFIG)


def test_films_that_folds_tear_are_said_at_once(make_dataset, tmp_path, monkeypatch, capsys):
    folder = make_dataset(12)
    for path in [*folder.glob("*/*.jpg"), *folder.glob("*/*.png")]:
        path.rename(path.with_stem(f"film{int(path.stem) // 4}_{path.stem}"))
    monkeypatch.setattr("segkit.study.folds.run_members", lambda *_: ([], {"fold1": "no epoch here"}))
    refused("no epoch here", cross_validate, [folder], tmp_path / "cv", 3, RECIPE, CONFIG)
    assert "leak: the names look like a film or a series" in (said := capsys.readouterr().out)
    assert f"segkit data split {folder} --group" in said
    assert "leaks" in (tmp_path / "cv" / "cv.json").read_text()


def test_the_mean_of_networks_of_several_classes_is_saved_and_loaded(tmp_path):
    network = {"name": "unet", "widths": [8], "bottleneck": 8, "num_classes": 3}
    mean = build_model("ensemble", members=[network] * 2)
    info = CheckpointInfo(mean.built_as, classes=("background", "head", "arm"))
    path = save_checkpoint(tmp_path / "best.safetensors", mean, info)
    assert Segmenter.load(path, engine="onnx").classes == info.classes
    refused("start from one of its folds", network_of, Recipe(start_from=str(path)), num_classes=1)


def test_an_ensemble_of_several_classes_averages_their_probabilities():
    members = [build_model("unet", widths=(8,), bottleneck=8, num_classes=3).eval() for _ in range(2)]
    mean = build_model("ensemble", members=[m.built_as for m in members]).eval()
    for member, network in zip(mean.members, members, strict=True):
        member.load_state_dict(network.state_dict())
    images = torch.randn(1, 3, 16, 16)
    wanted = (to_probs(members[0](images)) + to_probs(members[1](images))) / 2
    assert torch.allclose(to_probs(mean(images)), wanted, atol=1e-5)

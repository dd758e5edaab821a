import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import fields

import numpy as np
import pytest
import torch
from conftest import cases, refused
from safetensors import SafetensorError
from safetensors.torch import save_file
from small_runs import same, small, train, weights

from segkit.checkpoint import load_checkpoint, read_tensors, write_tensors
from segkit.data import find_samples, load_dataset
from segkit.files import UserError, read_labels, write_image
from segkit.models import build_model
from segkit.sets.groups import write_splits
from segkit.train import TrainConfig, fit
from segkit.training.multiscale import multi_scale
from segkit.training.runs import fingerprint
from segkit.training.sampler import EpochSampler


def test_the_run_and_its_checkpoint_tell_how_they_came_about(make_dataset, tmp_path):
    folder, twin = make_dataset(12), make_dataset(6, name="more/drawn")
    run = train([folder, twin], tmp_path / "run", small(num_epochs=2, alpha=0.3))
    recorded = json.loads((run.folder / "config.json").read_text())
    assert recorded["config"]["alpha"] == 0.3
    learnt = [[s.name for s in find_samples(one) if s.split == "train"] for one in (folder, twin)]
    assert recorded["trained_on"] == [
        {"name": "drawn", "images": len(names), "which": fingerprint(names)} for names in learnt
    ]
    _, info = load_checkpoint(run.checkpoint)
    assert info.config["alpha"] == 0.3 and info.preprocessing.size == 32
    assert info.scores["val_dice"] == pytest.approx(run.best_dice, abs=1e-4)
    with (run.folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["val_dice"]) for r in rows] == [r["val_dice"] for r in run.history]


def test_a_run_that_is_resumed_on_other_splits_says_what_it_has_seen(make_dataset, tmp_path):
    folder, run = make_dataset(6), tmp_path / "run"
    names = [sample.name for sample in find_samples(folder)]
    for epochs, held in enumerate(names[:2], start=1):
        write_splits(folder, {name: "val" if name == held else "train" for name in names}, overwrite=True)
        train([folder], run, small(num_epochs=epochs), resume=epochs > 1)
        leaks = json.loads((run / "config.json").read_text())["leaks"]
        said = f"(1, such as '{held}') were trained on before the run was resumed"
        assert any(said in leak for leak in leaks) == (epochs > 1)
    train([make_dataset(6, name="other")], run, small(num_epochs=3), resume=True)
    recorded = json.loads((run / "config.json").read_text())["trained_on"]
    assert [one["name"] for one in recorded] == ["drawn", "other"]


def broken_off(monkeypatch, at: int, training) -> None:
    """A training that ends before its epoch `at`, as if by Ctrl-C."""
    really = EpochSampler.set_epoch

    def stop(self, epoch):
        if epoch == at:
            raise KeyboardInterrupt
        really(self, epoch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(EpochSampler, "set_epoch", stop)
        training()


FULL_RECIPE = {"optimizer": "adamw", "schedule": "cosine", "ema": 0.9, "paste": 0.5, "encoder_lr": 0.5}
WITH_DROPOUT = {"model": "deeplab-lite0", "model_settings": {}, "size": 64, "schedule": "cosine"}


@cases(
    "settings epoch",
    ({"plateau_patience": 0}, 3),
    ({}, 1),
    (FULL_RECIPE, 3),
    pytest.param(WITH_DROPOUT, 2, marks=pytest.mark.slow),
)
def test_a_run_resumed_ends_with_the_same_weights(make_dataset, tmp_path, monkeypatch, settings, epoch):
    folder, settings = make_dataset(16), small(num_epochs=max(2, epoch), **settings)
    whole = train([folder], tmp_path / "whole", settings)
    broken_off(monkeypatch, epoch, lambda: train([folder], tmp_path / "parts", settings))
    parts = train([folder], tmp_path / "parts", settings, resume=True)
    assert same(weights(whole.folder), weights(parts.folder))
    assert same(*(read_tensors(run.checkpoint)[0] for run in (whole, parts)))
    for key in ("train_loss", "val_loss", "val_dice", "lr"):
        assert [row[key] for row in whole.history] == [row[key] for row in parts.history]
    assert any(key.startswith("average/") for key in weights(whole.folder)) == ("ema" in settings)


def test_several_sizes_resume_to_the_very_same_weights(make_dataset, tmp_path, monkeypatch):
    sets = [load_dataset(make_dataset(12), split=split, size=64) for split in ("train", "val")]
    config = TrainConfig(num_epochs=3, batch_size=4, precision="fp32")

    def run(name, resume=False):
        torch.manual_seed(0)
        model = build_model("unet", widths=(8, 16), bottleneck=16)
        with multi_scale(model):
            return fit(model, *sets, tmp_path / name, config, resume)

    whole = run("whole")
    broken_off(monkeypatch, 2, lambda: run("parts"))
    assert same(weights(whole.folder), weights(run("parts", resume=True).folder))


def test_what_is_given_anew_takes_effect_from_the_next_epoch_and_is_recorded(make_dataset, tmp_path):
    folder, run = make_dataset(12), tmp_path / "run"
    train([folder], run, small(num_epochs=2, lr=1e-3))
    anew = {"lr": 2e-4, "weight_decay": 0.1, "plateau_patience": 7, "ema": 0.5, "optimizer": "adamw"}
    again = train([folder], run, small(num_epochs=3, augment=0.0, **anew), resume=True)
    assert [row["lr"] for row in again.history] == [1e-3, 1e-3, 2e-4]
    recorded = json.loads((run / "config.json").read_text())
    assert recorded["config"] | anew == recorded["config"] and recorded["config"]["augment"] == 0
    assert recorded["changes"] == [{"from_epoch": 3, "num_epochs": 3, "augment": 0.0} | anew]
    assert load_checkpoint(again.checkpoint)[1].config["num_epochs"] == (3 if again.best_epoch == 3 else 2)
    assert any(key.startswith("average/") for key in weights(run))
    with pytest.raises(UserError, match="lr would change nothing: raise num_epochs"):
        train([folder], run, small(num_epochs=3, augment=0.0, **anew | {"lr": 1.0}), resume=True)


def test_a_cosine_that_is_extended_is_planned_anew(make_dataset, tmp_path):
    folder = make_dataset(12)
    long = train([folder], tmp_path / "long", small(num_epochs=4, schedule="cosine"))
    train([folder], tmp_path / "short", small(num_epochs=2, schedule="cosine"))
    longer = train([folder], tmp_path / "short", small(num_epochs=4, schedule="cosine"), resume=True)
    assert [row["lr"] for row in longer.history[2:]] == [row["lr"] for row in long.history[2:]]


@cases(
    "other named",
    ({"size": 48}, "size 32"),
    ({"seed": 5}, "seed 0"),
    ({"labels": "parts"}, "labels"),
    ({"model_settings": {"widths": (8,), "bottleneck": 8}}, "model_settings"),
)
def test_what_cannot_change_is_refused_by_name(make_dataset, tmp_path, other, named):
    folder = make_dataset(12)
    train([folder], tmp_path / "run", small(num_epochs=1))
    (folder / "parts").symlink_to(folder / "masks")
    (folder / "parts.json").write_text('{"0": "background", "1": "person"}')
    for mask in (folder / "masks").iterdir():
        write_image(mask, (read_labels(mask) > 127).astype(np.uint8)) if "labels" in other else None
    with pytest.raises(UserError, match=f"keeps its .*{named}"):
        train([folder], tmp_path / "run", small(num_epochs=2, **other), resume=True)


def test_a_run_of_fit_records_what_fit_used_and_train_leaves_it_alone(make_dataset, tmp_path):
    folder, run = make_dataset(12), tmp_path / "run"
    sets = [load_dataset(folder, split=split, size=32) for split in ("train", "val")]
    fit(build_model("unet", widths=(8,), bottleneck=8), *sets, run, TrainConfig(num_epochs=1, batch_size=4))
    recorded = json.loads((run / "config.json").read_text())["config"]
    assert recorded.keys() == {f.name for f in fields(TrainConfig)}
    refused("made by `fit`", train, [folder], run, small(num_epochs=2), resume=True)
    with pytest.raises(UserError, match="made with another network"):
        fit(build_model("unet", widths=(4,), bottleneck=8), *sets, run, TrainConfig(batch_size=4), True)


def start(folder, run, *more):
    command = [sys.executable, "-m", "segkit", "train", str(folder), "-o", str(run), "--size=32", *more]
    command += ["--precision=fp32", "--batch_size=4", "--width=8", "--early_stop=1000"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_epochs(run, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (run / "history.csv").exists() and len((run / "history.csv").read_text().splitlines()) > count:
            return
        time.sleep(0.05)
    raise AssertionError("the training did not get going within two minutes")


@pytest.mark.slow
def test_a_killed_run_loses_at_most_the_running_epoch(make_dataset, tmp_path):
    folder, run = make_dataset(16), tmp_path / "run"
    process = start(folder, run, "--num_epochs=500")
    wait_for_epochs(run, 3)
    process.kill()
    process.communicate()
    _, metadata = read_tensors(run / "last" / "state.safetensors")
    done = len(json.loads(metadata["segkit_state"])["history"])
    assert done >= 2  # the third may have been in the middle of being written
    load_checkpoint(run / "best.safetensors")

    for place, more in ((run, ["--resume"]), (tmp_path / "unbroken", [])):
        process = start(folder, place, f"--num_epochs={done + 2}", *more)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert same(weights(run), weights(tmp_path / "unbroken"))


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_its_like_say_how_to_go_on(make_dataset, tmp_path, ending):
    # A shell starts jobs in the background deaf to Ctrl-C, and their children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start(make_dataset(16), tmp_path / "run", "--num_epochs=500")
    wait_for_epochs(tmp_path / "run", 1)
    with pytest.raises(UserError, match="another training is at work"):
        train([make_dataset(16)], tmp_path / "run", small(), resume=True)
    process.send_signal(ending)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in stderr and "Traceback" not in stderr
    assert (tmp_path / "run" / "curves.png").exists()


def test_a_full_disk_at_a_checkpoint_stops_and_the_run_resumes(make_dataset, tmp_path, monkeypatch):
    folder, run = make_dataset(16), tmp_path / "run"
    train([folder], run, small(num_epochs=1))

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    with monkeypatch.context() as patched, pytest.raises(UserError, match="No space left"):
        patched.setattr("segkit.checkpoint.save_file", full)
        train([folder], run, small(num_epochs=3), resume=True)
    whole = train([folder], tmp_path / "whole", small(num_epochs=3))
    again = train([folder], run, small(num_epochs=3), resume=True)
    assert same(weights(whole.folder), weights(again.folder))


def test_an_old_run_is_never_overwritten_and_resume_needs_one(make_dataset, tmp_path):
    folder = make_dataset(12)
    train([folder], tmp_path / "run", small(num_epochs=1))
    with pytest.raises(UserError, match=r"already holds history\.csv: .* by --resume"):
        train([folder], tmp_path / "run", small(num_epochs=1))
    (tmp_path / "run" / "last" / "state.safetensors").unlink()
    with pytest.raises(UserError, match="train anew in another folder"):
        train([folder], tmp_path / "run", small(num_epochs=1), resume=True)
    refused("to resume from", train, [folder], tmp_path / "none", small(num_epochs=1), resume=True)


@pytest.mark.parametrize("name", ["config.json", "best.safetensors", "curves.png", "cv.json"])
def test_nobody_elses_file_is_replaced_by_a_run(make_dataset, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=rf"already holds {name}: choose another folder\.$"):
        train([make_dataset(12, name="s")], tmp_path, small(num_epochs=1))
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_goes_on_from_another_folder_than_it_was_begun_in(make_dataset, tmp_path, monkeypatch, command):
    folder = make_dataset(12)
    write_splits(folder, {sample.name: sample.split for sample in find_samples(folder)})
    (folder / "splits.csv").rename(tmp_path / "dealt.csv")
    monkeypatch.chdir(tmp_path)
    settings = ["--size=32", "--width=8", "--precision=fp32", "--splits=dealt.csv"]
    for argv in (["drawn", "--num_epochs=1", *settings], ["--resume", "--num_epochs=2"]):
        assert command("train", "-o", tmp_path / "run", *argv)[0] == 0
        monkeypatch.chdir("/")


def test_a_run_that_stopped_early_trains_no_further_when_resumed(make_dataset, tmp_path):
    settings = small(num_epochs=9, early_stop=1, lr=1e-9)
    first = train([make_dataset(12)], tmp_path / "run", settings)
    again = train([tmp_path / "drawn"], tmp_path / "run", settings, resume=True)
    assert len(again.history) == len(first.history) < 9


def test_another_data_set_at_a_resume_is_recorded_and_folders_may_have_any_name(make_dataset, tmp_path):
    folder, other = make_dataset(12), make_dataset(16, name="other")
    for kind in ("images", "masks"):  # a sub-folder that is called as the masks' own folder
        (other / "moved").mkdir(exist_ok=True)
        (other / kind).rename(other / "moved" / "masks")
        (other / kind).mkdir()
        (other / "moved" / "masks").rename(other / kind / "masks")
    train([folder], tmp_path / "run", small(num_epochs=1))
    train([other], tmp_path / "run", small(num_epochs=2), resume=True)
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["data"] == recorded["changes"][0]["data"] == [str(other)]


@pytest.mark.parametrize("damage", ["a setting less", "no checksum"])
def test_a_state_that_this_segkit_did_not_write_is_a_sentence(make_dataset, tmp_path, damage):
    folder, run = make_dataset(12), tmp_path / "run"
    train([folder], run, small(num_epochs=1))
    path = run / "last" / "state.safetensors"
    tensors, metadata = read_tensors(path)
    if damage == "no checksum":
        save_file(tensors, path, {"segkit_state": metadata["segkit_state"]})
    else:
        state = json.loads(metadata["segkit_state"])
        del state["history"]
        write_tensors(path, tensors, {"segkit_state": json.dumps(state)})
    with pytest.raises(UserError, match=r"state\.safetensors' is no state that this segkit wrote"):
        train([folder], run, small(num_epochs=2), resume=True)

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from torch.utils.data import DataLoader

from segkit.augment import Augmentation
from segkit.checkpoint import load_checkpoint, read_tensors, write_tensors
from segkit.cli import main
from segkit.data import Sample, find_samples, load_dataset
from segkit.files import UserError, read_labels, write_image
from segkit.losses import DiceLoss
from segkit.metrics import count_pixels
from segkit.models import build_model
from segkit.predict import Segmenter
from segkit.train import TrainConfig, evaluate_loader, fit
from segkit.train import train as really_train
from segkit.training.multiscale import multi_scale
from segkit.training.sampler import EpochSampler, sampling_weights
from segkit.training.settings import split_settings

SMALL = {
    "size": 32,
    "batch_size": 4,
    "precision": "fp32",
    "model_settings": {"widths": (8, 16), "bottleneck": 16},
}


def small(**settings) -> dict:
    """Settings of both kinds, flat, as a YAML file has them."""
    if "start_from" in settings:
        settings["model_settings"] = {}
    return SMALL | settings


def train(folders, run, settings: dict, resume: bool = False):
    return really_train(folders, run, *split_settings(settings), resume)


def weights(run) -> dict:
    return read_tensors(run / "last" / "state.safetensors")[0]


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_a_small_network_learns_the_drawn_figures(make_dataset, tmp_path):
    run = train([make_dataset(40)], tmp_path / "run", small(num_epochs=12, lr=5e-3))
    assert run.best_dice > 0.85
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"] / 2
    assert {p.name for p in run.folder.iterdir()} == {
        "best.safetensors",
        "config.json",
        "curves.png",
        "history.csv",
        "last",
    }


def test_the_run_and_its_checkpoint_tell_how_they_came_about(make_dataset, tmp_path):
    folder = make_dataset(12)
    run = train([folder], tmp_path / "run", small(num_epochs=2, alpha=0.3))
    recorded = json.loads((run.folder / "config.json").read_text())
    assert recorded["config"]["alpha"] == 0.3
    assert recorded["trained_on"] == [
        {"name": "drawn", "images": len(load_dataset(folder, split="train", size=32))}
    ]
    _, info = load_checkpoint(run.checkpoint)
    assert info.config["alpha"] == 0.3
    assert info.preprocessing.size == 32
    assert info.scores["val_dice"] == pytest.approx(run.best_dice, abs=1e-4)
    with (run.folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["val_dice"]) for r in rows] == [r["val_dice"] for r in run.history]


def test_the_best_checkpoint_is_that_of_the_best_validation_dice(make_dataset, tmp_path):
    folder = make_dataset(20)
    run = train([folder], tmp_path / "run", small(num_epochs=6, lr=2e-2))
    person = Segmenter.load(run.folder)
    val = load_dataset(folder, split="val", size=32)
    prep = val.preprocessing
    dice = []
    for image, mask in val:
        prob = person(image.permute(1, 2, 0).numpy())
        dice.append(count_pixels(prob[None] > 0.5, mask).dice().item())
    assert prep.size == 32
    assert sum(dice) / len(dice) == pytest.approx(run.best_dice, abs=1e-3)
    assert run.best_dice == max(row["val_dice"] for row in run.history)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make_dataset, tmp_path):
    folder = make_dataset(12)
    runs = [
        train([folder], tmp_path / str(i), small(num_epochs=2, seed=s)).folder
        for i, s in enumerate((0, 0, 1))
    ]
    assert same(weights(runs[0]), weights(runs[1]))
    assert not same(weights(runs[0]), weights(runs[2]))


def test_a_resumed_run_ends_with_the_very_same_weights(make_dataset, tmp_path):
    folder = make_dataset(16)
    whole = train([folder], tmp_path / "whole", small(num_epochs=5, plateau_patience=0))
    train([folder], tmp_path / "broken", small(num_epochs=2, plateau_patience=0))
    again = train([folder], tmp_path / "broken", small(num_epochs=5, plateau_patience=0), resume=True)
    assert same(weights(whole.folder), weights(again.folder))
    for key in ("train_loss", "val_loss", "val_dice", "lr"):
        assert [r[key] for r in whole.history] == [r[key] for r in again.history]
    best = [read_tensors(run.checkpoint)[0] for run in (whole, again)]
    assert same(*best)


def broken_off(monkeypatch, at: int, *arguments) -> None:
    """A training that ends before its epoch `at`, as if by Ctrl-C."""
    really = EpochSampler.set_epoch

    def stop(self, epoch):
        if epoch == at:
            raise KeyboardInterrupt
        really(self, epoch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(EpochSampler, "set_epoch", stop)
        train(*arguments)


def test_dropout_goes_on_with_the_numbers_an_unbroken_run_draws(make_dataset, tmp_path, monkeypatch):
    folder = make_dataset(12)
    settings = small(model="deeplab-lite0", model_settings={}, size=64, num_epochs=2, schedule="cosine")
    whole = train([folder], tmp_path / "whole", settings)
    broken_off(monkeypatch, 2, [folder], tmp_path / "parts", settings)
    parts = train([folder], tmp_path / "parts", settings, resume=True)
    assert same(weights(whole.folder), weights(parts.folder))
    assert [row["lr"] for row in whole.history] == [row["lr"] for row in parts.history]


def test_several_sizes_resume_to_the_very_same_weights(make_dataset, tmp_path, monkeypatch):
    sets = [load_dataset(make_dataset(12), split=split, size=64) for split in ("train", "val")]
    config = TrainConfig(num_epochs=3, batch_size=4, precision="fp32")

    def run(name, resume=False):
        torch.manual_seed(0)
        model = build_model("unet", widths=(8, 16), bottleneck=16)
        with multi_scale(model):
            return fit(model, *sets, tmp_path / name, config, resume)

    whole = run("whole")
    monkeypatch.setattr(sys.modules[__name__], "train", lambda name: run(name))
    broken_off(monkeypatch, 2, "parts")
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


@pytest.mark.parametrize(
    ("other", "named"), [({"size": 48}, "size 32"), ({"seed": 5}, "seed 0"), ({"labels": "parts"}, "labels")]
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
    with pytest.raises(UserError, match="made by `fit`"):
        train([folder], run, small(num_epochs=2), resume=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss": "deep-dice"}, "loss is one of bce-dice"),
        ({"schedule": "cosinus"}, "schedule is one of plateau, cosine"),
        ({"optimizer": "sgd"}, "optimizer is one of adam, adamw"),
        ({"cache": "ram"}, "cache is one of memory, disk, none"),
        ({"labels": "part"}, "labels is one of masks, parts"),
        ({"model": "vnet"}, "model is one of unet"),
        ({"seed": -1}, "seed must be from 0"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"alpha": float("nan")}, "alpha must be from 0 to 1"),
        ({"model": "unet-lite0", "width": 8, "model_settings": {}}, "width goes with the model unet"),
        ({"learning_rate": 1}, "no setting learning_rate"),
    ],
)
def test_words_and_numbers_are_checked_before_any_picture_is_opened(settings, said, tmp_path):
    with pytest.raises(UserError, match=said):
        train([tmp_path / "nothing is here"], tmp_path / "run", small(**settings))


DEEP = {"model": "unet-lite0", "model_settings": {"deep": True, "decoder": [8, 8, 8, 8]}, "size": 64}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (DEEP, "deep supervision .* take the loss deep"),
        (DEEP | {"loss": "deep", "teacher": "person-small"}, "no teacher"),
        (DEEP | {"batch_size": 1, "size": 32, "loss": "deep"}, "cannot train on 1 images at a time of 32x32"),
        ({"teacher": "person-parts"}, "the teacher knows background"),
    ],
)
def test_a_network_that_cannot_train_so_is_refused_in_a_sentence(make_dataset, tmp_path, settings, said):
    with pytest.raises(UserError, match=said):
        train([make_dataset(12)], tmp_path / "run", small(num_epochs=1, **settings))


def test_an_epoch_of_so_many_steps_deals_every_picture_before_any_comes_again():
    sampler = EpochSampler(6, 4, 0, steps=2)
    dealt = list(sampler)
    sampler.set_epoch(1)
    dealt += list(sampler)
    assert len(dealt) == 16
    names = [card[0] if isinstance(card, tuple) else card for card in dealt]
    assert sorted(names[:6]) == sorted(names[6:12]) == list(range(6))
    assert {card for card in dealt[:8] if isinstance(card, tuple)} == {(name, 1) for name in names[6:8]}


def test_a_picture_that_comes_again_within_an_epoch_is_augmented_anew(make_dataset):
    data = load_dataset(make_dataset(8), split="train", size=32, transform=Augmentation(1.0))
    assert not torch.equal(data[0][0], data[(0, 1)][0])
    assert torch.equal(data[0][0], data[(0, 0)][0])


def start(folder, run, *more):
    command = [
        sys.executable,
        "-m",
        "segkit",
        "train",
        str(folder),
        "-o",
        str(run),
        "--size=32",
        "--precision=fp32",
    ]
    command += ["--batch_size=4", "--width=8", "--early_stop=1000", *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_epochs(run, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (run / "history.csv").exists() and len((run / "history.csv").read_text().splitlines()) > count:
            return
        time.sleep(0.05)
    raise AssertionError("the training did not get going within two minutes")


@pytest.mark.slow
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

    resumed = subprocess.run(
        [sys.executable, "-m", "segkit", "train", "--resume", "-o", str(run), f"--num_epochs={done + 2}"],
        capture_output=True,
        text=True,
    )
    assert resumed.returncode == 0, resumed.stderr
    unbroken = start(folder, tmp_path / "unbroken", f"--num_epochs={done + 2}")
    assert unbroken.wait(120) == 0
    unbroken.communicate()
    assert same(weights(run), weights(tmp_path / "unbroken"))


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
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    assert (tmp_path / "run" / "curves.png").exists()


def test_pieces_of_a_batch_add_up_to_the_batch(make_dataset, tmp_path):
    # Group norm: batch norm would see the pieces one by one.
    settings = SMALL["model_settings"] | {"norm": "group"}
    folder = make_dataset(16)
    whole = train([folder], tmp_path / "1", small(num_epochs=2, batch_size=8, model_settings=settings))
    pieces = train(
        [folder], tmp_path / "2", small(num_epochs=2, batch_size=8, accumulate=4, model_settings=settings)
    )
    for a, b in zip(whole.history, pieces.history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-3)


@pytest.mark.slow
def test_two_processes_reach_the_loss_of_one(make_dataset, tmp_path):
    folder = make_dataset(23)
    settings = [
        "--num_epochs=3",
        "--size=32",
        "--batch_size=8",
        "--width=8",
        '--model_settings={"norm": "group"}',
    ]
    common = ["segkit", "train", str(folder), "--precision=fp32", *settings]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    for name, launcher in {"one": [sys.executable], "two": torchrun}.items():
        done = subprocess.run(
            [*launcher, "-m", *common, "-o", str(tmp_path / name)],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    one, two = (list(csv.DictReader((tmp_path / n / "history.csv").open())) for n in ("one", "two"))
    assert json.loads((tmp_path / "two" / "config.json").read_text())["processes"] == 2
    for a, b in zip(one, two, strict=True):
        for key in ("train_loss", "val_loss", "val_dice"):
            assert float(a[key]) == pytest.approx(float(b[key]), abs=1e-3), key


def test_evaluation_counts_every_image_once(make_dataset, tiny_model):
    dataset = load_dataset(make_dataset(30), split="train", size=32)
    accelerator = Accelerator(dataloader_config=DataLoaderConfiguration(split_batches=True), cpu=True)
    model, loader = accelerator.prepare(tiny_model, DataLoader(dataset, 4))
    setup = SimpleNamespace(
        accelerator=accelerator, model=model, average=None, val_loader=loader, loss_fn=DiceLoss(),
        train_set=dataset, autocast=nullcontext,
    )  # fmt: skip
    loss, counts = evaluate_loader(setup)
    assert len(counts.tp) == len(dataset)
    images, masks = map(torch.stack, zip(*dataset, strict=True))
    with torch.inference_mode():
        logits = tiny_model.eval()(dataset.preprocessing.normalise(images))
    assert loss == pytest.approx(DiceLoss()(logits, masks).item(), abs=1e-5)
    assert torch.equal(counts.tp, count_pixels(logits > 0, masks).tp)


def test_each_epoch_shuffles_anew_and_holds_whole_batches():
    sampler = EpochSampler(22, 5, seed=3)
    first = list(sampler)
    assert len(first) == len(set(first)) == len(sampler) == 20
    assert first == list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler)


def test_a_loss_that_is_no_number_stops_with_advice_and_keeps_the_best(make_dataset, tmp_path, monkeypatch):
    folder, run = make_dataset(16), tmp_path / "run"
    train([folder], run, small(num_epochs=1))
    before = (run / "best.safetensors").read_bytes()
    monkeypatch.setattr(
        "segkit.training.setup.build_loss", lambda *_: lambda logits, masks: (logits * float("nan")).mean()
    )
    with pytest.raises(
        UserError, match=r"no longer a number in epoch 2 .*best\.safetensors.*learning rate ten times lower"
    ):
        train([folder], run, small(num_epochs=3), resume=True)
    assert (run / "best.safetensors").read_bytes() == before
    assert len((run / "history.csv").read_text().splitlines()) == 2


def test_a_full_disk_during_a_checkpoint_stops_with_one_sentence_and_the_run_resumes(
    make_dataset, tmp_path, monkeypatch
):
    folder, run = make_dataset(16), tmp_path / "run"
    train([folder], run, small(num_epochs=1))

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(UserError, match="No space left"):
        patched.setattr("segkit.checkpoint.save_file", full)
        train([folder], run, small(num_epochs=3), resume=True)
    whole = train([folder], tmp_path / "whole", small(num_epochs=3))
    again = train([folder], run, small(num_epochs=3), resume=True)
    assert same(weights(whole.folder), weights(again.folder))


def test_early_stop_ends_a_run_that_gets_no_better(make_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "segkit.training.setup.build_loss", lambda *_: lambda logits, masks: 0 * logits.mean()
    )
    run = train([make_dataset(12)], tmp_path / "run", small(num_epochs=50, early_stop=2, weight_decay=0))
    assert len(run.history) - run.best_epoch == 2


def test_an_old_run_is_never_overwritten_and_resume_needs_one(make_dataset, tmp_path):
    folder = make_dataset(12)
    train([folder], tmp_path / "run", small(num_epochs=1))
    with pytest.raises(UserError, match="already holds a run"):
        train([folder], tmp_path / "run", small(num_epochs=1))
    with pytest.raises(UserError, match="to resume from"):
        train([folder], tmp_path / "none", small(num_epochs=1), resume=True)
    with pytest.raises(UserError, match="keeps its model_settings"):
        train(
            [folder], tmp_path / "run", small(model_settings={"widths": (8,), "bottleneck": 8}), resume=True
        )


def test_tensorboard_logs_are_written_when_asked_for(make_dataset, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train([make_dataset(12)], tmp_path / "run", small(num_epochs=2, tensorboard=True))
    (events,) = {path.parent for path in run.folder.rglob("events.out.tfevents*")}
    log = EventAccumulator(str(events)).Reload()
    assert [e.value for e in log.Scalars("val_dice")] == pytest.approx([r["val_dice"] for r in run.history])


@pytest.mark.parametrize("precision", ["bf16", "auto"])
def test_mixed_precision_trains_to_about_the_same_loss(make_dataset, tmp_path, precision):
    folder = make_dataset(16)
    exact = train([folder], tmp_path / "fp32", small(num_epochs=3))
    mixed = train([folder], tmp_path / "mixed", small(num_epochs=3, precision=precision))
    assert mixed.history[-1]["train_loss"] == pytest.approx(exact.history[-1]["train_loss"], rel=0.05)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": 0}, "lr must be from 1e-12"),
        ({"batch_size": 6, "accumulate": 4}, "cannot be cut"),
        ({"num_epochs": 0}, "num_epochs must be at least 1"),
        ({"precision": "int8"}, "precision"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        TrainConfig(**settings)


FULL_RECIPE = {"optimizer": "adamw", "schedule": "cosine", "ema": 0.9, "paste": 0.5, "encoder_lr": 0.5}


def test_the_full_recipe_resumes_to_the_very_same_weights_too(make_dataset, tmp_path, monkeypatch):
    folder = make_dataset(16)
    whole = train([folder], tmp_path / "whole", small(num_epochs=3, **FULL_RECIPE))
    broken_off(monkeypatch, 3, [folder], tmp_path / "parts", small(num_epochs=3, **FULL_RECIPE))
    parts = train([folder], tmp_path / "parts", small(num_epochs=3, **FULL_RECIPE), resume=True)
    assert len(parts.history) == 3
    assert same(weights(whole.folder), weights(parts.folder))
    assert any(key.startswith("average/") for key in weights(whole.folder))


def test_the_kept_weights_are_the_moving_average_and_score_what_the_history_says(make_dataset, tmp_path):
    folder = make_dataset(16)
    run = train([folder], tmp_path / "run", small(num_epochs=2, ema=0.9, lr=5e-3))
    state, best = weights(run.folder), read_tensors(run.checkpoint)[0]
    assert run.best_epoch == 2  # or the two files would be of two epochs
    assert torch.equal(best["head.weight"], state["average/module.head.weight"])
    assert not torch.equal(best["head.weight"], state["model/head.weight"])
    person = Segmenter.load(run.checkpoint)
    val = load_dataset(folder, split="val", size=32)
    images, masks = zip(*val, strict=True)
    pred = person.probabilities(torch.stack(images)) > 0.5
    dice = count_pixels(pred, torch.stack(masks)).dice().mean().item()
    assert dice == pytest.approx(run.best_dice, abs=1e-3)


def test_training_goes_on_from_the_weights_of_another_checkpoint(make_dataset, tmp_path):
    folder = make_dataset(24)
    first = train([folder], tmp_path / "first", small(num_epochs=8, lr=5e-3))
    second = train([folder], tmp_path / "second", small(num_epochs=1, start_from=str(first.checkpoint)))
    fresh = train([folder], tmp_path / "fresh", small(num_epochs=1))
    assert second.history[0]["train_loss"] < fresh.history[0]["train_loss"] / 1.5


@pytest.mark.slow
def test_a_student_with_nothing_but_its_teacher_never_looks_at_the_masks(make_dataset, tmp_path):
    honest, lying = make_dataset(24), make_dataset(24, name="lying")
    for sample in find_samples(lying):
        if sample.split == "train":
            write_image(sample.mask, 255 - read_labels(sample.mask))
    teacher = str(train([honest], tmp_path / "teacher", small(num_epochs=4, lr=5e-3)).checkpoint)
    alone = small(num_epochs=2, teacher=teacher, teacher_share=1.0)
    students = [train([f], tmp_path / f"of-{f.name}", alone).folder for f in (honest, lying)]
    assert same(*({k: t for k, t in weights(run).items() if "model" in k} for run in students))
    both = train([lying], tmp_path / "both", small(num_epochs=2, teacher=teacher, teacher_share=0.5))
    assert not same(weights(both.folder), weights(students[0]))


def test_sources_are_drawn_by_their_shares_and_every_epoch_anew():
    samples = [Sample(str(i), Path(), Path(), "train", "many" if i < 900 else "few") for i in range(1000)]
    weights = sampling_weights(samples, {"many": 0.25, "few": 0.75})
    sampler = EpochSampler(1000, 10, 0, weights)
    first = list(sampler)
    names = np.array([card[0] if isinstance(card, tuple) else card for card in first])
    assert len(first) == 1000 and 0.70 < np.mean(names >= 900) < 0.80
    assert first == list(sampler)
    sampler.set_epoch(1)
    assert first != list(sampler)
    with pytest.raises(UserError, match="no picture comes from none"):
        sampling_weights(samples, {"none": 1.0})


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("history"),
        lambda state: state.update(history=[]),
        lambda state: state.update(history=[{"epoch": 1}]),
        lambda state: state.update(lrs="fast"),
        lambda state: state.update(settings=None),
        lambda state: state.update(unknown=1),
    ],
)
def test_a_damaged_state_is_a_sentence(make_dataset, tmp_path, damage):
    folder, run = make_dataset(12), tmp_path / "run"
    train([folder], run, small(num_epochs=1))
    path = run / "last" / "state.safetensors"
    tensors, metadata = read_tensors(path)
    state = json.loads(metadata["segkit_state"])
    damage(state)
    write_tensors(path, tensors, {"segkit_state": json.dumps(state)})
    with pytest.raises(UserError, match=r"state\.safetensors' is no state that this segkit wrote"):
        train([folder], run, small(num_epochs=2), resume=True)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"data": [], "config": {"speed": 1}}', '{"config": {"lr": "x"}}']
)
def test_a_damaged_record_is_a_sentence(tmp_path, capsys, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", "-o", str(tmp_path)])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and said.startswith("segkit: ") and "Traceback" not in said

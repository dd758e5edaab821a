import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from conftest import refused
from small_runs import SMALL, same, small, train, weights

from segkit.checkpoint import load_checkpoint, read_tensors
from segkit.data import find_samples, load_dataset
from segkit.files import UserError, read_labels, write_image
from segkit.losses import build_loss
from segkit.metrics import count_pixels


def test_a_small_network_learns_the_drawn_figures(make_dataset, tmp_path):
    run = train([make_dataset(40)], tmp_path / "run", small(num_epochs=12, lr=5e-3))
    assert run.best_dice > 0.85
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"] / 2
    written = {"best.safetensors", "config.json", "curves.png", "history.csv", "last"}
    assert {path.name for path in run.folder.iterdir()} == written


def val_scores(checkpoint, folder) -> list[float]:
    """Mean loss and mean Dice of the validation split, all its pictures at once."""
    images, masks = map(torch.stack, zip(*load_dataset(folder, split="val", size=32), strict=True))
    model, info = load_checkpoint(checkpoint)
    logits = model(info.preprocessing.normalise(images))
    dice = count_pixels(logits > 0, masks).dice().mean()
    return [build_loss("bce-dice")(logits, masks).item(), dice.item()]


def test_the_best_checkpoint_is_that_of_the_best_validation_dice(make_dataset, tmp_path):
    folder = make_dataset(40)
    run = train([folder], tmp_path / "run", small(num_epochs=6, lr=2e-2))
    assert len(load_dataset(folder, split="val", size=32)) % 4  # the last batch is smaller
    scores = run.best["val_loss"], run.best_dice
    assert val_scores(run.checkpoint, folder) == pytest.approx(scores, abs=1e-3)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make_dataset, tmp_path):
    folder = make_dataset(12)
    first, again, other = (
        weights(train([folder], tmp_path / name, small(num_epochs=2, seed=seed)).folder)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert same(first, again) and not same(first, other)


def test_pieces_of_a_batch_add_up_to_the_batch(make_dataset, tmp_path):
    # Group norm: batch norm would see the pieces one by one.
    settings = small(num_epochs=2, batch_size=8, model_settings=SMALL["model_settings"] | {"norm": "group"})
    folder = make_dataset(16)
    whole = train([folder], tmp_path / "1", settings)
    pieces = train([folder], tmp_path / "2", settings | {"accumulate": 4})
    for a, b in zip(whole.history, pieces.history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-3)


@pytest.mark.slow
def test_two_processes_reach_the_loss_of_one(make_dataset, tmp_path):
    folder = make_dataset(23)
    settings = {"num_epochs": 3, "batch_size": 8, "width": 8, "model_settings": {"norm": "group"}}
    one = train([folder], tmp_path / "one", small(**settings)).history
    flags = [f"--{name}={json.dumps(value)}" for name, value in settings.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", "-m"]
    command += ["segkit", "train", str(folder), "-o", str(tmp_path / "two"), "--size=32", "--precision=fp32"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run([*command, *flags], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    two = list(csv.DictReader((tmp_path / "two" / "history.csv").open()))
    assert json.loads((tmp_path / "two" / "config.json").read_text())["processes"] == 2
    for a, b in zip(one, two, strict=True):
        for key in ("train_loss", "val_loss", "val_dice"):
            assert a[key] == pytest.approx(float(b[key]), abs=1e-3), key


def lose(monkeypatch, factor: float) -> None:
    """Train with a loss that says nothing."""
    loss = lambda logits, masks: factor * logits.mean()  # noqa: E731
    monkeypatch.setattr("segkit.training.setup.build_loss", lambda *_: loss)


def test_a_loss_that_is_no_number_stops_with_advice_and_keeps_the_best(make_dataset, tmp_path, monkeypatch):
    folder, run = make_dataset(16), tmp_path / "run"
    train([folder], run, small(num_epochs=1))
    before = (run / "best.safetensors").read_bytes()
    lose(monkeypatch, float("nan"))
    said = r"no longer a number in epoch 2 .*best\.safetensors.*learning rate ten times lower"
    with pytest.raises(UserError, match=said):
        train([folder], run, small(num_epochs=3), resume=True)
    assert (run / "best.safetensors").read_bytes() == before
    assert len((run / "history.csv").read_text().splitlines()) == 2


def test_early_stop_ends_a_run_that_gets_no_better(make_dataset, tmp_path, monkeypatch):
    lose(monkeypatch, 0)
    run = train([make_dataset(12)], tmp_path / "run", small(num_epochs=50, early_stop=2, weight_decay=0))
    assert len(run.history) - run.best_epoch == 2


def test_tensorboard_logs_are_written_when_asked_for(make_dataset, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train([make_dataset(12)], tmp_path / "run", small(num_epochs=2, tensorboard=True))
    (events,) = {path.parent for path in run.folder.rglob("events.out.tfevents*")}
    log = EventAccumulator(str(events)).Reload()
    assert [e.value for e in log.Scalars("val_dice")] == pytest.approx([r["val_dice"] for r in run.history])
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    wanted = small(num_epochs=1, tensorboard=True)
    refused("tensorboard is not installed", train, [make_dataset(12)], tmp_path / "other", wanted)


def test_mixed_precision_trains_to_about_the_same_loss(make_dataset, tmp_path):
    folder = make_dataset(16)

    def last_loss(precision):
        run = train([folder], tmp_path / precision, small(num_epochs=3, precision=precision))
        return run.history[-1]["train_loss"]

    exact, *others = map(last_loss, ("fp32", "bf16", "auto"))
    assert others == pytest.approx([exact] * 2, rel=0.05)


def test_the_kept_weights_are_the_moving_average_and_score_what_the_history_says(make_dataset, tmp_path):
    folder = make_dataset(16)
    run = train([folder], tmp_path / "run", small(num_epochs=2, ema=0.9, lr=5e-3))
    state, best = weights(run.folder), read_tensors(run.checkpoint)[0]
    assert run.best_epoch == 2  # or the two files would be of two epochs
    assert torch.equal(best["head.weight"], state["average/module.head.weight"])
    assert not torch.equal(best["head.weight"], state["model/head.weight"])
    scores = run.best["val_loss"], run.best_dice
    assert val_scores(run.checkpoint, folder) == pytest.approx(scores, abs=1e-3)


def test_training_goes_on_from_the_weights_of_another_checkpoint(make_dataset, tmp_path):
    folder = make_dataset(24)
    first = train([folder], tmp_path / "first", small(num_epochs=8, lr=5e-3))
    second = train([folder], tmp_path / "second", small(num_epochs=1, start_from=str(first.checkpoint)))
    fresh = train([folder], tmp_path / "fresh", small(num_epochs=1))
    assert second.history[0]["train_loss"] < fresh.history[0]["train_loss"] / 1.5
    start = str(first.checkpoint)
    first.checkpoint.unlink()  # what a run started from is not needed to go on with it
    more = train([folder], second.folder, small(num_epochs=2, start_from=start), resume=True)
    assert len(more.history) == 2 and more.best_dice > 0


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

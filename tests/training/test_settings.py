from dataclasses import fields
from typing import Literal, get_origin

import numpy as np
import pytest
import torch
from conftest import cases, refused
from small_runs import small, train
from torch import nn

from segkit.data import SegmentationDataset, find_samples, load_dataset
from segkit.files import UserError, write_image
from segkit.models import build_model
from segkit.train import TrainConfig, fit
from segkit.training.advice import advised_on_memory
from segkit.training.settings import Recipe, split_settings


@cases(
    "settings said",
    ({"loss": "dice", "alpha": 0.3}, "alpha 0.3 would not be used: it goes with the losses"),
    ({"teacher_share": 0.3}, "teacher_share 0.3 would not be used: it goes with a teacher. Take 0.5"),
    ({"schedule": "cosine", "plateau_patience": 1}, "plateau_patience 1 would not be used"),
    ({"schedule": "cosinus"}, "schedule is one of plateau, cosine"),
    ({"optimizer": "sgd"}, "optimizer is one of adam, adamw"),
    ({"cache": "ram"}, "cache is one of memory, disk, none"),
    ({"seed": -1}, "seed must be from 0"),
    ({"limit": 0}, "limit must be at least 1"),
    ({"alpha": float("nan")}, "alpha must be from 0 to 1"),
    ({"model": "unet-lite0", "width": 8, "model_settings": {}}, "width goes with the model unet"),
    ({"learning_rate": 1}, "no setting learning_rate"),
    ({"size": 32.5}, "size must be of type int"),
    ({"shares": {"drawn": -1}}, "shares are numbers from 0"),
    ({"shares": {"drawn": float("nan")}}, "shares are numbers from 0"),
    ({"shares": {"drawn": 0}}, "not all of them 0"),
    ({"lr": 0}, "lr must be from 1e-12"),
    ({"batch_size": 6, "accumulate": 4}, "cannot be cut"),
    ({"batch_size": 0}, "batch_size must be at least 1"),
    ({"num_epochs": 0}, "num_epochs must be at least 1"),
    ({"seed": True}, "seed must be of type int"),
    ({"teacher": "nobody"}, "there is no checkpoint 'nobody'"),
    ({"outline": 2.0, "loss": "focal"}, "'focal' would not use it"),
)
def test_words_and_numbers_are_checked_before_any_picture_is_opened(settings, said, tmp_path):
    refused(said, train, [tmp_path / "nothing is here"], tmp_path / "run", small(**settings))


@pytest.mark.parametrize("setting", [*fields(Recipe), *fields(TrainConfig)], ids=lambda field: field.name)
def test_a_setting_of_another_type_or_word_is_refused(setting):
    wrong = "deep-dice" if get_origin(setting.type) is Literal else ("yes", 3)
    refused(f"{setting.name} (is one of|must be of type)", split_settings, {setting.name: wrong})


def test_sources_are_checked_before_any_picture_is_decoded(make_dataset, tmp_path):
    folder = make_dataset(12)
    for path in folder.glob("images/*"):
        path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(UserError, match="no picture comes from nobody"):
        train([folder], tmp_path / "run", small(shares={"nobody": 1}))


DEEP = {"model": "unet-lite0", "model_settings": {"deep": True, "decoder": [8, 8, 8, 8]}, "size": 64}


@cases(
    "settings said",
    (DEEP, "deep supervision .* take the loss deep"),
    (DEEP | {"loss": "deep", "teacher": "person-small"}, "no teacher"),
    (DEEP | {"batch_size": 1, "size": 32, "loss": "deep"}, "cannot train on 1 images at a time of 32x32"),
    ({"model_settings": {"in_channels": 4}}, "leave in_channels out"),
    ({"teacher": "person-parts"}, "the teacher knows background"),
    ({"model_settings": {"widths": [8], "bottleneck": 8, "num_classes": 3}}, "network knows 3 classes"),
)
def test_a_network_that_cannot_train_so_is_refused_in_a_sentence(make_dataset, tmp_path, settings, said):
    refused(said, train, [make_dataset(12)], tmp_path / "run", small(num_epochs=1, **settings))


def a_network():
    return build_model("unet", widths=(8,), bottleneck=8)


@cases(
    "model val said",
    (lambda: a_network().requires_grad_(False), {}, "all weights are frozen"),
    (lambda: nn.Conv2d(3, 1, 1), {}, "made by build_model"),
    (a_network, {"size": 64}, "alike in size"),
    (a_network, None, "the 0 pictures to validate on"),
)
def test_what_fit_cannot_train_is_a_sentence(make_dataset, tmp_path, model, val, said):
    folder = make_dataset(12)
    train_set = load_dataset(folder, split="train", size=32)
    val_set = (
        SegmentationDataset([]) if val is None else load_dataset(folder, split="val", **{"size": 32} | val)
    )
    with pytest.raises(UserError, match=said):
        fit(model(), train_set, val_set, tmp_path / "run", TrainConfig(batch_size=4, precision="fp32"))


@pytest.mark.parametrize(("split", "kind"), [("train", "masks"), ("val", "ignore")])
def test_masks_that_show_nothing_teach_and_judge_nothing(make_dataset, tmp_path, split, kind):
    folder = make_dataset(12)
    for sample in find_samples(folder):
        if sample.split == split:
            black = np.zeros((96, 80), np.uint8)
            write_image(folder / kind / f"{sample.name}.png", black if kind == "masks" else 255 - black)
    with pytest.raises(UserError, match=f"no mask of the . pictures to {split}.* on shows person"):
        train([folder], tmp_path / "run", small(num_epochs=1))


def test_memory_that_is_too_small_is_a_sentence_with_advice():
    config = TrainConfig(batch_size=16, accumulate=2)
    too_much = "8 pictures of 64x64 .* --accumulate 4"
    with pytest.raises(UserError, match=too_much), advised_on_memory(config, 64):
        torch.empty(2**58)
    with pytest.raises(RuntimeError, match="size of tensor"), advised_on_memory(config, 64):
        torch.ones(2) + torch.ones(3)

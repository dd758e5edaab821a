import pytest
from small_runs import small, train

from segkit.files import UserError
from segkit.train import TrainConfig


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

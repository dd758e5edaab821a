import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from segkit.checkpoint import CheckpointInfo, load_checkpoint, read_tensors, save_checkpoint
from segkit.data import Preprocessing
from segkit.files import UserError


@pytest.fixture
def saved(tmp_path, tiny_model):
    info = CheckpointInfo(
        model=tiny_model.built_as,
        preprocessing=Preprocessing(size=64, mean=(0.1, 0.2, 0.3)),
        threshold=0.4,
        trained_on=({"name": "people", "images": 9},),
        scores={"val_dice": 0.9},
        config={"lr": 0.001},
    )
    return save_checkpoint(tmp_path / "a.safetensors", tiny_model, info), info


def rewrite(path, **changes):
    """The same file with other words about itself."""
    tensors, metadata = read_tensors(path)
    stored = json.loads(metadata["segkit"]) | changes
    save_file(tensors, path, {"segkit": json.dumps(stored)})


def test_weights_and_words_come_back_as_they_were(saved, tiny_model):
    model, info = load_checkpoint(saved[0])
    assert info == saved[1]
    images = torch.randn(2, 3, 40, 33)
    assert torch.equal(model(images), tiny_model.eval()(images))


def test_half_precision_halves_the_file_and_barely_moves_the_answer(saved, tiny_model, tmp_path):
    half = save_checkpoint(tmp_path / "half.safetensors", tiny_model, saved[1], half=True)
    weights = sum(t.numel() for t in tiny_model.state_dict().values())
    assert saved[0].stat().st_size - half.stat().st_size > 1.8 * weights
    images = torch.randn(1, 3, 32, 32)
    ours, theirs = load_checkpoint(half)[0](images).sigmoid(), tiny_model.eval()(images).sigmoid()
    assert (ours - theirs).abs().max() < 0.01


@pytest.mark.parametrize("kept", [0, 5, 100, 5000])
def test_a_truncated_file_is_one_sentence(saved, kept):
    saved[0].write_bytes(saved[0].read_bytes()[:kept])
    with pytest.raises(UserError, match=f"{kept:,} bytes.*not a whole"):
        load_checkpoint(saved[0])


def test_a_pickle_is_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match="not a whole"):
        load_checkpoint(path)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="not a whole"):
        load_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"w": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="not written by segkit"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_a_newer_format_is_refused_with_the_version_that_reads_it(saved):
    rewrite(saved[0], format_version=99, segkit_version="7.1")
    with pytest.raises(UserError, match=r"Update segkit to 7\.1"):
        load_checkpoint(saved[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"name": "unet", "widths": [4096] * 8, "bottleneck": 4096}},  # would need gigabytes
        {"model": {"name": "unet", "widths": "abc"}},
        {"model": {"name": "os.system"}},
        {"model": [1]},
        {"preprocessing": {"size": -4}},
        {"preprocessing": {"colour": "pink"}},
        {"threshold": "high"},
        {"format_version": None},
        {"classes": None},
    ],
)
def test_a_hostile_description_is_one_sentence_not_a_crash(saved, changes):
    rewrite(saved[0], **changes)
    with pytest.raises(UserError):
        load_checkpoint(saved[0])


def test_a_full_disk_keeps_the_checkpoint_that_was_there(saved, tiny_model, monkeypatch):
    before = saved[0].read_bytes()

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segkit.checkpoint.save_file", full)
    with pytest.raises(UserError, match="No space left"):
        save_checkpoint(saved[0], tiny_model, saved[1])
    assert saved[0].read_bytes() == before
    assert len(list(saved[0].parent.iterdir())) == 1


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint .*none\.safetensors"):
        load_checkpoint(tmp_path / "none.safetensors")

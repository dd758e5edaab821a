import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segkit.checkpoint import CheckpointInfo, find_checkpoint, load_checkpoint, read_tensors, save_checkpoint
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
        {"classes": "person"},
        {"classes": [1]},
        {"classes": ["background", "person"]},
        {"threshold": float("nan")},
        {"threshold": float("inf")},
        {"threshold": 2},
        {"threshold": -1},
        {"preprocessing": {"size": 64, "mean": ["0.1", 0, 0]}},
        {"preprocessing": {"size": 64, "mean": [float("nan"), 0, 0]}},
        {"preprocessing": {"size": 64, "std": [float("inf"), 1, 1]}},
        {"preprocessing": [64]},
        {"trained_on": 3},
        {"scores": [1]},
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


@pytest.mark.parametrize(
    "damage", [lambda said: "[" * 100_000, lambda said: json.dumps(json.loads(said) | {"trained_on": [1]})]
)
def test_a_description_that_makes_no_sense_is_one_sentence(saved, damage):
    tensors, metadata = read_tensors(saved[0])
    save_file(tensors, saved[0], {"segkit": damage(metadata["segkit"])})
    with pytest.raises(UserError, match="makes no sense"):
        load_checkpoint(saved[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(saved, tiny_model, value):
    with torch.no_grad():
        next(tiny_model.parameters())[0, 0, 0, 0] = value
    save_checkpoint(*saved[:1], tiny_model, saved[1])
    with pytest.raises(UserError, match="no finite numbers"):
        load_checkpoint(saved[0])


def test_weights_of_another_kind_of_number_are_refused(saved):
    tensors, metadata = read_tensors(saved[0])
    save_file(
        {name: tensor.int() for name, tensor in tensors.items()}, saved[0], {"segkit": metadata["segkit"]}
    )
    with pytest.raises(UserError, match="do not fit"):
        load_checkpoint(saved[0])


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_one_flipped_bit_is_found_wherever_it_is(saved, share):
    data = bytearray(saved[0].read_bytes())
    data[int(len(data) * share)] ^= 4
    saved[0].write_bytes(bytes(data))
    with pytest.raises(UserError):
        load_checkpoint(saved[0])


def test_a_file_from_before_there_were_checksums_is_read(saved):
    tensors, metadata = read_tensors(saved[0])
    save_file(tensors, saved[0], {"segkit": metadata["segkit"]})
    assert load_checkpoint(saved[0])[1] == saved[1]


def test_a_checkpoint_may_be_read_by_others(saved):
    assert saved[0].stat().st_mode & 0o777 == 0o644


def test_shipped_weights_are_not_hidden_by_a_folder_or_a_file_of_their_name(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = find_checkpoint("person-small")
    (tmp_path / "person-small").mkdir()
    (tmp_path / "person-base").touch()
    assert find_checkpoint("person-small") == shipped and find_checkpoint("person-base").stat().st_size
    saved[0].rename(tmp_path / "person-small" / "best.safetensors")
    assert find_checkpoint("person-small") == Path("person-small/best.safetensors")
    with pytest.raises(UserError, match="no checkpoint"):
        find_checkpoint(tmp_path)

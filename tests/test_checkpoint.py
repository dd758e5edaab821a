import json
import pickle
from pathlib import Path

import pytest
import torch
from conftest import refused
from safetensors.torch import save_file

from segkit.checkpoint import CheckpointInfo, find_checkpoint, load_checkpoint, read_tensors, save_checkpoint
from segkit.data import Preprocessing


@pytest.fixture
def saved(tmp_path, tiny_model):
    prep = Preprocessing(size=64, mean=(0.1, 0.2, 0.3))
    known = {"threshold": 0.4, "scores": {"val_dice": 0.9}, "config": {"lr": 0.001}}
    known["trained_on"] = ({"name": "people", "images": 9},)
    info = CheckpointInfo(tiny_model.built_as, prep, **known)
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


def test_what_is_no_checkpoint_is_one_sentence(saved, tmp_path):
    path, whole = saved[0], saved[0].read_bytes()
    for kept in (0, 5, 100, 5000):
        path.write_bytes(whole[:kept])
        refused(f"{kept:,} bytes.*not a whole", load_checkpoint, path)
    save_file({"w": torch.zeros(3)}, path)
    refused("not how to use them", load_checkpoint, path)
    refused(r"no checkpoint .*none\.safetensors", load_checkpoint, tmp_path / "none.safetensors")


def test_a_pickle_is_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    refused("not a whole", load_checkpoint, path)
    torch.save({"weights": torch.zeros(3)}, path)
    refused("not a whole", load_checkpoint, path)
    assert not (tmp_path / "exploded").exists()


def test_a_newer_format_is_refused_with_the_version_that_reads_it(saved):
    rewrite(saved[0], format_version=99, segkit_version="7.1")
    refused(r"Update segkit to 7\.1", load_checkpoint, saved[0])


NAN, INF = float("nan"), float("inf")
COLOURS = [{"mean": ["0.1", 0, 0]}, {"mean": [NAN, 0, 0]}, {"std": [INF, 1, 1]}, {"std": [1e-300, 1, 1]}]
GIGABYTES = {"widths": [4096] * 8, "bottleneck": 4096}
MANY = {"name": "ensemble", "members": [{"name": "unet"}] * 5000}
HOSTILE = {
    "model": [GIGABYTES, {"widths": "abc"}, {"name": "os.system"}, [1], MANY],
    "preprocessing": [{"size": -4}, {"colour": "pink"}, [64], *COLOURS],
    "threshold": ["high", "0.5", NAN, INF, 2, -1],
    "look_closer": ["no"],
    "classes": [None, "person", [1], ["background", "person"]],
    "format_version": [None, NAN, 0.5, 0, "1"],
    "trained_on": [3, [1]],
    "scores": [[1]],
}


@pytest.mark.parametrize(("name", "value"), [(name, v) for name, values in HOSTILE.items() for v in values])
def test_a_hostile_description_is_one_sentence_not_a_crash(saved, name, value):
    if name == "model" and isinstance(value, dict):
        value = {"name": "unet"} | value
    rewrite(saved[0], **{name: value})
    refused(".", load_checkpoint, saved[0])


def test_json_that_is_deeper_than_any_stack_is_one_sentence(saved):
    tensors, _ = read_tensors(saved[0])
    save_file(tensors, saved[0], {"segkit": "[" * 100_000})
    refused("makes no sense", load_checkpoint, saved[0])


def test_weights_that_are_no_numbers_or_of_another_kind_are_refused(saved, tiny_model):
    tensors, metadata = read_tensors(saved[0])
    save_file({name: t.int() for name, t in tensors.items()}, saved[0], {"segkit": metadata["segkit"]})
    refused("do not fit", load_checkpoint, saved[0])
    for value in (NAN, INF):
        with torch.no_grad():
            next(tiny_model.parameters())[0, 0, 0, 0] = value
        save_checkpoint(saved[0], tiny_model, saved[1])
        refused("no finite numbers", load_checkpoint, saved[0])


def test_a_variance_below_0_is_refused(saved):
    tensors, metadata = read_tensors(saved[0])
    variance = next(name for name in tensors if name.endswith("running_var"))
    tensors[variance][0] = -1
    save_file(tensors, saved[0], {"segkit": metadata["segkit"]})
    refused(f"no finite numbers, in '{variance}'", load_checkpoint, saved[0])


def test_one_flipped_bit_is_found_wherever_it_is(saved):
    whole = saved[0].read_bytes()
    for share in (0.02, 0.5, 0.99):
        data = bytearray(whole)
        data[int(len(data) * share)] ^= 4
        saved[0].write_bytes(bytes(data))
        refused(".", load_checkpoint, saved[0])


def test_a_file_from_before_there_were_checksums_is_read(saved):
    tensors, metadata = read_tensors(saved[0])
    save_file(tensors, saved[0], {"segkit": metadata["segkit"]})
    assert load_checkpoint(saved[0])[1] == saved[1]


def test_a_checkpoint_may_be_read_by_those_who_may_read_any_new_file(saved, tmp_path):
    (new := tmp_path / "new").touch()
    assert saved[0].stat().st_mode == new.stat().st_mode


def test_shipped_weights_are_not_hidden_by_a_folder_or_a_file_of_their_name(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = find_checkpoint("person-small")
    (tmp_path / "person-small").mkdir()
    (tmp_path / "person-base").touch()
    assert find_checkpoint("person-small") == shipped and find_checkpoint("person-base").stat().st_size
    saved[0].rename(tmp_path / "person-small" / "best.safetensors")
    assert find_checkpoint("person-small") == Path("person-small/best.safetensors")
    refused("no checkpoint", find_checkpoint, tmp_path)


@pytest.mark.parametrize("name", ["a.safetensors", "a.onnx"])
def test_a_file_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path, name, command):
    with (tmp_path / name).open("wb") as file:
        file.truncate(20_000_000_000)  # of which none is on the disk
    for engine in ("torch", "onnx")[name.endswith("onnx") :]:
        code, _, said = command("predict", "-m", tmp_path / name, "--engine", engine, "a.jpg", "-o", tmp_path)
        assert code == 1 and f"{name}' (20,000,000,000 bytes) is no network of segkit" in said

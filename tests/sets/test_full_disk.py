"""A full disk is said to be one, by the name of what could not be written, and nothing half is left."""

import signal

import numpy as np
import pytest

from segkit.files import write_image

resource = pytest.importorskip("resource")


@pytest.mark.parametrize(
    ("side", "limit", "arguments", "named"),
    [
        (64, 5000, "annotate set/images -o out -m m.safetensors", "0.png"),
        (64, 5000, "data import set -o out", "out/images/0.png"),
        (64, 5000, "data export set -o out --format coco", "out/images/0.png"),
        (1, 80, "data import set -o out", "'out"),
        (64, 20, "data split set", "set/splits.csv"),
        (64, 20, "doctor set --picture look.png", "look.png"),
        (64, 5000, "export m.safetensors -o out.onnx", "'out.onnx"),
        (64, 10_000, "train set -o run --cache disk --num_epochs 1", ".npy"),
    ],
)
def test_a_full_disk_is_a_sentence(tmp_path, weights, monkeypatch, command, side, limit, arguments, named):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path / "cache"))
    noise = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    for i, image in enumerate(noise):
        write_image(tmp_path / "set" / "images" / f"{i}.png", image)
        write_image(tmp_path / "set" / "masks" / f"{i}.png", (image[..., 0] < 200) * np.uint8(255))
    before, files = resource.getrlimit(resource.RLIMIT_FSIZE), sorted(tmp_path.rglob("*"))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that may not grow stands for a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        code, _, said = command(*arguments.split())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1 and f"{named}' could not be written (File too large)" in said, said
    assert "read" not in said.replace("already", "")
    left = [path.name for path in tmp_path.rglob("*") if path.is_file() and path not in files]
    assert left in ([], ["settings.json"])

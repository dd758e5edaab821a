"""The scripts that measure run at their smallest setting, and what they write is what they measured."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench"


def call(script: str, *arguments, **kwargs) -> subprocess.CompletedProcess:
    command = [sys.executable, str(BENCH / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **kwargs)


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench", BENCH / "bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(text: str) -> list[list[str]]:
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in found if re.search(r"\d", row[-1])]


def test_every_section_runs_at_its_smallest_and_is_written(tmp_path):
    out = tmp_path / "RESULTS.md"
    done = call("bench.py", "--quick", "--out", out, "--count", 2)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    for name in ("training", "loading", "latency", "scaling", "peers"):
        section = re.search(rf"(?s)<!-- {name} -->\n(.*?)<!-- /{name} -->", text)[1]
        assert "cores" in section
        numbers = [cell for row in rows(section) for cell in row[1:] if re.fullmatch(r"\d+\.\d+", cell)]
        assert numbers
        assert all(float(number) >= 0 for number in numbers)
    assert re.search(r"plain recipe, fp32 \| [\d.]+ \| 1.00", text)
    precision = re.search(r"\| segkit, (fp32|bf16) \| [\d.]+ \| [\d.]+", text)[1]
    assert f"two matrices in {precision}," in text
    assert "MediaPipe" in text  # measured, or said to be missing


def test_a_section_measured_again_leaves_the_others(bench, tmp_path):
    path = tmp_path / "RESULTS.md"
    for name, text in (("scaling", "first"), ("training", "second"), ("scaling", "third")):
        bench.write_section(path, name, text)
    text = path.read_text()
    assert "first" not in text
    assert text.index("second") < text.index("third")


def test_scores_of_the_benchmark_are_those_of_the_metrics(bench, make_dataset):
    from segkit.data import find_samples
    from segkit.files import read_mask

    folder = make_dataset(4)
    pairs = [["a" if i < 2 else "b", str(s.image), str(s.mask)] for i, s in enumerate(find_samples(folder))]
    masks = [read_mask(path).astype(bool) for _, _, path in pairs]
    masks[3][:] = False
    found = bench.score(pairs, masks)
    assert found["a"] == {"dice": 1.0, "boundary_f": 1.0}
    assert found["b"] == {"dice": 0.5, "boundary_f": 0.5}


def test_photographs_by_kind_are_found(bench, make_dataset, tmp_path):
    for kind in ("kinds/street", "kinds/portrait"):
        make_dataset(3, kind)
    found = bench.find_photos(str(tmp_path / "kinds"), 2)
    assert [kind for kind, _ in found] == ["portrait"] * 2 + ["street"] * 2
    assert bench.read_photos(str(tmp_path / "kinds"), 2)[0].shape == (480, 640, 3)
    with pytest.raises(SystemExit, match="neither images/"):
        bench.find_photos(str(tmp_path / "kinds" / "street" / "masks"), 2)


def test_an_environment_without_mediapipe_is_said_so(bench, monkeypatch):
    monkeypatch.delenv("MEDIAPIPE_PYTHON", raising=False)
    with pytest.raises(SystemExit, match="cannot import"):
        bench.peer_python(sys.executable)


def test_the_gpu_script_runs_dry_on_the_processor():
    small = ("--device", "cpu", "--images", 8, "--size", 32, "--batch", 4, "--epochs", 1, "--model", "unet")
    done = call("gpu_epoch.py", *small, "--no-compile")
    assert done.returncode == 0, done.stderr
    assert re.search(r"one epoch of 8 images at 32x32: [\d.]+ s, [\d,]+ images/s", done.stdout)
    assert re.search(r"[\d.]+ GFLOP per image, [\d.]+ TFLOP/s: peak of it not known", done.stdout)


def test_the_gpu_script_says_so_without_a_gpu():
    done = call("gpu_epoch.py")
    assert done.returncode == 1
    assert "there is no GPU here" in done.stderr


def test_operations_are_counted_and_peaks_are_found_by_name():
    spec = importlib.util.spec_from_file_location("gpu_epoch", BENCH / "gpu_epoch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import torch

    conv = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    forward = 2 * 3 * 8 * 9 * 16 * 16
    # Backward costs once more for the weights; nobody needs the gradient of the picture.
    assert module.operations_per_image(conv, 16) == 2 * forward
    assert module.peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert module.peak_of("NVIDIA H100 PCIe") == 756e12
    assert module.peak_of("A card of tomorrow") is None


def test_mirroring_on_the_device_moves_masks_with_pictures():
    import torch

    spec = importlib.util.spec_from_file_location("gpu_epoch", BENCH / "gpu_epoch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (16, 3, 4, 5), dtype=torch.uint8)
    turned, masks = module.flipped(images, images[:, :1])
    assert (turned[:, :1] == masks).all()
    same = (turned == images).flatten(1).all(1)
    assert same.any()
    assert not same.all()
    assert (turned[~same] == images[~same].flip(3)).all()


def test_the_plain_recipe_and_segkit_train_the_same_number_of_images():
    done = call(
        "bench.py",
        "--task",
        json.dumps(
            {
                "task": "train",
                "threads": 1,
                "way": "segkit",
                "data": None,
                "images": 9,
                "epochs": 1,
                "model": "unet",
                "size": 32,
                "batch": 4,
            }
        ),
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {"images_per_s", "loss", "precision", "peak_mb"}
    assert found["images_per_s"] > 0
    assert found["peak_mb"] > 50

"""The scripts that measure run at their smallest setting, and what they write is what they measured."""

import functools
import re
import sys

import bench
import gpu_epoch
import pytest
import torch

from segkit.data import find_samples
from segkit.files import read_mask


def call(script, monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", [script.__file__, *map(str, arguments)])
    script.main()


def rows(text: str) -> list[list[str]]:
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in found if re.search(r"\d", row[-1])]


@pytest.mark.slow
def test_every_section_runs_at_its_smallest_and_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path))
    monkeypatch.setattr(bench, "in_own_process", lambda job, threads, given: job(given))  # quicker
    out = tmp_path / "RESULTS.md"
    call(bench, monkeypatch, "--quick", "--out", out, "--count", 2, "--peer-python", "no-such")
    text = out.read_text()
    for name in bench.TITLES:
        section = re.search(rf"(?s)<!-- {name} -->\n(.*?)<!-- /{name} -->", text)[1]
        assert "cores" in section
        numbers = [cell for row in rows(section) for cell in row[1:] if re.fullmatch(r"\d+\.\d+", cell)]
        assert numbers and all(float(number) >= 0 for number in numbers)
    assert re.search(r"plain, fp32 \| [\d.]+ \| 1.00", text)
    assert re.search(r"\| segkit, (fp32|bf16) \| [\d.]+ \| [\d.]+", text)
    assert "MediaPipe was not measured" in text


def test_a_section_measured_again_leaves_the_others(tmp_path):
    path = tmp_path / "RESULTS.md"
    for name, text in (("peers", "first"), ("training", "second"), ("peers", "third")):
        bench.write_section(path, name, text)
    text = path.read_text()
    assert "first" not in text and text.index("second") < text.index("third")


def test_scores_of_the_benchmark_are_those_of_the_metrics(make_dataset):
    samples = find_samples(make_dataset(4))
    pairs = [["a" if i < 2 else "b", str(s.image), str(s.mask)] for i, s in enumerate(samples)]
    masks = [read_mask(sample.mask).astype(bool) for sample in samples]
    masks[3][:] = False
    assert bench.score(pairs, masks) == {"a": (1, 1), "b": (0.5, 0.5)}


def test_photographs_by_kind_are_found(make_dataset, tmp_path):
    for kind in ("kinds/street", "kinds/portrait"):
        make_dataset(3, kind)
    found = bench.find_photos(str(tmp_path / "kinds"), 2)
    assert [kind for kind, _ in found] == ["portrait"] * 2 + ["street"] * 2
    assert bench.read_photos(str(tmp_path / "kinds"), 2)[0].shape == (480, 640, 3)
    with pytest.raises(SystemExit, match="neither images/"):
        bench.find_photos(str(tmp_path / "kinds" / "street" / "masks"), 2)


@pytest.mark.slow
def test_a_task_in_a_process_of_its_own_brings_back_what_it_measured():
    train = functools.partial(bench.task_train, images=9, epochs=1, model="unet", size=32, batch=4)
    found = bench.in_own_process(train, 1, "segkit")
    assert set(found) == {"images_per_s", "loss", "precision", "peak_mb"}
    assert found["images_per_s"] > 0 and found["peak_mb"] > 50


def test_the_gpu_script_runs_dry_on_the_processor(monkeypatch, capsys):
    small = ("--device", "cpu", "--images", 8, "--size", 32, "--batch", 4, "--epochs", 1, "--model", "unet")
    call(gpu_epoch, monkeypatch, *small)
    said = capsys.readouterr().out
    assert re.search(r"one epoch of 8 images at 32x32: [\d.]+ s, [\d,]+ images/s", said)
    assert re.search(r"[\d.]+ GFLOP per image, [\d.]+ TFLOP/s: peak of it not known", said)
    with pytest.raises(SystemExit, match="there is no GPU here"):
        call(gpu_epoch, monkeypatch)


def test_operations_are_counted_and_peaks_are_found_by_name():
    conv = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    forward = 2 * 3 * 8 * 9 * 16 * 16
    # Backward costs once more for the weights; nobody needs the gradient of the picture.
    assert gpu_epoch.operations_per_image(conv, 16) == 2 * forward
    assert gpu_epoch.peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert gpu_epoch.peak_of("NVIDIA H100 PCIe") == 756e12
    assert gpu_epoch.peak_of("A card of tomorrow") is None


def test_mirroring_on_the_device_moves_masks_with_pictures():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (16, 3, 4, 5), dtype=torch.uint8)
    turned, masks = gpu_epoch.flipped(images, images[:, :1])
    assert (turned[:, :1] == masks).all()
    same = (turned == images).flatten(1).all(1)
    assert same.any() and not same.all() and (turned[~same] == images[~same].flip(3)).all()

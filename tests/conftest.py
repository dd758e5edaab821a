"""The order of the tests, and small data for them: photographs from scikit-image's wheel and drawn people."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the claims below are about the CPU; a GPU would round differently
# Two processes test at a time: with more threads than cores, all of them would wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import nbformat
import numpy as np
import pytest
import skimage.data
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from segkit.checkpoint import CheckpointInfo, save_checkpoint
from segkit.cli import main
from segkit.data import Preprocessing
from segkit.files import UserError, write_image
from segkit.models import build_model
from segkit.predict import Segmenter


def pytest_collection_modifyitems(items):
    """What takes longest comes first, or at the end one process waits for the other."""
    items.sort(key=lambda item: getattr(item, "originalname", "") != "test_it_runs")


@pytest.fixture(scope="session", autouse=True)
def no_curves_are_drawn():
    """To draw them takes longer than a training as small as here; test_plots.py draws them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segkit.train.plot_curves", lambda history, path: path.touch())
        yield


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """A real photograph of a person that ships inside a package: uint8 (512, 512, 3)."""
    return skimage.data.astronaut()


def cases(names: str, *rows) -> pytest.MarkDecorator:
    """A table: the test below runs with each row.   names: of its columns, with blanks between them."""
    return pytest.mark.parametrize(",".join(names.split()), rows)


def refused(words: str, call: Callable, *given, **options) -> None:
    """The call gives the user a sentence in which these words (a regular expression) are found."""
    with pytest.raises(UserError, match=words):
        call(*given, **options)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(process: subprocess.Popen, address: str, log: Path | None = None):
    """Wait until a server, started in a session of its own, answers; end it afterwards."""
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(address).read()
                break
            assert process.poll() is None, log and log.read_text()
            time.sleep(0.5)
        else:
            pytest.fail(f"no answer from {address}: {log and log.read_text()}")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # JupyterLab waits for the answer of a kernel that was started anew
            os.killpg(process.pid, signal.SIGKILL)


# A container's root has no sandbox; the last two are a camera for the page.
OFF = "gpu quic sync dev-shm-usage background-networking component-update"
CHROMIUM_FLAGS = ["--no-sandbox", *(f"--disable-{part}" for part in OFF.split()), "--no-first-run"]
CHROMIUM_FLAGS += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="session")
def chromium():
    """A running Chromium: the system's, or the one that Playwright installs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        names = ("chromium", "chromium-browser", "google-chrome")
        found = [path for path in (*map(shutil.which, names), playwright.chromium.executable_path) if path]
        usable = [path for path in found if Path(path).exists()]
        if not usable:
            pytest.skip(
                "no Chromium on this machine. Get one with `apt-get install chromium` or "
                "`.venv/bin/playwright install --with-deps chromium`, then run the tests again"
            )
        browser = playwright.chromium.launch(executable_path=usable[0], args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


class Brightness(torch.nn.Module):
    """A stand-in whose right answer is known: bright pixels are person."""

    def forward(self, images):
        return images.mean(1, keepdim=True) * 40


@pytest.fixture
def bright() -> Segmenter:
    prep = Preprocessing(size=64, mean=(0.5,) * 3, std=(1.0,) * 3)
    return Segmenter(Brightness(), CheckpointInfo(model={}, preprocessing=prep), device="cpu")


def draw_pair(seed: int, height: int = 96, width: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """A bright figure on coloured blocks, different for every seed: learnable in seconds."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 150, (6, 5, 3), dtype=np.uint8)
    image = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    mask = np.zeros((height, width), np.uint8)
    x, y = int(width * rng.uniform(0.3, 0.7)), int(height * rng.uniform(0.35, 0.6))
    cv2.ellipse(mask, (x, y + 14), (13, 26), rng.uniform(-20, 20), 0, 360, 255, -1)
    cv2.circle(mask, (x, y - 16), 9, 255, -1)
    image[mask > 0] = np.clip(image[mask > 0] // 3 + rng.integers(120, 200, 3), 0, 255)
    return image, mask


def draw_dataset(folder: Path, count: int = 12, **size) -> Path:
    """A folder of drawn pairs."""
    for i in range(count):
        image, mask = draw_pair(i, **size)
        write_image(folder / "images" / f"{i:03}.jpg", image)
        write_image(folder / "masks" / f"{i:03}.png", mask)
    return folder


@pytest.fixture
def make_dataset(tmp_path):
    """Returns a function (count, name) that draws a data set and returns its folder."""
    return lambda count=12, name="drawn", **size: draw_dataset(tmp_path / name, count, **size)


@pytest.fixture
def tiny_model() -> torch.nn.Module:
    """A U-Net of two stages with fixed first weights."""
    torch.manual_seed(0)
    return build_model("unet", widths=(8, 16), bottleneck=16)


@pytest.fixture
def weights(tmp_path, tiny_model) -> Path:
    """The checkpoint of a network that was never trained."""
    info = CheckpointInfo(model=tiny_model.built_as, preprocessing=Preprocessing(size=64))
    return save_checkpoint(tmp_path / "m.safetensors", tiny_model, info)


@pytest.fixture
def command(capsys):
    """A function (arguments) that runs segkit as from a shell: exit code, standard output, standard error."""

    def run(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main([*map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stopped.value.code, out, err

    return run


PARAMETERS = """
seed: int = 0  # repeatable
lr: float = 0.1  # step
data_dir: str = ""  # folder
flip: bool = False  # mirror
""".strip()
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def write_notebook(path, *code: str, title: str = "", parameters: str = PARAMETERS):
    """A throw-away notebook: a title, a cell of parameters, cells of code. Returns its path."""
    cells = [new_markdown_cell(title or f"# {path.stem[:2]} · {path.stem[3:].title()}\n\nWhy.")]
    cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(source) for source in code]
    notebook = new_notebook(cells=cells, metadata=KERNEL)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path

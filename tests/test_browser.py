"""A real browser opens lessons in JupyterLab, runs them up to a slider and moves it; the picture follows.

What comes after it is left out here: all cells of all lessons run in test_notebooks.py.
The screenshots stay in runs/browser for whoever wants to look.
"""

import io
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from conftest import free_port, serving, write_notebook
from PIL import Image
from playwright.sync_api import expect

from segkit.course.run import read_profile

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
SCREENSHOTS = ROOT / "runs" / "browser"
NUMBERS = ("00", "04", "05", "06", "16")
LESSONS = [next(NOTEBOOKS.glob(f"{number}_*.ipynb")).stem for number in NUMBERS]
SECONDS = 1000  # Playwright counts in milliseconds
SETTINGS = {  # no question about news; every cell in the page, also those out of sight
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "notebook-extension/tracker": '{"windowingMode": "none"}',
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on copies of the lessons: with the fast profile's parameters, and without any output."""
    here = tmp_path_factory.mktemp("lab")
    profile, folder = read_profile(NOTEBOOKS, "fast"), here / "notebooks"
    folder.mkdir()
    for name in LESSONS:
        path = NOTEBOOKS / f"{name}.ipynb"
        notebook = papermill.execute_notebook(path, None, profile.get(name), prepare_only=True)
        notebook.cells = up_to_the_slider(notebook.cells)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
        nbformat.write(notebook, folder / path.name)
    write_notebook(folder / "small.ipynb", *SMALL)
    for name, text in SETTINGS.items():
        path = here / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    port = free_port()
    token = secrets.token_hex(16)
    places = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    places |= {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime"}
    environment = os.environ | {name: str(here / place) for name, place in places.items()}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={folder}"]
    log, address = here / "lab.log", f"http://127.0.0.1:{port}"
    with log.open("w") as said:
        server = subprocess.Popen(command, stdout=said, stderr=said, env=environment, start_new_session=True)
        with serving(server, f"{address}/api/status?token={token}", log):
            yield lambda name: f"{address}/lab/tree/{name}.ipynb?token={token}&reset"


SMALL = (
    "import numpy as np\nfrom segkit.course.knobs.lesson00 import ThresholdExplorer",
    "ThresholdExplorer(np.zeros((40, 40, 3), np.uint8), np.eye(40, dtype=np.float32))",
)
"""The cells of a notebook with one slider."""


def up_to_the_slider(cells: list) -> list:
    """The cells of a lesson up to the first that shows an explorer, as its stored outputs tell."""
    shows = ["Explorer: its sliders move" in str(cell.get("outputs")) for cell in cells]
    return cells[: shows.index(True) + 1]


def pixels(element) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"), np.int16)


@pytest.fixture
def page(chromium, request):
    """An empty page of the browser; how it looks at the end of the test is kept, also when that fails."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page = chromium.new_page(viewport={"width": 1400, "height": 1000})
    yield page
    page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
    page.close()


@pytest.mark.parametrize("name", LESSONS)
def test_in_jupyterlab_the_picture_follows_the_slider(page, lab, name):
    run_all_cells(page, lab(name))
    errors = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
    expect(errors).to_have_count(0)

    knob = page.locator(".noUi-handle").first
    box = page.locator(".jp-OutputArea-output", has=knob).first
    picture = box.locator("img").first
    knob.scroll_into_view_if_needed()
    expect(picture).to_be_visible()
    for handle in box.get_by_role("slider").all():
        expect(handle).to_have_accessible_name(re.compile(r"\w"))  # a screen reader says it
    picture.scroll_into_view_if_needed()
    for way, move in {"arrow-keys": by_keys, "mouse": by_mouse}.items():
        before, source = pixels(picture), picture.get_attribute("src")
        page.screenshot(path=SCREENSHOTS / f"{name}-before-{way}.png")
        move(page, knob)
        expect(picture).not_to_have_attribute("src", source, timeout=10 * SECONDS)
        page.wait_for_timeout(500)  # let the last of the moves arrive
        page.screenshot(path=SCREENSHOTS / f"{name}-after-{way}.png")
        after = pixels(picture)
        assert after.shape != before.shape or (abs(after - before) > 4).any(2).mean() > 0.001, way
    expect(errors).to_have_count(0)


def test_a_slider_whose_kernel_was_started_anew_says_so(page, lab):
    run_all_cells(page, lab("small"))
    says = page.get_by_text("Run the cells above and this one again")
    expect(page.locator(".noUi-handle")).to_be_visible()
    expect(says).to_be_hidden()
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Restart Kernel…")).click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(says).to_be_visible(timeout=120 * SECONDS)


def run_all_cells(page, address: str) -> None:
    page.goto(address, timeout=120 * SECONDS)
    # The notebook's own sign says idle too early; the status bar knows the kernel.
    expect(page.get_by_text("| Idle")).to_be_visible(timeout=120 * SECONDS)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = page.locator(".jp-CodeCell .jp-InputPrompt").last
    expect(last).to_have_text(re.compile(r"\[\d+\]"), timeout=300 * SECONDS)


def by_keys(page, knob) -> None:
    knob.focus()
    at_the_end = knob.get_attribute("aria-valuenow") == knob.get_attribute("aria-valuemax")
    for _ in range(8):
        page.keyboard.press("ArrowLeft" if at_the_end else "ArrowRight")


def by_mouse(page, knob) -> None:
    place = knob.bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y, steps=5)
    page.mouse.up()

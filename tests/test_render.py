"""Claims about the generator of the embedded set; it renders a tiny image where its packages are."""

import os
import re
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
RENDER = REPO / "data" / "render"
SCRIPTS = sorted(RENDER.glob("*.py"))

TINY = """
import sys
sys.path.insert(0, sys.argv[1])
import hashlib
import numpy as np
from scene import render_scene
from finish import develop, draw_look
for seed in (3, 3):
    view = next(render_scene(seed, views=1, samples=1, longer_side=48))
    look = draw_look(np.random.default_rng(0), view.light, view.parts > 0, view.facts["light"])
    image = develop(np.random.default_rng(0), view.light, look)
    assert image.shape[:2] == view.parts.shape and max(image.shape) == 48, image.shape
    assert image.std() > 5, "a flat picture"
    assert 0 < (view.parts > 0).mean() < 1, "nobody, or nothing else, in the picture"
    print("RESULT", hashlib.sha256(image.tobytes() + view.parts.tobytes()).hexdigest())
"""


def render_python():
    """The interpreter that can render, or None and why not."""
    venv = RENDER / ".venv"
    for python in (os.environ.get("RENDER_PYTHON"), venv / "bin" / "python", venv / "Scripts" / "python.exe"):
        if python and Path(python).exists():
            found = subprocess.run([str(python), "-c", "import bpy, anny"], capture_output=True, text=True)
            if found.returncode == 0:
                return str(python), ""
            return None, f"{python} cannot import bpy and anny: {found.stderr.strip().splitlines()[-1]}"
    return None, "data/render/.venv is not set up (see data/render/README.md)"


def test_a_tiny_image_renders_and_the_same_seed_gives_the_same_bytes():
    python, why_not = render_python()
    if python is None:
        pytest.skip(why_not)
    if not list((RENDER / ".cache" / "hdri").glob("*.exr")):
        pytest.skip("the panoramas are not fetched: run data/render/render.py fetch")
    done = subprocess.run([python, "-c", TINY, str(RENDER)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    digests = re.findall(r"RESULT (\w+)", done.stdout)
    assert len(digests) == 2 and digests[0] == digests[1]


def test_segkit_never_imports_the_generator():
    own = "|".join([*(script.stem for script in SCRIPTS), "bpy", "anny"])
    for module in (REPO / "segkit").rglob("*.py"):
        assert not re.search(rf"(?m)^\s*(import|from) ({own})\b", module.read_text()), module


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.name)
def test_a_script_states_its_licence_and_what_imports_blender_is_gpl(script):
    text = script.read_text()
    licence = re.match(r"# SPDX-License-Identifier: (\S+)\n", text)
    assert licence, f"{script.name} has no SPDX line at its top"
    free = r"(?m)^\s*(import|from) (bpy|mathutils|stage|shade|scene|props|places|held|figure|clips)\b"
    if re.search(free, text):
        assert licence[1] == "GPL-3.0-or-later"


def test_every_requirement_is_pinned():
    lines = [line.strip() for line in (RENDER / "requirements.txt").read_text().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[A-Za-z0-9_.-]+==\S+( ?;.*)?", line) for line in lines), lines


def test_dropped_pictures_have_a_reason_and_are_not_in_the_set():
    listed = (REPO / "data" / "people" / "splits.csv").read_text()
    for line in (RENDER / "dropped.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _reason = line.split(None, 1)
            assert f"\n{name}," not in listed

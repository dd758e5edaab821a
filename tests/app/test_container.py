"""The image of the page and the API, as far as it can be proved without a Docker engine."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("fastapi_offline")

from asking import running

from segkit.app.page import page_app
from segkit.app.serve import build_api
from segkit.cli import parse
from segkit.predict import Segmenter

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()


def test_the_linter_finds_nothing():
    linter = Path(sys.executable).with_name("hadolint")
    assert subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True).stdout == ""


def test_the_build_sees_what_the_wheel_is_made_of_and_nothing_else():
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], "pyproject.toml", "README.md", "LICENSE"}
    assert set(allowed) == {*needed, "requirements.lock"}
    assert all((ROOT / path).exists() for path in allowed)


def test_nobody_is_root_and_the_examples_reach_this_machine_alone():
    assert re.findall(r"^USER (\d+)", TEXT, re.M)[-1] != "0"
    examples = [line for line in TEXT.splitlines() if "docker run" in line]
    assert len(examples) == 2 and all("-p 127.0.0.1:7860:7860" in line for line in examples)


def test_what_the_image_runs_is_understood_and_its_health_is_asked_of_both(tmp_path, monkeypatch):
    page = json.loads(re.search(r"^CMD (.*)$", TEXT, re.M)[1])
    api = re.search(r"segkit (serve .*?)  #", TEXT)[1].split()
    for name, *rest in (page, api):
        _, args = parse(name, rest)
        assert (args.host, args.port) == ("0.0.0.0", 7860)
    check = json.loads(re.search(r"HEALTHCHECK.*?CMD (\[.*?\])$", TEXT, re.M | re.S)[1])[1:]
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # Docker may hand on its own
    with page_app(["person-small"], "0.0.0.0", ["torch"]) as app:
        for served in (app, build_api(Segmenter.load("person-small"), "0.0.0.0")):
            with running(served) as address:
                port = address.rpartition(":")[2]
                here = [part.replace("'localhost', 7860", f"'localhost', {port}") for part in check]
                assert subprocess.run([sys.executable, *here]).returncode == 0
    assert subprocess.run([sys.executable, *here], capture_output=True).returncode != 0, "it has ended"

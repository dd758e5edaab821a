"""The project's own files agree with each other, and the README is true."""

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from segkit.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def test_the_lock_pins_every_dependency_within_its_range():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = {canonicalize_name(n): v for n, v in (line.split("==") for line in lines if line)}
    for text in [*PYPROJECT["project"]["dependencies"], *(r for extra in EXTRAS.values() for r in extra)]:
        requirement = Requirement(text)
        if requirement.name == PYPROJECT["project"]["name"]:  # an extra within an extra
            assert requirement.extras <= set(EXTRAS)
            continue
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, text
    assert pins["torch"] == "2.13.0" and "opencv-python" not in pins


def test_the_lock_names_no_place_to_download_from():
    assert not re.search(r"://|@|--|\+", (ROOT / "requirements.lock").read_text())


def test_what_a_missing_package_asks_for_exists_and_brings_it():
    text = "\n".join(path.read_text() for path in (ROOT / "segkit").rglob("*.py"))
    asked = re.findall(r"require\(([^)]*?), extra=\"(\w+)\"", text)
    assert len(asked) >= 12
    for packages, extra in asked:
        brought = " ".join(EXTRAS[extra] + (EXTRAS["notebook"] if extra == "lab" else []))
        for package in re.findall(r'"(\w+)"', packages):
            package = package.replace("skimage", "scikit-image")
            assert package in brought, f"[{extra}] does not bring {package}"
    hints = [line for line in text.splitlines() if "pip install" in line]
    assert all(re.search("segkit-course|onnxruntime|%pip", line) for line in hints), hints


def test_environment_yml_points_at_the_lock_and_at_extras_that_exist():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, section = environment["dependencies"]
    assert Requirement(python.replace("=", "==")).specifier.contains("3.11")
    assert pip == "pip"
    constraint, package = section["pip"]
    assert constraint == "-c requirements.lock"
    extras = re.fullmatch(r"-e \.\[(.*)\]", package)[1].split(",")
    assert set(extras) <= set(EXTRAS)
    assert f'-e ".[{",".join(extras)}]"' in (ROOT / "Makefile").read_text()


def test_ci_calls_the_test_command_of_the_readme():
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()
    assert "make test" in README and "make course" in README


def test_make_lab_opens_copies_of_the_lessons_in_which_git_sees_no_change(tmp_path):
    for name in ("Makefile", ".gitignore", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", tmp_path / "notebooks")

    def run(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    run("git", "init", "-q")
    before = run("git", "status", "--porcelain")
    run("make", "my-lessons")
    opened = re.search(r"jupyter lab (\S+)", run("make", "-n", "lab"))[1]
    (tmp_path / opened).write_text("run and written in")
    assert run("git", "status", "--porcelain") == before
    run("make", "my-lessons")
    assert (tmp_path / opened).read_text() == "run and written in"  # another day it goes on


def test_the_links_and_pictures_of_the_readme_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_site_relinks_the_prose_of_a_lesson_and_leaves_its_code_alone():
    build = runpy.run_path(str(ROOT / "docs" / "build.py"))
    path = ROOT / "notebooks" / "02_data.ipynb"
    code = 'again = study["known"](*study["load"](), seed=0)'
    cells = [new_code_cell(code), new_markdown_cell("[the loss](../segkit/losses.py), [a house](nowhere.md)")]
    page = json.loads(build["lesson"](json.dumps(new_notebook(cells=cells)), path, set()))
    assert [cell["source"] for cell in page["cells"]] == [code, "[the loss](../api/segkit.md), a house"]


def test_imports_run_one_way():
    # The rules stand in pyproject.toml, [tool.importlinter].
    linter = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(linter, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_segkit_or_asking_for_help_loads_neither_torch_nor_albumentations():
    code = """
import contextlib, sys, segkit.cli, segkit.files
from segkit import UserError, read_image
with contextlib.suppress(SystemExit):
    segkit.cli.main(["--help"])
print(*{"torch", "albumentations"} & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("usage: segkit"), done.stderr
    assert done.stdout.splitlines()[-1] == ""


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.slow
def test_the_commands_and_the_python_of_the_readme_run_as_written(make_dataset, tmp_path, monkeypatch):
    """But for the number of epochs, of which a few are enough."""
    photos = make_dataset(6, "my-photos")
    shutil.copytree(photos / "images", tmp_path / "holiday")
    shutil.copy(photos / "images" / "000.jpg", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    commands = re.findall("^segkit.*", "\n".join(snippets("bash")), re.MULTILINE)
    assert len(commands) >= 4
    script = f"{Path(sys.executable).parent}/{commands[0]}"
    done = subprocess.run(script, shell=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in commands[1:]:
        fewer = line.replace("num_epochs 20", "num_epochs 1").replace("num_epochs 25", "num_epochs 2")
        with pytest.raises(SystemExit, match="0"):
            main(shlex.split(fewer, comments=True)[1:])
    (code,) = snippets("python")
    exec(code, {})
    assert Path("cutout.png").exists()

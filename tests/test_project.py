"""The project's own files agree with each other, and the README is true."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {canonicalize_name(n): v for n, v in (line.split("==") for line in lines if line)}


def test_the_lock_pins_every_dependency_within_its_range():
    pins = locked()
    for text in [*PYPROJECT["project"]["dependencies"], *(r for extra in EXTRAS.values() for r in extra)]:
        requirement = Requirement(text)
        if requirement.name == PYPROJECT["project"]["name"]:  # an extra within an extra
            assert requirement.extras <= set(EXTRAS)
            continue
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, text
    assert pins["torch"] == "2.13.0"
    assert "opencv-python" not in pins


def test_the_lock_names_no_place_to_download_from():
    assert not re.search(r"://|@|--|\+", (ROOT / "requirements.lock").read_text())


def test_what_a_missing_package_asks_for_exists_and_brings_it():
    text = "\n".join(path.read_text() for path in (ROOT / "segkit").rglob("*.py"))
    asked = re.findall(r"require\(([^)]*?), extra=\"(\w+)\"", text)
    assert len(asked) >= 12
    for packages, extra in asked:
        brought = " ".join(EXTRAS[extra] + (EXTRAS["notebook"] if extra == "lab" else []))
        for package in re.findall(r'"(\w+)"', packages):
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
    assert "make test" in README
    assert "make course" in README


def test_the_links_and_pictures_of_the_readme_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_imports_run_one_way():
    # The rules stand in pyproject.toml, [tool.importlinter].
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_segkit_or_asking_for_help_loads_neither_torch_nor_albumentations():
    for call in ("import segkit", "import segkit.files", "from segkit import UserError, read_image"):
        code = f"{call}; import sys; print(*{{'torch', 'albumentations'}} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert done.stdout.split() == [], f"{call}: {done.stdout} {done.stderr}"


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A folder as a reader's would be, with small pictures where the README's are."""
    from conftest import draw_pair

    from segkit.files import write_image

    here = tmp_path_factory.mktemp("stranger")
    for i in range(6):
        image, mask = draw_pair(i)
        for folder in ("data/people", "my-photos"):
            write_image(here / folder / "images" / f"{i:03}.jpg", image)
            write_image(here / folder / "masks" / f"{i:03}.png", mask)
        write_image(here / "holiday" / f"{i:03}.jpg", image)
    shutil.copy(here / "holiday" / "000.jpg", here / "photo.jpg")
    return here


@pytest.mark.slow
def test_the_commands_and_the_python_of_the_readme_run_as_written(stranger):
    bin_folder = Path(sys.executable).parent
    commands = [
        line for block in snippets("bash") for line in block.splitlines() if line.startswith("segkit")
    ]
    assert len(commands) >= 4
    for line in commands:
        done = subprocess.run(
            line,
            shell=True,
            cwd=stranger,
            capture_output=True,
            text=True,
            env={"PATH": f"{bin_folder}:/usr/bin:/bin"},
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    (code,) = snippets("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=stranger, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (stranger / "cutout.png").exists()

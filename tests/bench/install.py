"""How long an installation takes and how large it is: python tests/bench/install.py [--extras lab,video].

Builds the wheel, installs it into a new environment with the versions of requirements.lock, and runs
`segkit doctor` and a cut-out there. What pip downloads, and from where, is up to pip's own settings.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", default="", help="such as lab,video")
    extras = parser.parse_args().extras
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        run([*pip, "wheel", "--no-deps", "-w", home, ROOT])
        (wheel,) = home.glob("*.whl")
        run([sys.executable, "-m", "venv", home / "env"])
        python, before = home / "env" / "bin" / "python", megabytes(home / "env")
        start = time.monotonic()
        what = f"{wheel}[{extras}]" if extras else wheel
        run([python, *pip[1:], "install", "--no-cache-dir", "-c", ROOT / "requirements.lock", what])
        seconds, size = time.monotonic() - start, megabytes(home / "env") - before
        print(f"the wheel: {megabytes(wheel)} MB; installed, with what it needs: {size} MB, {seconds:.0f} s")
        for name in ("torch", "segkit"):
            (place,) = (home / "env").rglob(f"site-packages/{name}")
            print(f"  of these {name}: {megabytes(place)} MB")
        photo = next((ROOT / "data" / "people" / "images").iterdir())
        run([home / "env" / "bin" / "segkit", "doctor"], cwd=home)
        run([home / "env" / "bin" / "segkit", "predict", photo, "-o", home / "out"], cwd=home)


def run(command: list, **more) -> None:
    subprocess.run(command, check=True, **more)


def megabytes(path: Path) -> int:
    """Of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return round(sum(file.lstat().st_size for file in files) / 1e6)


if __name__ == "__main__":
    main()

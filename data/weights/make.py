"""One command from photographs to weights that ship; run again, it goes on where it stopped.

    python data/weights/make.py person-base people-real people-more
    python data/weights/make.py person-small people-real people-more --quick

The stages of a network are in recipes/. They are trained on what photographs.py writes and on data/people.
Runs and pictures go to the folder runs/. --quick takes the backward pass of depthwise.py.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

from segkit.files import embedded_path
from segkit.train import train
from segkit.training.settings import split_settings

HERE = Path(__file__).parent
STAGES = {
    "person-base": ("person-base-1", "person-base-2", "person-base-3", "person-base-4", "person-base"),
    "person-small": ("person-small-1", "person-small"),
    "person-unet": ("person-unet-1", "person-unet-2", "person-unet-3"),
}
"""Recipes in their order."""
CHOSEN = {
    "person-base": ["--size", "384"],
    "person-small": ["--mix", "runs/person-small-1", "--size", "288"],
    "person-unet": ["--mix", "runs/person-unet-2", "--size", "256"],
}
"""What validate.py chose, as options of publish.py."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=STAGES)
    parser.add_argument("photographs", type=Path, nargs="+", help="people-real, people-more")
    parser.add_argument("--quick", action="store_true", help="needs g++, ninja and AVX-512 with bfloat16")
    given = parser.parse_args()
    if given.quick:
        from depthwise import install

        install()
    pictures = Path("runs/photographs")
    if not (pictures / "splits.csv").exists():
        script = [sys.executable, HERE / "photographs.py", *given.photographs, "--out", pictures]
        subprocess.run(script, check=True)
    for stage in STAGES[given.name]:
        run = Path("runs") / stage
        recipe, config = split_settings(yaml.safe_load((HERE / "recipes" / f"{stage}.yaml").read_text()))
        folders = [pictures, embedded_path("people")]
        train(folders, run, recipe, config, resume=(run / "history.csv").exists())
    publish = [sys.executable, HERE / "publish.py", f"runs/{stage}:average", given.name]
    subprocess.run([*publish, *CHOSEN[given.name]], check=True)


if __name__ == "__main__":
    main()

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
from segkit.train import TrainConfig, train

HERE = Path(__file__).parent
STAGES = {
    "person-base": ("person-base-1", "person-base-2", "person-base-3", "person-base"),
    "person-small": ("person-small-1", "person-small"),
}
"""Recipes in their order; the last has the name of the weights."""
CHOSEN = {"person-base": (":average", 384), "person-small": (":average", 256)}
"""What validate.py chose: the best epoch ("") or the moving average at the end, and the input size."""


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
        config = TrainConfig(**yaml.safe_load((HERE / "recipes" / f"{stage}.yaml").read_text()))
        train([pictures, embedded_path("people")], run, config, resume=(run / "history.csv").exists())
    which, size = CHOSEN[given.name]
    publish = [sys.executable, HERE / "publish.py", f"runs/{given.name}{which}", given.name]
    subprocess.run([*publish, "--size", str(size)], check=True)


if __name__ == "__main__":
    main()

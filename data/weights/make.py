"""One command from photographs to weights that ship; run again, it goes on where it stopped.

    python data/weights/make.py person-base people-real people-more
    python data/weights/make.py person-small people-real people-more --quick
    python data/weights/make.py person-parts people-real people-more --trial

The stages of a network are in recipes/. They are trained on what photographs.py writes and on data/people,
person-parts on what clothes.py makes of both. Runs and pictures go to the folder runs/.
--quick takes the backward pass of depthwise.py. --trial shows that everything runs: tiny pictures, one step
a stage, and the file goes to runs/.
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
    "person-base": (*(f"person-base-{n}" for n in range(1, 7)), "person-base"),
    "person-small": ("person-small-1", "person-small-2", "person-small"),
    "person-unet": ("person-unet-1", "person-unet-2", "person-unet-3"),
    "person-parts": ("person-parts-1", "person-parts-2", "person-parts"),
}
"""Recipes in their order."""
CHOSEN = {
    "person-base": ["--mix", "runs/person-base-met.safetensors", "--size", "384", "--look_closer"],
    "person-small": ["--mix", "runs/person-small-2", "--size", "288"],
    "person-unet": ["--mix", "runs/person-unet-2", "--size", "256"],
    "person-parts": ["--mix", "runs/person-parts-2", "--share", "0.3", "--size", "384"],
}
"""What validate.py chose, as options of publish.py."""
MET = {"person-base-6": ["person-base-met", "--mix", "runs/person-base-5", "--size", "384", "--out", "runs"]}
"""Stages whose weights meet earlier ones before the next starts: under what name, options of publish.py."""

TRIAL = {"size": 64, "num_epochs": 1, "steps_per_epoch": 1, "batch_size": 2, "augment": 0.0}


def run_script(name: str, *arguments) -> None:
    subprocess.run([sys.executable, HERE / name, *arguments], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=STAGES)
    parser.add_argument("photographs", type=Path, nargs="+", help="people-real, people-more")
    parser.add_argument("--quick", action="store_true", help="needs g++, ninja and AVX-512 with bfloat16")
    parser.add_argument("--trial", action="store_true", help="in a folder without runs/")
    given = parser.parse_args()
    if given.quick:
        from depthwise import install

        install()
    pictures, clothes = Path("runs/photographs"), Path("runs/clothes")
    folders = [pictures, embedded_path("people")]
    if not (pictures / "splits.csv").exists():
        run_script("photographs.py", *given.photographs, "--out", pictures)
    if given.name == "person-parts":
        folders = [clothes]
        if not (clothes / "splits.csv").exists():
            named = next(folder for folder in given.photographs if (folder / "parts").is_dir())
            run_script("clothes.py", pictures, named, "--out", clothes)
    for stage in STAGES[given.name]:
        run = Path("runs") / stage
        settings = yaml.safe_load((HERE / "recipes" / f"{stage}.yaml").read_text())
        recipe, config = split_settings(settings | (TRIAL if given.trial else {}))
        train(folders, run, recipe, config, resume=(run / "history.csv").exists())
        if stage in MET:
            run_script("publish.py", f"{run}:average", *MET[stage])
    where = ["--out", "runs"] if given.trial else []
    run_script("publish.py", f"runs/{stage}:average", given.name, *CHOSEN[given.name], *where)


if __name__ == "__main__":
    main()

"""Turn a training run into weights that ship: half precision, its log beside it.

    python data/weights/publish.py runs/person-base-3 person-base --size 384
    python data/weights/publish.py runs/person-small-3 person-small --mix person-small --size 256

The first takes the epoch with the best validation Dice. With --mix, the moving average at the end of the
run meets the weights that it started from half way (a run folder's best epoch, or a name): weights in one
valley of the loss can be averaged, and the average often does better than both (Wortsman et al., "Model
soups", 2022).
Writes NAME.safetensors here, and the run's history.csv as RUN.csv.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from segkit.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint

HERE = Path(__file__).parent
AVERAGE = "average/module."


def moving_average_at_the_end(run: Path) -> dict[str, Tensor]:
    """The weights that resuming would go on with, from the run's last/."""
    state = load_file(run / "last" / "state.safetensors")
    return {key.removeprefix(AVERAGE): value for key, value in state.items() if key.startswith(AVERAGE)}


def half_way(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: (value + other[key]) / 2 if value.is_floating_point() else value for key, value in one.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("name", help="the name to load the weights by")
    parser.add_argument("--mix", help="average with these weights: a run folder, a checkpoint or a name")
    parser.add_argument("--size", type=int, help="the input size, where it should differ from training's")
    given = parser.parse_args()
    model, info = load_checkpoint(given.run / "best.safetensors")
    if given.mix:
        other, _ = load_checkpoint(find_checkpoint(given.mix))
        model.load_state_dict(half_way(other.state_dict(), moving_average_at_the_end(given.run)))
        info = replace(info, scores={})  # measured after averaging: see README.md
    if given.size:
        info = replace(info, preprocessing=replace(info.preprocessing, size=given.size))
    path = save_checkpoint(HERE / f"{given.name}.safetensors", model, info, half=True)
    shutil.copy(given.run / "history.csv", HERE / f"{given.run.name}.csv")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

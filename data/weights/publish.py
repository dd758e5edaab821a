"""Turn a training run into weights that ship: half precision, its log beside the recipes.

    python data/weights/publish.py runs/person-base person-base --size 384            # the best epoch
    python data/weights/publish.py runs/person-base:average person-base --size 384    # the average at its end
    python data/weights/publish.py runs/person-small:average person-small --mix runs/person-small-1 --size 288

With --mix the weights meet those that the run started from: weights in one valley of the loss can be
averaged, and the average often does better than both (Wortsman et al., "Model soups", 2022).

Writes NAME.safetensors and recipes/NAME.csv, the run's history, beside this file or to --out.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from segkit.checkpoint import CheckpointInfo, find_checkpoint, load_checkpoint, save_checkpoint

AVERAGE = "average/module."


def load_candidate(name: str) -> tuple[nn.Module, CheckpointInfo]:
    """A name, a checkpoint or a run (its best epoch); RUN:average is the moving average at its end."""
    path, _, which = name.partition(":")
    model, info = load_checkpoint(find_checkpoint(path))
    if which:
        assert which == "average", f"RUN or RUN:average, found {name}"
        state = load_file(Path(path) / "last" / "state.safetensors")
        model.load_state_dict(
            {key.removeprefix(AVERAGE): value for key, value in state.items() if key.startswith(AVERAGE)}
        )
        info = replace(info, scores={})  # of the best epoch
    return model, info


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", help="a run folder, or RUN:average")
    parser.add_argument("name", help="the name to load the weights by")
    parser.add_argument("--mix", help="average with these weights: a run folder, a checkpoint or a name")
    parser.add_argument("--share", type=float, default=0.5, help="of the weights that are mixed in")
    parser.add_argument("--size", type=int, help="the input size, where it should differ from training's")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--look_closer", action="store_true", help="look again where the person is small")
    given = parser.parse_args()
    model, info = load_candidate(given.run)
    if given.mix:
        other = load_candidate(given.mix)[0].state_dict()
        for name, value in model.state_dict().items():
            if value.is_floating_point():  # in place: state_dict shares its memory with the network
                value.lerp_(other[name], given.share)
        info = replace(info, scores={})  # of the best epoch
    if given.size:
        info = replace(info, preprocessing=replace(info.preprocessing, size=given.size))
    info = replace(info, look_closer=given.look_closer)
    path = save_checkpoint(given.out / f"{given.name}.safetensors", model, info, half=True)
    (given.out / "recipes").mkdir(exist_ok=True)
    history = Path(given.run.partition(":")[0]) / "history.csv"
    shutil.copy(history, given.out / "recipes" / f"{given.name}.csv")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

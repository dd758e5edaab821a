"""segkit train: Train a network."""

import json
import sys
from dataclasses import fields
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentParser

from segkit.files import UserError, name_some

EXAMPLE = "segkit train data/people -o runs/first --num_epochs 20 --width 16"
WHEN_STOPPED = "Go on where it was with: segkit train --resume -o RUN"


def add_arguments(command: ArgumentParser) -> None:
    from segkit.train import TrainConfig

    command.add_argument("data", nargs="*", type=str, help="one or several data sets")
    command.add_argument("--config", action=ActionConfigFile, help="a YAML file with any of these settings")
    command.add_argument("-o", "--out", type=str, help="the run folder (default: runs/DATA)")
    command.add_argument("--resume", action="store_true", help="go on with the run in the folder given by -o")
    command.add_class_arguments(TrainConfig, as_group=False, instantiate=False)


def run(args) -> int:
    from segkit.train import TrainConfig, train

    args = _training_folders(args)
    settings = {f.name: args[f.name] for f in fields(TrainConfig)}
    run = train(args.data, args.out, TrainConfig(**settings), args.resume)
    print(f"best validation Dice {run.best_dice:.4f} in epoch {run.best_epoch}: {run.checkpoint}")
    print(f"curves: {run.folder / 'curves.png'}")
    return 0


def defaults(argv: list[str]) -> dict:
    """`train --resume -o RUN`: the recorded data and settings, which flags given again replace."""
    if "--resume" not in argv:
        return {}
    out = next((argv[i + 1] for i, a in enumerate(argv[:-1]) if a in ("-o", "--out")), None)
    if out is None:
        raise UserError("--resume needs the run folder: segkit train --resume -o runs/first")
    record = Path(out) / "config.json"
    if not record.is_file():
        raise UserError(f"'{out}' holds no config.json, so there is no run to go on with.")
    recorded = json.loads(record.read_text())
    return {"data": recorded["data"], **recorded["config"]}


def _training_folders(args):
    """Recipes may name photographs that not everybody has: a new run learns from the sets that are there."""
    if not args.data:
        raise UserError("segkit train needs a data set: segkit train data/people -o runs/first")
    there = [folder for folder in args.data if Path(folder).is_dir()]
    if there and len(there) < len(args.data) and not args.resume:
        missing = list(dict.fromkeys(folder for folder in args.data if folder not in there))
        print(
            f"segkit: no such folder: {name_some(missing)}. Training on {name_some(there)} alone.",
            file=sys.stderr,
        )
        args.data = there
    args.out = args.out or f"runs/{Path(args.data[0]).name}"
    return args

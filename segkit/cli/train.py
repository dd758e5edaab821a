"""segkit train: Train a network."""

import argparse
import json
import os
import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import yaml
from jsonargparse import ActionConfigFile
from jsonargparse.typing import PositiveInt

from segkit.cli.common import Parser
from segkit.files import UserError, name_some

EXAMPLE = "segkit train data/people -o runs/first --num_epochs 20 --width 16"
WHEN_STOPPED = "After its first epoch, it goes on where it was with: segkit train --resume -o RUN"


class SettingsFile(ActionConfigFile):
    """Without YAML's aliases, which may stand for more than memory holds."""

    def __call__(self, parser, found, path, option=None):
        if os.path.exists(path) and not os.path.isfile(path):
            raise UserError(f"'{path}' is not a file: --config names a YAML file.")
        try:
            with suppress(OSError, yaml.YAMLError):  # the parser says what is wrong
                self._check(path, Path(path).read_text())
            super().__call__(parser, found, path, option)
        except (UnicodeDecodeError, RecursionError) as error:  # jsonargparse expects YAML that people wrote
            raise UserError(f"'{path}' is no YAML in UTF-8 that can be read ({error}).") from None

    def _check(self, path: str, text: str) -> None:
        settings = yaml.compose(text)
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise UserError(f"'{path}' refers to itself by *: write each setting out.")
        if not isinstance(settings, yaml.MappingNode):
            raise UserError(f"'{path}' holds no settings: expected lines such as num_epochs: 20")
        keys = [key.value for key, _ in settings.value]
        for key, (_, value) in zip(keys, settings.value, strict=True):
            if key in ("resume", "config"):  # the recorded settings are read before this file
                how = f"segkit train --resume -o RUN --config {path}"
                raise UserError(f"'{path}' cannot say {key}: {how}")
            if keys.count(key) > 1:
                raise UserError(f"'{path}' says {key} twice.")
            if key == "data" and not isinstance(value, yaml.SequenceNode):
                raise UserError(f"'{path}': data is a list, such as [data/people].")


def add_arguments(command: Parser) -> None:
    from segkit.train import Recipe, TrainConfig

    command.add_argument("data", nargs="*", type=str, help="one or several data sets")
    command.add_argument("--config", action=SettingsFile, help="a YAML file with any of these settings")
    command.add_argument("-o", "--out", type=str, help="the run folder (default: runs/DATA)")
    command.add_argument("--resume", action="store_true", help="go on with the run in the folder given by -o")
    command.add_argument("--folds", type=int, help="cross-validate: so many trainings score every picture")
    command.add_argument("--parallel", type=PositiveInt, default=1, help="with --folds: so many at a time")
    command.add_class_arguments(Recipe, as_group=False, instantiate=False)
    command.add_class_arguments(TrainConfig, as_group=False, instantiate=False)


def run(args) -> int:
    from segkit.sets.groups import find_leaks
    from segkit.train import Recipe, TrainConfig, train
    from segkit.training.settings import split_settings

    args = _training_folders(args)
    names = [f.name for kind in (Recipe, TrainConfig) for f in fields(kind)]
    given = {name: args[name] for name in names}
    for several in ("model_settings", "shares"):  # --shares.selfie 0.3 comes as text
        given[several] = given[several] or {}  # null in a file of settings
        texts = {key: value for key, value in given[several].items() if isinstance(value, str)}
        given[several] |= {key: _meant(f"--{several}.{key}", text) for key, text in texts.items()}
    recipe, config = split_settings(given)
    if args.folds is not None:
        from segkit.study.folds import cross_validate

        print(cross_validate(args.data, args.out, args.folds, recipe, config, args.resume, args.parallel))
        return 0
    if args.parallel != 1:
        raise UserError("--parallel says how many folds train at a time: give --folds as well.")
    # Several processes train together: one of them looks and says.
    rank = int(os.environ.get("RANK", 0))
    leaks = [] if rank else find_leaks(*args.data, splits=recipe.splits, labels=recipe.labels)
    run = train(args.data, args.out, recipe, config, args.resume, leaks)
    print(f"best validation Dice {run.best_dice:.4f} in epoch {run.best_epoch}: {run.checkpoint}")
    print(f"curves: {run.folder / 'curves.png'}")
    return 0


def _meant(option: str, text: str):
    """A number, a word, or a list such as 8,16.   Raises: UserError."""
    try:
        return yaml.safe_load(f"[{text}]" if "," in text and text[0] not in "[{" else text)
    except (ValueError, yaml.YAMLError, RecursionError):
        raise UserError(
            f"{option} takes a number, a word, or a list such as 8,16: found '{text[:80]}'."
        ) from None


def defaults(argv: list[str]) -> dict:
    """`train --resume -o RUN`: the recorded data and settings, which flags given again replace."""
    from segkit.training.settings import split_settings

    if "--resume" not in argv:
        return {}
    place = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    place.add_argument("-o", "--out", nargs="?")
    out = place.parse_known_args(argv)[0].out
    if out is None:
        raise UserError("--resume needs the run folder: segkit train --resume -o runs/first")
    record = next((p for name in ("config.json", "cv.json") if (p := Path(out) / name).is_file()), None)
    if record is None:
        raise UserError(f"'{out}' holds no config.json, so there is no run to go on with.")
    try:
        recorded = json.loads(record.read_text())
        split_settings(recorded["config"])
        data = [str(Path(folder)) for folder in recorded["data"]]
        return {"data": data, "folds": recorded.get("folds"), **recorded["config"]}
    except (UserError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"'{record}' is no record of a run that can be read ({error}).") from None


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

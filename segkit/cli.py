"""The command `segkit`: what the notebooks teach, from a terminal. Introduced in notebook 00."""

import json
import sys
from dataclasses import fields
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentParser, set_parsing_settings

from segkit.files import UserError, list_images, read_image

set_parsing_settings(docstring_parse_attribute_docstrings=True)


def build_parser() -> ArgumentParser:
    """The parser of `segkit` and of each of its commands."""
    parser = ArgumentParser(
        prog="segkit",
        description="Learn and use person segmentation. `segkit COMMAND --help` shows an example of each.",
    )
    commands = parser.add_subcommands(title="commands", metavar="COMMAND")
    made = {}
    for name, (summary, example, _) in COMMANDS.items():
        made[name] = ArgumentParser(description=f"{summary} Example: {example}")
        commands.add_subcommand(name, made[name], help=summary)
    for name, command in made.items():  # jsonargparse wants every command before the first sub-command
        COMMANDS[name][2](command)
    return parser


def _doctor(command: ArgumentParser) -> None:
    command.add_argument(
        "folder", nargs="?", help="a data set to look at; without it, this machine is looked at"
    )
    command.add_argument("--picture", help="also write a picture of the data set to this file (.png)")


def _data(command: ArgumentParser) -> None:
    actions = command.add_subcommands(dest="action", metavar="ACTION")
    check = ArgumentParser(description="Say what a data set holds. Example: segkit data check data/people")
    _doctor(check)
    actions.add_subcommand("check", check, help="say what a data set holds and what is wrong with it")
    known = ArgumentParser(
        description="List the real data sets that can be fetched. Example: segkit data list"
    )
    actions.add_subcommand("list", known, help="real data sets that one command fetches")
    get = ArgumentParser(
        description="Fetch a data set. Example: segkit data get coco-person --split val --limit 500 -o coco"
    )
    get.add_argument("name", help="penn-fudan or coco-person")
    get.add_argument("-o", "--out", help="the new folder (default: in the cache folder, $SEGKIT_DATA)")
    get.add_argument("--split", help="of coco-person: val, train or all")
    get.add_argument("--limit", type=int, help="this many pictures")
    get.add_argument("--licence", help="redistributable, or COCO licence ids such as 4,5")
    get.add_argument(
        "--crowd", default="person", help="person counts crowd regions as person; skip-image leaves out"
    )
    get.add_argument(
        "--yes", action="store_true", help="accept the terms of the data set without being asked"
    )
    actions.add_subcommand("get", get, help="fetch one of them into the folder format")
    take = ArgumentParser(
        description="Turn annotated photographs into a data set. Example: segkit data import labels/ -o mine"
    )
    take.add_argument(
        "source", help="a folder in a common layout: COCO, VOC, labelme, Supervisely, masks beside, ..."
    )
    take.add_argument("-o", "--out", required=True, help="the new folder")
    take.add_argument("--layout", default="auto", help="name the layout instead of finding it out")
    take.add_argument("--classes", help="what counts as person: class names or mask values, with commas")
    take.add_argument("--empty", default="skip", help="pictures without annotation: skip, or keep as nobody")
    take.add_argument(
        "--crowd", default="person", help="person counts crowd regions as person; skip-image leaves out"
    )
    actions.add_subcommand("import", take, help="turn common annotation layouts into the folder format")
    split = ArgumentParser(description="Write splits.csv. Example: segkit data split my-photos --seed 1")
    split.add_argument("folder", help="a data set")
    split.add_argument("--seed", type=int, default=0, help="another seed, another split")
    actions.add_subcommand("split", split, help="write splits.csv: train, val and test")


def _train(command: ArgumentParser) -> None:
    from segkit.train import TrainConfig

    command.add_argument("data", nargs="*", type=str, help="one or several data sets")
    command.add_argument("--config", action=ActionConfigFile, help="a YAML file with any of these settings")
    command.add_argument("-o", "--out", type=str, help="the run folder (default: runs/DATA)")
    command.add_argument("--resume", action="store_true", help="go on with the run in the folder given by -o")
    command.add_class_arguments(TrainConfig, as_group=False, instantiate=False)


def _evaluate(command: ArgumentParser) -> None:
    _checkpoint(command)
    command.add_argument("data", help="a data set")
    command.add_argument("--split", default="all", help="train, val, test or all")
    command.add_argument(
        "-o", "--out", default="runs/evaluate", help="folder for per_image.csv and worst.png"
    )
    command.add_argument("--flip", action="store_true", help="average with the mirror image")


def _predict(command: ArgumentParser) -> None:
    command.add_argument(
        "input", nargs="+", help="pictures, folders, or - for a list of files on standard input"
    )
    command.add_argument("-m", "--model", required=True, help="a checkpoint, or a run folder")
    command.add_argument("-o", "--out", required=True, help="folder for the results")
    command.add_argument("--write", nargs="+", default=["mask"], help="any of: mask overlay cutout")
    command.add_argument("--background", help="also put the person on: blur, #RRGGBB, or a picture")
    command.add_argument("--threshold", type=float, help="probability from which a pixel is person (0 to 1)")
    command.add_argument("--flip", action="store_true", help="average with the mirror image (slower, better)")
    command.add_argument("--scales", nargs="+", type=float, default=[1.0], help="average over these scales")
    command.add_argument("--device", help="cpu, cuda, ...; the GPU by default where there is one")


def _course(command: ArgumentParser) -> None:
    command.add_argument("--data", help="a data set; the embedded one by default")
    command.add_argument("-o", "--out", default="runs", help="where the new folder goes")
    command.add_argument("--num_epochs", type=int, default=12, help="epochs of the short training")
    command.add_argument("--size", type=int, default=128, help="pictures are resized to size x size")


def _checkpoint(command: ArgumentParser) -> None:
    command.add_argument("checkpoint", help="a .safetensors checkpoint, or a run folder")


COMMANDS = {
    "doctor": (
        "Check this machine, or a data set.",
        "segkit doctor data/people --picture people.png",
        _doctor,
    ),
    "data": ("Work with data sets.", "segkit data check data/people", _data),
    "train": (
        "Train a network.",
        "segkit train data/people -o runs/first --num_epochs 20 --width 16",
        _train,
    ),
    "evaluate": (
        "Score a network on a data set.",
        "segkit evaluate runs/first data/people --split test",
        _evaluate,
    ),
    "predict": (
        "Cut people out of photographs.",
        "segkit predict photos/ -m runs/first -o out --write mask overlay cutout --background blur",
        _predict,
    ),
    "course": ("Run the course end to end.", "segkit course", _course),
}


def run_doctor(folder: str | None, picture: str | None) -> int:
    from segkit.doctor import check_environment, inspect_dataset, picture_of_dataset
    from segkit.plots import save_figure

    if folder is None:
        text, healthy = check_environment()
        print(text)
        return 0 if healthy else 1
    report = inspect_dataset(folder)
    print(report.text())
    if picture:
        print(f"picture: {save_figure(picture_of_dataset(report), picture)}")
    return 0 if report.healthy else 1


def run_data(action: str, args) -> int:
    if action == "check":
        return run_doctor(args.folder, args.picture)
    if action == "import":
        from segkit.importers import import_folder

        report = import_folder(args.source, args.out, args.layout, args.classes, args.empty, args.crowd)
        print(report)
        return 1 if report.failed else 0
    if action in ("list", "get"):
        from segkit.sources import get_source, list_sources

        if action == "list":
            print(list_sources())
        else:
            print(get_source(args.name, args.out, args.split, args.limit, args.licence, args.crowd, args.yes))
        return 0
    from segkit.data import write_splits

    path, counts = write_splits(args.folder, args.seed)
    print(f"{path}: " + ", ".join(f"{count} {split}" for split, count in counts.items()))
    return 0


def run_train(args) -> int:
    from segkit.train import TrainConfig, train

    settings = {f.name: args[f.name] for f in fields(TrainConfig)}
    run = train(args.data, args.out, TrainConfig(**settings), args.resume)
    print(f"best validation Dice {run.best_dice:.4f} in epoch {run.best_epoch}: {run.checkpoint}")
    print(f"curves: {run.folder / 'curves.png'}")
    return 0


def run_evaluate(args) -> int:
    from segkit.evaluate import evaluate, write_evaluation
    from segkit.predict import Segmenter

    person = Segmenter.load(args.checkpoint)
    result = evaluate(person, args.data, None if args.split == "all" else args.split, args.flip)
    print(f"{len(result.samples)} pictures of {args.data} ({args.split}), at their own size")
    print(result.table())
    for path in write_evaluation(result, person, args.out):
        print(path)
    return 0


def run_predict(args) -> int:
    from segkit.predict import Segmenter, predict_files

    person = Segmenter.load(args.model, args.device)
    if args.threshold is not None:
        if not 0 < args.threshold < 1:
            raise UserError(f"the threshold lies between 0 and 1, found {args.threshold}.")
        person.threshold = args.threshold
    report = predict_files(
        person,
        _inputs(args.input),
        args.out,
        args.write,
        _background(args.background),
        args.flip,
        args.scales,
    )
    for path, why in report.failed.items():
        print(f"left out {path}: {why}", file=sys.stderr)
    print(f"{len(report.written)} files written to {args.out}, {len(report.failed)} pictures left out")
    return 1 if report.failed else 0


def _inputs(given: list[str]) -> list[Path]:
    paths: list[Path] = []
    for item in given:
        if item == "-":
            paths += [Path(line.strip()) for line in sys.stdin if line.strip()]
        elif Path(item).is_dir():
            found = list_images(item)
            if not found:
                raise UserError(f"folder '{item}' holds no pictures.")
            paths += found
        else:
            paths.append(Path(item))
    if not paths:
        raise UserError("there was no file name on standard input.")
    return paths


def _background(text: str | None):
    if text is None or text == "blur":
        return text
    if text.startswith("#"):
        try:
            red, green, blue = bytes.fromhex(text[1:])
        except ValueError:
            raise UserError(f"'{text}' is not a colour: write it as #RRGGBB, such as #00aa55.") from None
        return (red, green, blue)
    return read_image(text)


def run_course_command(args) -> int:
    from segkit.course import run_course
    from segkit.train import TrainConfig

    config = TrainConfig(size=args.size, num_epochs=args.num_epochs)
    run_course(Path(args.data) if args.data else None, Path(args.out), config)
    return 0


def _prepare_train(argv: list[str]) -> list[str]:
    """`train --resume -o RUN`: the recorded settings become the defaults; flags given again replace them."""
    if argv[:1] != ["train"] or "--resume" not in argv:
        return argv
    out = next((argv[i + 1] for i, a in enumerate(argv[:-1]) if a in ("-o", "--out")), None)
    if out is None:
        raise UserError("--resume needs the run folder: segkit train --resume -o runs/first")
    record = Path(out) / "config.json"
    if not record.is_file():
        raise UserError(f"'{out}' holds no config.json, so there is no run to go on with.")
    recorded = json.loads(record.read_text())
    flags = [f"--{key}={_as_flag(value)}" for key, value in recorded["config"].items()]
    has_data = len(argv) > 1 and not argv[1].startswith("-")
    data = [] if has_data else recorded["data"]
    return ["train", *data, *flags, *argv[1:]] if not has_data else ["train", argv[1], *flags, *argv[2:]]


def _as_flag(value) -> str:
    return "null" if value is None else json.dumps(value) if isinstance(value, dict | bool) else str(value)


def main(argv: list[str] | None = None) -> None:
    """Run one command; exits 0 when all went well, 1 when something did not, 2 on a wrong call."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        parser = build_parser()
        if not argv:
            parser.print_help()
            sys.exit(2)
        args = parser.parse_args(_prepare_train(argv))
        chosen = args[args.subcommand]
        sys.exit(
            {
                "doctor": lambda a: run_doctor(a.folder, a.picture),
                "data": lambda a: run_data(a.action, a[a.action]),
                "train": lambda a: run_train(_with_run_folder(a)),
                "evaluate": run_evaluate,
                "predict": run_predict,
                "course": run_course_command,
            }[args.subcommand](chosen)
        )
    except UserError as error:
        print(f"segkit: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(
            "\nsegkit: stopped. A training run goes on where it was with: segkit train --resume -o RUN",
            file=sys.stderr,
        )
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)


def _with_run_folder(args):
    if not args.data:
        raise UserError("segkit train needs a data set: segkit train data/people -o runs/first")
    args.out = args.out or f"runs/{Path(args.data[0]).name}"
    return args


if __name__ == "__main__":
    main()

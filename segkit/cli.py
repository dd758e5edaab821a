"""The command `segkit`: what the notebooks teach, from a terminal. Introduced in notebook 00."""

import itertools
import json
import sys
from dataclasses import fields
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentParser, set_parsing_settings

from segkit.files import UserError, list_images, name_some, read_image

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
    _looks(command)


def _predict(command: ArgumentParser) -> None:
    command.add_argument(
        "input", nargs="+", help="pictures, folders, or - for a list of files on standard input"
    )
    command.add_argument(
        "-m", "--model", default="person-base", help="shipped weights by name, a checkpoint, or a run folder"
    )
    command.add_argument("-o", "--out", required=True, help="folder for the results")
    command.add_argument("--write", nargs="+", default=["mask"], help="any of: mask overlay cutout")
    command.add_argument("--background", help="also put the person on: blur, portrait, #RRGGBB, or a picture")
    command.add_argument(
        "--recolour",
        nargs="+",
        type=str,
        metavar="PART=#RRGGBB",
        help="clothes in another colour, with -m person-parts: torso=#aa2222 legs=#202040",
    )
    command.add_argument("--threshold", type=float, help="probability from which a pixel is person (0 to 1)")
    _looks(command)
    _engine(command)


def _course(command: ArgumentParser) -> None:
    command.add_argument(
        "--profile", default="default", help="parameter file of notebooks/profiles: fast, full"
    )
    command.add_argument("--only", nargs="+", type=str, help="these lessons: 03, 09-12 or 04_metrics")
    command.add_argument(
        "-p",
        "--parameters",
        nargs="+",
        type=str,
        action="extend",
        metavar="NAME=VALUE",
        help="go before those of the profile",
    )
    command.add_argument("-o", "--out", default="runs", help="where the new folder goes")
    command.add_argument("--notebooks", help="a folder of numbered notebooks (default: the clone's)")
    command.add_argument("--table", help="write times and memory into this Markdown file")


def _sweep(command: ArgumentParser) -> None:
    pairs = {"nargs": "+", "type": str, "action": "extend"}
    command.add_argument(
        "-g", "--grid", required=True, metavar="NAME=VALUE,VALUE", help="run every combination", **pairs
    )
    command.add_argument("-p", "--parameters", metavar="NAME=VALUE", help="shared by all runs", **pairs)
    command.add_argument("-o", "--out", required=True, help="the folder of the sweep; finished runs are kept")
    command.add_argument("--workers", type=int, help="runs at a time (default: one per core)")
    command.add_argument("--cluster", help="a Dask scheduler to run on instead, such as tcp://10.0.0.1:8786")
    command.add_argument("--notebook", help="what to run (default: the clone's notebooks/sweeps/train_once)")


def _video(command: ArgumentParser) -> None:
    command.add_argument("input", help="a video; with --flicker: walk, wave or a folder with true masks")
    command.add_argument("-m", "--model", default="person-small", help="a checkpoint, or a run folder")
    command.add_argument("--background", help="blur, #RRGGBB, a picture, or transparent")
    command.add_argument(
        "-o", "--out", help=".mp4 .mov .mkv .webm; transparent: .webm, .mov, or a folder for PNG files"
    )
    command.add_argument("--smooth", type=float, default=0.7, help="share of the past, 0 (off) to below 1")
    command.add_argument("--flow", action="store_true", help="move the past along with the motion (slower)")
    command.add_argument("--threshold", type=float, help="probability from which a pixel is person (0 to 1)")
    command.add_argument("--crf", type=int, default=20, help="quality: 16 is finer, 28 smaller")
    _engine(command)
    command.add_argument(
        "--flicker", action="store_true", help="write nothing: measure flicker with and without smoothing"
    )


def _demo(command: ArgumentParser) -> None:
    command.add_argument(
        "-m",
        "--model",
        nargs="+",
        default=["person-base", "person-small"],
        help="networks to choose from: shipped weights by name, checkpoints, or run folders",
    )
    command.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens the page to your network")
    command.add_argument("--port", type=int, help="a free one from 7860 on by default")


def _annotate(command: ArgumentParser) -> None:
    from segkit.sets.annotate import AnnotateConfig

    command.add_argument("folder", help="a folder of pictures without masks")
    command.add_argument("-o", "--out", required=True, type=str, help="the new data set; a rerun goes on")
    command.add_argument(
        "-m", "--model", default="person-base", help="shipped weights by name, a checkpoint, or a run folder"
    )
    command.add_class_arguments(AnnotateConfig, as_group=False, instantiate=False)
    command.add_argument("--device", help="cpu, cuda, ...; the GPU by default where there is one")


def run_annotate(args) -> int:
    from segkit.predict import Segmenter
    from segkit.sets.annotate import AnnotateConfig, annotate_folder

    config = AnnotateConfig(**{f.name: args[f.name] for f in fields(AnnotateConfig)})
    report = annotate_folder(Segmenter.load(args.model, args.device), args.folder, args.out, config)
    for path, why in report.failed.items():
        print(f"left out {path}: {why}", file=sys.stderr)
    print(report)
    return 1 if report.failed else 0


def run_demo(args) -> int:
    from segkit.app.page import serve

    serve(args.model, args.host, args.port)
    return 0


def _export(command: ArgumentParser) -> None:
    _checkpoint(command)
    command.add_argument("-o", "--out", required=True, help="the new file, such as person.onnx")
    command.add_argument(
        "--precision", default="fp32", help="fp32; half for 16-bit floats; int8 for 8-bit whole numbers"
    )
    command.add_argument(
        "--data", help="a data set: half and int8 are scored on its test split, int8 is calibrated on val"
    )


def _looks(command: ArgumentParser) -> None:
    command.add_argument("--flip", action="store_true", help="average with the mirror image (slower, better)")
    command.add_argument("--scales", nargs="+", type=float, default=[1.0], help="average over these scales")


def _engine(command: ArgumentParser) -> None:
    command.add_argument("--engine", help="torch, onnx, openvino or tensorrt; torch by default")
    command.add_argument("--precision", help="fp32, half, or int8 (not with torch); fp32 by default")
    command.add_argument("--threads", type=int, help="how many the engine may use on a processor")
    command.add_argument("--device", help="cpu, cuda, ...; with torch the GPU where there is one, else cpu")


def load_segmenter(args):
    """The network that a command's flags name.   Raises: UserError."""
    from segkit.predict import Segmenter

    return Segmenter.load(args.model, args.device, args.engine, args.precision, args.threads)


def _checkpoint(command: ArgumentParser) -> None:
    command.add_argument("checkpoint", help="shipped weights by name, a checkpoint, or a run folder")


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
        "segkit predict photos/ -o out --write mask overlay cutout --background blur",
        _predict,
    ),
    "video": (
        "Put another background behind the people of a video.",
        "segkit video in.mp4 --background blur -o out.mp4",
        _video,
    ),
    "annotate": (
        "Draw masks for photographs that have none, and say which ones to look at.",
        "segkit annotate photos/ -o mine --per person",
        _annotate,
    ),
    "export": (
        "Write a network as an ONNX file, which runs without PyTorch.",
        "segkit export person-small -o person-small.onnx --precision int8",
        _export,
    ),
    "demo": ("Open a page that cuts people out, on this machine.", "segkit demo", _demo),
    "course": (
        "Run the lessons in order and keep what came out.",
        "segkit course --only 03 05 --profile fast -p seed=1",
        _course,
    ),
    "sweep": (
        "Train with every combination of some settings, side by side, and write a report.",
        "segkit sweep -g alpha=0,0.5,1 seed=0,1,2 -o runs/alpha",
        _sweep,
    ),
}


def run_doctor(folder: str | None, picture: str | None) -> int:
    from segkit.course.environment import check_environment
    from segkit.plots import save_figure
    from segkit.sets.doctor import inspect_dataset, picture_of_dataset

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
        from segkit.sets.importers import import_folder

        report = import_folder(args.source, args.out, args.layout, args.classes, args.empty, args.crowd)
        print(report)
        return 1 if report.failed else 0
    if action in ("list", "get"):
        from segkit.sets.sources import get_source, list_sources

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
    split = None if args.split == "all" else args.split
    result = evaluate(person, args.data, split, args.flip, args.scales)
    print(f"{len(result.samples)} pictures of {args.data} ({args.split}), at their own size")
    print(result.table())
    for path in write_evaluation(result, person, args.out):
        print(path)
    return 0


def run_export(args) -> int:
    from segkit.checkpoint import find_checkpoint
    from segkit.deploy.engines import calibration_pictures, exported
    from segkit.deploy.export import (
        TOLERANCE,
        differences,
        export_onnx,
        halve,
        quantise,
        read_info,
    )
    from segkit.files import embedded_path
    from segkit.predict import PRECISIONS

    checkpoint, out = find_checkpoint(args.checkpoint), Path(args.out)
    if out.suffix != ".onnx":
        raise UserError(f"an ONNX file ends in .onnx: -o {out.with_suffix('.onnx')}")
    if args.precision not in PRECISIONS:
        raise UserError(f"precision is {', '.join(PRECISIONS)}, found '{args.precision}'.")
    if args.precision == "fp32":
        export_onnx(checkpoint, out)
    elif args.precision == "half":
        halve(exported(checkpoint), out)
    else:
        whole = exported(checkpoint)
        quantise(whole, out, calibration_pictures(read_info(whole).preprocessing, args.data))
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, {args.precision}; the checkpoint is "
          f"{checkpoint.stat().st_size / 1e6:.2f} MB")  # fmt: skip
    worst = differences(out, checkpoint)
    for (height, width), value in worst.items():
        print(f"largest difference from torch at {height}x{width}: {value:.1e}")
    if args.precision != "fp32":
        _print_cost(exported(checkpoint), out, args.precision, args.data or embedded_path("people"))
    limit = TOLERANCE.get(args.precision)
    if limit is not None and not max(worst.values()) <= limit:
        raise UserError(f"'{out}' differs from torch by more than {limit:g}: do not use it.")
    return 0


def _print_cost(whole: Path, small: Path, precision: str, data: str | Path) -> None:
    """The Dice of two files side by side on the test split of a data set."""
    from segkit.evaluate import evaluate
    from segkit.predict import Segmenter

    before = evaluate(Segmenter.load(whole), data, "test")
    after = evaluate(Segmenter.load(small), data, "test")
    dice = [float(result.scores("dice").mean()) for result in (before, after)]
    print(f"mean Dice on {len(before.samples)} test pictures of {Path(data).name}: "
          f"fp32 {dice[0]:.4f}, {precision} {dice[1]:.4f}, cost {dice[0] - dice[1]:+.4f}")  # fmt: skip


def run_predict(args) -> int:
    from segkit.matting.photos import predict_files

    person = load_segmenter(args)
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
        recolour=_colours(args.recolour),
    )
    for path, why in report.failed.items():
        print(f"left out {path}: {why}", file=sys.stderr)
    for path, what in report.notes.items():
        print(f"note: {path}: {what}", file=sys.stderr)
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
    if text is None or text in ("blur", "portrait"):
        return text
    return _colour(text) if text.startswith("#") else read_image(text)


def _colour(text: str) -> tuple[int, int, int]:
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        raise UserError(f"'{text}' is not a colour: write it as #RRGGBB, such as #00aa55.") from None
    return (red, green, blue)


def _colours(given: list[str] | None) -> dict[str, tuple[int, int, int]] | None:
    pairs = [text.partition("=") for text in given or []]
    if wrong := ["".join(pair) for pair in pairs if not pair[1]]:
        raise UserError(f"--recolour takes part=#RRGGBB, such as torso=#aa2222; found '{wrong[0]}'.")
    return {part: _colour(colour) for part, _, colour in pairs} or None


def run_video(args) -> int:
    from segkit.video.replace import replace_in_video
    from segkit.video.smooth import Smoother, compare_smoothing, load_clip, smoothing_table

    smoother = Smoother(args.smooth, flow=args.flow)
    if not args.flicker and (args.background is None or args.out is None):
        raise UserError("say what to put behind and where to write: --background blur -o out.mp4")
    if args.flicker:
        clip = load_clip(args.input)
    person = load_segmenter(args)
    if args.threshold is not None:
        if not 0 < args.threshold < 1:
            raise UserError(f"the threshold lies between 0 and 1, found {args.threshold}.")
        person.threshold = args.threshold
    if args.flicker:
        strength = args.smooth
        ways = {
            "no smoothing": Smoother(0),
            f"{strength} without gate": Smoother(strength, gate=None),
            f"{strength} with gate": Smoother(strength),
            f"{strength} gate and flow": Smoother(strength, flow=True),
        }
        print(f"{clip.name}: {len(clip.images)} frames, {args.model}")
        print(smoothing_table(compare_smoothing(person, clip, ways)))
        return 0
    background = args.background if args.background == "transparent" else _background(args.background)
    try:
        report = replace_in_video(person, args.input, args.out, background, smoother, args.crf)
    except KeyboardInterrupt:
        print(f"\nsegkit: stopped. The same command goes on where {args.out}.parts ends.", file=sys.stderr)
        return 130
    for problem in report.problems:
        print(f"segkit: {problem}", file=sys.stderr)
    print(report)
    return 1 if report.problems else 0


def run_course_command(args) -> int:
    try:
        from segkit.course.run import run_course
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed. Run: pip install 'segkit[lab]'") from None

    parameters = _pairs(args.parameters, "-p takes name=value")
    folder, table = (Path(path) if path else None for path in (args.notebooks, args.table))
    outcomes = run_course(folder, Path(args.out), args.profile, args.only, parameters, table)
    failed = [outcome.name for outcome in outcomes if outcome.error]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _pairs(texts: list[str] | None, form: str) -> dict[str, str]:
    """["a=1", "b=2"] -> {"a": "1", "b": "2"}"""
    for text in texts or []:
        if "=" not in text:
            raise UserError(f"{form}, found '{text}'.")
    return dict(text.split("=", 1) for text in texts or [])


def run_sweep_command(args) -> int:
    try:
        from segkit.course.sweep import grid, run_sweep, write_report
        from segkit.study.compare import verdict
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed. Run: pip install 'segkit[lab]'") from None

    swept = {k: v.split(",") for k, v in _pairs(args.grid, "-g takes name=value,value,...").items()}
    fixed = _pairs(args.parameters, "-p takes name=value")
    sweep = run_sweep(grid(**swept), args.out, args.notebook, fixed, args.workers, args.cluster)
    by = next((name for name in swept if name != "seed"), None)
    if by and "val_dice" in sweep.rows and sweep.rows[by].duplicated().any():
        print(f"{verdict(sweep.rows, by)}\n{write_report(args.out, by)}")
    print(f"{len(sweep.rows)} finished, {len(sweep.failed)} failed: {Path(args.out) / 'results.csv'}")
    return 1 if sweep.failed else 0


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
    named = list(itertools.takewhile(lambda argument: not argument.startswith("-"), argv[1:]))
    return ["train", *(named or recorded["data"]), *flags, *argv[1 + len(named) :]]


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
                "train": lambda a: run_train(_training_folders(a)),
                "evaluate": run_evaluate,
                "predict": run_predict,
                "video": run_video,
                "annotate": run_annotate,
                "export": run_export,
                "demo": run_demo,
                "course": run_course_command,
                "sweep": run_sweep_command,
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


if __name__ == "__main__":
    main()

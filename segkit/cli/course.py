"""segkit course: Run the lessons in order and keep what came out."""

import sys
from pathlib import Path

from segkit.cli.common import Parser, add_pairs, read_pairs
from segkit.files import UserError, counted, require

EXAMPLE = "segkit course --only 03 05 --profile fast -p seed=1"


def add_arguments(command: Parser) -> None:
    command.add_argument(
        "--profile", default="default", help="parameter files of notebooks/profiles: fast, full"
    )
    command.add_argument("--only", nargs="+", type=str, help="these lessons: 03, 09-12 or 04_metrics")
    add_pairs(command, "-p", "--parameters", help="go before those of the profile")
    command.add_argument("-o", "--out", default="runs", help="where the new folder goes")
    command.add_argument("--notebooks", help="a folder of numbered notebooks (default: the clone's)")
    command.add_argument("--table", help="write times and memory into this Markdown file")
    command.add_argument(
        "--for-class", metavar="FOLDER", help="run nothing: copy the lessons there, without outputs"
    )
    command.add_argument(
        "--colab",
        nargs="?",
        const="",
        metavar="WHERE",
        help="with --for-class: each copy begins with a cell that installs the course in Colab: from the "
        "package index, or from WHERE, such as git+https://github.com/NAME/REPOSITORY",
    )


def run(args) -> int:
    require("papermill", "nbconvert", "ipywidgets", extra="lab")
    from segkit.course.class_copies import copy_for_class
    from segkit.course.run import LESSONS, choose_notebooks, run_course

    parameters = read_pairs(args.parameters, "-p takes name=value")
    folder, table = Path(args.notebooks or LESSONS), Path(args.table) if args.table else None
    if args.for_class:
        if parameters or table or args.profile != "default":
            raise UserError("--for-class copies lessons as they are: leave out -p, --profile and --table.")
        copies = copy_for_class(choose_notebooks(folder, args.only or []), Path(args.for_class), args.colab)
        print(f"{counted(len(copies), 'lesson')} for a class, without outputs: {args.for_class}")
        return 0
    if args.colab is not None:
        raise UserError("--colab says how copies for a class begin: name their folder by --for-class.")
    outcomes = run_course(folder, Path(args.out), args.profile, args.only, parameters, table)
    failed = [outcome.name for outcome in outcomes if outcome.error]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0

"""segkit course: Run the lessons in order and keep what came out."""

import sys
from pathlib import Path

from jsonargparse import ArgumentParser

from segkit.cli.common import read_pairs
from segkit.files import UserError

EXAMPLE = "segkit course --only 03 05 --profile fast -p seed=1"


def add_arguments(command: ArgumentParser) -> None:
    command.add_argument(
        "--profile", default="default", help="parameter files of notebooks/profiles: fast, full"
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


def run(args) -> int:
    try:
        from segkit.course.run import run_course
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed. Run: pip install 'segkit-course[lab]'") from None

    parameters = read_pairs(args.parameters, "-p takes name=value")
    folder, table = (Path(path) if path else None for path in (args.notebooks, args.table))
    outcomes = run_course(folder, Path(args.out), args.profile, args.only, parameters, table)
    failed = [outcome.name for outcome in outcomes if outcome.error]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0

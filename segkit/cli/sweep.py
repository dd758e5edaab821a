"""segkit sweep: Train with every combination of some settings, side by side, and write a report."""

from pathlib import Path

from jsonargparse.typing import PositiveInt

from segkit.cli.common import Parser, add_pairs, read_pairs
from segkit.files import UserError, require

EXAMPLE = "segkit sweep -g alpha=0,0.5,1 seed=0,1,2 -o runs/alpha"
WHEN_STOPPED = "The finished runs are kept: the same segkit sweep command goes on with the others."


def add_arguments(command: Parser) -> None:
    add_pairs(command, "-g", "--grid", form="NAME=VALUE,VALUE", required=True, help="run every combination")
    add_pairs(command, "-p", "--parameters", help="shared by all runs")
    command.add_argument("-o", "--out", required=True, help="the folder of the sweep; finished runs are kept")
    command.add_argument("--workers", type=PositiveInt, help="runs at a time (default: one per core)")
    command.add_argument("--cluster", help="a Dask scheduler to run on instead, such as tcp://10.0.0.1:8786")
    command.add_argument("--notebook", help="what to run (default: the clone's notebooks/sweeps/train_once)")


def run(args) -> int:
    require("papermill", "nbconvert", "pandas", extra="lab")
    from segkit.course.sweep import grid, run_sweep, write_report
    from segkit.study.compare import verdict

    swept = {k: v.split(",") for k, v in read_pairs(args.grid, "-g takes name=value,value,...").items()}
    fixed = read_pairs(args.parameters, "-p takes name=value")
    sweep = run_sweep(grid(**swept), args.out, args.notebook, fixed, args.workers, args.cluster)
    if "val_dice" in sweep.rows:
        by = [name for name in swept if name != "seed"]
        try:
            print(f"{verdict(sweep.rows, by)}\n{write_report(args.out, by)}")
        except UserError as reason:  # such as: one seed each
            print(f"No reading: {reason}")
    print(f"{len(sweep.rows)} finished, {len(sweep.failed)} failed: {Path(args.out) / 'results.csv'}")
    return 1 if sweep.failed else 0

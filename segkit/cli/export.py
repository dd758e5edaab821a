"""segkit export: Write a network as an ONNX file, which runs without PyTorch."""

from pathlib import Path

from segkit.cli.common import Parser, add_model
from segkit.files import UserError

EXAMPLE = "segkit export person-small -o person-small.onnx --precision int8"


def add_arguments(command: Parser) -> None:
    add_model(command, "checkpoint")
    command.add_argument("-o", "--out", required=True, help="the new file, such as person.onnx")
    command.add_argument("--overwrite", action="store_true", help="replace a file that is there already")
    command.add_argument("--precision", default="fp32", help="fp32; half, 16-bit floats; int8, whole numbers")
    command.add_argument(
        "--data", help="a data set: half and int8 are scored on test, int8 calibrated on val"
    )


def run(args) -> int:
    from segkit.checkpoint import find_checkpoint
    from segkit.data import find_samples
    from segkit.deploy.engines import export, exported
    from segkit.deploy.export import TOLERANCE, differences
    from segkit.files import check_outputs, embedded_path

    checkpoint, out = find_checkpoint(args.checkpoint), Path(args.out)
    if out.suffix != ".onnx":
        raise UserError(f"an ONNX file ends in .onnx: -o {out.with_suffix('.onnx')}")
    check_outputs([out], [checkpoint], args.overwrite)
    if args.data and args.precision != "fp32":  # which would not look at it, and says so
        find_samples(args.data)  # says now what is wrong with it
    export(checkpoint, out, args.precision, args.data)
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

    before, after = (evaluate(Segmenter.load(file), data, "test") for file in (whole, small))
    dice = [float(result.scores("dice").mean()) for result in (before, after)]
    print(f"mean Dice on {len(before.samples)} test pictures of {Path(data).name}: "
          f"fp32 {dice[0]:.4f}, {precision} {dice[1]:.4f}, cost {dice[0] - dice[1]:+.4f}")  # fmt: skip

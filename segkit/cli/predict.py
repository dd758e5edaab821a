"""segkit predict: Cut people out of photographs."""

import sys
from pathlib import Path

from jsonargparse import ArgumentParser

from segkit.cli.common import add_engine, add_looks, load_segmenter, read_background, read_colour
from segkit.files import UserError, list_images

EXAMPLE = "segkit predict photos/ -o out --write mask overlay cutout --background blur"


def add_arguments(command: ArgumentParser) -> None:
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
    add_looks(command)
    add_engine(command)


def run(args) -> int:
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
        read_background(args.background),
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


def _colours(given: list[str] | None) -> dict[str, tuple[int, int, int]] | None:
    pairs = [text.partition("=") for text in given or []]
    if wrong := ["".join(pair) for pair in pairs if not pair[1]]:
        raise UserError(f"--recolour takes part=#RRGGBB, such as torso=#aa2222; found '{wrong[0]}'.")
    return {part: read_colour(colour) for part, _, colour in pairs} or None

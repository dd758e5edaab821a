"""segkit predict: Cut people out of photographs."""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jsonargparse import ArgumentParser

from segkit.cli.common import add_looks, add_pairs, add_segmenter, load_segmenter, read_background, read_pairs
from segkit.files import UserError, counted, find_images, name_some, same_name

EXAMPLE = "segkit predict photos/ -o out --write mask,overlay,cutout --background blur"


def add_arguments(command: ArgumentParser) -> None:
    command.add_argument("input", nargs="+", help="pictures, folders, or - for one picture on standard input")
    add_segmenter(command, "person-base")
    command.add_argument("-o", "--out", help="folder for the results; without it, - goes to standard output")
    command.add_argument("--write", metavar="WHAT,WHAT", help="of cutout, mask, overlay (default: cutout)")
    command.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    command.add_argument("--background", help="also put the person on: blur, portrait, a colour, a picture")
    what = "clothes in another colour, with -m person-parts: upper=#aa2222 lower=#202040"
    add_pairs(command, "--recolour", form="PART=#RRGGBB", help=what)
    command.add_argument("--watch", action="store_true", help="go on, with what comes into the folder")
    add_looks(command)


def run(args) -> int:
    from segkit.matting.compose import parse_colour
    from segkit.matting.photos import predict_files

    piped = not args.out
    if piped and (args.watch or args.input != ["-"]):
        raise UserError("say where the results go, such as -o out; only `segkit predict -` does without.")
    if piped and getattr(sys.stdout, "name", "") == os.devnull:
        raise UserError("standard output is closed: give it a file, or say -o out.")
    if not piped:
        place = next(path for path in Path(args.out, "x").absolute().parents if os.path.exists(path))
        if not os.access(place, os.W_OK):  # or every picture would say so, after its time
            raise UserError(f"'{place}' may not be written: choose another place by -o.")
    pairs = read_pairs(args.recolour, "--recolour takes part=#RRGGBB, such as upper=#aa2222")
    recolour = {part: parse_colour(colour) for part, colour in pairs.items()} or None
    write = [word.strip() for word in (args.write or "").split(",") if word.strip()]
    asked = [*write, *filter(None, [args.background, recolour])] if piped else write
    if piped and len(asked) > 1:
        raise UserError("standard output takes one result: leave all but one of them, or give -o.")
    write = write if asked else ["cutout"]
    person = load_segmenter(args)
    background = read_background(args.background)

    def cut_out(paths: list[Path], out: str | Path, **how):
        also_read = [Path(args.background)] if args.background else []
        how = {"recolour": recolour, "overwrite": args.overwrite, "also_read": also_read} | how
        return predict_files(person, paths, out, write, background, args.flip, args.scales, **how)

    if args.watch:
        kinds = [*write, *["background"] * (background is not None), *["recoloured"] * bool(recolour)]
        return _watch(args, cut_out, kinds)
    with tempfile.TemporaryDirectory() as folder:
        stdin = Path(folder) / "stdin"
        if "-" in args.input:
            stdin.write_bytes(sys.stdin.buffer.read())
        given = [stdin if item == "-" else Path(item) for item in args.input]
        report = cut_out(given, Path(folder) / "out" if piped else args.out)
        if piped and report.written:
            sys.stdout.buffer.write(report.written[0].read_bytes())
            sys.stdout.buffer.flush()
    said = [f"left out {path}: {why}" for path, why in report.failed.items()]
    said += [f"note: {path}: {what}" for path, what in report.notes.items()]
    for line in said:
        print(line.replace(f"'{stdin}'", str(stdin)).replace(str(stdin), "standard input"), file=sys.stderr)
    if not piped:
        files, pictures = counted(len(report.written), "file"), counted(len(report.failed), "picture")
        print(f"{files} written to {args.out}, {pictures} left out")
    return 1 if report.failed else 0


def _watch(args, cut_out: Callable, kinds: list[str]) -> int:
    """Until Ctrl-C or SIGTERM: one line for each picture, and one at the end."""
    from segkit.matting.photos import ENDINGS, FolderReport
    from segkit.matting.watch import watch_folder

    if len(args.input) != 1 or not Path(args.input[0]).is_dir():
        raise UserError(f"--watch takes one folder that is there, found {name_some(args.input)}.")
    cut_out([], args.out, progress=False)  # says now what is wrong with the settings
    if others := find_images(args.input[0])[1]:
        print(f"note: {args.input[0]}: not taken from there: {others}", file=sys.stderr)
    out, failed, owners = Path(args.out), {}, {}

    def place_of(path: Path) -> Path:  # the folders below are kept
        return out / path.relative_to(args.input[0]).parent

    def owner(path: Path) -> Path:  # of a.jpg and a.png, the first one has the name of the results
        first = owners.setdefault((place_of(path), same_name(path.stem)), path)
        return first if first.exists() else path

    def work(path: Path, again: bool) -> FolderReport:
        try:
            if owner(path) != path:
                raise UserError(f"its results would replace those of '{owner(path)}': give it another name.")
            return cut_out([path], place_of(path), overwrite=args.overwrite or again, progress=False)
        except UserError as error:
            return FolderReport(failed={path: str(error)})

    def finished(path: Path) -> bool:
        results = [place_of(path) / f"{path.stem}_{ENDINGS[kind]}" for kind in kinds]
        newer = all(file.exists() and file.stat().st_mtime >= path.stat().st_mtime for file in results)
        return not args.overwrite and newer and owner(path) == path

    with suppress(KeyboardInterrupt):
        for path, report in watch_folder(args.input[0], out, work, finished):
            failed[path] = bool(report.failed)  # the last time: it may have come slowly
            for file in report.written:
                print(f"{path} -> {file}", flush=True)
            for why in report.failed.values():
                print(f"left out {path}, until it changes: {why}", file=sys.stderr)
            for what in report.notes.values():
                print(f"note: {path}: {what}", file=sys.stderr)
    left = sum(failed.values())
    print(f"\nstopped watching {args.input[0]}: {len(failed) - left} cut out, {left} left out")
    return 1 if left else 0

"""segkit video: Put another background behind the people of a video."""

import sys
from pathlib import Path

from segkit.cli.common import Parser, add_segmenter, load_segmenter, read_background
from segkit.files import UserError

EXAMPLE = "segkit video in.mp4 --background blur -o out.mp4"
WHEN_STOPPED = "The same command goes on where it was: what is done lies in OUT.parts."


def add_arguments(command: Parser) -> None:
    command.add_argument("input", help="a video; with --flicker: walk, wave or a folder with true masks")
    add_segmenter(command, "person-small")
    command.add_argument("--background", help="blur, a colour such as red, a picture, or transparent")
    command.add_argument(
        "-o", "--out", help=".mp4 .mov .mkv .webm; transparent: .webm, .mov, a folder of PNG"
    )
    command.add_argument("--overwrite", action="store_true", help="replace a file that is there already")
    command.add_argument("--smooth", type=float, default=0.7, help="share of the past, 0 (off) to below 1")
    command.add_argument("--flow", action="store_true", help="move the past along with the motion (slower)")
    command.add_argument("--crf", type=int, default=20, help="quality: 16 is finer, 28 smaller")
    command.add_argument("--flicker", action="store_true", help="only measure flicker, with every smoothing")


def run(args) -> int:
    from segkit.video.replace import replace_in_video
    from segkit.video.smooth import Smoother, compare_smoothing, load_clip, smoothing_table

    smoother = Smoother(args.smooth, flow=args.flow)
    if args.flicker and (args.background or args.out):
        raise UserError("--flicker measures and writes nothing: leave out --background and --out.")
    if args.flicker:
        clip = load_clip(args.input)
        ways = {
            "no smoothing": Smoother(0),
            f"{args.smooth} without gate": Smoother(args.smooth, gate=None),
            f"{args.smooth} with gate": Smoother(args.smooth),
            f"{args.smooth} gate and flow": Smoother(args.smooth, flow=True),
        }
        print(f"{clip.name}: {len(clip.images)} frames, {args.model}")
        print(smoothing_table(compare_smoothing(load_segmenter(args), clip, ways)))
        return 0
    if args.background is None or args.out is None:
        raise UserError("say what to put behind and where to write: --background blur -o out.mp4")
    person = load_segmenter(args)
    background = args.background if args.background == "transparent" else read_background(args.background)
    how = {"overwrite": args.overwrite, "also_read": [Path(args.background)]}
    report = replace_in_video(person, args.input, args.out, background, smoother, args.crf, **how)
    for problem in report.problems:
        print(f"segkit: {problem}", file=sys.stderr)
    print(report)
    return 1 if report.problems else 0

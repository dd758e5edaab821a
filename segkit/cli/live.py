"""segkit live: Put another background behind you, in front of a camera."""

from contextlib import ExitStack, suppress
from itertools import chain, takewhile
from pathlib import Path

from segkit.cli.common import Parser, add_segmenter, load_segmenter, read_background
from segkit.files import UserError

EXAMPLE = "segkit live --background beach.jpg"


def add_arguments(command: Parser) -> None:
    command.add_argument("camera", nargs="?", default="0", help="0 is the first camera; or a video file")
    add_segmenter(command, "person-small")
    command.add_argument("--background", default="blur", help="blur, a colour such as red, or a picture")
    command.add_argument("--smooth", type=float, default=0.7, help="share of the past, 0 (off) to below 1")
    command.add_argument("--virtual-camera", action="store_true", help="be a camera for other programs")
    command.add_argument("-o", "--out", help="no window: write what it would show to this file, as .mp4")
    command.add_argument("--overwrite", action="store_true", help="replace a file that is there already")
    command.add_argument("--seconds", type=float, help="end by itself after so long")


def run(args) -> int:
    from segkit.video.files import choose_encoding
    from segkit.video.live import Stage, Window, follow, open_stream, recorder, virtual_camera
    from segkit.video.replace import make_room, painter
    from segkit.video.smooth import Smoother

    if args.seconds is not None and not args.seconds > 0:
        raise UserError(f"--seconds is above 0, found {args.seconds:g}.")
    paint, smoother = painter(read_background(args.background)), Smoother(args.smooth)
    if args.out:
        out, sources = Path(args.out), [Path(args.camera), Path(args.background)]
        make_room(out, choose_encoding(out, False), sources, args.overwrite)
    window = None if args.out or args.virtual_camera else Window("segkit live")
    person = load_segmenter(args)
    person.look_closer = False  # at a camera's pace there is time for one look
    frames, fps = open_stream(args.camera, args.seconds)
    stage = Stage(paint, person.threshold, smoother)
    with ExitStack() as opened, suppress(KeyboardInterrupt):  # Ctrl-C is how it is meant to end
        first = next(frames)
        if args.out:
            stage.seen_by = opened.enter_context(recorder(args.out, fps))
        if args.virtual_camera:
            stage.sent_to = opened.enter_context(
                virtual_camera(getattr(first, "image", first).shape[:2], fps)
            )
        if window:
            opened.callback(window.close)
            stage.seen_by = window.show
            frames = takewhile(lambda _: window.open, frames)
        try:
            follow(person, chain([first], frames), fps, stage, report=stage.report)
        finally:  # the film or the camera may have ended too soon: what was seen is kept
            print(stage.report)
    return 0

"""segkit serve: Answer other programs: a picture is posted, a cut-out comes back."""

from segkit.cli.common import Parser, add_segmenter, load_segmenter
from segkit.files import require

EXAMPLE = "segkit serve --port 8000"
WHEN_STOPPED = "Nothing that was sent is kept."


def add_arguments(command: Parser) -> None:
    add_segmenter(command, "person-base")
    command.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens it to your network")
    command.add_argument("--port", type=int, help="a free one from 7860 on by default")


def run(args) -> int:
    require("fastapi", "starlette", "uvicorn", extra="demo")
    from segkit.app.guard import listen, run
    from segkit.app.serve import build_api

    with listen(args.host, args.port) as place:  # before anything is loaded
        run(build_api(load_segmenter(args), args.host), place)
    return 0

"""segkit serve: Answer other programs: a picture is posted, a cut-out comes back."""

from segkit.cli.common import Parser, add_address, add_segmenter, load_segmenter
from segkit.files import require

EXAMPLE = "segkit serve --port 8000"
WHEN_STOPPED = "Nothing that was sent is kept."


def add_arguments(command: Parser) -> None:
    add_segmenter(command, "person-base")
    add_address(command)


def run(args) -> int:
    require("fastapi", "starlette", "uvicorn", extra="demo")
    from segkit.app.guard import listen, run
    from segkit.app.serve import build_api

    with listen(args.host, args.port) as place:  # before anything is loaded
        run(build_api(load_segmenter(args), args.host), place)
    return 0

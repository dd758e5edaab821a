"""segkit demo: Open a page that cuts people out, on this machine."""

from segkit.cli.common import Parser
from segkit.files import require

EXAMPLE = "segkit demo"

WHEN_STOPPED = "Everything that was sent to the page is deleted."


def add_arguments(command: Parser) -> None:
    command.add_argument(
        "-m",
        "--model",
        nargs="+",
        default=["person-base", "person-small"],
        help="networks to choose from: shipped weights by name, checkpoints, or run folders",
    )
    command.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens the page to your network")
    command.add_argument("--port", type=int, help="a free one from 7860 on by default")


def run(args) -> int:
    require("skimage", "starlette", "uvicorn", extra="demo")
    from segkit.app.page import serve

    serve(args.model, args.host, args.port)
    return 0

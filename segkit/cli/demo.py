"""segkit demo: Open a page that cuts people out, on this machine."""

from segkit.cli.common import Parser, add_address, add_model
from segkit.files import require

EXAMPLE = "segkit demo"

WHEN_STOPPED = "Everything that was sent to the page is deleted."


def add_arguments(command: Parser) -> None:
    add_model(command, "-m", "--model", nargs="+", default=["person-base", "person-small"])
    add_address(command)


def run(args) -> int:
    require("skimage", "starlette", "uvicorn", extra="demo")
    from segkit.app.page import serve

    serve(args.model, args.host, args.port)
    return 0

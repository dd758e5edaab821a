"""The command `segkit`: what the notebooks teach, from a terminal. Introduced in notebook 00.

Each command is a file here: its arguments, and what runs. Only the file of the command that was called is
imported, and each imports what it needs when it runs, so that help answers at once.
"""

import gc
import signal
import sys
import threading
from importlib import import_module

from segkit import __version__
from segkit.files import UserError

COMMANDS = {
    "doctor": "Check this machine, or a data set.",
    "data": "Work with data sets.",
    "train": "Train a network.",
    "evaluate": "Score a network on a data set.",
    "predict": "Cut people out of photographs.",
    "video": "Put another background behind the people of a video.",
    "live": "Put another background behind you, in front of a camera.",
    "annotate": "Draw masks for photographs that have none, and say which ones to look at.",
    "models": "List the weights that ship.",
    "export": "Write a network as an ONNX file, which runs without PyTorch.",
    "demo": "Open a page that cuts people out, on this machine.",
    "serve": "Answer other programs: a picture is posted, a cut-out comes back.",
    "course": "Run the lessons in order and keep what came out.",
    "sweep": "Train with every combination of some settings, side by side, and write a report.",
}
"""What each command does, in the words of `segkit --help`."""


def parse(name: str, argv: list[str]):
    """The module of a command, and its arguments as a namespace."""
    from jsonargparse import ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    command = import_module(f"segkit.cli.{name}")
    parser = ArgumentParser(prog=f"segkit {name}", description=f"{COMMANDS[name]} Example: {command.EXAMPLE}")
    command.add_arguments(parser)
    if hasattr(command, "defaults"):
        parser.set_defaults(command.defaults(argv))
    try:
        return command, parser.parse_args(argv)
    except (UnicodeDecodeError, RecursionError) as error:  # jsonargparse expects YAML that people wrote
        raise UserError(f"a settings file among the arguments is no YAML in UTF-8 ({error}).") from None


def main(argv: list[str] | None = None) -> None:
    """Run one command; exits 0 when all went well, 1 when something did not, 2 on a wrong call."""
    argv = sys.argv[1:] if argv is None else argv
    name, rest = argv[0] if argv else "", argv[1:]
    if name in ("-h", "--help", ""):
        print(_help())
        sys.exit(0 if name else 2)
    if name == "--version":
        print(f"segkit {__version__}")
        sys.exit(0)
    if name not in COMMANDS:
        print(
            f"segkit: there is no command '{name}'. The commands are: {', '.join(COMMANDS)}.", file=sys.stderr
        )
        sys.exit(2)
    _end_as_ctrl_c_does()
    command = None
    gc.set_threshold(100_000)  # importing makes many objects and no rubbish: looking for it costs .2 s
    try:
        command, args = parse(name, rest)
        sys.exit(command.run(args))
    except UserError as error:
        print(f"segkit: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(
            f"\nsegkit: stopped. {getattr(command, 'WHEN_STOPPED', 'What was written stays.')}",
            file=sys.stderr,
        )
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    finally:
        gc.freeze()  # nor is there any to look for at the end


def _end_as_ctrl_c_does() -> None:
    """A batch system's SIGTERM and a closed terminal's SIGHUP; what nohup ignores stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        which = getattr(signal, name, None)  # Windows has no SIGHUP
        if which and signal.getsignal(which) == signal.SIG_DFL:
            signal.signal(which, signal.default_int_handler)


def _help() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: segkit COMMAND ...",
            "",
            "Learn and use person segmentation. `segkit COMMAND --help` shows an example of each.",
            "",
            *(f"  {name.ljust(width)}  {what}" for name, what in COMMANDS.items()),
        ]
    )

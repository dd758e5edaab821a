"""The command `segkit`: what the notebooks teach, from a terminal. Introduced in notebook 00.

Each command is a file here: its arguments, and what runs. Only the file of the command that was called is
imported, and each imports what it needs when it runs, so that help answers at once.
"""

import gc
import os
import signal
import sys
import threading
import warnings
from argparse import ArgumentParser
from difflib import get_close_matches
from importlib import import_module
from types import FrameType, ModuleType

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


def build_parser(prog: str, **_):
    """The parser of one command, such as "segkit train"."""
    from jsonargparse import set_parsing_settings

    from segkit.cli.common import Parser

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    name = prog.split()[-1]
    command = import_module(f"segkit.cli.{name}")
    parser = Parser(prog=prog, description=f"{COMMANDS[name]} Example: {command.EXAMPLE}")
    command.add_arguments(parser)
    return parser


def overview(**how) -> ArgumentParser:
    """All commands, without their arguments unless parser_class makes them."""
    text = "Learn and use person segmentation. `segkit COMMAND --help` shows an example of each."
    last = "segkit --completion bash (or zsh, tcsh): what completes these in a shell."
    parser = ArgumentParser("segkit", "segkit COMMAND ...", text, last)
    parser.add_argument("--version", action="version", version=f"segkit {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", **how)
    for name, what in COMMANDS.items():
        commands.add_parser(name, help=what)
    return parser


def completion(shell: str) -> str:
    """What a shell reads to complete commands and options: bash, zsh or tcsh.   Raises: UserError."""
    import shtab

    if shell not in shtab.SUPPORTED_SHELLS:
        raise UserError(f"--completion takes {', '.join(shtab.SUPPORTED_SHELLS)}, found '{shell}'.")

    def completed(prog: str, **_):
        """A command's parser. What it takes is completed as the name of a file, as without all this."""
        parser = build_parser(prog)
        for action in parser.known():
            if not action.choices and (action.nargs is None or not action.option_strings):
                action.complete = shtab.FILE
        return parser

    return shtab.complete(overview(parser_class=completed), shell)


def parse(name: str, argv: list[str]):
    """The module of a command, and its arguments as a namespace."""
    command, parser = import_module(f"segkit.cli.{name}"), build_parser(f"segkit {name}")
    if hasattr(command, "defaults"):
        parser.set_defaults(command.defaults(argv))
    try:
        return command, parser.parse_args(argv)
    except RecursionError:  # jsonargparse expects YAML that people wrote
        raise UserError("a value among the arguments refers to itself, or is nested too deeply.") from None


def main(argv: list[str] | None = None) -> None:
    """Run one command; exits 0 when all went well, 1 when something did not, 2 on a wrong call."""
    argv = sys.argv[1:] if argv is None else argv
    name, rest = "".join(argv[:1]), argv[1:]
    if not argv:
        overview().print_help()
        sys.exit(2)
    if name not in (*COMMANDS, "--completion"):
        if near := get_close_matches(name, COMMANDS, 1):
            print(f"segkit: there is no command {name} (did you mean {near[0]}?)", file=sys.stderr)
            sys.exit(2)
        overview().parse_args([name])  # help, version, or what is wrong
    _end_as_ctrl_c_does()
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - None where it was closed before
    sys.stdout, sys.stderr = (s or open(os.devnull, "w") for s in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file's name may hold what this terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    # This process is segkit's own. Pillow warns of odd EXIF, and of pictures that are larger than most.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    command = None
    gc.set_threshold(100_000)  # importing makes many objects and no rubbish: looking for it costs .2 s
    try:
        if name == "--completion":
            print(completion(" ".join(rest)))
            sys.exit(0)
        if "" in rest:  # a path of no letters would be the folder we are in, and such a host every network
            raise UserError("one of the arguments is empty: is a variable of your shell not set?")
        command, args = parse(name, rest)
        sys.exit(command.run(args))
    except UserError as error:
        print(f"segkit: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        _say_stopped(command)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # such as a disk that is full under standard output
        what = f"'{error.filename}'" if error.filename else "standard input or output"
        print(f"segkit: {what} could not be used ({error.strerror or error}).", file=sys.stderr)
        sys.exit(1)
    except Exception:
        if not _asked_to_stop:  # a library that swallows Ctrl-C while it is loaded fails later, half loaded
            raise
        _say_stopped(command)
    finally:
        gc.freeze()  # nor is there any to look for at the end


_asked_to_stop: list[int] = []


def _stop(number: int, frame: FrameType | None) -> None:
    _asked_to_stop.append(number)
    signal.default_int_handler(number, frame)


def _say_stopped(command: ModuleType | None) -> None:
    what = getattr(command, "WHEN_STOPPED", "What was written stays.")
    print(f"\nsegkit: stopped. {what}", file=sys.stderr)
    sys.exit(130)


def _end_as_ctrl_c_does() -> None:
    """A batch system's SIGTERM and a closed terminal's SIGHUP; what nohup ignores stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    _asked_to_stop.clear()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        which = getattr(signal, name, None)  # Windows has no SIGHUP
        if which and signal.getsignal(which) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(which, _stop)
    if hasattr(signal, "setitimer"):  # Windows has none, and does not fork either
        sys.unraisablehook = _once_more


def _once_more(lost) -> None:
    """Python loses what is raised while it forks, such as Ctrl-C: then the same once more, a moment later."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, 0.1)

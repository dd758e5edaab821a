"""What several commands ask for in the same words."""

import re
import sys
from argparse import SUPPRESS, Action
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from segkit.files import IMAGE_SUFFIXES, UserError, read_image

KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
KINDS |= {"dict": "one value by each of its names: {name}.NAME VALUE"}
"""What an option takes, by its type."""

WRONG = r'Parser key "([\w.]+)".*?(Literal\[.*?\]|<class .\w+.>).*alue: (.*)$'
"""jsonargparse's words for a value of another type: the option, what it takes, and what was found."""

POSITIVE = r":\s*Not of type PositiveInt: (?:inv.* 10: )?'?([^' ]*).*"


class Help(DefaultHelpFormatter):
    """jsonargparse's, but what may be left out is not called null."""

    def _expand_help(self, action: Action) -> str:
        return re.sub(
            r" \(default: null\)|, default: null| \| null|, null\b", "", super()._expand_help(action)
        )


class Parser(ArgumentParser):
    """jsonargparse's, but a wrong call is one sentence, with each option as it is typed."""

    def __init__(self, **how):
        super().__init__(formatter_class=Help, allow_abbrev=False, **how)

    def error(self, message: str, ex: Exception | None = None):
        start, missing, names = message.partition("arguments are required: ")
        unknown = "".join(re.findall(r"(?:unrecognized arguments: |^Option ')([^']*)", message))
        wrong = re.match(WRONG, message, re.S)
        if missing:
            message = start + missing + ", ".join(map(self._as_typed, names.split(", ")))
        elif message.startswith('expected "action"'):
            message = f"{self.prog} needs one of {', '.join(self._subcommands_action.choices)}"
        elif unknown:
            options = [o for action in self.known() if action.help != SUPPRESS for o in action.option_strings]
            near = [get_close_matches(word.split("=")[0], options, 1) for word in unknown.split()]
            message += "".join(f" (did you mean {found[0]}?)" for found in near if found)
        elif wrong:
            name, kind, value = self._as_typed(wrong[1]), wrong[2].removeprefix("Literal"), wrong[3]
            kind = KINDS.get(kind.split("'")[1], f"one of {kind[1:-1].replace(', None', '')}")
            message = f"{name} takes {kind.format(name=name)}, found '{value}'"
        message = re.sub(r'Parser key "([\w.]+)":\s*', lambda found: f"{self._as_typed(found[1])}: ", message)
        message = re.sub(POSITIVE, r" takes a whole number above 0, found '\1'", message)
        command = self.prog.replace(" [options]", "")
        print(f"segkit: {message}\nAll options: {command} --help", file=sys.stderr)
        sys.exit(2)

    def known(self) -> list[Action]:
        """Its own arguments, and those of the commands below it."""
        below = self._subcommands_action.choices.values() if self._subcommands_action else ()
        return [action for parser in (self, *below) for action in parser._actions]

    def _as_typed(self, name: str) -> str:
        name = name.split(".")[-1]
        options = [action.option_strings for action in self.known() if action.dest == name]
        return "/".join(options[0]) if options and options[0] else name  # a positional has no options


def add_address(command: ArgumentParser) -> None:
    command.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens it to your network")
    command.add_argument("--port", type=int, help="a free one from 7860 on by default")


def add_formats(command: ArgumentParser, **more) -> None:
    names = "the files to write, any of: coco labelme yolo cvat label-studio"
    command.add_argument("--format", nargs="+", type=str, help=names, **more)


def add_looks(command: ArgumentParser) -> None:
    command.add_argument("--flip", action="store_true", help="average with the mirror image (slower, better)")
    command.add_argument("--scales", nargs="+", type=float, default=[1.0], help="average over these scales")


def add_model(command: ArgumentParser, *names: str, **more) -> None:
    command.add_argument(*names, help="shipped weights by name, a checkpoint, or a run folder", **more)


def add_segmenter(command: ArgumentParser, model: str) -> None:
    """What load_segmenter reads.   model: the one that is taken without -m."""
    add_model(command, "-m", "--model", default=model)
    command.add_argument("--threshold", type=float, help="probability from which a pixel is person (0 to 1)")
    command.add_argument("--engine", help="torch, onnx, openvino or tensorrt; torch by default")
    command.add_argument("--precision", help="fp32, half, or int8 (not with torch); fp32 by default")
    command.add_argument("--threads", type=int, help="how many the engine may use on a processor")
    command.add_argument("--device", help="cpu, cuda, ...; with torch the GPU where there is one, else cpu")


def say_left_out(failed: dict) -> int:
    """A line on standard error for each path and why it was left out. Returns: the exit code."""
    for path, why in failed.items():
        print(f"left out {path}: {why}", file=sys.stderr)
    return 1 if failed else 0


def load_segmenter(args):
    """The network that a command's flags name, with the threshold.   Raises: UserError."""
    from segkit.predict import Segmenter

    person = Segmenter.load(args.model, args.device, args.engine, args.precision, args.threads)
    if args.threshold is not None:
        person.threshold = args.threshold
    return person


def read_background(text: str | None):
    """What is put behind: None, a word, a colour or a picture.   Raises: UserError."""
    if text in (None, "blur", "portrait"):
        return text
    if Path(text).is_file() or Path(text).suffix.lower() in IMAGE_SUFFIXES:
        return read_image(text)
    from segkit.matting.compose import parse_colour  # loads torch

    with suppress(UserError):
        return parse_colour(text)
    raise UserError(f"a background is blur, a colour such as #00aa55 or red, or a picture: found '{text}'.")


def add_pairs(command: ArgumentParser, *names: str, form: str = "NAME=VALUE", **more) -> None:
    command.add_argument(*names, nargs="+", type=str, action="extend", metavar=form, **more)


def read_pairs(texts: list[str] | None, form: str) -> dict[str, str]:
    """["a=1", "b=2"] -> {"a": "1", "b": "2"}"""
    for text in texts or []:
        if "=" not in text:
            raise UserError(f"{form}, found '{text}'.")
    pairs = dict(text.split("=", 1) for text in texts or [])
    if len(pairs) < len(texts or []):
        raise UserError(f"{form}, each name once; found {' '.join(texts)}.")
    return pairs

"""What several commands ask for in the same words."""

from jsonargparse import ArgumentParser

from segkit.files import UserError, parse_colour, read_image


class Parser(ArgumentParser):
    """jsonargparse's, but for an argument that is missing: its message names the option as it is typed."""

    def error(self, message: str, ex: Exception | None = None):
        start, said, names = message.partition("arguments are required: ")
        if said:
            message = start + said + ", ".join(map(self._as_typed, names.split(", ")))
        super().error(message, ex)

    def _as_typed(self, name: str) -> str:
        *above, name = name.split(".")
        parser = self
        for command in above:
            parser = parser._subcommands_action.choices[command]
        options = [action.option_strings for action in parser._actions if action.dest == name]
        return "/".join(options[0]) if options and options[0] else name  # a positional has no options


def add_looks(command: ArgumentParser) -> None:
    command.add_argument("--flip", action="store_true", help="average with the mirror image (slower, better)")
    command.add_argument("--scales", nargs="+", type=float, default=[1.0], help="average over these scales")


def add_segmenter(command: ArgumentParser, model: str) -> None:
    """What load_segmenter reads.   model: the one that is taken without -m."""
    names = "shipped weights by name, a checkpoint, or a run folder"
    command.add_argument("-m", "--model", default=model, help=names)
    command.add_argument("--threshold", type=float, help="probability from which a pixel is person (0 to 1)")
    command.add_argument("--engine", help="torch, onnx, openvino or tensorrt; torch by default")
    command.add_argument("--precision", help="fp32, half, or int8 (not with torch); fp32 by default")
    command.add_argument("--threads", type=int, help="how many the engine may use on a processor")
    command.add_argument("--device", help="cpu, cuda, ...; with torch the GPU where there is one, else cpu")


def add_checkpoint(command: ArgumentParser) -> None:
    command.add_argument("checkpoint", help="shipped weights by name, a checkpoint, or a run folder")


def load_segmenter(args):
    """The network that a command's flags name, with the threshold.   Raises: UserError."""
    from segkit.predict import Segmenter

    person = Segmenter.load(args.model, args.device, args.engine, args.precision, args.threads)
    if args.threshold is not None:
        person.threshold = args.threshold
    return person


def read_background(text: str | None):
    if text is None or text in ("blur", "portrait"):
        return text
    return parse_colour(text) if text.startswith("#") else read_image(text)


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

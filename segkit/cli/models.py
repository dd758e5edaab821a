"""segkit models: List the weights that ship."""

from segkit.cli.common import Parser

EXAMPLE = "segkit models"


def add_arguments(command: Parser) -> None:
    """It takes none."""


def run(args) -> int:
    from segkit.checkpoint import load_checkpoint
    from segkit.files import embedded_path

    for path in sorted(embedded_path("weights").glob("*.safetensors")):
        _, info = load_checkpoint(path)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        print(f"{path.stem:14}{size:>8}  {info.preprocessing.size} pixels in  {', '.join(info.classes)}")
    print("how good each is, and where it fails: data/weights/README.md of the repository")
    return 0

"""segkit annotate: Draw masks for photographs that have none, and say which ones to look at."""

import sys
from dataclasses import fields

from segkit.cli.common import Parser, add_formats, add_model, say_left_out
from segkit.files import find_images, require

EXAMPLE = "segkit annotate photos/ -o mine --per person"


def add_arguments(command: Parser) -> None:
    from segkit.sets.annotate import AnnotateConfig

    command.add_argument("folder", help="a folder of pictures without masks")
    command.add_argument("-o", "--out", required=True, type=str, help="the new data set; a rerun goes on")
    add_model(command, "-m", "--model", default="person-base")
    command.add_class_arguments(AnnotateConfig, as_group=False, instantiate=False, skip={"format"})
    add_formats(command, default=list(AnnotateConfig.format))
    command.add_argument("--device", help="cpu, cuda, ...; the GPU by default where there is one")


def run(args) -> int:
    from segkit.predict import Segmenter
    from segkit.sets.annotate import AnnotateConfig, annotate_folder

    require("pycocotools", extra="data")  # or each picture would say so, after its time
    config = AnnotateConfig(**{f.name: args[f.name] for f in fields(AnnotateConfig)})
    if others := find_images(args.folder)[1]:
        print(f"not taken from {args.folder}: {others}", file=sys.stderr)
    report = annotate_folder(Segmenter.load(args.model, args.device), args.folder, args.out, config)
    print(report)
    return say_left_out(report.failed)

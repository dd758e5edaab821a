"""segkit evaluate: Score a network on a data set."""

from jsonargparse import ArgumentParser

from segkit.cli.common import add_checkpoint, add_looks

EXAMPLE = "segkit evaluate runs/first data/people --split test"


def add_arguments(command: ArgumentParser) -> None:
    add_checkpoint(command)
    command.add_argument("data", help="a data set")
    command.add_argument("--split", default="all", help="train, val, test or all")
    command.add_argument(
        "-o", "--out", default="runs/evaluate", help="folder for per_image.csv and worst.png"
    )
    add_looks(command)


def run(args) -> int:
    from segkit.evaluate import evaluate, write_evaluation
    from segkit.predict import Segmenter

    person = Segmenter.load(args.checkpoint)
    split = None if args.split == "all" else args.split
    result = evaluate(person, args.data, split, args.flip, args.scales)
    print(f"{len(result.samples)} pictures of {args.data} ({args.split}), at their own size")
    print(result.table())
    for path in write_evaluation(result, person, args.out):
        print(path)
    return 0

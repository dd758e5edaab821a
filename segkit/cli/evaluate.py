"""segkit evaluate: Score a network on a data set."""

from pathlib import Path

from jsonargparse import ArgumentParser

from segkit.cli.common import add_checkpoint, add_looks

EXAMPLE = "segkit evaluate runs/first data/people --split test"


def add_arguments(command: ArgumentParser) -> None:
    add_checkpoint(command)
    command.add_argument("data", help="a data set")
    command.add_argument("--split", default="all", help="train, val, test or all")
    command.add_argument(
        "-o", "--out", help="folder for per_image.csv and worst.png (default: evaluate-SPLIT in the run)"
    )
    add_looks(command)


def run(args) -> int:
    from segkit.evaluate import evaluate, write_evaluation
    from segkit.predict import Segmenter
    from segkit.sets.groups import find_leaks

    person = Segmenter.load(args.checkpoint)
    split = None if args.split == "all" else args.split
    result = evaluate(person, args.data, split, args.flip, args.scales)
    print(f"{len(result.samples)} pictures of {args.data} ({args.split}), at their own size")
    print(f"looked for: {', '.join(name for name in person.classes if name != 'background')}")
    print(result.table())
    if Path(args.data).resolve().name in {one["name"] for one in person.info.trained_on}:
        seen = sum(sample.split == "train" for sample in result.samples)
        if seen and split is None:
            print(f"{seen} of these pictures are of the train split: --split test scores on new ones")
        for leak in find_leaks(args.data):
            print(leak)
    run = Path(args.checkpoint)
    beside = run if run.is_dir() else run.parent if run.is_file() else Path("runs") / run.name
    for path in write_evaluation(result, person, args.out or beside / f"evaluate-{args.split}"):
        print(path)
    return 0

"""segkit evaluate: Score a network on a data set."""

from pathlib import Path

from segkit.cli.common import Parser, add_looks, add_model
from segkit.files import check_outputs

EXAMPLE = "segkit evaluate runs/first data/people --split test"


def add_arguments(command: Parser) -> None:
    add_model(command, "checkpoint")
    command.add_argument("data", help="a data set")
    command.add_argument("--split", default="all", help="train, val, test or all")
    command.add_argument("--splits", help="a CSV that deals the pictures, in place of the data set's own")
    command.add_argument(
        "--overwrite", action="store_true", help="replace an evaluation that is there already"
    )
    where = "folder for per_image.csv and worst.png (default: evaluate-SPLIT in the run)"
    command.add_argument("-o", "--out", help=where)
    add_looks(command)


def run(args) -> int:
    from segkit.data import find_samples, read_class_name
    from segkit.evaluate import FILES, evaluate, write_evaluation
    from segkit.predict import Segmenter
    from segkit.sets.groups import find_leaks
    from segkit.training.runs import fingerprint

    person = Segmenter.load(args.checkpoint)
    run = Path(args.checkpoint)
    beside = run if run.is_dir() else run.parent if run.is_file() else Path("runs") / run.name
    out = Path(args.out or beside / f"evaluate-{args.split}")
    check_outputs([out / name for name in FILES], overwrite=args.overwrite)
    split = None if args.split == "all" else args.split
    result = evaluate(person, args.data, split, args.flip, args.scales, splits=args.splits)
    print(f"{len(result.samples)} pictures of {args.data} ({args.split}), at their own size")
    print(f"looked for: {', '.join(name for name in person.classes if name != 'background')}")
    if len(person.classes) == 1 and (shown := read_class_name(args.data)) != person.classes[0]:
        print(f"the masks of {args.data} show something else: {shown}")
    print(result.table())
    if Path(args.data).resolve().name in {one["name"] for one in person.info.trained_on}:
        labels = "parts" if len(person.classes) > 1 else "masks"
        dealt = person.info.config.get("splits")
        if person.info.scores.get("split") == "out of fold":
            print("all of these pictures were trained on: the cross-validation's own scores are fair")
        elif dealt and not Path(dealt).is_file():
            print(f"which of these pictures were trained on cannot be told: '{dealt}' is gone")
        else:
            found = find_samples(args.data, labels=labels, splits=dealt)
            learned = {sample.name for sample in found if sample.split == "train"}
            seen = sum(sample.name in learned for sample in result.samples)
            known = {one.get("which") for one in person.info.trained_on} - {None}
            if known and not person.info.config.get("limit") and fingerprint(learned) not in known:
                print(f"{args.data} was dealt otherwise in training: these may be pictures that it has seen")
            elif seen and split != "train":
                how = f"--splits {dealt} --split test" if dealt else "--split test"
                print(f"{seen} of these pictures are of the train split: {how} scores on new ones")
        for leak in find_leaks(args.data, splits=args.splits, labels=labels):
            print(leak)
    for path in write_evaluation(result, person, out):
        print(path)
    return 0

"""segkit data: Work with data sets."""

from segkit.cli import doctor
from segkit.cli.common import Parser, add_formats, say_left_out
from segkit.files import counted

EXAMPLE = "segkit data check data/people"


def add_arguments(command: Parser) -> None:
    actions = command.add_subcommands(dest="action", metavar="ACTION")

    def add(name: str, does: str, example: str) -> Parser:
        action = Parser(description=f"{does[0].upper()}{does[1:]}. Example: segkit data {example}")
        actions.add_subcommand(name, action, help=does)
        return action

    check = add("check", "say what a data set holds and what is wrong with it", "check data/people")
    check.add_argument("folder", help="the data set to look at")
    doctor.add_picture(check)
    add("list", "list the real data sets that one command fetches", "list")
    example = "get coco-person --split val --limit 500 -o coco"
    get = add("get", "fetch a real data set into the folder format", example)
    get.add_argument("name", help="penn-fudan or coco-person")
    get.add_argument("-o", "--out", help="the new folder (default: in the cache folder, $SEGKIT_DATA)")
    get.add_argument("--split", help="of coco-person: val, train or all")
    get.add_argument("--limit", type=int, help="this many pictures")
    get.add_argument("--licence", help="redistributable, or COCO licence ids such as 4,5")
    get.add_argument("--yes", action="store_true", help="accept its terms without being asked")
    take = add("import", "turn common annotation layouts into the folder format", "import labels/ -o mine")
    take.add_argument(
        "source",
        help="a folder in a common layout: COCO, YOLO, CVAT, Label Studio, labelme, VOC, VIA, masks, ...",
    )
    take.add_argument("-o", "--out", required=True, help="the new folder")
    take.add_argument("--layout", default="auto", help="name the layout instead of finding it out")
    take.add_argument("--classes", help="what counts as marked: class names or mask values, with commas")
    take.add_argument("--class_name", help="what the new data set calls it, such as ear")
    take.add_argument("--empty", default="skip", help="pictures without annotation: skip, or keep as nobody")
    for reader in (get, take):
        reader.add_argument(
            "--crowd", default="person", help="person counts crowd regions as person; skip-image leaves out"
        )
    give = add("export", "write a data set for annotation tools", "export mine -o out --format cvat")
    give.add_argument("folder", help="a data set")
    give.add_argument("-o", "--out", required=True, help="the new folder")
    add_formats(give, required=True)
    example = "split my-photos --group '(.+)_\\d+'"
    split = add("split", "write splits.csv: train, val and test", example)
    split.add_argument("folder", help="a data set")
    split.add_argument("--seed", type=int, default=0, help="another seed, another split")
    split.add_argument("--group", help="what stays together: a pattern on names, folder, or a CSV")
    split.add_argument("--overwrite", action="store_true", help="replace a splits.csv that is there")


def run(args) -> int:
    action, args = args.action, args[args.action]
    if action == "check":
        return doctor.run(args)
    if action == "import":
        from segkit.sets.importers import import_folder

        how = {name: args[name] for name in ("layout", "classes", "empty", "crowd", "class_name")}
        report = import_folder(args.source, args.out, **how)
        print(report)
        return 1 if report.failed else 0
    if action == "export":
        from segkit.sets.exporters import export_dataset

        report = export_dataset(args.folder, args.out, args.format)
        print(f"{counted(report.written, 'picture')} written to {args.out} as {', '.join(args.format)}")
        if report.dropped:
            print(f"note: these formats have no place for {', '.join(report.dropped)}")
        return say_left_out(report.failed)
    if action in ("list", "get"):
        from segkit.sets.sources import get_source, list_sources

        print(list_sources() if action == "list" else get_source(**args.as_dict()))
        return 0
    from segkit.sets.groups import deal_folder

    print(deal_folder(args.folder, args.seed, args.group, args.overwrite))
    return 0

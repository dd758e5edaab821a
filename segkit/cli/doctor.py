"""segkit doctor: Check this machine, or a data set."""

from jsonargparse import ArgumentParser

EXAMPLE = "segkit doctor data/people --picture people.png"


def add_arguments(command: ArgumentParser) -> None:
    command.add_argument("folder", nargs="?", help="the data set to look at; without it, this machine")
    command.add_argument("--picture", help="also write a picture of the data set to this file (.png)")


def run(args) -> int:
    from segkit.course.environment import check_environment
    from segkit.plots import save_figure
    from segkit.sets.doctor import inspect_dataset, picture_of_dataset

    if args.folder is None:
        text, healthy = check_environment()
        print(text)
        return 0 if healthy else 1
    report = inspect_dataset(args.folder)
    print(report.text())
    if args.picture:
        print(f"picture: {save_figure(picture_of_dataset(report), args.picture)}")
    return 0 if report.healthy else 1

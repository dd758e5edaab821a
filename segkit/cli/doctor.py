"""segkit doctor: Check this machine, or a data set."""

from pathlib import Path

from jsonargparse import ArgumentParser

from segkit.files import UserError, check_outputs

EXAMPLE = "segkit doctor data/people --picture people.png"


def add_arguments(command: ArgumentParser) -> None:
    command.add_argument("folder", nargs="?", help="the data set to look at; without it, this machine")
    add_picture(command)


def add_picture(command: ArgumentParser) -> None:
    command.add_argument("--picture", help="also write a picture of the data set to this file (.png)")
    command.add_argument("--overwrite", action="store_true", help="replace a picture that is there already")


def run(args) -> int:
    from segkit.course.environment import check_environment
    from segkit.plots import save_figure
    from segkit.sets.doctor import inspect_dataset, picture_of_dataset

    if args.folder is None and args.picture:
        raise UserError("--picture shows a data set: name its folder, such as data/people.")
    if args.folder is None:
        text, healthy = check_environment()
        print(text)
        return 0 if healthy else 1
    if args.picture:
        if Path(args.picture).suffix.lower() not in (".png", ".jpg", ".pdf"):
            raise UserError(f"--picture names a file such as look.png, found '{args.picture}'.")
        check_outputs([Path(args.picture)], Path(args.folder).glob("*/**/*"), args.overwrite)
    report = inspect_dataset(args.folder)
    print(report.text())
    if args.picture:
        print(f"picture: {save_figure(picture_of_dataset(report), args.picture)}")
    return 0 if report.healthy else 1

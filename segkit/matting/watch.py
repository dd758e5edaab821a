"""Pictures that come into a folder, cut out as they come. Introduced in notebook 08."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from segkit.files import UserError, list_images
from segkit.matting.photos import FolderReport

Stamp = tuple[int, int]
"""Size and time of change of a file: another one means that somebody has written."""


def watch_folder(
    folder: str | Path,
    out: str | Path,
    work: Callable[[Path, bool], FolderReport],
    finished: Callable[[Path], bool] = lambda path: False,
    every: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Path, FolderReport]]:
    """Do `work` on every picture that is in a folder or comes into it; without end.

    A file is taken once two looks in a row found it the same, so that none is read half written. One that
    changes later is taken again. Looking costs little, and works on network drives too, where no system
    tells of new files.
    work: called with the picture, and whether its results are to be replaced, as it was done and changed.
    finished: asked of the pictures that are there from the start: no work on those with results.
    every: seconds between two looks.   sleep: for tests.
    Yields: the picture and what came of it.   Raises: UserError.
    """
    out, watched = Path(out).resolve(), Path(folder).resolve()
    if out.is_relative_to(watched) or watched.is_relative_to(out):
        raise UserError(f"results must not go into or around '{folder}', which is watched: take another -o.")
    before = _stamps(folder, out)
    done = {path: stamp for path, stamp in before.items() if finished(path)}
    written = set()
    while True:
        sleep(every)
        now = _stamps(folder, out)
        for path, stamp in now.items():
            if stamp == before.get(path) != done.get(path) and stamp[0] > 0:
                report, done[path] = work(path, path in written), stamp
                written |= {path} if report.written else set()
                yield path, report
        before = now


def _stamps(folder: str | Path, out: Path) -> dict[Path, Stamp]:
    found = {}
    for path in list_images(folder):
        with suppress(OSError):  # it went away since
            stat = path.stat()
            if not path.resolve().is_relative_to(out):  # a link leads to the results
                found[path] = stat.st_size, stat.st_mtime_ns
    return found

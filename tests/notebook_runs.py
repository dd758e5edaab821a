"""The two runners of notebooks, which see different faults, and their runs, which go on beside other tests.

papermill (through `segkit course`, fast profile) injects parameters and misses an error inside a widget's
callback, which `segkit course` looks for. nbval runs the stored parameters and compares the outputs that
are marked NBVAL_CHECK_OUTPUT. Skipped cells pass both, so nothing may be skipped.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import nbformat
from notebook_rules import code_cells, exercises, name_of, texts

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
MOST_SECONDS = 1800
"""Of one process, before it counts as stuck."""


@cache
def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def run_course(paths: list[Path], out: Path) -> dict[Path, list[str]]:
    """`segkit course` on notebooks of one folder, lessons with the fast profile.   Returns: their faults."""
    command = ["segkit", "course", "--notebooks", paths[0].parent, "--only", *(path.stem for path in paths)]
    said, code = call([*command, "--profile", "fast" if paths[0] in LESSONS else "default", "-o", out])
    faults = {path: list(faults_of_one(path, out, said)) for path in paths}
    assert (code == 0) or any(faults.values()), said
    return faults


def faults_of_one(path: Path, out: Path, said: str):
    """It ran, and every cell of it to its end; a stub is not answered, a solution is right."""
    how = re.search(rf"\] {path.stem}\b.*\n(?:\S.*\n)* +(.*)", said)  # a kernel may say something between
    if not how or not how[1].startswith("ran in"):
        yield how[1] if how else said
        return
    (copy_of_it,) = out.glob(f"course-*/{path.name}")
    executed = nbformat.read(copy_of_it, as_version=4)
    for cell in code_cells(executed):
        if cell.execution_count is None or "Traceback (most recent call last)" in texts(cell):
            yield f"{name_of(cell)} was not run to its end:\n{texts(cell)}"
    wanted = "✓ right" if path in SOLUTIONS else "not answered yet"
    for heading, body in exercises(executed).items():
        if not any(wanted in texts(cell) for cell in body):
            yield f"{heading}: the check does not say '{wanted}'"


def run_nbval(path: Path) -> list[str]:
    """pytest --nbval-lax on one notebook.   Returns: its faults, among them a cell that did not run."""
    command = ["pytest", "--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={MOST_SECONDS}"]
    said, code = call([*command, "-o", "addopts=", "-p", "no:cacheprovider", "--color=no", path])
    if code != 0:
        return [said]
    summary, count = said.rstrip().splitlines()[-1], len(code_cells(read(path)))
    everything = re.fullmatch(rf"=+ {count} passed(, \d+ warnings?)? in .*=+", summary)
    return [] if everything else [f"{count} cells should pass: {summary}"]


def call(command: list) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MOST_SECONDS,
    )
    return done.stdout, done.returncode


class NotebookRuns:
    """Runs notebooks, one per processor; while other tests go on, one processor less."""

    def __init__(self, chosen: list[tuple[str, Path]], new_folder: Callable[[str], Path]):
        """chosen: (runner, notebook) of each run."""
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = min(processors, 4)  # each takes up to 2 GB
        self._pool = ThreadPoolExecutor(workers)
        self._free = threading.Semaphore(max(workers - 1, 1))
        self._one_more = workers > 1
        self._waiting = {}
        for name, group in {"lessons": LESSONS, "solutions": SOLUTIONS}.items():
            paths = [path for path in group if ("papermill", path) in chosen]
            if paths:
                course = self._begin(run_course, paths, new_folder(name))
                self._waiting |= {("papermill", path): course for path in paths}
        # The longest first, or one processor waits for it at the end.
        for path in sorted(LESSONS + SOLUTIONS, key=lambda path: "07_training" not in path.stem):
            if ("nbval", path) in chosen:
                self._waiting["nbval", path] = self._begin(run_nbval, path)

    def _begin(self, run: Callable, *arguments):
        def when_free():
            with self._free:
                return run(*arguments)

        return self._pool.submit(when_free)

    def faults(self, runner: str, path: Path) -> list[str]:
        """Wait for a run.   Returns: its faults."""
        if self._one_more:  # nothing else goes on any more
            self._free.release()
            self._one_more = False
        found = self._waiting[runner, path].result()
        return found[path] if runner == "papermill" else found

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)

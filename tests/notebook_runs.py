"""One run of a notebook, judged for what papermill and nbval each would see, and for what each would miss.

A notebook is run once, by papermill as `segkit course` uses it: lessons with the fast profile, solutions as
they are. papermill sees a cell that fails. The judge then sees what papermill passes: an error inside a
widget's callback, a cell that never ends (it has CELL_SECONDS), a cell that did not run, a traceback that was
only printed, an output whose kind is stored and no longer comes, and, as nbval does, a marked cell whose text
is not the stored one. `make test-all` also runs nbval itself, with the stored parameters. Skipped cells pass
every runner, so nothing may be skipped.
"""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from unittest.mock import patch

import nbformat
from notebook_rules import BY_PARAMETERS, CHECKED, WIDGET, code_cells, exercises, name_of, texts

from segkit.course.run import read_profile, run_notebook, settings_for

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
CELL_SECONDS = 300
"""Of one cell, before it counts as stuck."""


@cache
def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@patch.dict(os.environ, TQDM_DISABLE="1")  # as `make outputs` does: only a slow machine shows some bars
def run(path: Path, out: Path) -> list[str]:
    """Run one notebook, lessons with the fast profile.   Returns: its faults."""
    settings = {}
    if path in LESSONS:
        settings = settings_for({path.stem: path}, read_profile(NOTEBOOKS, "fast"), {})[path.stem]
    out.mkdir(exist_ok=True)
    outcome = run_notebook(path, out / path.name, settings, cell_seconds=CELL_SECONDS)
    if outcome.error:
        return [outcome.text()]
    return list(faults(read(path), nbformat.read(out / path.name, as_version=4), path in SOLUTIONS))


def faults(stored: nbformat.NotebookNode, executed: nbformat.NotebookNode, solved: bool):
    """What a run shows that it should not, or no longer shows."""
    before = {cell.id: cell for cell in code_cells(stored)}
    for cell in code_cells(executed):
        if cell.execution_count is None or "Traceback (most recent call last)" in texts(cell):
            yield f"{name_of(cell)} was not run to its end:\n{texts(cell)}"
        tags = set(cell.metadata.get("tags", []))
        if cell.id not in before or BY_PARAMETERS in tags:  # papermill put it in, or parameters change it
            continue
        if gone := kinds(before[cell.id]) - kinds(cell):
            yield f"{name_of(cell)} no longer shows its {', '.join(sorted(gone))}"
        # A runner may deliver the same text in more pieces: only the words count.
        if CHECKED in tags and texts(before[cell.id]).split() != texts(cell).split():
            yield f"{name_of(cell)} is stored with\n{texts(before[cell.id])}\nand shows\n{texts(cell)}"
    wanted = "✓ right" if solved else "not answered yet"
    for heading, body in exercises(executed).items():
        if not any(wanted in texts(cell) for cell in body):
            yield f"{heading}: the check does not say '{wanted}'"


def kinds(cell: nbformat.NotebookNode) -> set[str]:
    """Which kinds of output a cell has: text, picture, page, widget."""
    names = {"text/plain": "text", "image/png": "picture", "image/jpeg": "picture", "text/html": "page"}
    names[WIDGET] = "widget"
    found = {names.get(kind, kind) for output in cell.get("outputs", []) for kind in output.get("data", {})}
    return found | {"text" for output in cell.get("outputs", []) if output.get("name") == "stdout"}


# nbval reads what a cell says once it has ended, and what waits is 1000 messages at most: no bars.
@patch.dict(os.environ, TQDM_DISABLE="1")
def run_nbval(path: Path) -> list[str]:
    """pytest --nbval-lax on one notebook.   Returns: its faults, among them a cell that did not run."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    command += [f"--nbval-cell-timeout={4 * CELL_SECONDS}", "-o", "addopts=", "--color=no"]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return [done.stdout + done.stderr]
    summary, count = done.stdout.rstrip().splitlines()[-1], len(code_cells(read(path)))
    everything = re.fullmatch(rf"=+ {count} passed(, \d+ warnings?)? in .*=+", summary)
    return [] if everything else [f"{count} cells should pass: {summary}"]

"""Many trainings side by side, one notebook run each, and their honest reading. Introduced in notebook 10.

A sweep is a folder: NAME/run.ipynb (the executed copy) and NAME/result.json for every run, results.csv
for all of them, and report.ipynb, .html and .png.
"""

import hashlib
import itertools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nbformat
import pandas as pd
import yaml

from segkit.course.run import settings_for, write_page
from segkit.files import UserError, atomic_path, check_outputs, embedded_path, write_text
from segkit.plots import save_figure
from segkit.study.compare import plot_runs
from segkit.study.members import lifeline, run_members

NOTEBOOKS = embedded_path("sweeps")
"""Where train_once.ipynb and report.ipynb are; `studies` lies beside it."""


def grid(**values: Sequence) -> list[dict]:
    """Every combination: grid(alpha=(0, 1), seed=range(3)) are six points, the last name varying fastest."""
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


PAPERMILL = """
import os, sys, threading
from papermill.__main__ import papermill
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
papermill()
"""
"""papermill, which ends when the process that started it has ended: see lifeline."""


@dataclass
class Sweep:
    """What a sweep has done."""

    folder: Path
    rows: pd.DataFrame
    """One line per finished run: its parameters, its results, its seconds."""
    skipped: list[str]
    """Runs that were finished before."""
    failed: dict[str, str]
    """The run, and in one line what stopped it."""


def run_sweep(
    points: Sequence[dict],
    out: str | Path,
    notebook: str | Path | None = None,
    fixed: dict | None = None,
    workers: int | None = None,
    cluster: str | None = None,
) -> Sweep:
    """Run a notebook once per point, several at a time. Introduced in notebook 10.

    A run that is finished is not run again, so the same call goes on after an interruption, and retries what
    failed. A failed run is reported and does not stop the rest.

    points: the parameters of each run, see grid.   fixed: parameters that all runs share.
    out: the folder of the sweep.
    notebook: takes a parameter `out`, a folder, and writes its numbers into out/result.json; further files
        that it writes there are kept beside it. None takes notebooks/sweeps/train_once.ipynb.
    workers: runs at a time on this machine; None: one per processor core.
    cluster: the address of a Dask scheduler, such as tcp://10.0.0.1:8786. The runs then go to its workers,
        where segkit must be installed, and what they write comes back: no shared disk is needed. A
        `data_dir` must exist there.
    Raises: UserError for a parameter that the notebook does not have, or a cluster that does not answer.
    """
    out, path = Path(out), Path(notebook or NOTEBOOKS / "train_once.ipynb")
    if not path.is_file():
        raise UserError(f"'{path}' does not exist: the notebooks come with the repository. Clone it.")
    check_outputs([out / "results.csv"], overwrite=True)
    runs = _name_runs(points, fixed or {}, path)  # says what is no notebook
    text = path.read_text(encoding="utf-8")

    def keep(name: str, left: tuple[dict[str, bytes], str | None], seconds: float) -> str | None:
        files, error = left
        if not error:
            result = json.loads(files.pop("result.json"))
            taken = {*runs[name], "seconds"}
            if not isinstance(result, dict) or taken & result.keys():
                return f"result.json must hold numbers by name, other names than {', '.join(sorted(taken))}"
            own = {"result": result, "seconds": round(seconds, 1)}
            content = json.dumps(_identity(runs[name], text) | own, indent=1)
            files["result.json"] = content.encode()  # the last to be written: now the run is finished
        for file, content in files.items():
            with atomic_path(out / name / file) as temporary:
                temporary.write_bytes(content)
        _write_results(out, runs, text)
        return error

    def is_finished(name: str) -> bool:
        return _finished(out / name, runs[name], text) is not None

    skipped, failed = run_members(runs, partial(_run_once, text), is_finished, keep, workers, cluster)
    return Sweep(out, _write_results(out, runs, text), skipped, failed)


def _name_runs(points: Sequence[dict], fixed: dict, notebook: Path) -> dict[str, dict]:
    """{folder name: all parameters}, each checked against what the notebook declares."""
    runs: dict[str, dict] = {}
    for point in points:
        if both := sorted(fixed.keys() & point.keys()):
            raise UserError(f"{', '.join(both)} cannot be both swept and one value for all runs.")
        wanted = settings_for({notebook.stem: notebook}, {}, fixed | point)[notebook.stem]
        if wanted.get("data_dir"):
            wanted["data_dir"] = str(Path(wanted["data_dir"]).resolve())  # the kernel runs elsewhere
        wanted = {key: _plain(value) for key, value in wanted.items()}
        name = ",".join(f"{key}={wanted[key]}" for key in point) or "run"
        name = re.sub(r"[^\w.=,+-]", "_", name)
        if name in runs:
            raise UserError(f"two runs of the sweep would be called '{name}': give each point once.")
        runs[name] = wanted
    if not runs:
        raise UserError("the sweep has no runs: give each swept parameter at least one value.")
    return runs


def _plain(value):
    """1.0 and 1 are one setting, and numpy's numbers are numbers."""
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _identity(wanted: dict, notebook: str) -> dict:
    """What makes a run the same run: its parameters and the code that ran."""
    code = "\n".join(c.source for c in nbformat.reads(notebook, 4).cells if c.cell_type == "code")
    return {"parameters": wanted, "code": hashlib.sha256(code.encode()).hexdigest()[:16]}


def _finished(folder: Path, wanted: dict, notebook: str) -> dict | None:
    """What the run wrote; None unless it ended with these very parameters and this code."""
    try:
        content = json.loads((folder / "result.json").read_text())
    except (OSError, ValueError):  # there is none, or it is not whole
        return None
    same = isinstance(content, dict) and _identity(wanted, notebook).items() <= content.items()
    return content if same else None


def _run_once(notebook: str, wanted: dict) -> tuple[dict[str, bytes], str | None]:
    """One run, in a folder that vanishes: the files it left, run.ipynb first, and what stopped it.

    Runs where the worker is. Nothing but values goes in and comes out.
    """
    with tempfile.TemporaryDirectory() as place:
        out = Path(place, "out")
        out.mkdir()
        executed, error = _papermill(notebook, wanted | {"out": str(out)}, place)
        files = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    if error is None and "result.json" not in files:
        error = "the notebook wrote no result.json into the folder `out`"
    copy = {"run.ipynb": executed.encode()} if executed else {}
    return copy | ({} if error else files), error


def _papermill(notebook: str, parameters: dict, place: str) -> tuple[str, str | None]:
    """Run a notebook in the folder `place`.   Returns: the executed notebook, and what stopped it, or None.

    papermill changes the folder of the process it works in, so every run gets a process of its own: threads
    may then share out the runs.
    """
    Path(place, "source.ipynb").write_text(notebook, encoding="utf-8")
    Path(place, "parameters.yaml").write_text(yaml.safe_dump(parameters))
    command = [sys.executable, "-c", PAPERMILL, "source.ipynb", "run.ipynb", "-f", "parameters.yaml"]
    command += ["-k", "python3", "--no-progress-bar", "--log-level", "ERROR"]
    done = subprocess.run(command, cwd=place, stdin=lifeline()[0], capture_output=True, text=True)
    copy = Path(place, "run.ipynb")
    executed = copy.read_text(encoding="utf-8") if copy.is_file() else ""
    if done.returncode == 0:
        return executed, None
    said = [line for line in done.stderr.splitlines() if re.search(r"\w", line)]
    return executed, _error_in(executed) or (said or ["papermill failed"])[-1]


def _error_in(executed: str) -> str | None:
    """The error a notebook stopped at, in one line."""
    for cell in nbformat.reads(executed, 4).cells if executed else []:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return " ".join(f"{output.ename}: {output.evalue}".split())
    return None


def _write_results(out: Path, runs: dict[str, dict], notebook: str) -> pd.DataFrame:
    """results.csv of what is finished, in the order of the points."""
    found = [_finished(out / name, wanted, notebook) for name, wanted in runs.items()]
    rows = [one["parameters"] | one["result"] | {"seconds": one["seconds"]} for one in found if one]
    table = pd.DataFrame(rows)
    if rows:
        with atomic_path(out / "results.csv") as temporary:
            table.to_csv(temporary, index=False)
    return table


def write_report(sweep: str | Path, by: str | Sequence[str], score: str = "val_dice") -> Path:
    """Run notebooks/sweeps/report.ipynb on the results of a sweep: report.ipynb, .html and .png.

    sweep: the folder of the sweep.   by: the settings that were varied, the seed left out.
    Returns: the path of its report.ipynb; the page and the picture stand beside it.   Raises: UserError.
    """
    results, copy = Path(sweep, "results.csv").resolve(), Path(sweep, "report.ipynb").resolve()
    if not results.is_file():
        raise UserError(f"'{sweep}' holds no results.csv: no run of it is finished.")
    settings = [by] if isinstance(by, str) else list(by)
    wanted = {"results": str(results), "by": settings, "score": score}
    with tempfile.TemporaryDirectory() as place:
        text = (NOTEBOOKS / "report.ipynb").read_text(encoding="utf-8")
        executed, error = _papermill(text, wanted, place)
    if error:
        raise UserError(f"the report of '{sweep}' could not be written: {error}")
    write_text(copy, executed)
    write_page(copy, NOTEBOOKS)
    save_figure(plot_runs(pd.read_csv(results), settings, score), copy.with_suffix(".png"))
    return copy

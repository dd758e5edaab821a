"""Change one thing, train again, compare: the table of short runs in data/weights. Notebook 11."""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch.utils.data import Dataset

from segkit.data import SegmentationDataset
from segkit.files import UserError
from segkit.plots import BLUE, GREY, ORANGE, Picture

COLUMNS = ("row", "seed", "change", "steps", "dice_real", "boundary_real", "dice_rendered")
COLUMNS += ("boundary_rendered", "seconds")
SCORES = ("dice_real", "dice_rendered")


class FixedBudget(Dataset):
    """A data set whose epochs all hold `per_epoch` pictures, however many there are.

    Sets of 400 and of 2,000 pictures are then trained for the same number of steps, with a validation after
    the same number of pictures. Pictures are dealt from a shuffled deck; when it is used up, it is shuffled
    again. Everything else is that of `dataset`, whose augmentation changes with every epoch as before.
    """

    def __init__(self, dataset: SegmentationDataset, per_epoch: int, seed: int = 0):
        self.dataset, self.per_epoch, self.seed, self.epoch = dataset, per_epoch, seed, 1

    def __getattr__(self, name: str):
        if name == "dataset":  # not there yet while being unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return self.per_epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.dataset.set_epoch(epoch)

    def __getitem__(self, index: int):
        if not 0 <= index < self.per_epoch:
            raise IndexError(index)
        deck, place = divmod((self.epoch - 1) * self.per_epoch + index, len(self.dataset))
        order = np.random.default_rng((self.seed, deck)).permutation(len(self.dataset))
        return self.dataset[int(order[place])]


def read_runs(path: str | Path) -> list[dict]:
    """The lines of an ablation's CSV, numbers as numbers; an empty score is None.

    Raises: UserError when the file is missing or holds other columns.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"'{path}' is not there: data/weights/ablation.py writes it.")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if tuple(row) != COLUMNS or None in row.values():
            raise UserError(f"'{path}' should hold the columns {', '.join(COLUMNS)}; found {', '.join(row)}.")
        row["seed"], row["steps"], row["seconds"] = int(row["seed"]), int(row["steps"]), float(row["seconds"])
        for name in COLUMNS[4:8]:
            row[name] = float(row[name]) if row[name] else None
    return rows


@dataclass(frozen=True)
class Compared:
    """One row of the table: what was changed, and what it did to one score."""

    row: str
    runs: int
    mean: float
    spread: float | None
    """largest minus smallest of its seeds; None with one seed"""
    difference: float | None
    """mean minus the reference's; None for the reference itself or without one"""
    noise: float | None
    """twice the standard error of that difference, from the spread of all rows; None when unknown"""

    @property
    def verdict(self) -> str:
        """better, worse, within noise, or nothing where it cannot be said."""
        if self.difference is None or self.noise is None:
            return ""
        if abs(self.difference) <= self.noise:
            return "within noise"
        return "better" if self.difference > 0 else "worse"


def compare(
    runs: list[dict], score: str = "dice_real", reference: Callable[[str], str] | str = "reference"
) -> list[Compared]:
    """Mean and spread over the seeds of each row, and the difference to its reference.

    runs: from read_runs.   reference: the name of the row to compare with, or a function row -> that name.
    Two seeds say little about one row, but all rows together say how far seeds lie apart: the variance is
    pooled over every row with at least two seeds. A difference counts as more than noise beyond twice its
    standard error.   Returns: in the order of the first run of each row.
    """
    values: dict[str, list[float]] = {}
    for run in runs:
        if run[score] is not None:
            values.setdefault(run["row"], []).append(run[score])
    repeated = [v for v in values.values() if len(v) > 1]
    freedom = sum(len(v) - 1 for v in repeated)
    variance = sum(np.var(v, ddof=1) * (len(v) - 1) for v in repeated) / freedom if freedom else None
    table = []
    for row, own in values.items():
        against = reference(row) if callable(reference) else reference
        other = values.get(against)
        difference = noise = None
        if other and against != row:
            difference = float(np.mean(own) - np.mean(other))
            if variance is not None:
                noise = 2 * math.sqrt(variance * (1 / len(own) + 1 / len(other)))
        spread = max(own) - min(own) if len(own) > 1 else None
        table.append(Compared(row, len(own), float(np.mean(own)), spread, difference, noise))
    return table


def reference_of(row: str) -> str:
    """The row to compare with: "small: reference" for "small: a teacher", "reference" where no colon is."""
    group, colon, _ = row.partition(": ")
    return f"{group}: reference" if colon else "reference"


def markdown_table(runs: list[dict]) -> str:
    """Every row on the real and on the rendered validation pictures, as a Markdown table."""
    columns = [{c.row: c for c in compare(runs, score, reference_of)} for score in SCORES]
    order = sorted({run["row"]: None for run in runs}, key=lambda row: row.count(": "))
    lines = [
        "| change | seeds | Dice, real | spread | difference | | Dice, rendered | spread | difference | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in order:
        cells = [row, str(max(table[row].runs for table in columns if row in table))]
        for table in columns:
            c = table.get(row)
            cells += (
                ["", "", "", ""]
                if c is None
                else [
                    f"{c.mean:.3f}",
                    "" if c.spread is None else f"{c.spread:.3f}",
                    "" if c.difference is None else f"{c.difference:+.3f}",
                    c.verdict,
                ]
            )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot_ablation(runs: list[dict], score: str = "dice_real") -> Figure:
    """How far each row lies from its reference: a ring per seed, a dot for the mean, the noise as a grey bar.

    runs: from read_runs; rows that are a reference, or lack one, are left out.   Introduced in notebook 11.
    """
    table = [c for c in compare(runs, score, reference_of) if c.difference is not None]
    table.sort(key=lambda c: c.difference)
    figure = Picture(figsize=(8, 0.9 + 0.26 * max(3, len(table))), layout="constrained")
    axes = figure.subplots()
    colours = {"better": BLUE, "worse": ORANGE}
    for height, c in enumerate(table):
        base = c.mean - c.difference
        if c.noise is not None:
            axes.barh(height, 2 * c.noise, 0.7, left=-c.noise, color="#e2e2e2", zorder=0)
        own = [run[score] - base for run in runs if run["row"] == c.row and run[score] is not None]
        colour = colours.get(c.verdict, GREY)
        axes.plot(own, [height] * len(own), "o", mfc="white", mec=colour, ms=5, zorder=2)
        axes.plot(c.difference, height, "o", color=colour, ms=7, zorder=3)
    axes.axvline(0, color=GREY, lw=1, zorder=1)
    axes.set_yticks(range(len(table)), [c.row for c in table], fontsize=9)
    axes.set_xlabel("validation Dice, difference to the reference")
    axes.set_title("" if table else "no row to compare yet", fontsize=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure

"""Change one thing, train again, compare: the table of short runs in data/weights. Notebook 11."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from segkit.files import UserError
from segkit.plots import BLUE, GREY, ORANGE, Picture

COLUMNS = ("row", "seed", "change", "steps", "dice_real", "boundary_real", "dice_rendered",
           "boundary_rendered", "seconds")  # fmt: skip


def read_runs(path: str | Path) -> list[dict]:
    """The lines of an ablation's CSV, numbers as numbers; an empty score is None.

    Raises: UserError when the file is missing or holds other columns.
    """
    if not Path(path).exists():
        raise UserError(f"'{path}' is not there: data/weights/ablation.py writes it.")
    table = pd.read_csv(path)
    if tuple(table) != COLUMNS or table["seconds"].isna().any():
        raise UserError(f"'{path}' should hold the columns {', '.join(COLUMNS)}; found {', '.join(table)}.")
    return table.astype(object).where(table.notna(), None).to_dict("records")


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


def compare_to_reference(runs: list[dict], score: str = "dice_real") -> list[Compared]:
    """Mean and spread over the seeds of each row, and the difference to its reference.

    runs: from read_runs.   The reference of "small: a teacher" is "small: reference"; without a colon,
    "reference".
    Two seeds say little about one row, but all rows together say how far seeds lie apart: the variance is
    pooled over every row with at least two seeds. A difference counts as more than noise beyond twice its
    standard error.   Returns: in the order of the first run of each row.
    """
    rows = _finished(pd.DataFrame(runs, columns=COLUMNS), score)
    freedom = len(rows) - rows["row"].nunique()
    sd = seed_noise(rows, "row", score)[0] if freedom else None
    values, table = dict(list(rows.groupby("row", sort=False)[score])), []
    for row, own in values.items():
        group, colon, _ = row.partition(": ")
        base = values.get(f"{group}: reference" if colon else "reference", own)
        difference = noise = None
        if base is not own:
            difference = float(own.mean() - base.mean())
            noise = 2 * sd * math.sqrt(1 / len(own) + 1 / len(base)) if freedom else None
        spread = own.max() - own.min() if len(own) > 1 else None
        table.append(Compared(row, len(own), float(own.mean()), spread, difference, noise))
    return table


def plot_ablation(runs: list[dict], score: str = "dice_real") -> Figure:
    """How far each row lies from its reference: a ring per seed, a dot for the mean, the noise as a grey bar.

    runs: from read_runs; rows that are a reference, or lack one, are left out.   Introduced in notebook 11.
    """
    table = [c for c in compare_to_reference(runs, score) if c.difference is not None]
    table.sort(key=lambda c: c.difference)
    figure = Picture(figsize=(4.4, 0.9 + 0.34 * max(3, len(table))), layout="constrained")
    axes = figure.subplots()
    colours = {"better": BLUE, "worse": ORANGE}
    for height, c in enumerate(table):
        base = c.mean - c.difference
        if c.noise is not None:
            axes.barh(height, 2 * c.noise, 0.5, left=-c.noise, color="#e2e2e2", zorder=0)
        own = [run[score] - base for run in runs if run["row"] == c.row and run[score] is not None]
        colour = colours.get(c.verdict, GREY)
        axes.plot(own, [height] * len(own), "o", mfc="white", mec=colour, ms=5, zorder=2)
        axes.plot(c.difference, height, "o", color=colour, ms=7, zorder=3)
    axes.axvline(0, color=GREY, lw=1, zorder=1)
    # Each name stands above its line: beside it, a phone would show both too small to read.
    axes.set_yticks([height + 0.45 for height in range(len(table))], [c.row for c in table], ha="left")
    axes.set(xlabel="validation Dice, difference to the reference", ymargin=0.02)
    axes.set_title("" if table else "no row to compare yet", fontsize=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, pad=0, labelsize=9)
    return figure


# --- reading it -----------------------------------------------------------------------------------------


def seed_noise(rows: pd.DataFrame, by: str | Sequence[str], score: str = "val_dice") -> tuple[float, int]:
    """How far two runs lie apart that differ in nothing but the seed.

    by: every setting that was varied, the seed left out; none of them for a sweep over seeds alone.
    The runs of each combination vary around their own mean; this pools all of them, so that a few seeds
    each are enough to know the noise, if it is alike everywhere. Runs without a finite score are left out.
    Returns: standard deviation, and the degrees of freedom it rests on.
    Raises: UserError when no combination was run twice.   Introduced in notebook 10.
    """
    cells = _cells(rows, by, score)
    freedom = int((cells["runs"] - 1).sum())
    if freedom == 0:
        names = _names(by)
        what = names[0] if len(names) == 1 else f"combination of {', '.join(names)}" if names else "setting"
        raise UserError(f"each {what} has one finished run: nobody knows the noise then. Run more seeds.")
    return math.sqrt(cells["squares"].sum() / freedom), freedom


def summarise(
    rows: pd.DataFrame, by: str, score: str = "val_dice", others: Sequence[str] = ()
) -> pd.DataFrame:
    """Runs, mean, spread and 95 % interval of the mean for every value of a setting.

    others: settings that were varied as well. The noise is then that within each combination, and a mean is
    that over the combinations which every value of `by` has, each counted alike.
    The interval is Student's, from the pooled noise of seed_noise.
    Returns: columns by, runs, mean, sd (around the mean of its combination; nan after one run), low, high.
    Raises: UserError, also when no combination of the others was run with every value of `by`.
    Introduced in notebook 10.
    """
    return _means(rows, by, score, others).drop(columns="error")


def compare_settings(
    rows: pd.DataFrame, by: str, score: str = "val_dice", others: Sequence[str] = ()
) -> pd.DataFrame:
    """Every value of a setting against the best mean: difference, interval, what it allows to say.

    Whoever looks for the best of many finds differences by chance alone, so the intervals are Tukey's: of
    all differences between two means of a setting, none errs in 95 of 100 sweeps. With `others` (as in
    summarise), the 5 % are shared out among the settings, as Bonferroni has it.
    Returns: columns by, behind, low, high, reading.   Tukey (1949), Kramer (1956); introduced in notebook 10.
    """
    _, freedom = seed_noise(rows, [by, *others], score)
    table = _means(rows, by, score, others)
    best = table.loc[table["mean"].idxmax()]
    rest = table[table[by] != best[by]]
    behind = best["mean"] - rest["mean"]
    error = np.sqrt(rest["error"] ** 2 + best["error"] ** 2)
    count = max(2, len(table))
    half = _tukey(count, freedom, 0.05 / (1 + len(others))) * error
    reading = ["behind" if low > 0 else "cannot be told apart" for low in behind - half]
    return pd.DataFrame(
        {by: rest[by], "behind": behind, "low": behind - half, "high": behind + half, "reading": reading}
    ).reset_index(drop=True)


@functools.cache  # a tenth of a second each
def _tukey(count: int, freedom: int, risk: float) -> float:
    """How many standard errors the farthest two of so many equal means lie apart, but for this risk."""
    return stats.studentized_range.ppf(1 - risk, count, freedom) / math.sqrt(2)


def interaction(rows: pd.DataFrame, by: Sequence[str], score: str = "val_dice") -> float:
    """p of an F test: do the settings only add up (large p), or does one change what another does (small)?

    by: the settings that were varied, at least two.   Returns: p in [0, 1]; 1 when there is nothing to test.
    """
    noise, freedom = seed_noise(rows, by, score)
    rows = _finished(rows, score)
    added = np.column_stack(
        [np.ones(len(rows)), *(pd.get_dummies(rows[name]).to_numpy(float) for name in by)]
    )
    fitted, _, rank, _ = np.linalg.lstsq(added, rows[score].to_numpy(), rcond=None)
    beyond = len(_cells(rows, by, score)) - rank
    if beyond < 1 or noise == 0:
        return 1.0
    left = ((rows[score] - added @ fitted) ** 2).sum() - freedom * noise**2
    return float(stats.f.sf(left / beyond / noise**2, beyond, freedom))


def verdict(rows: pd.DataFrame, by: str | Sequence[str], score: str = "val_dice") -> str:
    """What may be said about a sweep: the noise first, then a line for each setting.

    by: the settings that were varied, the seed left out; none for a sweep over seeds alone.
    Raises: UserError when no combination was run twice.   Introduced in notebook 10.
    """
    names = _names(by)
    noise, freedom = seed_noise(rows, names, score)
    said = f"Runs that differ in the seed alone vary by {noise:.3f} {score} ({freedom} degrees of freedom)."
    groups = [runs for _, runs in _groups(_finished(rows, score), names, score) if len(runs) > 1]
    with np.errstate(divide="ignore", invalid="ignore"):  # runs of a setting may be equal to the last digit
        unlike = len(groups) > 1 and stats.bartlett(*groups).pvalue < 0.01
    if unlike:
        least, *_, most = sorted(runs.std() for runs in groups)
        said += f" It is not alike everywhere (from {least:.3f} to {most:.3f}): look at the dots."
    if without := len(rows) - len(_finished(rows, score)):
        said += f" {without} of {len(rows)} runs ended without a number and are left out."
    if not names:
        rows, names = rows.assign(all="runs"), ["all"]
    lines = [said] + [_rank(rows, name, score, [n for n in names if n != name]) for name in names]
    if len(names) > 1 and (p := interaction(rows, names, score)) < 0.05:
        lines.append(
            f"But {' and '.join(names)} act together (p = {p:.2g}): what one does depends on the other. "
            "Look at each combination."
        )
    return "\n".join(lines)


def _rank(rows: pd.DataFrame, by: str, score: str, others: Sequence[str]) -> str:
    """The line of one setting."""
    table, against = summarise(rows, by, score, others), compare_settings(rows, by, score, others)
    best = _label(table.loc[table["mean"].idxmax(), by])
    level = [_label(value) for value in against.loc[against["reading"] != "behind", by]]
    if against.empty:
        mean, low, high = table.loc[0, ["mean", "low", "high"]]
        return f"The mean of {by} {best} is {mean:.3f}, 95 % from {low:.3f} to {high:.3f}."
    if level:
        behind = [_label(value) for value in against[by] if _label(value) not in level]
        rest = f"; {', '.join(behind)} {'is' if len(behind) == 1 else 'are'} behind" if behind else ""
        return f"{by} {best} has the highest mean; {', '.join(level)} cannot be told apart from it{rest}."
    return f"{by} {best} is ahead of all others by more than the noise explains."


def _names(by: str | Sequence[str]) -> list[str]:
    return [by] if isinstance(by, str) else list(by)


def _finished(rows: pd.DataFrame, score: str) -> pd.DataFrame:
    return rows[np.isfinite(rows[score].astype(float))]


def _groups(rows: pd.DataFrame, by: str | Sequence[str], score: str):
    """The scores of every combination."""
    return rows.groupby(_names(by) or [0] * len(rows))[score]


def _cells(rows: pd.DataFrame, by: str | Sequence[str], score: str) -> pd.DataFrame:
    """Of every combination: runs, mean, and squares (summed, of the distances from its mean)."""
    return _groups(_finished(rows, score), by, score).agg(
        runs="count", mean="mean", squares=lambda runs: ((runs - runs.mean()) ** 2).sum()
    )


def _means(rows: pd.DataFrame, by: str, score: str, others: Sequence[str]) -> pd.DataFrame:
    """The table of `summarise`, and error: the standard error of each mean."""
    noise, freedom = seed_noise(rows, [by, *others], score)
    cells = _cells(rows, [by, *others], score).reset_index()
    if others:
        shared = cells.groupby(list(others))[by].transform("nunique") == cells[by].nunique()
        if not shared.any():
            raise UserError(
                f"no combination of {', '.join(others)} has a finished run for every {by}: finish the sweep."
            )
        cells = cells[shared]
    groups = cells.assign(share=1 / cells["runs"]).groupby(by)
    table = groups.agg(runs=("runs", "sum"), mean=("mean", "mean"), squares=("squares", "sum"))
    count = groups.size()
    error = noise * groups["share"].sum() ** 0.5 / count
    sd = (table.pop("squares") / (table["runs"] - count).where(table["runs"] > count)) ** 0.5
    half = stats.t.ppf(0.975, freedom) * error
    table = table.assign(sd=sd, low=table["mean"] - half, high=table["mean"] + half, error=error)
    return table.reset_index()


def _label(value) -> str:
    """0.5, 1 or adam, as a person writes it."""
    return value if isinstance(value, str) else f"{value:g}"


def plot_runs(rows: pd.DataFrame, by: str | Sequence[str], score: str = "val_dice") -> Figure:
    """Every run as a dot, and the means with their 95 % intervals: a panel for each setting.

    by: the settings that were varied, the seed left out; none for a sweep over seeds alone.
    """
    rows, names = _finished(rows, score), _names(by)
    if not names:
        rows, names = rows.assign(all="runs"), ["all"]
    tables = {name: summarise(rows, name, score, [n for n in names if n != name]) for name in names}
    widths = [1.1 * len(table) + 2.6 for table in tables.values()]
    figure = Picture(figsize=(sum(widths), 3.2), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, width_ratios=widths, squeeze=False)[0]
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        for place, row in table.iterrows():
            dots = rows.loc[rows[name] == row[name], score]
            axes.plot([place - 0.12] * len(dots), dots, "o", color=GREY, ms=5, alpha=0.7)
            axes.plot([place + 0.12] * 2, [row["low"], row["high"]], color=BLUE, lw=2)
            axes.plot(place + 0.12, row["mean"], "o", color=BLUE, ms=7)
        axes.set_xticks(range(len(table)), [_label(value) for value in table[name]])
        axes.set(xlabel=f"{name} (grey: one run each; blue: mean and 95 %)", xlim=(-0.6, len(table) - 0.4))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(score)
    return figure

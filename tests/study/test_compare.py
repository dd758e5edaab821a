import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import refused

from segkit.study.compare import COLUMNS, compare_to_reference, plot_ablation, read_runs

WEIGHTS = Path(__file__).parents[2] / "data" / "weights"
SCRIPT = WEIGHTS / "ablation.py"


def run(row, seed, real, rendered=0.9):
    return {"row": row, "seed": seed, "dice_real": real, "dice_rendered": rendered}


RUNS = [
    run("reference", 0, 0.80), run("reference", 1, 0.82),
    run("other", 0, 0.70), run("other", 1, 0.72),
    run("near", 0, 0.805), run("near", 1, 0.785),
    run("small: reference", 0, 0.50),
    run("small: more", 0, 0.60),
]  # fmt: skip


def test_mean_spread_and_difference_by_hand():
    table = {c.row: c for c in compare_to_reference(RUNS)}
    assert table["reference"].mean == pytest.approx(0.81) and table["reference"].difference is None
    assert table["other"].spread == pytest.approx(0.02)
    assert table["other"].difference == pytest.approx(-0.10)
    assert table["small: more"].difference == pytest.approx(0.10)
    assert table["small: more"].spread is None


def test_noise_is_pooled_over_all_rows_with_two_seeds():
    """Three rows with two seeds 0.02 apart each: variance 0.0002, and twice the error of two means of two."""
    table = {c.row: c for c in compare_to_reference(RUNS)}
    assert table["other"].noise == pytest.approx(2 * (0.0002 * (1 / 2 + 1 / 2)) ** 0.5)
    assert table["small: more"].noise == pytest.approx(2 * (0.0002 * 2) ** 0.5)
    verdicts = [table[row].verdict for row in ("reference", "other", "near", "small: more")]
    assert verdicts == ["", "worse", "within noise", "better"]


def test_one_seed_says_nothing_about_noise():
    table = compare_to_reference([run("reference", 0, 0.8), run("other", 0, 0.7)])
    assert table[1].difference == pytest.approx(-0.1) and table[1].verdict == ""


def test_the_table_takes_whatever_rows_are_there():
    markdown_table = runpy.run_path(str(SCRIPT))["markdown_table"]
    for count in range(len(RUNS) + 1):
        lines = markdown_table(RUNS[:count]).splitlines()
        assert len(lines) == 2 + len({r["row"] for r in RUNS[:count]})
        assert len({line.count("|") for line in lines}) == 1


def test_the_drawing_has_a_line_per_comparison_and_draws_nothing_at_all():
    for count, lines in ((0, 0), (2, 0), (6, 2), (8, 3)):
        (axes,) = plot_ablation(RUNS[:count]).axes
        assert len(axes.get_yticklabels()) == lines
        assert ("no row" in axes.get_title()) == (lines == 0)
    assert axes.get_yticklabels()[0].get_text() == "other"  # the worst one at the bottom


def test_runs_without_photographs_have_an_empty_half():
    runs = [run("reference", 0, None), run("reference", 1, None)]
    text = runpy.run_path(str(SCRIPT))["markdown_table"](runs)
    assert "| reference | 2 |  |  |  |  | 0.900 | 0.000 |" in text


def test_the_table_that_ships_is_whole():
    for row in read_runs(WEIGHTS / "ablation.csv"):
        json.loads(row["change"])
        assert row["steps"] == 240 and 0 < row["dice_rendered"] < 1 and 0 < row["dice_real"] < 1


def test_other_columns_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("row,dice\nx,0.5\n")
    refused("dice_real", read_runs, tmp_path / "a.csv")
    refused("not there", read_runs, tmp_path / "b.csv")


def test_every_row_changes_one_thing_and_builds():
    script = runpy.run_path(str(SCRIPT))
    words = {"sets", "without", "scales"}
    for name, change in script["ROWS"].items():
        settings = {k: v for k, v in change.items() if k not in words}
        config, _ = script["split_settings"](script["REFERENCE"] | settings)
        small = name.startswith("small")
        base = set(script["ROWS"]["small: reference"]) if small else set()
        assert len(set(change) - base) <= 2, name
        script["build_model"](config.model, None, **config.model_settings | pretrained(False, config))
    for family in script["FAMILIES"]:
        script["Without"](1.0, None, family)


def pretrained(value, config):
    return {"pretrained": value} if "pretrained" in config.model_settings else {}


def test_a_family_left_out_is_left_out():
    without = runpy.run_path(str(SCRIPT))["Without"]
    image = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    mask = np.zeros((48, 48), np.uint8)
    mask[10:30, 5:20] = 1
    for seed in range(20):
        assert np.array_equal(without(1.0, None, "geometry")(image, mask, seed=seed)[1], mask)
    moved = [without(1.0, None, "colour")(image, mask, seed=seed)[1] for seed in range(20)]
    assert any(not np.array_equal(m, mask) for m in moved)


@pytest.mark.slow
def test_the_script_skips_what_is_done_trains_the_rest_and_says_what_it_leaves_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(",".join(COLUMNS) + "\nsmall: reference,0,{},1,,,0.5,0.5,1\n")
    command = [sys.executable, SCRIPT, "--rows", "small: reference", "--per-epoch", "16", "--epochs", "1"]
    done = subprocess.run([*command, "--csv", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no folder of photographs" in done.stdout
    assert "seed 1" in done.stdout and "seed 0" not in done.stdout
    first, second = read_runs(path)
    assert first["dice_rendered"] == 0.5 and first["dice_real"] is None
    assert (second["seed"], second["steps"], second["dice_real"]) == (1, 1, None)

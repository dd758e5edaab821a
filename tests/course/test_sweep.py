"""Sweeps: every point once, side by side, resumed, failures reported, here and on a real Dask cluster."""

import signal
import subprocess
import sys
import time
from unittest.mock import Mock

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
from conftest import cases, refused, write_notebook
from PIL import Image
from scipy import stats

from segkit.course.sweep import NOTEBOOKS, grid, run_sweep, write_report
from segkit.files import UserError
from segkit.study.compare import compare_settings, plot_runs, seed_noise, summarise, verdict

PARAMETERS = """
alpha: float = 0.5  # of the loss
seed: int = 0  # another one
data_dir: str = ""  # where
out: str = ""  # for result.json
"""
WRITE = """
import json, os, pathlib
if alpha < 0:
    raise ValueError(f"alpha {alpha} is no share")
if alpha == 7:
    os._exit(1)
numbers = {"val_dice": alpha + seed / 100, "pid": os.getpid(), "place": data_dir}
if out and alpha != 9:
    pathlib.Path(out, "result.json").write_text(json.dumps(numbers))
"""


@pytest.fixture
def notebook(tmp_path):
    """Takes a second and writes a number; alpha -1 raises, 7 kills the kernel, 9 writes nothing."""
    return write_notebook(tmp_path / "quick.ipynb", WRITE, parameters=PARAMETERS.strip())


def test_a_grid_is_every_combination_the_last_name_fastest():
    points = [tuple(point.values()) for point in grid(a=(1, 2), b="xy")]
    assert points == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


@pytest.mark.slow
def test_each_point_runs_in_its_own_process_and_once(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, points = tmp_path / "sweep", grid(alpha=(0.1,), seed=(0, 1))
    fixed = {"data_dir": "mine"}  # in the folder of the caller
    sweep = run_sweep(points, "sweep", notebook, fixed, workers=2)
    assert sweep.rows["val_dice"].tolist() == pytest.approx([0.1, 0.11])
    assert sweep.rows["pid"].nunique() == 2 and set(sweep.rows["place"]) == {str(tmp_path / "mine")}
    assert (sweep.failed, sweep.skipped) == ({}, [])
    copy = nbformat.read(out / "alpha=0.1,seed=1" / "run.ipynb", as_version=4)
    assert all(cell.execution_count for cell in copy.cells if cell.cell_type == "code")
    assert pd.read_csv(out / "results.csv")["val_dice"].tolist() == sweep.rows["val_dice"].tolist()

    before = (out / "alpha=0.1,seed=0" / "result.json").stat().st_mtime_ns
    (out / "alpha=0.1,seed=1" / "result.json").unlink()  # as if it had been interrupted
    again = run_sweep(points, out, notebook, fixed)
    assert again.skipped == ["alpha=0.1,seed=0"] and len(again.rows) == 2
    assert (out / "alpha=0.1,seed=0" / "result.json").stat().st_mtime_ns == before
    other = run_sweep(points[:1], out, notebook)
    assert other.skipped == []  # the same name, another run


@cases(
    "left made",
    ('{"val_dice": 0.5}', True),
    ("[1]", False),
    ('{"alpha": 9}', False),  # would stand in results.csv in place of the alpha that was set
    ('{"seconds": 9}', False),
    ("{", False),
)
def test_a_damaged_result_is_made_again(notebook, tmp_path, monkeypatch, left, made):
    (tmp_path / "sweep" / "alpha=1").mkdir(parents=True)
    (tmp_path / "sweep" / "alpha=1" / "result.json").write_text("null")
    monkeypatch.setattr("segkit.course.sweep._run_once", lambda *_: ({"result.json": left.encode()}, None))
    sweep = run_sweep(grid(alpha=(1,)), tmp_path / "sweep", notebook, workers=1)
    assert (len(sweep.rows), len(sweep.failed)) == ((1, 0) if made else (0, 1))


@pytest.mark.slow
def test_failures_are_named_keep_their_notebook_and_another_code_is_another_run(notebook, tmp_path):
    out, points = tmp_path / "sweep", grid(alpha=(-1, 7, 9, 0.6))
    sweep = run_sweep(points, out, notebook, workers=2)
    assert sweep.rows["alpha"].tolist() == [0.6]
    assert sweep.failed["alpha=-1"] == "ValueError: alpha -1 is no share"
    assert "Kernel died" in sweep.failed["alpha=7"] or "DeadKernel" in sweep.failed["alpha=7"]
    assert "no result.json" in sweep.failed["alpha=9"]
    assert (out / "alpha=-1" / "run.ipynb").is_file()  # to look at what went wrong
    notebook.write_text(notebook.read_text().replace("if alpha < 0", "if alpha < -5"))
    again = run_sweep([points[0], points[3]], out, notebook, workers=2)
    assert (len(again.rows), again.failed, again.skipped) == (2, {}, [])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_sweep_that_is_ended_leaves_no_process_at_work(tmp_path, how):
    code, parameters = "import time; time.sleep(600)", PARAMETERS.strip()
    slow = write_notebook(tmp_path / "slow.ipynb", code, parameters=parameters)
    call = ["sweep", "--notebook", slow, "-g", "seed=0,1", "-o", tmp_path / "out", "--workers", "2"]
    call = [sys.executable, "-m", "segkit", *call]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as sweep:
        below = []
        while len(below) < 4:  # papermill and a kernel for each
            assert sweep.poll() is None
            time.sleep(0.1)
            below = psutil.Process(sweep.pid).children(recursive=True)
        sweep.send_signal(getattr(signal, how))
        _, said = sweep.communicate(timeout=60)
    assert psutil.wait_procs(below, timeout=60)[1] == []
    assert how == "SIGKILL" or "finished runs are kept" in said


@pytest.mark.slow
def test_the_same_call_runs_on_a_dask_cluster(notebook, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
        points = [*grid(alpha=(0.1,), seed=(0, 1)), {"alpha": -1, "seed": 0}]
        sweep = run_sweep(points, tmp_path / "sweep", notebook, cluster=cluster.scheduler_address)
    assert sweep.rows["val_dice"].tolist() == pytest.approx([0.1, 0.11])
    assert list(sweep.failed) == ["alpha=-1,seed=0"]
    assert (tmp_path / "sweep" / "alpha=0.1,seed=1" / "run.ipynb").is_file()
    again = run_sweep(grid(alpha=(0.1,), seed=(0, 1)), tmp_path / "sweep", notebook)
    assert len(again.skipped) == 2  # it goes on here


@cases(
    "points how message",
    ([{"beta": 1}], {}, "no chosen notebook has a parameter 'beta'"),
    ([{"alpha": "much"}], {}, "alpha must be float, found 'much'"),
    ([{"alpha": 1}, {"alpha": 1}], {}, "two runs of the sweep would be called 'alpha=1'"),
    ([], {}, "the sweep has no runs"),
    ([{"alpha": 1}], {"notebook": sys.executable}, "is not a notebook that can be read"),
    ([{"alpha": 1}], {"notebook": "nowhere.ipynb"}, "'nowhere.ipynb' does not exist"),
    ([{"alpha": 1}], {"cluster": "tcp://127.0.0.1:9"}, "no Dask scheduler answers at 'tcp://127"),
)
def test_a_mistake_is_said_before_any_run(notebook, tmp_path, points, how, message, monkeypatch):
    monkeypatch.setattr("segkit.study.members.PATIENCE", 1)
    with pytest.raises(UserError, match="(?s)" + message.replace("(", r"\(")):
        run_sweep(points, tmp_path / "sweep", **({"notebook": notebook} | how))
    assert not list(tmp_path.glob("sweep/*/result.json"))


# --- reading it -----------------------------------------------------------------------------------------


def table(noise: float, seeds: int, means: dict[float, float], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"alpha": a, "seed": s, "val_dice": m + rng.normal(0, noise)}
        for a, m in means.items()
        for s in range(seeds)
    )


def test_the_noise_is_that_of_a_one_way_analysis_of_variance():
    rows = table(0.02, 4, {0: 0.5, 0.5: 0.6, 1: 0.55})
    noise, freedom = seed_noise(rows, "alpha")
    groups = [group.to_numpy() for _, group in rows.groupby("alpha")["val_dice"]]
    within = sum(((group - group.mean()) ** 2).sum() for group in groups) / 9
    between = 4 * np.var([group.mean() for group in groups], ddof=1)
    assert (noise**2, freedom) == (pytest.approx(within), 9)
    assert between / noise**2 == pytest.approx(stats.f_oneway(*groups).statistic)


def test_the_interval_of_a_mean_with_two_seeds_alone_is_as_wide_as_it_must_be():
    rows = pd.DataFrame({"alpha": [0, 0], "val_dice": [0.60, 0.62]})
    (line,) = summarise(rows, "alpha").to_dict("records")
    assert line["high"] - line["low"] == pytest.approx(2 * 12.706 * 0.01, rel=1e-3)


def test_settings_far_apart_are_ranked_and_level_ones_are_not():
    rows = table(0.01, 4, {0: 0.5, 1: 0.6})
    assert compare_settings(rows, "alpha")["reading"].tolist() == ["behind"]
    assert verdict(rows, "alpha").endswith("alpha 1 is ahead of all others by more than the noise explains.")
    assert verdict(table(0.01, 4, {0: 0.6, 1: 0.6, 2: 0.1}), "alpha").endswith("; 2 is behind.")
    level = verdict(table(0.03, 2, {0: 0.5, 1: 0.5}), "alpha")
    assert "cannot be told apart" in level
    assert level.startswith("Runs that differ in the seed alone vary by")


@pytest.mark.filterwarnings("error")
def test_runs_that_are_equal_to_the_last_digit_are_judged_without_a_warning():
    rows = table(0.01, 4, {0: 0.5, 1: 0.6})
    rows.loc[rows.alpha == 0, "val_dice"] = 0.0
    assert "not alike everywhere (from 0.000 to" in verdict(rows, "alpha")


def test_the_best_of_many_equal_settings_is_seldom_called_ahead():
    """As one pair, the worst of ten would be called behind the best in more than half of the sweeps."""
    named = 0
    for seed in range(40):
        rows = table(0.02, 3, dict.fromkeys(range(10), 0.5), seed)
        named += (compare_settings(rows, "alpha")["reading"] == "behind").any()
    assert named / 40 < 0.2


@pytest.mark.parametrize("means", [{0: 0.5, 0.5: 0.6, 1: 0.55}, {0: 0.5, 0.5: 0.53}])
def test_the_intervals_are_those_of_tukeys_test_and_behind_is_what_they_put_there(means):
    rows = table(0.02, 4, means)
    found = compare_settings(rows, "alpha")
    groups = [group.to_numpy() for _, group in rows.groupby("alpha")["val_dice"]]
    theirs, others = stats.tukey_hsd(*groups).confidence_interval(), [i for i in range(len(means)) if i != 1]
    assert found["alpha"].tolist() == [list(means)[i] for i in others]
    assert found["low"].tolist() == pytest.approx([theirs.low[1, i] for i in others], rel=1e-3)
    assert found["high"].tolist() == pytest.approx([theirs.high[1, i] for i in others], rel=1e-3)
    assert (found["reading"] == "behind").tolist() == [theirs.low[1, i] > 0 for i in others]


def two_settings(noise: float, together: float = 0.0) -> pd.DataFrame:
    """alpha adds little, width much; `together` is added where both are large."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"alpha": a, "width": w, "seed": s, "val_dice": v + rng.normal(0, noise)}
        for a in (0, 1)
        for w in (4, 8, 16)
        for v in [0.3 + 0.01 * a + 0.02 * w + together * (a == 1 and w == 16)]
        for s in range(3)
    )


def test_with_two_settings_the_noise_is_that_within_each_combination():
    noise, freedom = seed_noise(two_settings(0.001), ["alpha", "width"])
    assert (noise, freedom) == (pytest.approx(0.001, rel=0.5), 12)
    assert seed_noise(two_settings(0.001), "alpha")[0] > 0.05  # what the width does is no noise


def test_each_setting_has_its_verdict_over_the_others():
    said = verdict(two_settings(0.001), ["alpha", "width"]).splitlines()
    assert said[0].startswith("Runs that differ in the seed alone vary by 0.001")
    ahead = "is ahead of all others by more than the noise explains."
    assert said[1:] == [f"alpha 1 {ahead}", f"width 16 {ahead}"]
    (line,) = compare_settings(two_settings(0.001), "alpha", others=["width"]).to_dict("records")
    assert line["behind"] == pytest.approx(0.01, abs=0.002)


def test_settings_that_act_together_are_said_to():
    assert "act together" not in verdict(two_settings(0.001), ["alpha", "width"])
    assert "alpha and width act together" in verdict(two_settings(0.001, together=0.05), ["alpha", "width"])


def test_a_mean_over_the_others_takes_only_combinations_that_every_value_has():
    rows = two_settings(0.0001)
    rows = rows[~((rows["alpha"] == 1) & (rows["width"] == 4))]  # the small and bad ones failed
    (line,) = compare_settings(rows, "alpha", others=["width"]).to_dict("records")
    assert line["behind"] == pytest.approx(0.01, abs=0.001)
    with pytest.raises(UserError, match="no combination of width has a finished run for every alpha"):
        summarise(rows[(rows["alpha"] == 1) == (rows["width"] == 8)], "alpha", others=["width"])


def test_a_run_that_ended_without_a_number_is_left_out_and_said():
    rows = table(0.01, 4, {0: 0.5, 1: 0.6})
    whole = compare_settings(rows.drop(index=7), "alpha")
    rows.loc[7, "val_dice"] = float("nan")
    pd.testing.assert_frame_equal(compare_settings(rows, "alpha"), whole)
    assert "1 of 8 runs ended without a number and are left out" in verdict(rows, "alpha")
    assert len(plot_runs(rows, "alpha").axes) == 1


def test_a_sweep_over_seeds_alone_has_its_noise_and_its_mean():
    rows = table(0.01, 6, {1: 0.6})
    said = verdict(rows, []).splitlines()
    assert said[0].startswith("Runs that differ in the seed alone vary by") and "(5 degrees" in said[0]
    assert said[1].startswith("The mean of all runs is 0.")
    assert len(plot_runs(rows, []).axes) == 1


def test_noise_that_is_not_alike_is_said():
    rows = table(0.01, 4, {0: 0.5, 1: 0.6})
    assert "not alike" not in verdict(rows, "alpha")
    rows.loc[7, "val_dice"] = 0.1
    assert "It is not alike everywhere" in verdict(rows, "alpha")


def test_one_setting_alone_has_its_noise_and_no_winner():
    said = verdict(table(0.01, 4, {1: 0.6}), "alpha")
    assert "(3 degrees of freedom)" in said
    assert "The mean of alpha 1 is" in said and "ahead" not in said


def test_one_seed_each_allows_no_reading():
    refused("nobody knows the noise", seed_noise, table(0.02, 1, {0: 0.5, 1: 0.6}), "alpha")


def test_a_picture_of_the_runs_shows_every_run_and_every_setting():
    axes = plot_runs(table(0.02, 3, {0: 0.5, 1: 0.6}), "alpha").axes[0]
    assert sum(len(line.get_xdata()) for line in axes.lines if line.get_color() == "#666666") == 6
    assert len(plot_runs(two_settings(0.01), ["alpha", "width"]).axes) == 2


# --- the notebooks and the command ----------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_trains_for_real_and_writes_a_report(make_dataset, tmp_path, command):
    out = tmp_path / "sweep"
    argv = ["sweep", "-g", "alpha=0.5", "seed=0,1", "-p", f"data_dir={make_dataset(30)}", "num_epochs=8"]
    argv += ["keep_probs=true", "size=32", "width=4", "-o", out, "--workers", "2"]
    code, said, err = command(*argv)
    assert code == 0, err
    rows = pd.read_csv(out / "results.csv")
    assert rows[["alpha", "seed"]].to_numpy().tolist() == [[0.5, 0], [0.5, 1]]
    assert 0.1 < rows["val_dice"].max() <= 1 and rows["train_loss"].nunique() == 2
    probs = [np.load(out / f"alpha=0.5,seed={seed}" / "probs.npz") for seed in (0, 1)]
    assert probs[0]["names"].tolist() == probs[1]["names"].tolist()  # seeds share their pictures
    assert probs[0]["probs"].shape[1:] == (32, 32)
    assert not np.array_equal(probs[0]["probs"], probs[1]["probs"])
    assert "Runs that differ in the seed alone vary by" in said and "report.ipynb" in said
    assert "seed-to-seed standard deviation" in (out / "report.ipynb").read_text()
    assert "seed-to-seed standard deviation" in (out / "report.html").read_text()
    assert Image.open(out / "report.png").width > 300


def test_an_interrupted_sweep_says_what_to_type(tmp_path, command, monkeypatch):
    monkeypatch.setattr("segkit.course.sweep.run_sweep", Mock(side_effect=KeyboardInterrupt))
    code, _, err = command("sweep", "-g", "alpha=0,1", "-o", tmp_path / "sweep")
    assert code == 130
    assert "the same segkit sweep command goes on" in err


@cases(
    "argv said",
    (["-g", "alpha"], "-g takes name=value,value,..., found 'alpha'"),
    (["-g", "alpha=0,1", "-p", "seed"], "-p takes name=value, found 'seed'"),
    (["-g", "alpha=0", "alpha=1"], "each name once; found alpha=0 alpha=1"),
    (["-g", "seed=0,1", "-p", "seed=2"], "seed cannot be both swept and one value"),
    (["-g", "omega=1"], "no chosen notebook has a parameter 'omega'"),
)
def test_a_wrong_call_of_the_command_is_one_sentence(tmp_path, command, argv, said):
    code, _, err = command("sweep", *argv, "-o", tmp_path / "sweep")
    assert code == 1
    assert said in err


def test_a_report_wants_results(tmp_path):
    refused(r"holds no results\.csv", write_report, tmp_path, "alpha")


@pytest.mark.parametrize("by", ["alpha", "augment", "width"])
def test_the_stored_sweeps_hold_several_seeds_of_every_setting(by):
    rows = pd.read_csv(NOTEBOOKS / f"{by}.csv")
    assert rows.groupby(by)["seed"].nunique().min() >= 4
    assert not rows.duplicated([by, "seed"]).any() and (rows["val_dice"] > 0).all()

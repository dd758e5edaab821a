"""Two processes started as a notebook starts them, after a training in the same process."""

import os
import subprocess
import sys
import textwrap

import pandas as pd
import pytest

START = """
import sys
import torch
from segkit import UserError, build_model, load_dataset
from segkit.course.processes import launch
from segkit.train import TrainConfig, fit

folder, out, *norm = sys.argv[1:]
sets = [load_dataset(folder, split=split, size=32) for split in ("train", "val")]


def model(norm="group"):
    return build_model("unet", widths=(8, 16), bottleneck=16, norm=norm)
"""

SCRIPT = """

def one_epoch(name):
    torch.manual_seed(0)
    config = TrainConfig(num_epochs=1, batch_size=8, precision="fp32")
    fit(model(*norm), *sets, f"{out}/{name}", config)


one_epoch("one")
before = torch.get_num_threads()
assert launch(one_epoch, "two") == (1 if torch.cuda.is_available() else 2)
assert torch.get_num_threads() == before
one_epoch("after")  # a training in this process still works
"""


def run(script: str, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    unset = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=unset)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_two_processes_take_the_steps_of_one(make_dataset, tmp_path, norm):
    done = run(START + SCRIPT, make_dataset(24), tmp_path / "out", norm)
    assert done.returncode == 0, done.stderr
    histories = {name: tmp_path / "out" / name / "history.csv" for name in ("one", "two", "after")}
    losses = {name: pd.read_csv(path)["train_loss"][0] for name, path in histories.items()}
    assert losses["after"] == losses["one"]
    if norm == "group":
        assert losses["two"] == pytest.approx(losses["one"], abs=1e-5)
    else:  # each process normalises by its own half of the batch
        assert losses["two"] != losses["one"]
        assert losses["two"] == pytest.approx(losses["one"], abs=0.1)
    assert "Warning" not in done.stderr
    bars = done.stderr.count("epoch   1/1:   0%")
    assert bars == 2, "the bars of the two trainings in this process, no others"


@pytest.mark.slow
def test_an_error_in_a_process_is_an_error_here(tmp_path):
    code = """
    from segkit.course.processes import launch

    def broken():
        raise ValueError("it broke in there")

    launch(broken)
    """
    done = run(code)
    assert done.returncode != 0 and "it broke in there" in done.stderr


NAN = """

def one_sided():
    rank = torch.distributed.get_rank()
    if rank == 1:  # the loss of this process alone is no number
        import segkit.training.setup
        real = segkit.training.setup.build_loss
        segkit.training.setup.build_loss = lambda *a: lambda *b: real(*a)(*b) * float("nan")
    try:
        config = TrainConfig(num_epochs=1, steps_per_epoch=25, batch_size=4, clip=0, precision="fp32")
        fit(model(), *sets, out, config)
    except UserError as error:
        print(f"process {rank}: {error}", flush=True)


launch(one_sided)
"""


@pytest.mark.slow
def test_a_loss_that_is_no_number_in_one_process_stops_both_with_the_advice(make_dataset, tmp_path):
    done = run(START + NAN, make_dataset(24), tmp_path / "out")
    for rank in (0, 1):
        assert f"process {rank}: the loss is no longer a number in epoch 1" in done.stdout, done.stderr

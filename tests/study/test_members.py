"""The engine of sweeps and folds: the finished are skipped, several go at a time, failures stop no other."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from segkit.files import UserError
from segkit.study.members import in_own_process, run_members

WAITING = """
import signal
from functools import partial
from time import sleep
from segkit.study.members import in_own_process, run_members
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
run_members({"a": 600, "b": 600}, partial(in_own_process, sleep, 1), lambda _: False, print, 2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_processes_of_their_own_end_with_the_one_that_started_them(how):
    with subprocess.Popen([sys.executable, "-c", WAITING], stderr=subprocess.PIPE) as waiting:
        below = []
        while len(below) < 3:  # two members, and what counts their semaphores
            below = psutil.Process(waiting.pid).children(recursive=True)
        for _ in range(6):  # Python may lose an interruption that comes while it forks: then again
            waiting.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                waiting.wait(10)
        assert waiting.returncode
        _gone, alive = psutil.wait_procs(below, 60)
        assert not alive


def double(given: int) -> int:
    if given == 7:
        os._exit(1)
    if given < 0:
        raise UserError(f"{given} is below 0.")
    return 2 * given


@pytest.fixture
def run(capsys):
    """A function that runs members: what was kept, skipped and failed, and what was said."""

    def run(members, job=double, workers=1, finished=(), wrong=None):
        kept = {}

        def keep(name, result, seconds):
            kept[name] = result
            return wrong if name == "b" else None

        skipped, failed = run_members(members, job, finished.__contains__, keep, workers)
        return kept, skipped, failed, capsys.readouterr().out.splitlines()

    return run


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_finished_is_skipped_and_a_failure_stops_no_other(run, workers):
    kept, skipped, failed, said = run({"a": 1, "b": -2, "c": 3, "d": "x"}, workers=workers, finished=["a"])
    assert (kept, skipped) == ({"c": 6}, ["a"])
    assert failed.keys() == {"b", "d"} and failed["b"] == "-2 is below 0." and "TypeError" in failed["d"]
    assert said[0] == "4 runs: 1 finished before, 3 to do"
    assert {line.split(" ", 1)[1] for line in said[1:]} >= {"b: FAILED: -2 is below 0.", "c: ran in 0 s"}


def test_what_is_wrong_with_a_result_is_a_failure_too(run):
    kept, _, failed, _ = run({"a": 1, "b": 2}, wrong="no number")
    assert (kept, failed) == ({"a": 2, "b": 4}, {"b": "no number"})


def test_several_go_at_a_time(run):
    meet = threading.Barrier(3)
    assert len(run(dict.fromkeys("abc"), lambda _: meet.wait(30), workers=3)[0]) == 3


def test_one_worker_works_in_this_very_thread_so_that_ctrl_c_reaches_it(run):
    assert run({"a": None}, lambda _: threading.current_thread())[0]["a"] is threading.main_thread()


@pytest.mark.slow  # it starts a Python
def test_a_process_that_dies_takes_no_other_with_it(run):
    kept, _, failed, _ = run({"a": 7, "b": 2}, lambda given: in_own_process(double, 1, given), workers=2)
    assert kept == {"b": 4} and "BrokenProcessPool" in failed["a"]

"""Many trainings of one study, such as the runs of a sweep or the folds of a cross-validation.

What is finished is not done again, several go at a time, and one that fails stops no other.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import closing
from functools import cache, partial
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from typing import Any

from segkit.files import UserError, counted, require

PATIENCE = 10
"""Seconds to wait for the scheduler of a cluster."""


def run_members(
    members: dict[str, Any],
    job: Callable[[Any], Any],
    is_finished: Callable[[str], bool],
    keep: Callable[[str, Any, float], str | None],
    workers: int | None = None,
    cluster: str | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Do the job of every member that is not finished.

    members: by name, what the job takes.   keep: takes the name, what the job gave and its seconds, and
        returns in one line what is wrong with it, or None. It runs here, one after the other.
    workers: members at a time on this machine; None: one per processor core. One alone works in this very
        thread, several in threads: a job that computes much should start a process (see in_own_process).
    cluster: the address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers do the jobs.
    Returns: the names that were finished before, and by name what stopped the others that failed.
    Raises: UserError for a cluster that does not answer.
    """
    skipped = [name for name in members if is_finished(name)]
    to_do = {name: given for name, given in members.items() if name not in skipped}
    print(f"{counted(len(members), 'run')}: {len(skipped)} finished before, {len(to_do)} to do")
    failed = {}
    with closing(_outcomes(to_do, job, workers, cluster)) as outcomes:
        for number, (name, outcome) in enumerate(outcomes, start=1):
            try:
                result, seconds = outcome()
                error = keep(name, result, seconds)
            except Exception as lost:  # a worker that died, a disk that is full: the others go on
                error = str(lost) if isinstance(lost, UserError) else f"{type(lost).__name__}: {lost}"
            if error:
                failed[name] = error
            said = f"FAILED: {error}" if error else f"ran in {duration(seconds)}"
            print(f"[{number}/{len(to_do)}] {name}: {said}")
    return skipped, failed


def _outcomes(
    to_do: dict[str, Any], job: Callable[[Any], Any], workers: int | None, cluster: str | None
) -> Iterator[tuple[str, Callable[[], tuple[Any, float]]]]:
    """The members as they end: the name, and what gives its result and seconds, or raises."""
    if lifeline()[1].closed:  # by an interruption before
        lifeline.cache_clear()
    lifeline()  # made once, before several threads ask for it
    if workers == 1 and cluster is None:
        for name, given in to_do.items():
            yield name, partial(_timed, job, given)
        return
    with _connect(cluster) if cluster else ThreadPoolExecutor(workers or count_cores()) as place:
        executor = place.get_executor(pure=False) if cluster else place
        jobs = {executor.submit(_timed, job, given): name for name, given in to_do.items()}
        try:
            for done in as_completed(jobs):
                yield jobs[done], done.result
        except BaseException:  # Ctrl-C, SIGTERM: nothing more is begun, and what is at work ends
            lifeline()[1].close()
            raise
        finally:
            for one in jobs:
                one.cancel()


@cache
def lifeline() -> tuple[Connection, Connection]:
    """A pipe into which nobody writes: who reads it sees when this process has ended, also by SIGKILL."""
    return Pipe(duplex=False)


def _connect(cluster: str):
    require("distributed", extra="sweep")
    from distributed import Client

    try:
        return Client(cluster, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise UserError(f"no Dask scheduler answers at '{cluster}' ({type(error).__name__}).") from None


def _timed(job: Callable[[Any], Any], given: Any) -> tuple[Any, float]:
    started = time.monotonic()
    return job(given), time.monotonic() - started


def in_own_process(job: Callable[[Any], Any], threads: int, given: Any) -> Any:
    """What a job gives in a fresh Python of so many processor threads. If that dies, this one lives."""
    begin = {"initializer": _begin, "initargs": (threads, lifeline()[0])}
    with ProcessPoolExecutor(1, get_context("spawn"), **begin) as process:
        return process.submit(job, given).result()


def _begin(threads: int, alive: Connection) -> None:
    """In the fresh process: it ends with the one that started it, which alone answers to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=lambda: (alive.poll(None), os._exit(1)), daemon=True).start()
    import torch

    torch.set_num_threads(threads)


def count_cores() -> int:
    """The processor cores that this program may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def duration(seconds: float) -> str:
    """The time as a person says it: "48 s", "4 min 10 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

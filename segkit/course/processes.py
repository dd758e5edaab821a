"""Several processes that train one network together, started from a notebook. Introduced in notebook 07."""

import os
import socket
from collections.abc import Callable

import torch
from accelerate import notebook_launcher
from accelerate.state import AcceleratorState, PartialState

from segkit.device import best_device

_kept: list = []


def launch(function: Callable, *args, num_processes: int = 2) -> int:
    """Run function(*args) in several processes at once; a `fit` in it trains one network in all of them.

    This is accelerate's notebook_launcher, with what a notebook needs that has trained before: accelerate
    forgets those runs, the processor's threads are shared out, and the processes draw no progress bars,
    as only the notebook's own process may draw. For one process, and on a machine with a GPU, function
    runs once, in this process: the notebook holds the GPU already. Start several by torchrun or
    `accelerate launch` there.

    Returns: how many processes it were. Their results stay with them: let them write files.
    Raises: what a process raised, wrapped by torch.
    """
    if best_device() != "cpu" or num_processes == 1:
        function(*args)
        return 1
    AcceleratorState._reset_state(reset_partial_state=True)
    share = max(1, torch.get_num_threads() // num_processes)
    notebook_launcher(_run, (share, function, args), num_processes=num_processes, use_port=str(_free_port()))
    return num_processes


def _free_port() -> int:
    """A port for the processes to meet at: two notebooks may run at the same time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _run(threads: int, function: Callable, args: tuple) -> None:
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # or accelerate sets it, with a warning
    # Join the others now and keep the connection: torch takes it down in two threads at once, and each
    # can wait for the other for ever. The process ends right after, which closes it as well.
    PartialState(cpu=True)
    _kept.append(torch.distributed.group.WORLD)
    function(*args)

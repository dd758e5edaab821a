"""Where to calculate: the GPU if there is one."""

import torch


def best_device() -> str:
    """The GPU if there is one, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"

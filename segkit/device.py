"""Where to calculate: the GPU if there is one."""

import torch

from segkit.files import UserError


def best_device() -> str:
    """The GPU if there is one, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(name: str) -> str:
    """The same name, if this machine has such a device.   Raises: UserError."""
    try:
        tried = torch.empty(1, device=name)
    except (RuntimeError, AssertionError):  # whatever torch says of a device it lacks
        raise UserError(f"there is no device '{name}' here: '{best_device()}' is the fastest.") from None
    if tried.is_meta:
        raise UserError("the device 'meta' calculates nothing.")
    return name

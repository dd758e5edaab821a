"""What every check is made of."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

CHECKS: dict[str, Callable] = {}
"""Every check by its name."""


_start = 0


def start_from(seed: int) -> None:
    """Let every check draw other random inputs from now on; at 0 they are those of the stored notebooks."""
    global _start
    _start = seed


def from_start(seed: int) -> int:
    """The seed of a check's inputs, counted from where `start_from` put the start."""
    return _start + seed


class Wrong(Exception):
    """Raised inside a check for a wrong answer; the reader sees it as text, never as a traceback.

    hint: one sentence that fits this failure.   given: what went into the answer.
    got, expected: what came out, and what should have.
    """

    def __init__(self, hint: str, given=None, got=None, expected=None):
        super().__init__(hint)
        self.hint, self.given, self.got, self.expected = hint, given, got, expected


@dataclass(frozen=True)
class Result:
    """What a check found: true in an `if` or `assert` when the answer is right."""

    name: str
    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return self.message


def exercise(function: Callable) -> Callable:
    """Make a check out of a function that raises Wrong for a wrong answer and returns for a right one.

    An answer of `...`, or one that returns `...`, is not answered yet. An answer that raises is wrong,
    and its error is shown. The check itself never raises.
    """
    name = function.__name__
    if name in CHECKS:
        raise ValueError(f"two checks are called {name}")

    @functools.wraps(function)
    def check(answer) -> Result:
        if answer is ...:
            return Result(name, False, "… not answered yet: replace the three dots and run the cell again")
        try:
            function(_watched(answer))
        except Unanswered:
            return Result(name, False, "… not answered yet: replace the three dots and run the cell again")
        except Wrong as wrong:
            parts = {"input": wrong.given, "got": wrong.got, "expected": wrong.expected}
            lines = [f"  {label:<9}{show(value)}" for label, value in parts.items() if value is not None]
            return Result(name, False, "\n".join(["✗ not yet", *lines, f"  hint     {wrong.hint}"]))
        except Exception as error:
            return Result(name, False, f"✗ your code stopped with {type(error).__name__}: {error}")
        return Result(name, True, "✓ right")

    CHECKS[name] = check
    return check


class Unanswered(Exception):
    """The answer is still the stub."""


def _watched(answer):
    """A function that answers `...` has not been written yet."""
    if not callable(answer) or isinstance(answer, type | torch.nn.Module):
        return answer

    @functools.wraps(answer)
    def watched(*args, **kwargs):
        result = answer(*args, **kwargs)
        if result is ...:
            raise Unanswered
        return result

    return watched


def show(value) -> str:
    """A value as one short text: small arrays in full, large ones by shape, type and range."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, np.ndarray):
        if value.size <= 16:
            return np.array2string(value, precision=4, separator=", ").replace("\n", "\n" + " " * 11)
        spread = f", from {value.min():.4g} to {value.max():.4g}" if value.dtype != object else ""
        return f"an array of shape {value.shape}, {value.dtype}{spread}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else repr(value)

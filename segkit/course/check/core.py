"""What every check is made of."""

import functools
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import segkit

CHECKS: dict[str, Callable] = {}
"""Every check by its name."""


MOST_CHARACTERS = 400
"""Of one value in a message: two thousand names would bury the hint."""
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

    An answer of `...`, or one that returns `...`, is not answered yet. An answer that raises is wrong, and
    its error is shown with the input that it raised on. Where the check itself stumbles over what an answer
    returned, it shows that, and does not say that the reader's code stopped. The check never raises.
    """
    name = function.__name__
    if name in CHECKS:
        raise ValueError(f"two checks are called {name}")

    @functools.wraps(function)
    def check(answer) -> Result:
        call = _Call()
        try:
            if answer is ...:
                raise Unanswered
            function(_watched(answer, call))
        except Unanswered:
            return Result(name, False, "… not answered yet: replace the three dots and run the cell again")
        except Wrong as wrong:
            given = call.given if wrong.given is None else wrong.given
            return _not_yet(name, wrong.hint, given, wrong.got, wrong.expected)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            if call.running or _came_from_an_answer(error, function):
                message = f"✗ your code stopped with {what}"
                return Result(name, False, f"{message}\n  input    {call.given}" if call.given else message)
            hint = f"this is not the kind of answer that the task asks for (the check met a {what})"
            return _not_yet(name, hint, call.given, "None" if call.result is None else call.result)
        return Result(name, True, "✓ right")

    CHECKS[name] = check
    return check


def _not_yet(name: str, hint: str, given=None, got=None, expected=None) -> Result:
    parts = {"input": given, "got": got, "expected": expected}
    lines = [f"  {label:<9}{show(value)}" for label, value in parts.items() if value is not None]
    return Result(name, False, "\n".join(["✗ not yet", *lines, f"  hint     {hint}"]))


class Unanswered(Exception):
    """The answer is still the stub."""


@dataclass
class _Call:
    """The latest call of an answer: what went in, whether it came back, and with what."""

    given: str | None = None
    running: bool = False
    result: object = None


def _watched(answer, call: _Call):
    """The answer, which notes in `call` how it is called. A function that answers `...` is a stub."""
    if not callable(answer) or isinstance(answer, type | torch.nn.Module):
        call.result = answer
        return answer

    @functools.wraps(answer)
    def watched(*args, **kwargs):
        parts = [show(value) for value in args] + [f"{key}={show(value)}" for key, value in kwargs.items()]
        call.given, call.running = " | ".join(parts), True
        call.result = answer(*args, **kwargs)
        call.running = False
        if call.result is ...:
            raise Unanswered
        return call.result

    return watched


def _came_from_an_answer(error: Exception, check: Callable) -> bool:
    """Whether code raised it that is neither the check's, nor segkit's, nor a package's: a reader's class."""
    places = (Path(segkit.__file__).parent, Path(sys.prefix), Path(sys.base_prefix) / "lib")
    files = {Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)}
    files.discard(Path(check.__code__.co_filename))
    return not all(any(file.is_relative_to(place) for place in places) for file in files)


def as_numbers(value) -> tuple[float, ...] | None:
    """Numbers however they are written: 3, np.float32(3), a tensor, (1, 2), np.array([1, 2]).

    Returns: a tuple, of one for a single number; None for anything else, such as text or rows of numbers.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    if array.dtype.kind not in "iuf" or (array.ndim > 1 and array.size > 1):
        return None
    return tuple(array.reshape(-1).tolist())


def as_number(value) -> float | None:
    """One number however it is written; None for anything else."""
    numbers = as_numbers(value)
    return numbers[0] if numbers is not None and len(numbers) == 1 else None


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
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ..."

"""What every check is made of.

Most checks are a generator of cases: what the answer gets, what should come out, and what comes out by the
mistakes that are known, each with its hint. `cases` tries the answer on every case and compares:

    @cases("count the person pixels, divide by all.", "one number, the share")
    def share_of_person():
        for _, rng in draws(5):
            mask = rng.random((4, 6)) < 0.3
            mistakes = {
                "this is the share of the background.": 1 - mask.mean(),
                "more than the whole picture: divide by the number of pixels.": lambda got: got > 1,
            }
            yield (mask,), mask.mean(), mistakes

What cannot be said in this way is a function under `exercise`: it gets the answer, asks it, and compares by
means of a Case what came out.

Every message shows the input, what came out, what should have and a hint: that of the mistake that fits best
in all cases that came out wrong, and in at least half of them, for one number may be that of a mistake by
luck. A mistake that is False is none of this case.
An answer gets copies of its inputs: it cannot change what the check compares with. It is refused if it
changes what it got, unless the task is such, as a step of an optimiser.
"""

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch

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


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(from_start(seed))


def draws(count: int) -> Iterator[tuple[int, np.random.Generator]]:
    """So many seeds, each with a generator of its own."""
    for seed in range(count):
        yield seed, generator(seed)


def torch_generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(from_start(seed))


class Wrong(Exception):
    """Raised inside a check for a wrong answer; the reader sees it as text, never as a traceback.

    hint: one sentence that fits this failure.   given: what went into the answer.
    got, expected: what came out, and what should have.   fitting: the hints of all mistakes that fit.
    """

    def __init__(self, hint: str, given=None, got=None, expected=None, fitting: tuple[str, ...] = ()):
        super().__init__(hint)
        self.hint, self.given, self.got, self.expected, self.fitting = hint, given, got, expected, fitting


class Unanswered(Exception):
    """The answer is still the stub."""


@dataclass
class Case:
    """One input of an answer, and the words for what came out of it. Its methods raise Wrong.

    expected: what should come out.   given: what went in; left out, a message shows the answer's latest call.
    """

    expected: object = None
    given: object = None

    def wrong(self, hint: str, *shown, fitting: tuple[str, ...] = ()) -> NoReturn:
        """shown: what came out; and what should have, where that is not `expected`; or nothing."""
        got, expected = (*shown, self.expected)[:2] if shown else (None, None)
        raise Wrong(hint, self.given, "None" if shown and got is None else got, expected, fitting)

    def refuse(self, result, what: str) -> NoReturn:
        """For a result of another kind than `what`."""
        self.wrong(f"{'your function returns nothing: ' if result is None else ''}return {what}.", result)

    def number(self, result, what: str = "") -> float:
        """The one number of a result, however it is written."""
        return self.numbers(result, 1, what or "one number")[0]

    def numbers(self, result, count: int, what: str) -> tuple[float, ...]:
        """So many numbers, in a tuple, a list or an array."""
        numbers = as_numbers(result)
        if numbers is None or len(numbers) != count:
            self.refuse(result, what)
        return numbers

    def items(self, result, count: int, what: str) -> tuple:
        """So many things of any kind."""
        if not isinstance(result, tuple | list | np.ndarray) or len(result) != count:
            self.refuse(result, what)
        return tuple(result)

    def listed(self, result, what: str) -> list:
        """What can be walked along, as a list; text cannot."""
        if isinstance(result, str) or not np.iterable(result):
            self.refuse(result, what)
        return list(result)

    def array(self, result, what: str = "", mistakes: dict | None = None) -> np.ndarray:
        """The result as an array of the shape of `expected`.   mistakes: as in `compare`, by their shapes."""
        got, shape = as_array(result), tuple(np.shape(self.expected))
        what = what or f"an array of shape {shape}"
        if got is None:
            self.refuse(result, what)
        if got.shape != shape:
            of_shape = [hint for hint, value in (mistakes or {}).items() if np.shape(value) == got.shape]
            hint = of_shape[0] if of_shape and got.ndim else f"return {what}."
            self.wrong(hint, f"shape {got.shape}", f"shape {shape}")
        return got

    def read(self, result, what: str, mistakes: dict):
        """The result in the form of `expected`: a tuple of numbers or arrays, a list, an array, a number."""
        if self.expected is None or isinstance(self.expected, str):
            return result
        if isinstance(self.expected, tuple):
            if not any(map(np.ndim, self.expected)):
                return self.numbers(result, len(self.expected), what)
            parts = zip(self.items(result, len(self.expected), what), self.expected, strict=True)
            return tuple(Case(expected, self.given).read(part, what, {}) for part, expected in parts)
        if isinstance(self.expected, list):
            return self.listed(result, what)
        return self.array(result, what, mistakes) if np.ndim(self.expected) else self.number(result, what)

    def dtype(self, got, dtype: str, hint: str = "") -> None:
        if not np.issubdtype(got.dtype, getattr(np, dtype)):
            ways = {"bool": "a comparison gives True and False", "integer": "whole numbers are asked for"}
            way = ways.get(dtype, f"the type must be {dtype}, as by .astype(np.{dtype})")
            self.wrong(hint or f"{way}.", got.dtype, dtype)

    def slopes(self, result, leaves: list[torch.Tensor]) -> None:
        """Raises: Wrong where the result does not depend on the leaves as `expected` does."""
        got = (None,) * len(leaves)
        if isinstance(result, torch.Tensor) and result.requires_grad:
            got = torch.autograd.grad(result.sum(), leaves, allow_unused=True)
        for slope, wanted in zip(got, torch.autograd.grad(self.expected.sum(), leaves), strict=True):
            if slope is None:
                hint = "the value is right, but no gradient flows: stay with tensors, no .item(), no detach."
                self.wrong(hint, "a value without gradient", "a tensor that knows its gradient")
            if not torch.allclose(slope, wanted, rtol=1e-3, atol=1e-3 * max(wanted.abs().max().item(), 1e-6)):
                hint = "the value is right, its slope is not: some part is detached, rounded, cut or clamped."
                self.wrong(hint, slope, wanted)

    def run(self, function: Callable, *args, hints: dict[str, str] | None = None):
        """What an object of the reader returns when it is called.   hints: by a part of the error's text."""
        try:
            result = function(*args)
        except (Wrong, Unanswered):
            raise
        except Exception as error:
            fits = [hint for part, hint in (hints or {}).items() if part in str(error)]
            hint = (*fits, "your code stopped here: read the error.")[0]
            self.wrong(hint, f"{type(error).__name__}: {error}")
        if result is ...:
            raise Unanswered
        return result

    def compare(self, got, mistakes: dict, otherwise: str, shown: tuple | None = None, **tolerance) -> None:
        """Does nothing where `got` is `expected`, else raises the hint of the first mistake that fits.

        mistakes: hint -> what comes of it in place of `expected`, or a question to `got`, or True.
        otherwise: the hint where none fits.   shown: as in `wrong`; left out, both values, or of large arrays
        the place where they are farthest apart.   tolerance: as in `same`.
        """
        if same(got, self.expected, **tolerance):
            return
        shown = _where_apart(got, self.expected) if shown is None else shown
        if same(got, self.expected, rtol=5e-3, atol=0):
            otherwise = f"{otherwise.rstrip('.')}. It is nearly right: is something rounded, or in 16 bits?"
        fitting = tuple(hint for hint, value in mistakes.items() if _fits(got, value, **tolerance))
        self.wrong((*fitting, otherwise)[0], *shown, fitting=fitting)


def _fits(got, value, **tolerance) -> bool:
    """Whether what came out is that of a mistake: a value, a question to it, or True."""
    try:
        value = value(got) if callable(value) else value
    except (TypeError, ValueError):  # a question to numbers, and these are none
        return False
    return bool(value) if isinstance(value, bool | np.bool_) else same(got, value, **tolerance)


def either(*values, **tolerance) -> Callable:
    """A question to what came out: whether it is one of these values."""
    return lambda got: any(same(got, value, **tolerance) for value in values)


def part(index: int, value) -> Callable:
    """A question to several things that came out: whether one of them is this value, or what it asks for."""
    return lambda got: value(got[index]) if callable(value) else same(got[index], value)


def reordered(values: list) -> Callable:
    """A question to what came out: whether it is these values in some order."""
    return lambda got: sorted(map(str, got)) == sorted(map(str, values))


def _where_apart(got, expected) -> tuple:
    """Both values; of large arrays where they are farthest apart; of several, a wrong one."""
    if isinstance(expected, tuple) and any(map(np.ndim, expected)):
        wrong = [pair for pair in zip(got, expected, strict=True) if not same(*pair)]
        got, expected = (*wrong, (got, expected))[0]
    one, other = as_array(got), as_array(expected)
    if one is None or other is None or one.shape != other.shape or one.size <= 16:
        return got, expected
    off = np.nan_to_num(np.abs(one.astype(float) - other), nan=np.inf)
    place = np.unravel_index(off.argmax(), off.shape)
    return tuple(f"{show(array[place])} at {[*map(int, place)]}" for array in (one, other))


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


def exercise(function: Callable, keeps: bool = True) -> Callable:
    """Make a check out of a function that raises Wrong for a wrong answer and returns for a right one.

    An answer of `...`, or one that returns `...`, is not answered yet. An answer that raises is wrong, and
    its error is shown with the input that it raised on. Where the check itself stumbles over what an answer
    returned, it shows that, and does not say that the reader's code stopped. The check never raises.
    keeps: the answer may not change what it is given.
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
            with np.errstate(all="ignore"):  # a hint says in words that something was divided by 0
                function(_watched(answer, call, keeps))
        except Unanswered:
            return Result(name, False, "… not answered yet: replace the three dots and run the cell again")
        except Wrong as wrong:
            given = call.given if wrong.given is None else wrong.given
            parts = {"input": given, "got": wrong.got, "expected": wrong.expected, "hint": wrong.hint}
            return _told(name, "✗ not yet", parts)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            if call.running:
                return _told(name, f"✗ your code stopped with {what}", {"input": call.given or None})
            hint = f"this is not the kind of answer that the task asks for (the check met a {what})"
            got = "None" if call.result is None else call.result
            return _told(name, "✗ not yet", {"input": call.given, "got": got, "hint": hint})
        return Result(name, True, "✓ right")

    CHECKS[name] = check
    return check


def cases(otherwise: str, what: str = "", dtype: str = "", keeps: bool = True, **tolerance) -> Callable:
    """Make a check out of a generator of cases: inputs, expected, mistakes, and `given` where it differs.

    The names are those of Case, of its methods and of `exercise`.   dtype: the right one of arrays.
    Where gradients of inputs are asked for, the slopes of the answer must be those of expected.
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def check(answer) -> None:
            first, fits, offered = None, Counter(), Counter()
            for inputs, expected, mistakes, *given in function():
                case = Case(expected, *(given or [_inputs(answer, inputs)]))
                try:
                    got = case.read(result := answer(*inputs), what, mistakes)
                    case.compare(got, mistakes, otherwise, **tolerance)
                    for part in (got if isinstance(got, tuple) else (got,)) if dtype else ():
                        if np.ndim(part):
                            case.dtype(part, dtype)
                    if leaves := [one for one in inputs if getattr(one, "requires_grad", False)]:
                        case.slopes(result, leaves)
                except Wrong as wrong:
                    first = first or wrong
                    if not first.fitting:
                        raise
                    fits.update(wrong.fitting)
                    offered.update(hint for hint, value in mistakes.items() if value is not False)
                except Exception:
                    if not first:
                        raise
                    break
            if first:
                shares = {hint: fits[hint] / offered[hint] for hint in first.fitting}
                best = max(shares, key=shares.get)
                first.hint = best if shares[best] >= 0.5 else otherwise
                raise first

        return exercise(check, keeps)

    return decorate


def _told(name: str, head: str, parts: dict) -> Result:
    """A message: its head, and under it the parts that are not None, each with its label."""
    lines = [f"  {label:<9}{show(value)}" for label, value in parts.items() if value is not None]
    return Result(name, False, "\n".join([head, *(line.replace("\n", "\n" + " " * 11) for line in lines)]))


@dataclass
class _Call:
    """The latest call of an answer: what went in, whether it came back, and with what."""

    given: str | None = None
    running: bool = False
    result: object = None


def _watched(answer, call: _Call, keeps: bool):
    """The answer, which notes in `call` how it is called. A function that answers `...` is a stub."""
    if not callable(answer) or isinstance(answer, torch.nn.Module):
        call.result = answer
        return answer

    @functools.wraps(answer, updated=())
    def watched(*args):
        call.given, call.running, handed = _inputs(answer, args), True, _copied(args)
        call.result = answer(*handed)
        if isinstance(call.result, Iterator):  # a generator's own code runs here
            call.result = list(call.result)
        call.running = False
        if call.result is ...:
            raise Unanswered
        if keeps and not _unchanged(handed, args):
            raise Wrong("what was handed in has changed: work on a copy, such as image.copy().")
        return call.result

    return watched


def _inputs(answer, args: tuple) -> str:
    """What a function is called with, by the names that it has for its parameters."""
    try:
        named = inspect.signature(answer).bind(*args).arguments
    except (TypeError, ValueError):  # it takes other parameters, or does not tell
        return " | ".join(map(show, args))
    return " | ".join(f"{name} = {show(value)}" for name, value in named.items())


def _copied(value):
    """Arrays copied, in lists, tuples and dicts too; but no tensor whose gradient is asked for."""
    if isinstance(value, list | tuple):
        return type(value)(map(_copied, value))
    if isinstance(value, dict):
        return {name: _copied(one) for name, one in value.items()}
    if isinstance(value, torch.Tensor) and not value.requires_grad:
        return value.clone()
    return value.copy() if isinstance(value, np.ndarray) else value


def _unchanged(now, was) -> bool:
    if isinstance(was, list | tuple) and len(now) == len(was):
        return all(map(_unchanged, now, was))
    return same(now, was)


def as_array(value) -> np.ndarray | None:
    """Numbers, True and False as an array, whatever holds them; None for anything else, such as text."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().to(torch.float32 if value.dtype == torch.bfloat16 else value.dtype)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # rows of different length; a list of tensors with slopes
        return None
    return array if array.dtype.kind in "biuf" else None


def as_numbers(value) -> tuple[float, ...] | None:
    """Numbers however they are written: 3, np.float32(3), a tensor, (1, 2), np.array([1, 2]).

    Returns: a tuple, of one for a single number; None for anything else, such as text or a table of numbers.
    """
    array = as_array(value)
    if array is None or array.dtype.kind == "b" or max(array.shape, default=1) < array.size:
        return None
    return tuple(array.reshape(-1).tolist())


def same(a, b, rtol: float = 1e-5, atol: float = 1e-6, share: float = 0.0) -> bool:
    """Whether two values are equal, whatever holds them. Decimals in b may differ by rounding.

    share: of the places of two arrays that may differ where b holds no decimals.
    """
    one, other = as_array(a), as_array(b)
    if one is None and other is None and isinstance(b, tuple):  # of arrays of several shapes
        return all(same(part, right, rtol, atol) for part, right in zip(a, b, strict=True))
    if one is None or other is None:
        return one is other and bool(a == b)
    if one.shape != other.shape or other.dtype.kind != "f":
        return one.shape == other.shape and np.count_nonzero(one != other) <= share * other.size
    return np.allclose(one, other, rtol, atol, equal_nan=True)


def show(value) -> str:
    """A value as one short text: small arrays in full, large ones by shape, type and range.

    The rows of a small mask stand between slashes, 1 for True.
    """
    if isinstance(value, torch.Tensor):
        value = repr(value) if as_array(value) is None else as_array(value)
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, np.ndarray):
        if value.dtype == bool and value.ndim == 2 and value.size <= 64:
            return "/".join("".join("01"[int(pixel)] for pixel in row) for row in value)
        if value.size <= 16:
            return np.array2string(value, precision=4, separator=", ")
        spread = f", from {value.min():.4g} to {value.max():.4g}" if value.dtype != object else ""
        return f"an array of shape {value.shape}, {value.dtype}{spread}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    if isinstance(value, tuple | list):
        inside = ", ".join(repr(one) if isinstance(one, str) else show(one) for one in value)
        value = f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ..."

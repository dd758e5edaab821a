"""Stubs are not answered, right answers pass, wrong ones get their hint.

The answers are in answersNN.py; mostly one more that is right is in the solution notebook. A wrong answer is
a function, or what in the text of the solution is replaced: an old text, the new one, perhaps more pairs. The
mistakes that a check knows are wrong answers too: what it says would come of one, case by case, is handed to
it.
"""

import inspect
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from solutions import solutions

from segkit import check

PATHS = sorted(Path(__file__).parent.glob("answers*.py"))
LESSONS = {path.stem[-2:]: import_module(path.stem) for path in PATHS}
RIGHT = [
    (name, answer)
    for number, lesson in LESSONS.items()
    for name, others in lesson.RIGHT.items()
    for answer in [getattr(solutions(number), name, None), *others]
    if answer is not None  # a few solutions are no functions
]
WRONG = [
    (name, answer[0] if len(answer) == 1 else solutions(number).changed(name, *answer), hint)
    for number, lesson in LESSONS.items()
    for name, rows in lesson.WRONG.items()
    for *answer, hint in rows
]
NAMES = list(dict(RIGHT))


def known_mistakes():
    """Exercise, what comes of a mistake in each case, hint."""
    for name in NAMES:
        cases = inspect.unwrap(check.CHECKS[name])
        drawn = list(cases()) if inspect.isgeneratorfunction(cases) else []
        for hint in dict.fromkeys(hint for _, _, mistakes, *_ in drawn for hint in mistakes):
            results = [mistakes.get(hint, right) for _, right, mistakes, *_ in drawn]
            if not any(callable(result) or result is True for result in results):
                yield name, results, hint


MISTAKES = list(known_mistakes())


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_is_not_answered(name):
    exercise = getattr(check, name)
    for stub in (..., lambda *args: ...):
        assert not exercise(stub) and "not answered yet" in exercise(stub).message


def test_every_exercise_is_tried_with_three_right_answers_and_five_wrong_ones():
    right, wrong = (Counter(name for name, *_ in answers) for answers in (RIGHT, WRONG + MISTAKES))
    assert set(NAMES) == set(check.CHECKS)
    assert [name for name in NAMES if right[name] < 3 or wrong[name] < 5] == []


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_a_right_answer_passes(name, answer):
    result = getattr(check, name)(answer)
    assert result, result.message


@pytest.mark.parametrize(("name", "answer", "hint"), WRONG)
def test_a_common_wrong_answer_gets_the_hint_meant_for_it(name, answer, hint):
    result = getattr(check, name)(answer)
    assert not result
    assert hint in result.message, result.message


@pytest.mark.parametrize(("name", "results", "hint"), MISTAKES)
def test_a_mistake_that_the_check_knows_is_told_from_the_others(name, results, hint):
    answers = iter(results)
    result = getattr(check, name)(lambda *args: next(answers))
    assert not result
    assert hint in result.message, result.message


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_of_nothing_is_wrong(name):
    assert not getattr(check, name)(lambda *args: None)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_raises_is_shown_its_error(name):
    def broken(*args):
        raise KeyError("oops")

    result = getattr(check, name)(broken)
    assert not result and "oops" in result.message

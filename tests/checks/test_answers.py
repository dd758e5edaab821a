"""Stubs are not answered, right answers pass, wrong ones get their hint: the answers are in answersNN.py."""

from importlib import import_module

import pytest

from segkit import check

LESSONS = [import_module(f"answers{number}") for number in ("02", "03", "09", "10", "11")]
RIGHT = [pytest.param(*item, id=item[0]) for lesson in LESSONS for item in lesson.RIGHT.items()]
WRONG = [row for lesson in LESSONS for row in lesson.WRONG]


@pytest.mark.parametrize(("name", "right"), RIGHT)
def test_a_stub_is_not_answered_and_the_right_answer_passes(name, right):
    exercise = getattr(check, name)
    for stub in (..., lambda *args: ...):
        assert not exercise(stub)
        assert "not answered yet" in exercise(stub).message
    assert exercise(right), exercise(right).message


@pytest.mark.parametrize(("name", "answer", "hint"), WRONG)
def test_a_common_wrong_answer_gets_the_hint_meant_for_it(name, answer, hint):
    result = getattr(check, name)(answer)
    assert not result
    assert hint in result.message, result.message

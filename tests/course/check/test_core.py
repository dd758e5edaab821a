"""What every check does with an answer, whatever the exercise."""

import numpy as np
import pytest
import torch

from segkit.course.check.core import CHECKS, Wrong, as_numbers, cases, exercise


@pytest.fixture
def doubled():
    @exercise
    def doubled_number(answer):
        for value in (3, 4):
            if (got := answer(value)) + 0 != 2 * value:
                raise Wrong("twice as much", got=got, expected=2 * value)

    yield doubled_number
    del CHECKS["doubled_number"]


@pytest.fixture
def built():
    @exercise
    def built_class(answer):
        if len(answer(3)) + 0 != 3:
            raise Wrong("as many as asked for")

    yield built_class
    del CHECKS["built_class"]


def test_an_error_in_the_answer_is_shown_with_its_input(doubled):
    message = doubled(lambda value: value / (value - 4) and 2 * value).message
    assert "your code stopped with ZeroDivisionError" in message
    assert message.splitlines()[1].split() == ["input", "value", "=", "4"]


@pytest.mark.parametrize("answer", [lambda value: "text", lambda value: None, lambda value: [value]])
def test_an_error_in_the_check_is_not_called_the_readers(doubled, answer):
    message = doubled(answer).message
    assert "your code stopped" not in message and "not the kind of answer" in message
    assert "input    value = 3" in message and "got" in message


def test_every_wrong_answer_is_shown_its_input(doubled):
    assert "input    value = 3" in doubled(lambda value: value).message


def test_the_inputs_are_those_that_came_in_even_if_the_answer_changes_them():
    def mean_and_change(mask, threshold):
        mask[:] = 7
        raise KeyError("oops")

    message = CHECKS["mask_from_prob"](mean_and_change).message
    assert "oops" in message and "array of shape (12, 16), float32" in message and "to 7" not in message


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("mean_and_spread", lambda scores: scores.sort() or (scores.mean(), scores.std(ddof=1))),
        ("steady_time", lambda times, warm_up: [times.pop(0) for _ in range(warm_up)] and np.median(times)),
        ("smooth_over_time", lambda probs, strength: [np.multiply(one, 2, out=one) for one in probs]),
        ("still_to_run", lambda points, done, failed: [points.remove(one) for one in done] and points),
    ],
)
def test_an_answer_may_not_change_what_it_gets(name, answer):
    assert "work on a copy" in CHECKS[name](answer).message


def test_a_step_may_change_what_it_gets():
    batch_norm = torch.nn.functional.batch_norm  # moves the running mean and variance
    assert CHECKS["batch_norm"](lambda x, mean, var, training: batch_norm(x, mean, var, training=training))


def test_an_error_within_a_class_is_the_readers_and_one_about_it_is_not(built):
    def written_in_a_cell(body):
        exec(compile(f"class Answer:\n    def __init__(self, count): {body}", "cell 3", "exec"), names := {})
        return names["Answer"]

    assert "your code stopped with AttributeError" in built(written_in_a_cell("count.size")).message
    assert "your code stopped" not in built(written_in_a_cell("pass")).message


def test_a_hint_that_fits_one_case_by_luck_is_not_given():
    @cases("twice as much")
    def doubled_in_cases():
        for value in (2, 3, 5):
            yield (value,), 2 * value, {"that is one more": value + 1}

    try:
        assert "hint     that is one more" in doubled_in_cases(lambda value: value + 1).message
        message = doubled_in_cases(lambda value: 3).message  # one more than the first
    finally:
        del CHECKS["doubled_in_cases"]
    assert "input    value = 2" in message and "hint     twice as much" in message


def test_a_long_value_is_cut_short(doubled):
    assert len(doubled(lambda value: list(range(10_000))).message) < 1_000


@pytest.mark.parametrize("three", [3, 3.0, np.float32(3), np.array([3]), torch.tensor(3.0), (3,), [[3]]])
def test_a_number_counts_however_it_is_written(three):
    assert as_numbers(three) == (3,)


@pytest.mark.parametrize("other", [None, "3", True, {3}, {"a": 3}, ["3"], [1, [2, 3]], lambda: 3])
def test_what_is_no_number_is_none(other):
    assert as_numbers(other) is None


def test_numbers_come_as_a_tuple():
    assert as_numbers(np.array([1, 2])) == as_numbers(torch.tensor([1, 2])) == as_numbers([1, 2]) == (1, 2)
    assert as_numbers(np.ones((2, 2))) is None

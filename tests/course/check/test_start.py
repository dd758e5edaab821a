"""Where the random inputs of the checks start."""

import pytest

from segkit import check


@pytest.fixture
def message_from():
    """A function: what a check says to a wrong answer, with its first input, from a start."""

    def message(seed):
        check.start_from(seed)
        return check.four_counts(lambda pred, target: 0).message

    yield message
    check.start_from(0)


def test_another_start_gives_other_inputs_and_the_same_start_the_same(message_from):
    first = message_from(0)
    assert "pred = " in first
    assert first == message_from(0) != message_from(1)

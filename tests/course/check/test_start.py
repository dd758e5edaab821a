"""Where the random inputs of the checks start."""

import inspect

import numpy as np
import pytest

from segkit import check


@pytest.fixture
def start_from():
    yield check.start_from
    check.start_from(0)


def test_another_start_gives_other_inputs_and_the_same_start_the_same(start_from):
    def message(seed):
        start_from(seed)
        return check.four_counts(lambda pred, target: 0).message

    first = message(0)
    assert "pred = " in first and first == message(0) != message(1)


@pytest.mark.parametrize("seed", [0, 7, 40])
def test_every_check_has_cases_from_any_start(start_from, seed):
    start_from(seed)
    checks = map(inspect.unwrap, check.CHECKS.values())
    drawn = [cases for cases in checks if inspect.isgeneratorfunction(cases)]
    with np.errstate(all="ignore"):
        assert [cases.__name__ for cases in drawn if len(list(cases())) < 2] == []

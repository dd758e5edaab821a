"""Where the random inputs of the checks start."""

import numpy as np
import pytest

from segkit import check


@pytest.fixture
def inputs_of():
    """A function: the pictures that a check hands to an answer, from a start."""

    def collect(seed):
        seen = []

        def answer(*arrays):
            seen.extend(np.array(array) for array in arrays if isinstance(array, np.ndarray))
            return None

        check.start_from(seed)
        assert not check.four_counts(answer)
        return seen

    yield collect
    check.start_from(0)


def test_another_start_gives_other_inputs_and_the_same_start_the_same(inputs_of):
    first, again, other = inputs_of(0), inputs_of(0), inputs_of(1)
    assert first
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=False))

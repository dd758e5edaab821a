"""No damaged file makes a command fall over, hang, or succeed with a wrong result: a sample of many."""

import pytest
from fuzz.damaged import KINDS, damage, run


@pytest.mark.slow
def test_damaged_files_get_a_sentence_or_a_right_result(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path))
    counts, wrong = run((*range(140), 1957, 2081))
    assert wrong == []
    assert set(counts) == set(KINDS)


def test_the_damage_is_real_and_can_be_repeated():
    import random

    whole = bytes(range(256)) * 4
    made = [damage(whole, random.Random(seed)) for seed in range(50)]
    assert made == [damage(whole, random.Random(seed)) for seed in range(50)]
    assert sum(data != whole for data in made) > 45

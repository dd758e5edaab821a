"""The explorers of lessons 09 and 10: what they rank, what they calibrate, who wins."""

import explorers
import numpy as np
import pytest

from segkit.course.knobs.lesson09 import TemperatureExplorer, WorstFirst
from segkit.metrics import boundary_f, dice_score
from segkit.study.analysis import reliability, temper


@pytest.fixture(scope="module")
def pictures():
    return explorers.pictures()


@pytest.fixture
def browser() -> WorstFirst:
    return explorers.worst_first()


def test_the_worst_comes_first_and_the_slider_leafs_on(browser, pictures):
    _, probs, masks = pictures
    dice = [dice_score((p > 0.5)[None], m[None]).item() for p, m in zip(probs, masks, strict=True)]
    assert browser.dice == pytest.approx(dice)
    assert browser.ranking.tolist() == np.argsort(dice, kind="stable").tolist()
    assert browser.chosen == 5
    seen = set()
    for place in range(6):
        browser.place.value = place
        assert f"{place + 1} of 6" in browser.words.value
        assert f"Dice {dice[browser.chosen]:.3f}" in browser.words.value
        seen.add(browser.picture.value)
    assert len(seen) == 6
    assert browser.chosen == 0


@pytest.mark.parametrize(
    ("order", "badness"),
    [
        ("lowest boundary F", lambda p, m: -boundary_f((p > 0.5)[None], m[None]).item()),
        ("most missed", lambda p, m: (m & (p <= 0.5)).mean()),
        ("most false alarm", lambda p, m: (~m & (p > 0.5)).mean()),
        ("surest and wrong", lambda p, m: (abs(p - m) > 0.9).mean()),
    ],
)
def test_another_idea_of_worst_orders_by_what_it_says(browser, pictures, order, badness):
    browser.order.value = order
    _, probs, masks = pictures
    found = np.array([badness(prob, mask) for prob, mask in zip(probs, masks, strict=True)])
    assert sorted(browser.ranking) == list(range(6)) and np.diff(found[browser.ranking]).max() <= 0


def test_a_slice_holds_its_pictures_only_and_starts_at_its_worst(browser):
    browser.place.value = 5
    for part in browser.part.options[1:]:
        browser.part.value = part
        assert browser.place.value == 0 and browser.place.max == len(browser.ranking) - 1
        assert f"1 of {len(browser.ranking)}" in browser.words.value
    browser.part.value = "light: darkest quarter"
    dark = sorted(range(6), key=lambda i: browser.facts[i].brightness)[: len(browser.ranking)]
    assert sorted(browser.ranking) == sorted(dark) and len(browser.figure(4).axes) == 6


def test_temperature_explorer_shows_the_calibration_of_segkit_analysis(pictures):
    _, probs, masks = pictures
    explorer = TemperatureExplorer(probs, masks, image=1)
    explorer.temperature.value = 2.0
    expected = reliability([temper(prob, 2.0) for prob in probs], masks).ece
    assert explorer.curve.ece == pytest.approx(expected, abs=1e-9)  # few pixels: all of them are used
    assert f"{expected:.4f}" in explorer.words.value and len(explorer.figure().axes) == 5


def test_few_seeds_name_one_of_two_equals_by_chance_and_never_the_one_far_behind():
    explorer = explorers.seeds()
    one = explorer.winners
    assert sum(one.values()) == pytest.approx(1) and one[0.0] < 0.02
    assert min(one[0.5], one[1.0]) > 0.1
    explorer.seeds.value = 12
    assert explorer.winners[0.0] == 0 and max(explorer.winners.values()) >= max(one.values())


def test_another_draw_is_another_picture_and_the_words_name_its_winner():
    explorer = explorers.seeds()
    pictures = set()
    for number in range(8):
        explorer.draw_number.value = number
        drawn = explorer.drawn(1, number)
        best = max(drawn, key=lambda value: drawn[value].mean())
        assert f"alpha {best:g} wins" in explorer.words.value
        pictures.add(explorer.picture.value)
    assert len(pictures) > 3
    assert explorer.figure().axes[0].get_legend_handles_labels()[1] == ["alpha 0", "alpha 0.5", "alpha 1"]

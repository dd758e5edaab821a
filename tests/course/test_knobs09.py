"""The explorers of lessons 09 and 10, driven as a hand would: by setting the value of a control."""

import numpy as np
import pandas as pd
import pytest
from conftest import draw_pair

from segkit.course.knobs.lesson09 import SeedExplorer, TemperatureExplorer, WorstFirst
from segkit.metrics import dice_score
from segkit.study.analysis import measure_traits, reliability, temper


@pytest.fixture(scope="module")
def pictures():
    """Six drawn people with probabilities that get worse from the first to the last."""
    pairs = [draw_pair(i) for i in range(6)]
    images, masks = [image for image, _ in pairs], [mask > 0 for _, mask in pairs]
    rng = np.random.default_rng(0)
    probs = [
        np.clip(0.15 + 0.7 * np.roll(mask, 4 * i, 1) + rng.normal(0, 0.05, mask.shape), 0, 1)
        for i, mask in enumerate(masks)
    ]
    return images, probs, masks


@pytest.fixture
def browser(pictures):
    traits = [measure_traits(image, mask) for image, _, mask in zip(*pictures, strict=True)]
    return WorstFirst(*pictures, [f"p{i}" for i in range(6)], traits)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    scores = {0.0: 0.5, 0.5: 0.6, 1.0: 0.6}
    return pd.DataFrame(
        [
            {"alpha": a, "seed": s, "val_dice": m + rng.normal(0, 0.02)}
            for a, m in scores.items()
            for s in range(5)
        ]
    )


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
    "order", ["lowest boundary F", "most missed", "most false alarm", "surest and wrong"]
)
def test_another_idea_of_worst_orders_by_what_it_says(browser, pictures, order):
    before = browser.picture.value
    browser.order.value, browser.place.value = order, 5
    assert browser.picture.value != before
    _, probs, masks = pictures
    pairs = list(zip(probs, masks, strict=True))
    measure = {
        "most missed": [(m & (p <= 0.5)).mean() for p, m in pairs],
        "most false alarm": [(~m & (p > 0.5)).mean() for p, m in pairs],
        "surest and wrong": [(abs(p - m) > 0.9).mean() for p, m in pairs],
        "lowest boundary F": None,
    }[order]
    if measure is not None:
        assert np.diff(np.array(measure)[browser.ranking]).max() <= 0
    assert sorted(browser.ranking) == list(range(6))


def test_a_slice_holds_its_pictures_only_and_starts_at_its_worst(browser):
    browser.place.value = 5
    for part in browser.part.options[1:]:
        browser.part.value = part
        assert browser.place.value == 0
        assert browser.place.max == len(browser.ranking) - 1
        assert f"1 of {len(browser.ranking)}" in browser.words.value
    browser.part.value = "light: darkest quarter"
    dark = sorted(range(6), key=lambda i: browser.facts[i].brightness)[: len(browser.ranking)]
    assert sorted(browser.ranking) == sorted(dark)
    assert len(browser.figure(4).axes) == 6


def test_temperature_explorer_shows_the_calibration_of_segkit_analysis(pictures):
    _, probs, masks = pictures
    explorer = TemperatureExplorer(probs, masks, image=1)
    before, words = explorer.picture.value, explorer.words.value
    explorer.temperature.value = 2.0
    expected = reliability([temper(prob, 2.0) for prob in probs], masks).ece
    assert explorer.curve.ece == pytest.approx(expected, abs=1e-9)  # few pixels: all of them are used
    assert f"{expected:.4f}" in explorer.words.value
    assert explorer.picture.value != before
    assert explorer.words.value != words
    assert len(explorer.figure().axes) == 5


def test_few_seeds_name_one_of_two_equals_by_chance_and_never_the_one_far_behind(rows):
    explorer = SeedExplorer(rows, "alpha")
    one = explorer.winners
    assert sum(one.values()) == pytest.approx(1)
    assert one[0.0] < 0.02
    assert min(one[0.5], one[1.0]) > 0.1
    explorer.seeds.value = 12
    assert explorer.winners[0.0] == 0
    assert max(explorer.winners.values()) >= max(one.values())


def test_another_draw_is_another_picture_and_the_words_name_its_winner(rows):
    explorer = SeedExplorer(rows, "alpha")
    pictures = set()
    for number in range(8):
        explorer.draw_number.value = number
        drawn = explorer.drawn(1, number)
        best = max(drawn, key=lambda value: drawn[value].mean())
        assert f"alpha {best:g} wins" in explorer.words.value
        pictures.add(explorer.picture.value)
    assert len(pictures) > 3
    assert explorer.figure().axes[0].get_legend_handles_labels()[1] == ["alpha 0", "alpha 0.5", "alpha 1"]

"""The knob of notebook 02, driven as a hand would."""

import cv2
import pytest

from segkit.course.knobs.lesson02 import PairBrowser
from segkit.data import find_samples
from segkit.files import UserError
from segkit.sets.doctor import inspect_dataset


@pytest.fixture
def folder(make_dataset):
    return make_dataset(6)


@pytest.fixture
def browser(folder) -> PairBrowser:
    return PairBrowser(find_samples(folder), inspect_dataset(folder).shares)


def test_the_words_name_the_pair_that_is_shown(browser):
    browser.number.value = 4
    assert browser.sample.name == "004"
    share = cv2.imread(str(browser.sample.mask), cv2.IMREAD_GRAYSCALE) > 127
    assert browser.words.value == f"004 · {browser.sample.split} · 80 x 96 · {share.mean():.1%} person"


def test_pairs_are_sorted_by_how_much_person_they_hold(folder, browser):
    shares = inspect_dataset(folder).shares
    seen = []
    browser.order.value = "least person first"
    for browser.number.value in range(6):
        seen.append(shares[browser.sample.name])
    assert seen == sorted(shares.values())
    browser.order.value = "most person first"
    browser.number.value = 0
    assert shares[browser.sample.name] == max(shares.values())
    assert PairBrowser(find_samples(folder)).order.options == ("by name",)


def test_without_a_mask_the_picture_is_the_photograph_itself(browser):
    browser.opacity.value = 0
    assert (browser._tinted(0) == browser._pair()[0]).all()
    assert not (browser._tinted(1) == browser._pair()[0]).all()


def test_a_pair_that_cannot_be_read_is_named_and_the_next_one_shown(browser, folder):
    (folder / "images" / "002.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"002\.jpg"):
        browser.number.value = 2
    assert "002.jpg" in browser.words.value
    browser.number.value = 3
    assert "003" in browser.words.value

"""The checks of notebook 16: stubs are not answered, right answers pass, common wrong ones get their hint."""

import itertools

import numpy as np
import pytest

from segkit import check


def unmix(pixel, alpha, behind):
    a = alpha[..., None]
    person = (pixel - (1 - a) * behind) / np.where(a > 0, a, 1)
    return np.where(a > 0, person.clip(0, 255), pixel)


def unmix_wrong(rule):
    def answer(pixel, alpha, behind):
        a = np.maximum(alpha, 1e-9)[..., None]
        return np.where(alpha[..., None] > 0, rule(pixel, a, behind), pixel)

    return answer


def runs(mask, order="F"):
    flat = [0, *mask.ravel(order).astype(int), None]
    lengths, count = [], 0
    for before, now in itertools.pairwise(flat):
        if now != before:
            lengths.append(count)
            count = 0
        count += 1
    return lengths


def promise(prob, mask):
    return 2 * prob[mask].sum() / (prob.sum() + mask.sum())


def blur_around(image, alpha, blur):
    weight = 1 - alpha
    return blur(image * weight[..., None]) / np.maximum(blur(weight), 1e-6)[..., None]


RIGHT = {
    "pure_colour": unmix,
    "run_lengths": runs,
    "expected_dice": promise,
    "blur_around_person": blur_around,
}
WRONG = [
    ("pure_colour", lambda p, a, b: p, "as it was"),
    ("pure_colour", lambda p, a, b: (p - (1 - a[..., None]) * b) / a[..., None], "NaN"),
    (
        "pure_colour",
        lambda p, a, b: np.nan_to_num(((p - (1 - a[..., None]) * b) / a[..., None]).clip(0, 255)),
        "alpha is 0",
    ),
    ("pure_colour", unmix_wrong(lambda p, a, b: (p - (1 - a) * b) / a), "clip it"),
    ("pure_colour", unmix_wrong(lambda p, a, b: p - (1 - a) * b), "divided by alpha"),
    ("pure_colour", unmix_wrong(lambda p, a, b: ((p - a * b) / a).clip(0, 255)), "1 - alpha"),
    ("pure_colour", unmix_wrong(lambda p, a, b: (p / a).clip(0, 255)), "dividing alone"),
    ("pure_colour", lambda p, a, b: p[..., 0], "another shape"),
    ("run_lengths", lambda m: runs(m, "C"), "columns"),
    ("run_lengths", lambda m: runs(m)[1:] if m[0, 0] else runs(m), "first number counts background"),
    ("run_lengths", lambda m: runs(m)[:-1], "last run is missing"),
    ("run_lengths", lambda m: runs(~m), "swapped"),
    ("run_lengths", lambda m: runs(m)[1::2], "only the runs of person"),
    ("run_lengths", lambda m: [1], "all runs together"),
    ("run_lengths", lambda m: None, "list of whole numbers"),
    ("expected_dice", lambda p, m: p[m].mean(), "left out"),
    ("expected_dice", lambda p, m: promise(p, m) / 2, "factor 2"),
    ("expected_dice", lambda p, m: p.mean(), "share of the picture"),
    ("expected_dice", lambda p, m: 2 * m.sum() / (p.sum() + m.sum()), "with its probability"),
    ("expected_dice", lambda p, m: promise(p, m) / (2 - promise(p, m)), "IoU"),
    ("expected_dice", lambda p, m: np.maximum(p, 1 - p).mean(), "accuracy"),
    ("expected_dice", lambda p, m: p, "one number"),
    ("blur_around_person", lambda i, a, blur: blur(i), "glow"),
    ("blur_around_person", lambda i, a, blur: blur(i * (1 - a)[..., None]), "dark around"),
    ("blur_around_person", lambda i, a, blur: i, "nothing is blurred"),
    ("blur_around_person", lambda i, a, blur: blur_around(i, 1 - a, blur), "person's colour"),
    ("blur_around_person", lambda i, a, blur: i[..., 0], "as large as"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_a_stub_is_not_answered_yet(name):
    stub = lambda *_: ...  # noqa: E731
    for answer in (..., stub):
        result = getattr(check, name)(answer)
        assert not result and "not answered" in str(result)


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_answer_passes(name):
    result = getattr(check, name)(RIGHT[name])
    assert result, result


@pytest.mark.parametrize(("name", "answer", "hint"), WRONG)
def test_a_common_mistake_gets_its_hint(name, answer, hint):
    with np.errstate(all="ignore"):
        result = getattr(check, name)(answer)
    assert not result and hint in str(result), result

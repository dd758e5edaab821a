import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist

from segkit.metrics import Counts, boundary_f, count_classes, count_pixels, dice_score, iou_score

masks = arrays(np.bool_, (2, 1, 5, 6))


def test_counts_and_scores_by_hand_on_4x4():
    target = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]).view(1, 1, 4, 4)
    pred = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]).view(1, 1, 4, 4)
    counts = count_pixels(pred, target)
    assert (int(counts.tp), int(counts.fp), int(counts.fn), int(counts.tn)) == (3, 3, 3, 7)
    scores = counts.dice(), counts.iou(), counts.pixel_accuracy(), counts.precision(), counts.recall()
    assert [score.item() for score in scores] == pytest.approx([6 / 12, 3 / 9, 10 / 16, 0.5, 0.5])


@given(masks, masks)
def test_dice_and_iou_are_tied_symmetric_and_bounded(a, b):
    dice, iou = dice_score(a, b), iou_score(a, b)
    assert torch.allclose(dice, 2 * iou / (1 + iou)) and torch.equal(dice, dice_score(b, a))
    assert ((iou >= 0) & (iou <= dice) & (dice <= 1)).all()


def test_two_empty_masks_score_one_and_a_false_alarm_scores_zero():
    empty, one = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    one[0, 0, 3:5, 3:5] = 1
    for pred, target, score in ((empty, empty, 1), (one, empty, 0), (empty, one, 0)):
        counts = count_pixels(pred, target)
        for name in ("dice", "iou", "precision", "recall"):
            assert getattr(counts, name)().item() == score, name
    assert boundary_f(empty, empty).item() == 1 and boundary_f(one, empty).item() == 0


ORACLES = {"dice": oracle.binary_f1_score, "iou": oracle.binary_jaccard_index}
ORACLES |= {"precision": oracle.binary_precision, "recall": oracle.binary_recall}
ORACLES |= {"pixel_accuracy": oracle.binary_accuracy}


@settings(max_examples=30)
@given(masks, masks)
def test_scores_agree_with_torchmetrics(pred, target):
    counts = count_pixels(pred, target)
    assert torch.equal(counts.dice(), dice_score(pred, target))
    assert torch.equal(counts.iou(), iou_score(pred, target))
    for i in range(2):
        p, t = torch.from_numpy(pred[i]), torch.from_numpy(target[i]).int()
        if not (p.any() or t.any()):
            continue  # torchmetrics has another rule for two empty masks
        for name, theirs in ORACLES.items():
            assert getattr(counts, name)()[i].item() == pytest.approx(theirs(p.int(), t).item(), abs=1e-6)


def test_the_mean_over_images_is_not_the_pooled_score():
    target = torch.zeros(2, 1, 10, 10)
    target[0, :, :, :8], target[1, :, 0, :2] = 1, 1
    pred = target.clone()
    pred[1] = 0  # the small person is missed
    counts = count_pixels(pred, target)
    assert counts.dice().mean().item() == pytest.approx(0.5)
    assert counts.pooled().dice().item() == pytest.approx(160 / 162)
    assert torch.equal(Counts.cat([counts, counts]).tp, torch.cat([counts.tp, counts.tp]))


def slow_boundary_f(pred, target, tolerance):
    """The same definition written another way: erosion by scipy, all distances by cdist."""
    cross = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    rings = [np.argwhere(m & ~binary_erosion(m, cross, border_value=1)) for m in (pred, target)]
    if not len(rings[0]) or not len(rings[1]):
        return float(len(rings[0]) == len(rings[1]))
    distances = cdist(*rings)
    precision, recall = (distances.min(axis) <= tolerance for axis in (1, 0))
    p, r = precision.mean(), recall.mean()
    return 2 * p * r / (p + r) if p + r else 0.0


@settings(max_examples=40)
@given(
    arrays(np.bool_, (12, 14)),
    arrays(np.bool_, (12, 14)),
    st.sampled_from([0.0, 1.0, 2.0, 5**0.5, 3.0, 50.0]),
)
def test_boundary_f_agrees_with_all_distances_computed_one_by_one(pred, target, tolerance):
    expected = slow_boundary_f(pred, target, tolerance)
    assert boundary_f(pred[None], target[None], tolerance).item() == pytest.approx(expected)


def test_boundary_f_forgives_two_pixels_and_not_three():
    target = np.zeros((1, 40, 40), bool)
    target[:, 10:30, 10:30] = True
    assert boundary_f(np.roll(target, 2, axis=2), target).item() == 1
    assert boundary_f(np.roll(target, 3, axis=2), target).item() < 1


def test_logits_probabilities_and_255_masks_are_refused_with_advice():
    target = torch.zeros(1, 1, 4, 4)
    for wrong in (target - 3.2, target + 0.4, target + 255):
        with pytest.raises(ValueError, match="threshold"):
            dice_score(wrong, target)
    with pytest.raises(ValueError, match="expected"):
        dice_score(torch.zeros(4, 4), target)
    with pytest.raises(ValueError, match="differ in shape"):
        dice_score(torch.zeros(1, 1, 4, 5), target)
    with pytest.raises(ValueError, match="expected"):  # the background would count as person
        dice_score(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4))
    with pytest.raises(ValueError, match=r"asked .* differ in shape"):  # or it would be spread over all pairs
        count_pixels(target, target, torch.ones(1, 4, 4))
    for ids in (torch.full((1, 4, 4), 0.7), torch.full((1, 4, 4), float("nan")), torch.full((1, 4, 4), 9)):
        with pytest.raises(ValueError, match="class ids go from 0 to 2"):
            count_classes(ids, torch.zeros(1, 4, 4), 3)
    for tolerance in (-1, float("nan")):
        with pytest.raises(ValueError, match="tolerance"):
            boundary_f(target, target, tolerance)


def test_arrays_may_be_mirrored():
    pred, target = np.random.default_rng(0).random((2, 3, 8, 8)) > 0.5
    there = count_pixels(pred[..., ::-1], target[..., ::-1]).dice()
    assert torch.equal(there, count_pixels(pred, target).dice())


def test_an_image_of_which_nothing_is_asked_has_no_score():
    masks = np.ones((1, 4, 4)), np.ones((1, 4, 4))
    nothing = count_pixels(*masks, np.zeros((1, 4, 4)))
    assert boundary_f(*masks, asked=np.zeros((1, 4, 4))).isnan().all()
    classes = count_classes(np.ones((1, 4, 4)), np.full((1, 4, 4), 255), 3)
    assert nothing.dice().isnan().all() and classes.per_image("dice").isnan().all()


def test_what_is_not_asked_counts_neither_in_pixels_nor_at_the_outline():
    target, asked = np.zeros((1, 40, 40), bool), np.ones((1, 40, 40), bool)
    target[0, 10:30, 10:30] = True
    asked[0, :, 20:] = False
    pred = target.copy()
    pred[0, :, 20:] = False  # right where it is asked, wrong elsewhere
    counts = count_pixels(pred, target, asked)
    assert counts.dice().item() == counts.pixel_accuracy().item() == 1
    assert sum(getattr(counts, n).item() for n in ("tp", "fp", "fn", "tn")) == 800
    assert boundary_f(pred, target, asked=asked).item() == 1
    assert boundary_f(pred, target).item() < 1
    pred[0, :, :20] = np.roll(pred[0, :, :20], 5, axis=0)  # wrong where it is asked
    assert boundary_f(pred, target, asked=asked).item() < 0.9

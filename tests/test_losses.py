import pytest
import torch
import torch.nn.functional as F
from conftest import refused

from segkit.losses import LOSSES, BCEDiceLoss, BCELoss, DiceLoss, FocalLoss, TverskyLoss, build_loss


def random_pair(seed: int, empty: bool = False):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 1, 16, 20, generator=generator) * 3
    targets = (torch.rand(3, 1, 16, 20, generator=generator) > 0.7).float()
    return logits, targets * (0 if empty else 1)


PAIRS = [random_pair(0), random_pair(1), random_pair(2, empty=True)]


@pytest.mark.slow  # to load monai
def test_losses_agree_with_monai_and_torch_to_a_millionth():
    from monai import losses as monai

    smooth = {"sigmoid": True, "smooth_nr": 1, "smooth_dr": 1}
    for ours, theirs in (
        (DiceLoss(), monai.DiceLoss(**smooth)),
        (DiceLoss(pooled=True), monai.DiceLoss(**smooth, batch=True)),
        (TverskyLoss(0.3, 0.7), monai.TverskyLoss(**smooth, alpha=0.3, beta=0.7)),
        (FocalLoss(2.0), monai.FocalLoss(gamma=2.0)),
        (FocalLoss(1.5), monai.FocalLoss(gamma=1.5)),
        (BCELoss(), F.binary_cross_entropy_with_logits),
        (FocalLoss(gamma=0), F.binary_cross_entropy_with_logits),
    ):
        for pair in PAIRS:
            assert ours(*pair).item() == pytest.approx(theirs(*pair).item(), abs=1e-6), ours


def test_bce_dice_is_the_weighted_sum_of_both():
    bce, dice = BCELoss()(*PAIRS[0]), DiceLoss()(*PAIRS[0])
    for alpha in (0, 0.3, 1):
        expected = (alpha * bce + (1 - alpha) * dice).item()
        assert BCEDiceLoss(alpha)(*PAIRS[0]).item() == pytest.approx(expected)


def test_dice_loss_by_hand_on_2x2():
    # Probabilities are 1, 0, 1, 0; the target is 1, 1, 0, 0: one pixel shared of two and two.
    logits = torch.tensor([[[[99.0, -99.0], [99.0, -99.0]]]])
    targets = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert DiceLoss()(logits, targets).item() == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("logit", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_extreme_logits_and_empty_or_full_masks_stay_finite(name, logit, target):
    logits = torch.full((2, 1, 8, 8), logit, requires_grad=True)
    loss = build_loss(name)(logits, torch.full((2, 1, 8, 8), target))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_float32_under_autocast(name):
    logits, targets = PAIRS[0]
    with torch.autocast("cpu", torch.bfloat16):
        under = build_loss(name)(logits, targets)
    assert under.dtype == torch.float32 and under == build_loss(name)(logits, targets)


@pytest.mark.parametrize("name", LOSSES)
def test_a_right_answer_costs_less_than_a_wrong_one(name):
    targets = PAIRS[0][1]
    right = (targets * 2 - 1) * 6
    assert 0 <= build_loss(name)(right, targets) < build_loss(name)(-right, targets)


def test_bad_settings_and_shapes_are_refused():
    refused("alpha", BCEDiceLoss, 1.5)
    refused("bce-dice", build_loss, "hinge")
    wrong = {TverskyLoss: {"fn_weight": -1}, FocalLoss: {"gamma": -1}, BCEDiceLoss: {"outline": float("nan")}}
    for make, settings in wrong.items():
        refused(f"{next(iter(settings))} goes from", make, **settings)
    with pytest.raises(ValueError, match="differ in shape"):
        DiceLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4))


@pytest.mark.parametrize("name", LOSSES)
def test_pixels_that_nobody_asks_for_neither_cost_nor_pull(name):
    logits, targets = random_pair(3)
    unasked = torch.zeros_like(targets, dtype=torch.bool)
    unasked[..., :5] = True
    costs, pulls = [], []
    for value in (-50.0, 50.0):
        answer = logits.masked_fill(unasked, value).requires_grad_()
        costs.append(build_loss(name)(answer, targets.masked_fill(unasked, 255)))
        pulls.append(torch.autograd.grad(costs[-1], answer)[0])
    assert costs[0] == costs[1] and all((pull[unasked] == 0).all() for pull in pulls)
    if name in ("bce", "focal"):  # a mean over what is asked, as if the rest were cut off
        asked = build_loss(name)(logits[..., 5:], targets[..., 5:])
        assert costs[0].item() == pytest.approx(asked.item(), rel=1e-5)
    assert (pulls[0][~unasked] != 0).any()


def test_an_empty_mask_pushes_every_false_alarm_down():
    logits = torch.full((1, 1, 64, 64), -6.0)
    logits[..., 20:40, 20:40] = 2.0
    logits.requires_grad_()
    loss = BCEDiceLoss()(logits, torch.zeros_like(logits))
    pull = torch.autograd.grad(loss, logits)[0]
    assert (pull > 0).all() and pull[..., 30, 30] > pull[..., 0, 0] * 10


def test_the_outline_weighs_more_when_asked_to():
    targets = torch.zeros(1, 1, 32, 32)
    targets[..., 8:24, 8:24] = 1
    wrong_at = {place: torch.where(targets > 0, 20.0, -20.0) for place in ("outline", "wall")}
    wrong_at["outline"][..., 7, 12] = 20.0
    wrong_at["wall"][..., 0, 0] = 20.0
    plain = [BCEDiceLoss(1.0)(wrong_at[place], targets) for place in wrong_at]
    weighed = [BCEDiceLoss(1.0, outline=2.0)(wrong_at[place], targets) for place in wrong_at]
    assert plain[0] == pytest.approx(plain[1].item()) and weighed[0] > 2.5 * weighed[1]

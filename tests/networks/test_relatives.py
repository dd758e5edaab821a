"""All networks, and the U-Net's relatives: attention gates, DeepLabV3+, deep supervision."""

import pytest
import torch
from conftest import refused

from segkit.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from segkit.data import Preprocessing
from segkit.deploy.export import differences, export_onnx
from segkit.losses import BCEDiceLoss, DeepSupervisionLoss, build_loss
from segkit.models import build_model, count_parameters
from segkit.networks.deeplab import ASPP, keep_resolution
from segkit.networks.lite import LiteEncoder
from segkit.unet import AttentionGate


def test_a_gate_weighs_every_pixel_of_the_skip_between_0_and_1():
    gate = AttentionGate(8, 16, "batch")
    skip, coarse = torch.rand(2, 8, 6, 6) + 0.1, torch.randn(2, 16, 6, 6)
    share = gate(skip, coarse) / skip
    assert ((share > 0) & (share < 1)).all()
    assert torch.allclose(share, share[:, :1].expand_as(share), atol=1e-6)  # one weight for all channels


@pytest.mark.slow
def test_on_one_grid_point_in_two_the_dense_encoder_sees_what_the_halving_one_saw():
    """Away from the border, features at even positions agree: nothing but the sampling changed."""
    plain, dense = LiteEncoder().eval(), LiteEncoder().eval()
    dense.load_state_dict(plain.state_dict())
    keep_resolution(dense)
    images, middle = torch.randn(1, 3, 1024, 1024), slice(14, 18)
    with torch.no_grad():
        coarse, kept = plain(images)[-1][..., middle, middle], dense(images)[-1]
    grids = [kept[..., dy::2, dx::2][..., middle, middle] for dy in (0, 1) for dx in (0, 1)]
    assert any(torch.allclose(coarse, grid, atol=1e-4) for grid in grids)


def test_the_pyramid_sees_as_far_as_its_largest_rate():
    pyramid = ASPP(4, 8).eval()
    for weight in pyramid.everywhere.parameters():
        weight.data.zero_()
    x = torch.randn(1, 4, 49, 49, requires_grad=True)
    pyramid(x)[0, :, 24, 24].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (rows.min().item(), rows.max().item()) == (24 - 18, 24 + 18)


SMALL = {
    "unet": {"widths": (4, 8), "bottleneck": 8, "attention": True},
    "unet-lite0": {"decoder": (16, 16, 16, 8)},
    "unet-lite2": {"decoder": (16, 16, 16, 8)},
    "deeplab-lite0": {"channels": 16},
}


@pytest.mark.parametrize("name", SMALL)
def test_any_size_comes_back_every_weight_learns_and_a_checkpoint_brings_it_back(name, tmp_path):
    model = build_model(name, num_classes=3, **SMALL[name])
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    info = CheckpointInfo(model.built_as, classes=("background", "head", "rest"))
    loaded, _ = load_checkpoint(save_checkpoint(tmp_path / "model.safetensors", model, info))
    with torch.no_grad():
        for size in ((64, 64), (33, 70), (100, 48), (1, 1)):
            images = torch.randn(1, 3, *size)
            assert model(images).shape == (1, 3, *size)
            assert torch.allclose(loaded(images), model(images), atol=1e-5)


WRONG = [("unet-lite0", {key: value}) for key, value in {"width": 8, "up": "x", "decoder": (1, 2)}.items()]
WRONG += [("unet-lite0", {"decoder": (0, 8, 8, 8)}), ("deeplab-lite0", {"channels": 0})]
WRONG += [("deeplab-lite0", {"decoder": (8, 8, 8, 8)}), ("unet-lite0", {"num_classes": 3, "deep": True})]
WRONG += [("deeplab-lite0", {"rates": rates}) for rates in ((), (0,), (1.5,), (-1, 2))]


@pytest.mark.parametrize(("name", "settings"), WRONG)
def test_a_setting_that_cannot_be_is_named(name, settings):
    said = "one class" if "deep" in settings else next(iter(settings))
    refused(said, build_model, name, **settings)


def test_deep_supervision_answers_at_every_depth_while_training_and_the_first_answer_stays():
    model = build_model("unet-lite0", decoder=(16, 16, 8, 8), deep=True)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # the same statistics in both modes
    images = torch.randn(2, 3, 40, 64)
    answers = model(images)
    assert answers.shape == (2, 4, 40, 64)
    build_loss("deep")(answers, torch.ones(2, 1, 40, 64)).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert torch.equal(model.eval()(images), answers[:, :1])


def test_deep_supervision_adds_three_small_heads_and_leaves_all_other_names():
    plain = build_model("unet-lite0", decoder=(16, 12, 10, 8))
    deep = build_model("unet-lite0", decoder=(16, 12, 10, 8), deep=True)
    assert count_parameters(deep) - count_parameters(plain) == 16 + 12 + 10 + 3
    added = {f"coarse_heads.{i}.{part}" for i in range(3) for part in ("weight", "bias")}
    assert set(deep.state_dict()) - set(plain.state_dict()) == added


def test_coarser_answers_count_half_as_much_each():
    good, bad = torch.full((1, 1, 4, 4), 9.0), torch.full((1, 1, 4, 4), -9.0)
    target, loss, one = torch.ones(1, 1, 4, 4), DeepSupervisionLoss(), BCEDiceLoss()
    right, wrong = one(good, target), one(bad, target)
    assert torch.allclose(loss(torch.cat([good, bad], 1), target), (2 * right + wrong) / 3)
    assert torch.allclose(loss(torch.cat([bad, good], 1), target), (2 * wrong + right) / 3)
    assert torch.equal(loss(bad, target), wrong)


def test_deeplab_holds_what_its_parts_hold():
    """Counted from the paper's drawing: encoder, pyramid of five, 48 low channels, two separable 3x3."""
    width, high, low = 256, 320, 24
    one = high * width + 2 * width  # 1x1 and its norm
    far = 9 * high + 2 * high + one
    average, mix = high * width + width, 5 * width * width + 2 * width
    detail = low * 48 + 2 * 48
    wide = 48 + width
    decode = 11 * wide + wide * width + 2 * width + 11 * width + width * width + 2 * width
    head = width + 1
    model = build_model("deeplab-lite0", channels=width)
    by_hand = one + 3 * far + average + mix + detail + decode + head
    assert count_parameters(model) - count_parameters(model.encoder) == by_hand


def test_attention_adds_what_its_three_small_convolutions_hold_and_no_more():
    plain, gated = (build_model("unet", widths=(8, 16), bottleneck=16, attention=a) for a in (False, True))
    # Skip 16, gate 16, inner 8; skip 8, gate 8, inner 4: two 1x1, their norms, one 1x1 with bias.
    first, second = 16 * 8 + 16 * 8 + 4 * 8 + 8 + 1, 8 * 4 + 8 * 4 + 4 * 4 + 4 + 1
    assert count_parameters(gated) - count_parameters(plain) == first + second


def test_a_rate_as_wide_as_the_map_turns_a_3x3_into_a_1x1():
    """At 96 pixels the pyramid works on 6 x 6 cells: the outer weights of rates 6, 12 and 18 see nothing."""
    torch.manual_seed(0)
    model = build_model("deeplab-lite0", channels=16)
    model(torch.randn(2, 3, 96, 96)).square().mean().backward()
    for branch in model.aspp.far:
        gradient = branch[0].weight.grad[:, 0].abs().sum(0)
        assert gradient[1, 1] > 0 and gradient.sum() == gradient[1, 1]
    near = build_model("deeplab-lite0", channels=16, rates=(1, 2, 3))
    near(torch.randn(2, 3, 96, 96)).square().mean().backward()
    assert all((branch[0].weight.grad[:, 0].abs().sum(0) > 0).all() for branch in near.aspp.far)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "deeplab-lite0"])
def test_each_relative_becomes_an_onnx_file_with_the_same_answers(name, tmp_path):
    pytest.importorskip("onnxruntime")
    model = build_model(name, **SMALL[name]).eval()
    info = CheckpointInfo(model.built_as, Preprocessing(64))
    path = save_checkpoint(tmp_path / "model.safetensors", model, info)
    out = export_onnx(path, tmp_path / "model.onnx")
    assert max(differences(out, path).values()) <= 1e-4

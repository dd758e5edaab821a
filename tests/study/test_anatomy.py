"""What is said of a network's inside: how far it sees, what its gates weigh, what it costs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segkit.files import UserError
from segkit.models import build_model, count_parameters
from segkit.networks.lite import LiteEncoder
from segkit.study import anatomy


@pytest.mark.parametrize("rates", [(1, 1, 1), (1, 2, 4)])
def test_convolutions_see_as_far_as_the_sum_of_their_rates(rates):
    net = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=rate, dilation=rate) for rate in rates))
    gradient = anatomy.input_gradient(net, torch.randn(2, 3, 41, 41), 20, 20)
    assert anatomy.field_of_view(gradient) == 1 + 2 * sum(rates) and gradient.shape == (41, 41)


def test_looking_leaves_the_network_as_it_was():
    net = build_model("unet", widths=(4, 8), bottleneck=8).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    anatomy.input_gradient(net, torch.randn(1, 3, 32, 32), 16, 16)
    anatomy.count_macs(net, 32)
    assert net.training and all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_a_map_that_nothing_reaches_has_no_field():
    assert anatomy.field_of_view(torch.zeros(4, 4)) == 0


def test_half_of_a_disc_lies_within_its_radius_by_the_root_of_two():
    rows, columns = torch.meshgrid(torch.arange(201), torch.arange(201), indexing="ij")
    disc = ((rows - 90) ** 2 + (columns - 110) ** 2 <= 80**2).float()
    assert anatomy.effective_radius(disc, 90, 110, 0.5) == pytest.approx(80 / 2**0.5, abs=1)
    assert anatomy.effective_radius(disc, 90, 110, 1.0) == pytest.approx(80, abs=1)


def test_one_map_per_gate_at_the_size_of_the_picture():
    net = build_model("unet", widths=(4, 8, 16), bottleneck=16, attention=True)
    maps = anatomy.attention_maps(net, torch.randn(2, 3, 40, 48))
    assert [tuple(m.shape) for m in maps] == [(2, 40, 48)] * 3
    assert all(((m > 0) & (m < 1)).all() for m in maps)
    assert not any(module._forward_hooks for module in net.modules())


def test_the_last_map_is_the_weight_of_the_finest_gate():
    net = build_model("unet", widths=(4, 8), bottleneck=8, attention=True).eval()
    seen = {}
    gate = net.decoder[-1].gate
    hook = gate.register_forward_hook(lambda _, inputs, out: seen.update(share=out / inputs[0]))
    images = torch.rand(1, 3, 32, 32)
    finest = anatomy.attention_maps(net, images)[-1]
    hook.remove()
    where = seen["share"].isfinite()
    weight = finest[:, None].expand_as(seen["share"])
    assert where.any() and torch.allclose(seen["share"][where], weight[where], atol=1e-5)


def test_a_network_without_gates_has_no_maps():
    with pytest.raises(UserError, match="attention=True"):
        anatomy.attention_maps(build_model("unet", widths=(4, 8), bottleneck=8), torch.zeros(1, 3, 16, 16))


def test_multiplications_of_one_convolution_by_hand():
    assert anatomy.count_macs(nn.Conv2d(3, 8, 3, padding=1, bias=False), 10) == 3 * 8 * 9 * 10 * 10


def test_lite0_holds_and_multiplies_what_its_authors_say():
    """4,652,008 parameters and 407 million multiplications at 224 pixels, its classifier included.

    Their profiler also counts some of the work between the convolutions: ours says 5 in 100 less.
    """
    encoder = LiteEncoder()
    head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert count_parameters(encoder) + head == 4_652_008
    macs = anatomy.count_macs(encoder, 224) + 7 * 7 * 320 * 1280 + 1280 * 1000
    assert macs / 1e6 == pytest.approx(407, rel=0.06)


def test_cost_names_all_three():
    net = build_model("unet", widths=(4, 8), bottleneck=8)
    found = anatomy.measure_cost(net, 32)
    assert (found.parameters, found.macs) == (count_parameters(net), anatomy.count_macs(net, 32))
    assert found.ms > 0


@pytest.mark.parametrize(("rate", "side"), [(1, 6), (3, 6), (6, 6), (12, 6), (6, 33), (18, 33)])
def test_used_points_are_counted_right(rate, side):
    ones = torch.ones(1, 1, side, side)
    inside = F.conv2d(ones, torch.ones(1, 1, 3, 3), padding=rate, dilation=rate)
    assert anatomy.used_points(rate, side) == pytest.approx(inside.mean().item(), rel=1e-5)

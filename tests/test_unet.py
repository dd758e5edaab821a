import pytest
import torch
from conftest import cases, refused

from segkit.models import MODEL_NAMES, build_model, count_parameters
from segkit.unet import pad_to_multiple

COUNTS = {"unet-7m": 7_083_649, "unet-13m": 13_391_361, "unet-17m": 17_262_977, "unet-31m": 31_037_633}


@pytest.mark.parametrize("name", COUNTS)
def test_the_four_named_variants_have_their_known_parameter_counts(name):
    assert count_parameters(build_model(name)) == COUNTS[name]


def test_the_laptop_default_has_width_16_and_under_a_million_parameters():
    model = build_model()
    assert model.config.widths == (16, 32, 64, 128) and count_parameters(model) < 1_000_000


@pytest.mark.parametrize("size", [(64, 64), (37, 53), (1, 1), (16, 100)])
@pytest.mark.parametrize(("up", "convs"), [("bilinear", 1), ("bilinear", 2), ("transposed", 2)])
@pytest.mark.parametrize("widths", [(8,), (8, 16), (4, 8, 12, 16, 20)])
def test_any_depth_width_and_block_trains_on_any_size(widths, up, convs, size):
    model = build_model(widths=widths, bottleneck=24, up=up, convs_per_block=convs, num_classes=3)
    out = model(torch.randn(2, 3, *size))
    out.square().mean().backward()
    assert out.shape == (2, 3, *size)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_bottleneck_of_a_256_picture_is_512_channels_at_16x16():
    model, seen = build_model("unet-13m").eval(), {}
    model.bottleneck.register_forward_hook(lambda _, __, out: seen.update(shape=out.shape))
    with torch.inference_mode():
        model(torch.zeros(1, 3, 256, 256))
    assert seen["shape"] == (1, 512, 16, 16)


def test_padding_repeats_the_edge_and_leaves_fitting_sizes_alone():
    padded = pad_to_multiple(torch.arange(6.0).view(1, 1, 2, 3), 4)
    assert padded.shape == (1, 1, 4, 4) and padded[0, 0, 3].tolist() == [3, 4, 5, 5]
    assert pad_to_multiple(padded, 4) is padded


def test_a_model_is_built_again_from_what_it_remembers():
    for name in (*MODEL_NAMES[:2], "unet-31m"):
        model = build_model(name)
        first, again = (m.state_dict().values() for m in (model, build_model(**model.built_as)))
        assert [tensor.shape for tensor in first] == [tensor.shape for tensor in again]


@cases(
    "settings said",
    ({"name": "unet-9m"}, "unet-7m"),
    ({"foo": 1}, "foo"),
    ({"name": "unet-7m", "width": 8}, "width"),
    ({"widths": (0, 8)}, "1 to 4096"),
    ({"widths": (10**9,)}, "1 to 4096"),
    ({"up": "magic"}, "magic"),
    ({"norm": "x"}, "group"),
    ({"convs_per_block": 3}, "one of 1, 2"),
    ({"widths": (8,) * 9}, "1 to 8"),
    ({"name": "unet-lite0", "decoder": 8}, r"such as \[8, 16\]"),
)
def test_a_wrong_setting_is_named(settings, said):
    refused(said, build_model, **settings)

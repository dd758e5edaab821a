"""Every network of the course by its name."""

from dataclasses import asdict, replace
from functools import partial

import torch
from torch import Tensor, nn

from segkit.files import UserError, check_choice
from segkit.networks.deeplab import DeepLabV3Plus
from segkit.networks.lite import UNetLite
from segkit.unet import UNET_VARIANTS, UNet, UNetConfig

# Networks on a pretrained encoder, and the settings that build_model takes for each.
UNET_LITE_SETTINGS = ("num_classes", "decoder", "pretrained", "deep")

ON_LITE = {
    "unet-lite0": (UNetLite, UNET_LITE_SETTINGS),
    "unet-lite2": (partial(UNetLite, encoder="lite2"), UNET_LITE_SETTINGS),
    "deeplab-lite0": (DeepLabV3Plus, ("num_classes", "channels", "pretrained", "rates")),
}

MODEL_NAMES = ("unet", *UNET_VARIANTS, *ON_LITE)

# What the colours of a photograph are normalised by. ImageNet's own mean and spread, except where
# pretrained weights were trained with others.
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

NORMALISATION = {name: {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)} for name in ON_LITE}


def build_model(name: str = "unet", width: int | None = None, **arguments) -> nn.Module:
    """Build a network with fresh weights.

    name: "unet", one of its fixed variants "unet-7m", "unet-13m", "unet-17m", "unet-31m"; or a
        U-Net decoder ("unet-lite0", "unet-lite2") or DeepLabV3+ ("deeplab-lite0") on an encoder that can
        start from ImageNet weights (pretrained=True).
    width: channels of the U-Net's first stage; the others follow as 1, 2, 4, 8 times and 8 at the bottleneck.
    arguments: fields of UNetConfig, such as widths=(8, 16), up="transposed", attention=True
        or norm="group"; of the others: num_classes, pretrained, and decoder and deep, or channels and rates.
    "ensemble" with members=[...] averages several networks, each given by its arguments.
    Returns: a network (N, 3, H, W) -> logits (N, num_classes, H, W) that remembers how it was built:
    build_model(**model.built_as) makes the same network again, with fresh weights.
    Raises: UserError.   Introduced in notebook 03; the others in 11.
    """
    if name == "ensemble":
        return Ensemble(**arguments)
    check_choice("the model", name, MODEL_NAMES)
    if width is not None:
        if name != "unet":
            raise UserError(f"width goes with the model 'unet'; '{name}' has its widths fixed.")
        arguments = {"widths": (width, 2 * width, 4 * width, 8 * width), "bottleneck": 8 * width} | arguments
    if name in ON_LITE:
        make, settings = ON_LITE[name]
        _check_settings(name, arguments, settings)
        model = make(**arguments)
        # A checkpoint brings its own weights.
        model.built_as = {"name": name, **{k: v for k, v in arguments.items() if k != "pretrained"}}
        return model
    _check_settings(name, arguments, tuple(UNetConfig.__dataclass_fields__))
    config = replace(UNET_VARIANTS.get(name, UNetConfig()), **arguments)
    model = UNet(config)
    model.built_as = {"name": "unet", **asdict(config), "widths": list(config.widths)}
    return model


class Ensemble(nn.Module):
    """Several networks as one, whose probability is the mean of theirs.

    members: the arguments of build_model for each.   images (N, 3, H, W) -> logits (N, C, H, W).
    """

    def __init__(self, members: list[dict]):
        super().__init__()
        if not 1 <= len(members) <= 100:
            raise UserError(f"an ensemble has 1 to 100 members, found {len(members)}.")
        self.members = nn.ModuleList(build_model(**member) for member in members)
        self.divisor = max(member.divisor for member in self.members)
        self.built_as = {"name": "ensemble", "members": members}

    def forward(self, images: Tensor) -> Tensor:
        probs = torch.stack([to_probs(member(images)) for member in self.members]).mean(0)
        return probs.logit(1e-6) if probs.shape[1] == 1 else probs.clamp(min=1e-6).log()


def _check_settings(name: str, given: dict, known: tuple[str, ...]) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise UserError(
            f"the model '{name}' has no setting {', '.join(unknown)}. Its settings are: {', '.join(known)}."
        )
    for setting in ("widths", "decoder", "rates"):
        if not isinstance(found := given.get(setting, ()), list | tuple):
            raise UserError(f"{setting} of '{name}' is a list, such as [8, 16]: found {found!r}.")


def to_probs(logits: Tensor) -> Tensor:
    """Logits (N, C, H, W) -> probabilities (N, C, H, W): a sigmoid for one class, a softmax for several."""
    logits = logits.float()
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def count_parameters(model: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

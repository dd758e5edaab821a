"""Every network of the course by its name."""

from dataclasses import asdict, replace

from torch import nn

from segkit.files import UserError
from segkit.unet import UNET_VARIANTS, UNet, UNetConfig

MODEL_NAMES = ("unet", *UNET_VARIANTS)


def build_model(name: str = "unet", width: int | None = None, **arguments) -> nn.Module:
    """Build a network with fresh weights.

    name: "unet", or one of the fixed variants "unet-7m", "unet-13m", "unet-17m", "unet-31m".
    width: channels of the first stage; the others follow as 1, 2, 4, 8 times and 8 at the bottleneck.
    arguments: fields of UNetConfig, such as widths=(8, 16), up="transposed" or norm="group".
    Returns: a network (N, 3, H, W) -> logits (N, num_classes, H, W) that remembers how it was built:
    build_model(**model.built_as) makes the same network again.
    Raises: UserError.   Introduced in notebook 03.
    """
    if name not in MODEL_NAMES:
        raise UserError(f"there is no model '{name}'. The names are: {', '.join(MODEL_NAMES)}.")
    if width is not None:
        if name != "unet":
            raise UserError(f"width goes with the model 'unet'; '{name}' has its widths fixed.")
        arguments = {"widths": (width, 2 * width, 4 * width, 8 * width), "bottleneck": 8 * width} | arguments
    try:
        config = replace(UNET_VARIANTS.get(name, UNetConfig()), **arguments)
    except TypeError:
        unknown = sorted(set(arguments) - set(UNetConfig.__dataclass_fields__))
        raise UserError(
            f"the model '{name}' has no setting {', '.join(unknown) or 'of that kind'}. "
            f"Its settings are: width, {', '.join(UNetConfig.__dataclass_fields__)}."
        ) from None
    model = UNet(config)
    model.built_as = {"name": "unet", **asdict(config), "widths": list(config.widths)}
    return model


def count_parameters(model: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

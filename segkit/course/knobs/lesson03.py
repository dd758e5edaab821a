"""A U-Net as a drawing, and the knobs of its shape. Introduced in notebook 03."""

from functools import cache

import numpy as np
import torch
from ipywidgets import SelectionSlider
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from segkit.course.knobs.chart import HEIGHT, TITLE, Chart
from segkit.course.knobs.explorer import Explorer, slider
from segkit.models import build_model, count_parameters
from segkit.plots import BLUE, ORANGE, Picture
from segkit.unet import UNet

Stage = tuple[str, int, int, int]
"""A part of a U-Net by its name, and what leaves it: channels, height, width."""


def unet_stages(net: UNet) -> list[tuple[str, nn.Module]]:
    """The parts of a U-Net in the order of their work: "down 1", ..., "bottom", "up 1", ..., "head"."""
    downs = [(f"down {i}", part) for i, part in enumerate(net.encoder, 1)]
    ups = [(f"up {i}", part) for i, part in enumerate(net.decoder, 1)]
    return [*downs, ("bottom", net.bottleneck), *ups, ("head", net.head)]


def receptive_field(depth: int, convs: int = 2) -> int:
    """How many input pixels, along one side, can move one output pixel of a U-Net.

    depth: halvings.   convs: 3x3 convolutions in each block.
    """
    field, step = 1, 1  # the step: how many input pixels one cell of this stage is wide
    for _ in range(depth):
        field, step = field + 2 * convs * step + step, 2 * step  # a block, then a halving
    field += 2 * convs * step  # the bottleneck
    for _ in range(depth):
        field, step = field + step, step // 2  # doubling looks at two neighbours ...
        field += 2 * convs * step  # ... and then comes a block
    return field


def draw_unet(stages: list[Stage]) -> np.ndarray:
    """The U of a U-Net: boxes as high as the picture's side, wider with more channels, skips between them.

    stages: (name, channels, height, width) of every part, as in `unet_stages`.   Returns: uint8 RGB.
    """
    depth = (len(stages) - 2) // 2
    column, gap = 66, 22
    full = (HEIGHT + TITLE - (depth + 2) * gap) / (2 - 0.5**depth)  # pixels that the highest box has

    def boxes(axes: Axes) -> None:
        axes.set_position((0, 0, 1, 1))
        axes.set(xlim=(-0.6, len(stages) - 0.4), ylim=(HEIGHT + TITLE, 0))
        axes.axis("off")
        for place, (name, channels, height, width) in enumerate(stages):
            level = min(place, max(0, 2 * depth - place)) if name != "head" else 0
            top, high = sum(full / 2**i + gap for i in range(level)) + gap, full * height / stages[0][2]
            wide = (6 + 3.5 * np.log2(channels)) / column
            axes.bar(place, max(3, high), wide, top, color=ORANGE if name == "bottom" else BLUE)
            axes.text(place, top - 3, channels, ha="center", va="bottom", size=9)
            axes.text(place, top + high + 3, f"{height}×{width}", ha="center", va="top", size=9)
            if place < depth:
                ends = (2 * depth - place - wide / 2, top + high / 2), (place + wide / 2, top + high / 2)
                axes.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": "#aaaaaa"})

    return Chart(column * len(stages) + 20, boxes).canvas


class UNetExplorer(Explorer):
    """Width and depth of a U-Net: its shapes, its parameters, and how far one pixel of it sees.

    side: of the picture.

    Attributes: width (channels of the first stage; each stage doubles them) and depth (halvings), the
    sliders.   Introduced in notebook 03.
    """

    widths = (4, 8, 16, 32, 64)
    depths = (1, 2, 3, 4, 5, 6)

    def __init__(self, side: int = 256):
        self.side = side
        super().__init__(
            width=SelectionSlider(options=self.widths, value=16, description="width"),
            depth=slider("depth", 4, self.depths[0], self.depths[-1], 1),
        )

    def measured(self) -> tuple[int, list[Stage]]:
        """Number of parameters, and the shape after every stage, at the sliders' settings."""
        return measure_unet(self.width.value, self.depth.value, self.side)

    def shown(self) -> list:
        return [draw_unet(self.measured()[1])]

    def describe(self) -> str:
        field = receptive_field(self.depth.value)
        return (
            f"{self.measured()[0]:,} parameters · one pixel sees {field} × {field} pixels, "
            f"the picture has {self.side} × {self.side}"
        )

    def figure(self) -> Figure:
        """Parameters at every position of both sliders, as a table."""
        counts = np.array([[measure_unet(w, d, self.side)[0] for d in self.depths] for w in self.widths])
        figure = Picture(figsize=(7.5, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.imshow(np.log10(counts), cmap="Blues", aspect="auto", vmax=10)
        for (row, column), count in np.ndenumerate(counts):
            text = f"{count / 1e6:.3g} M" if count > 1e5 else f"{count:,}"
            axes.text(column, row, text, ha="center", va="center")
        sees = [f"depth {depth}\nsees {receptive_field(depth)} px" for depth in self.depths]
        axes.set_xticks(range(len(self.depths)), sees)
        axes.set_yticks(range(len(self.widths)), [f"width {width}" for width in self.widths])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return figure


@cache
def measure_unet(width: int, depth: int, side: int) -> tuple[int, list[Stage]]:
    """Number of parameters, and the shape after every stage, for pictures of (side, side) pixels."""
    widths = [width * 2**stage for stage in range(depth)]
    with torch.device("meta"):  # tensors that have a shape and no numbers: built and run in no time
        net = build_model("unet", widths=widths, bottleneck=widths[-1])
        stages: list[Stage] = []
        for name, part in unet_stages(net):
            part.register_forward_hook(
                lambda _part, _given, out, name=name: stages.append((name, *out.shape[1:]))
            )
        net(torch.zeros(1, 3, side, side))
    return count_parameters(net), stages

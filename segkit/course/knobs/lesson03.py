"""A U-Net as a drawing, and the knobs of its shape. Introduced in notebook 03."""

from functools import cache

import cv2
import numpy as np
import torch
from ipywidgets import SelectionSlider
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from torch import nn

from segkit.course.knobs.explorer import FONT, HEIGHT, TITLE, Explorer, slider
from segkit.models import build_model, count_parameters
from segkit.plots import BLUE, ORANGE, Picture, rgb
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
    canvas = np.full((HEIGHT + TITLE, column * len(stages) + 20, 3), 255, np.uint8)
    boxes = []
    for place, (name, channels, height, _) in enumerate(stages):
        level = min(place, max(0, 2 * depth - place)) if name != "head" else 0
        top = round(sum(full / 2**i + gap for i in range(level)) + gap)
        high, wide = max(3, round(full * height / stages[0][2])), round(6 + 3.5 * np.log2(channels))
        middle = 10 + column * place + column // 2
        boxes.append((middle - wide // 2, top, middle + wide // 2, top + high))
    for down in range(depth):
        _, top, start, bottom = boxes[down]
        end, row = boxes[2 * depth - down][0], (top + bottom) // 2
        grey, tip = (170, 170, 170), 8 / (end - start)
        cv2.arrowedLine(canvas, (start + 2, row), (end - 2, row), grey, 1, cv2.LINE_AA, 0, tip)
    for (left, top, right, bottom), (name, *_) in zip(boxes, stages, strict=True):
        canvas[top:bottom, left:right] = rgb(ORANGE if name == "bottom" else BLUE)
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    for (left, top, right, bottom), (_, channels, height, width) in zip(boxes, stages, strict=True):
        middle = (left + right) // 2
        for text, row in ((str(channels), top - 17), (f"{height}×{width}", bottom + 2)):
            draw.text((middle - FONT.getlength(text) / 2, row), text, fill="black", font=FONT)
    return np.asarray(image)


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

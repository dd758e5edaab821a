"""The knob of notebook 11."""

import cv2
import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import HEIGHT, Explorer, slider
from segkit.plots import BLUE, GREY, ORANGE, contact_sheet, rgb
from segkit.study.anatomy import used_points

CELL = 16
"""Pixels per cell of the map that the pyramid works on."""

SIZES = (96, 160, 224, 320, 512)


class AtrousExplorer(Explorer):
    """Where the nine points of a spread 3x3 land, on the grid of cells that DeepLab's pyramid works on.

    image: uint8 RGB (H, W, 3), shown as a square.

    Attributes: rate (cells between the points) and size (pixels the network sees of the picture), the
    sliders; points (dict, `inside`: of the centre cell, and `mean`: over all cells, out of nine).
    Introduced in notebook 11.
    """

    def __init__(self, image: np.ndarray):
        self.image = cv2.resize(image, (512, 512), interpolation=cv2.INTER_AREA)
        super().__init__(
            rate=slider("rate", 6, 1, 24, 1),
            size=ipywidgets.SelectionSlider(options=SIZES, value=224, description="picture"),
        )

    def landing(self, rate: int, size: int) -> np.ndarray:
        """The nine points as shares of the picture, 0 to 1 from side to side: (9, 2), column and row."""
        cells = size // CELL
        offsets = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)])
        return (cells // 2 + 0.5 + rate * offsets) / cells

    @property
    def points(self) -> dict[str, float]:
        """How many of the nine see the picture, and not the padding around it."""
        where = self.landing(self.rate.value, self.size.value)
        inside = int(((where > 0) & (where < 1)).all(1).sum())
        return {"inside": inside, "mean": used_points(self.rate.value, self.size.value // CELL)}

    def shown(self) -> list:
        cells = self.size.value // CELL
        chart = self.chart(330, self._draw_curve, cells)
        chart.dot(self.rate.value, self.points["mean"], ORANGE)
        title = f"{self.size.value} pixels are {cells} x {cells} cells"
        return [(title, self._picture(self.rate.value, self.size.value)), chart.canvas]

    def describe(self) -> str:
        rate, size, points = self.rate.value, self.size.value, self.points
        return (
            f"rate {rate} at {size} pixels · {(2 * rate + 1) * CELL} pixels from end to end · "
            f"{points['inside']} of the nine in the middle see the picture · "
            f"over all cells {points['mean']:.1f} of 9 do"
        )

    def figure(self) -> Figure:
        """The landing points for several pairs of rate and picture size."""
        settings = (6, 96), (6, 224), (18, 224), (18, 512)
        used = "rate {}, {} px\n{:.1f} of 9 points used"
        titles = [used.format(rate, size, used_points(rate, size // CELL)) for rate, size in settings]
        return contact_sheet([self._picture(*setting) for setting in settings], titles, columns=2)

    def _picture(self, rate: int, size: int) -> np.ndarray:
        """The picture amid its padding, its cells, and the nine points."""
        cells, side, margin = size // CELL, HEIGHT * 2, HEIGHT * 3 // 4
        coarse = cv2.resize(self.image, (cells * CELL,) * 2, interpolation=cv2.INTER_AREA)
        photo = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_NEAREST)
        for line in np.linspace(0, side - 1, cells + 1).round().astype(int):
            photo[line] = photo[:, line] = (0.6 * photo[line] + 100).astype(np.uint8)
        canvas = np.full((side + 2 * margin, side + 2 * margin, 3), 225, np.uint8)
        canvas[margin : margin + side, margin : margin + side] = photo
        for place in self.landing(rate, size):
            inside = ((place > 0) & (place < 1)).all()
            spot = (margin + side * place).clip(14, side + 2 * margin - 14).round().astype(int).tolist()
            cv2.circle(canvas, spot, 17, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(canvas, spot, 13, rgb(BLUE if inside else ORANGE), -1, cv2.LINE_AA)
        return cv2.resize(canvas, (HEIGHT, HEIGHT), interpolation=cv2.INTER_AREA)

    def _draw_curve(self, axes: Axes, cells: int) -> None:
        rates = range(1, self.rate.max + 1)
        axes.plot(rates, [used_points(rate, cells) for rate in rates], color=BLUE)
        axes.axhline(1, color=GREY, ls=":", lw=1)
        axes.set(xlabel="rate", ylabel="points used, of 9", ylim=(0, 9.4), xlim=(0, self.rate.max + 1))

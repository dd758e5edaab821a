"""A chart that is drawn once and marked many times."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from segkit.plots import Picture

HEIGHT = 260
"""Height of a panel in pixels."""

TITLE = 24
"""Height of a panel's title in pixels."""


class Chart:
    """Axes drawn once by matplotlib; marks are put on top of them, and wiped away, in milliseconds.

    width: in pixels; it is as high as a panel.   frame: frame(axes, *given) draws whatever never changes.
    """

    def __init__(self, width: int, frame: Callable[..., None], *given: object):
        figure = Picture(figsize=(width / 100, (HEIGHT + TITLE) / 100), dpi=100, layout="constrained")
        self._canvas, self._axes = FigureCanvasAgg(figure), figure.subplots()
        frame(self._axes, *given)
        self._canvas.draw()
        self._axes.autoscale(False)  # marks do not move the axes
        self._frame = self._canvas.copy_from_bbox(figure.bbox)

    def wipe(self) -> "Chart":
        """Take all marks away."""
        self._canvas.restore_region(self._frame)
        return self

    def mark(self, marks: Callable, *given: object, **style: object) -> None:
        """Draw what marks(axes, *given, **style) puts on the axes: lines, dots, pictures."""
        before = self._axes.get_children()
        marks(self._axes, *given, **style)
        for artist in self._axes.get_children():
            if artist not in before:
                self._axes.draw_artist(artist)
                artist.remove()

    def dot(self, x: float, y: float, colour: str, radius: int = 5) -> None:
        """A dot with a white rim at a data point, whole at the rim of the axes too; radius: in pixels."""
        style = {"ms": 1.44 * (radius + 1), "mew": 1.44, "mec": "white", "clip_on": False}
        self.mark(Axes.plot, x, y, "o", color=colour, **style)

    @property
    def canvas(self) -> np.ndarray:
        """The frame under its marks: uint8 RGB (H, W, 3)."""
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()

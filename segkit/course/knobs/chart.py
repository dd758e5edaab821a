"""A chart that is drawn once and marked many times."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from segkit.plots import Picture, grey, rgb

HEIGHT = 260
"""Height of a panel in pixels."""

TITLE = 24
"""Height of a panel's title in pixels."""


class Chart:
    """Axes drawn once by matplotlib; lines, dots and pictures are then put on copies in microseconds.

    width: in pixels; it is as high as a panel.   frame: draws whatever never changes onto the axes it gets.
    """

    def __init__(self, width: int, frame: Callable[[Axes], None]):
        figure = Picture(figsize=(width / 100, (HEIGHT + TITLE) / 100), dpi=100, layout="constrained")
        axes = figure.subplots()
        frame(axes)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        self.canvas = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        # A straight line from data to pixels in x and in y: two points give it.
        (x0, y0), (x1, y1) = axes.transData.transform([(0, 0), (1, 1)])
        self._scale, self._origin = np.array([x1 - x0, y0 - y1]), np.array([x0, self.canvas.shape[0] - y0])
        (left, bottom), (right, top) = axes.bbox.get_points()
        rows = slice(round(self.canvas.shape[0] - top), round(self.canvas.shape[0] - bottom) + 1)
        self._inside = rows, slice(round(left), round(right) + 1)

    def copy(self) -> "Chart":
        """A chart with a canvas of its own to draw on."""
        copy = object.__new__(Chart)
        copy.__dict__ = self.__dict__ | {"canvas": self.canvas.copy()}
        return copy

    def pixels(self, x: Sequence[float], y: Sequence[float]) -> np.ndarray:
        """Where data points lie on the canvas: (N, 2), column and row."""
        return np.stack([x, y], -1) * self._scale + self._origin

    def line(self, x: Sequence[float], y: Sequence[float], colour: str, width: int = 2) -> None:
        """Draw a line through data points; what leaves the axes is cut off."""
        rows, columns = self._inside
        points = self.pixels(x, y) - (columns.start, rows.start)
        inside = self.canvas[self._inside].copy()
        points = (points.clip(-2000, 4000) * 16).round().astype(np.int32)  # in sixteenths of a pixel
        cv2.polylines(inside, [points], False, rgb(colour), width, cv2.LINE_AA, 4)
        self.canvas[self._inside] = inside

    def dot(self, x: float, y: float, colour: str, radius: int = 5) -> None:
        """Draw a dot with a white rim at a data point."""
        centre = tuple((self.pixels([x], [y])[0].clip(-2000, 4000) * 16).round().astype(int).tolist())
        cv2.circle(self.canvas, centre, (radius + 2) * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
        cv2.circle(self.canvas, centre, radius * 16, rgb(colour), -1, cv2.LINE_AA, 4)

    def image(self, values: np.ndarray, extent: tuple[float, float, float, float]) -> None:
        """Fill the rectangle (left, right, bottom, top) with grey values in [0, 1], row 0 at the bottom."""
        (left, bottom), (right, top) = self.pixels(extent[:2], extent[2:]).round().astype(int)
        picture = cv2.resize(grey(values[::-1]), (right - left, bottom - top))
        self.canvas[top:bottom, left:right] = picture

"""Knobs to turn: each class is a box of sliders over a picture that follows them.

Put one as the last line of a cell. Every slider is an attribute, so code can turn it as a hand would:
`explorer.threshold.value = 0.3`. Click a slider once, and the arrow keys move it. A picture is drawn in
milliseconds: what does not change is drawn once, by matplotlib, and kept.
"""

import html
import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import ipywidgets
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from segkit.course.knobs.chart import HEIGHT, TITLE, Chart
from segkit.plots import GREY, ORANGE, Picture

HIDDEN = Path(__file__).with_name("hidden.html").read_text(encoding="utf-8")
"""Below each explorer: names for its sliders, and a sentence that shows once its kernel is gone."""


class Explorer(ipywidgets.VBox):
    """What the explorers share: sliders, the picture under them, and a line of words.

    A subclass hands its controls over by name, which makes them attributes, and writes `shown` (pictures),
    `describe` (words) and `figure`. The first two run whenever a control's value changes. An error in
    them stands in the line of words, where a reader sees it, and is raised, where a test sees it.
    height: of a picture in the row.
    """

    height = HEIGHT

    def __init__(self, **controls: ipywidgets.ValueWidget):
        vars(self).update(controls, _chart=cache(Chart))
        self.picture = ipywidgets.Image(
            format="jpeg", layout={"max_width": "100%", "align_self": "flex-start"}
        )
        self.words = ipywidgets.HTML()
        row = ipywidgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, self.picture, self.words, ipywidgets.HTML(HIDDEN)])
        for control in controls.values():
            control.observe(self._follow, names="value")
        self._follow()

    def shown(self) -> list[np.ndarray | tuple[str, np.ndarray]]:
        """From left to right, for the present settings: titles with pictures, and charts without a title."""

    def chart(self, width: int, frame: Callable[..., None], *given: object) -> Chart:
        """The axes as frame(axes, *given) draws them once, without the marks of before."""
        return self._chart(width, frame, *given).wipe()

    def draw(self) -> np.ndarray:
        """All of it in one row: uint8 RGB (H, W, 3)."""
        row = (one if isinstance(one, np.ndarray) else panel(*one, self.height) for one in self.shown())
        return beside(*row)

    def describe(self) -> str:
        """One line of text for the present settings."""

    def figure(self) -> Figure:
        """The same for readers who cannot turn the knob: several settings side by side."""

    @staticmethod
    def in_words(scores: dict[str, float]) -> str:
        """Dice 0.912 · IoU 0.838"""
        return " · ".join(f"{name} {value:.3f}" for name, value in scores.items())

    def _follow(self, change: dict | None = None) -> None:
        try:
            self.picture.value = as_jpeg(self.draw())
            self.words.value = html.escape(self.describe())
        except Exception as error:
            problem = html.escape(f"{type(error).__name__}: {error}")
            self.words.value = f'<b style="color:{ORANGE}">{problem}</b>'
            raise

    def __repr__(self) -> str:
        return f"[{type(self).__name__}: its sliders move once you run this cell yourself]"


FONT = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 13)  # comes with matplotlib


def panel(title: str, picture: np.ndarray, height: int) -> np.ndarray:
    """A title over a picture of that height: uint8 (H, W, 3) -> uint8 (height + TITLE, width, 3)."""
    picture = shrink(picture, height)
    wider = max(0, int(FONT.getlength(title)) + 4 - picture.shape[1])
    return write(_on_white(picture, TITLE, 0, wider), title, (2, 4))


def _on_white(picture: np.ndarray, above: int, below: int, right: int) -> np.ndarray:
    return cv2.copyMakeBorder(picture, above, below, 0, right, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def write(canvas: np.ndarray, text: str, corner: tuple[int, int], colour: str = "black") -> np.ndarray:
    """Write text into a picture, its upper left corner at (column, row). Returns: a new picture."""
    image = Image.fromarray(canvas)
    ImageDraw.Draw(image).text(corner, text, fill=colour, font=FONT)
    return np.asarray(image)


def beside(*panels: np.ndarray, gap: int = 10) -> np.ndarray:
    """Pictures in a row on white, tops aligned: each uint8 (H, W, 3)."""
    height = max(one.shape[0] for one in panels)
    return np.hstack([_on_white(one, 0, height - one.shape[0], gap) for one in panels])[:, :-gap]


def bars(scores: dict[str, float], colours: Sequence[Sequence[int]], most: float = 1.0) -> np.ndarray:
    """Horizontal bars from 0 to `most` with their names and values, nan as none: uint8 RGB."""
    canvas = np.full((HEIGHT + TITLE, 380, 3), 255, np.uint8)
    left, right, step = 110, 320, HEIGHT // max(4, len(scores))
    for i, ((name, value), colour) in enumerate(zip(scores.items(), colours, strict=False)):
        top, known = TITLE + i * step + step // 4, value == value
        canvas[top : top + step // 2, left:right] = 235
        share = min(max(value / most, 0), 1) if known else 0
        canvas[top : top + step // 2, left : left + round((right - left) * share)] = colour
        for text, column in ((name, 2), (f"{value:.3f}" if known else "none", right + 8)):
            canvas = write(canvas, text, (column, top + step // 4 - 8)).copy()
    return canvas


def strip(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str],
    draw_chart: Callable[[Axes], None],
    places: Sequence[float],
) -> Figure:
    """A still figure, readable on a phone: pictures in a row, and below a chart with a line at each place."""
    count, height = len(pictures), 7 / sum(one.shape[1] / one.shape[0] for one in pictures)
    figure = Picture(figsize=(7, height + 3.2), layout="constrained")
    parts = figure.subplot_mosaic([[*range(count)], ["chart"] * count], height_ratios=[height, 2.6])
    for number, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        hang(parts[number], picture, title)
    for place in places:
        parts["chart"].axvline(place, color=GREY, lw=0.8)
    draw_chart(parts["chart"])
    return figure


def hang(axes: Axes, picture: np.ndarray, title: str, fontsize: int = 10) -> None:
    """A picture under its title, without axes."""
    axes.imshow(picture)
    axes.set_title(title, fontsize=fontsize)
    axes.axis("off")


def shrink(picture: np.ndarray, height: int = HEIGHT) -> np.ndarray:
    """Scale a picture to a panel's height; very small ones keep their pixels visible."""
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    larger = cv2.INTER_NEAREST if picture.shape[0] < height / 4 else cv2.INTER_LINEAR
    way = cv2.INTER_AREA if picture.shape[0] > height else larger
    return cv2.resize(picture, (width, height), interpolation=way)


def as_jpeg(picture: np.ndarray) -> bytes:
    """uint8 RGB (H, W, 3) -> the bytes of a JPEG file with full colour resolution."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "jpeg", quality=92, subsampling=0)
    return buffer.getvalue()


def slider(description: str, value: float, low: float, high: float, step: float) -> ipywidgets.Widget:
    whole = all(isinstance(number, int) for number in (value, low, high, step))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=description)


def check_sizes(**arrays: np.ndarray | None) -> None:
    sizes = {name: array.shape[:2] for name, array in arrays.items() if array is not None}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"these must be of one size: {', '.join(f'{n} {s}' for n, s in sizes.items())}.")

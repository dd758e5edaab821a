"""The sliders of lesson 04: a mask that is shifted and grown."""

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, bars, slider, strip
from segkit.metrics import boundary_f, count_pixels
from segkit.plots import BLUE, GREEN, GREY, ORANGE, rgb, show_mistakes


class MaskShiftExplorer(Explorer):
    """A perfect mask, pushed aside, grown or shrunk: which score notices, and how much?

    mask: the truth, bool or {0, 1} (H, W).
    tolerance: of the boundary F-score, in pixels.

    Attributes: dx (right), dy (down), grow (pixels; negative shrinks), the sliders; scores (dict,
    present values of Dice, IoU, pixel accuracy, boundary F).   Introduced in notebook 04.
    """

    colours = (BLUE, GREEN, GREY, ORANGE)

    def __init__(self, mask: np.ndarray, tolerance: float = 2.0):
        self.mask, self.tolerance = mask.astype(bool), tolerance
        names = {"dx": "right", "dy": "down", "grow": "grow"}
        super().__init__(**{name: slider(words, 0, -20, 20, 1) for name, words in names.items()})

    def predicted(self) -> np.ndarray:
        """The mask as pushed: bool (H, W)."""
        return move_mask(self.mask, self.dx.value, self.dy.value, self.grow.value)

    @property
    def scores(self) -> dict[str, float]:
        """What the pushed mask scores against the true one."""
        return self._scores_of(self.predicted())

    def shown(self) -> list:
        pred = self.predicted()
        scores = bars(self._scores_of(pred), [rgb(colour) for colour in self.colours])
        return [("blue right, orange too much, yellow missed", self._picture_of(pred)), scores]

    def describe(self) -> str:
        pushed = f"{self.dx.value:+d} right, {self.dy.value:+d} down, grown by {self.grow.value:+d}"
        return f"{pushed} · {self.in_words(self.scores)}"

    def figure(self) -> Figure:
        """The mask pushed right by several distances, and the scores over the distance."""
        shifts = 1, 4, 12
        pictures = [self._picture_of(move_mask(self.mask, shift)) for shift in shifts]
        titles = [f"pushed by {shift}" for shift in shifts]
        return strip(pictures, titles, self._draw_scores, shifts)

    def _draw_scores(self, axes: Axes) -> None:
        distances = range(self.dx.max + 1)
        scores = [self._scores_of(move_mask(self.mask, distance)) for distance in distances]
        for name, colour, style in zip(scores[0], self.colours, ("-", "--", "-.", ":"), strict=True):
            axes.plot(distances, [s[name] for s in scores], color=colour, ls=style, label=name)
        axes.set(xlabel="pixels pushed to the right", ylim=(-0.03, 1.03))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))

    def _picture_of(self, pred: np.ndarray) -> np.ndarray:
        return show_mistakes(np.full((*self.mask.shape, 3), 255, np.uint8), pred, self.mask)

    def _scores_of(self, pred: np.ndarray) -> dict[str, float]:
        counts = count_pixels(pred[None], self.mask[None])
        names = {"Dice": "dice", "IoU": "iou", "pixel accuracy": "pixel_accuracy"}
        scores = {name: counts.per_image(score).item() for name, score in names.items()}
        return scores | {"boundary F": boundary_f(pred[None], self.mask[None], self.tolerance).item()}


def move_mask(mask: np.ndarray, dx: int = 0, dy: int = 0, grow: int = 0) -> np.ndarray:
    """Push a mask right and down, and grow it by so many pixels (negative: shrink): bool (H, W).

    What leaves the picture is lost; what comes in is background.
    """
    mask = mask.astype(np.uint8)
    if grow:
        # Distances take the same time for any radius; a disc of 41 pixels would take fifty times as long.
        distance = cv2.distanceTransform(1 - mask if grow > 0 else mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        mask = (distance <= grow if grow > 0 else distance > -grow).astype(np.uint8)
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    return cv2.warpAffine(mask, move, mask.shape[::-1], flags=cv2.INTER_NEAREST).astype(bool)

"""The knobs of notebook 15."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, slider, strip
from segkit.metrics import count_pixels, hausdorff, mean_surface_distance
from segkit.plots import BLUE, ORANGE, show_mistakes


class VolumeExplorer(Explorer):
    """Leaf through a scan: one slice with its mistakes, and Dice slice by slice beside Dice of the whole.

    images: uint8 (D, H, W).   prob: float (D, H, W) in [0, 1].   target: bool (D, H, W).
    spacing: millimetres along the three axes.

    Attributes: slice, threshold (the sliders), scores (dict of the whole volume: Dice, HD95 and mean
    surface distance in mm, volume error in ml).   Introduced in notebook 15.
    """

    def __init__(
        self,
        images: np.ndarray,
        prob: np.ndarray,
        target: np.ndarray,
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
    ):
        if not images.shape == prob.shape == target.shape or images.ndim != 3:
            raise ValueError(
                f"images {images.shape}, prob {prob.shape}, target {target.shape}: one (D, H, W)."
            )
        self.images, self.prob, self.target, self.spacing = images, prob, target > 0, tuple(spacing)
        self._scores_at = cache(self._scores_at)
        last = len(images) - 1
        super().__init__(
            slice=slider("slice", last // 2, 0, last, 1), threshold=slider("threshold", 0.5, 0.05, 0.95, 0.05)
        )

    @property
    def scores(self) -> dict[str, float]:
        return self._scores_at(round(self.threshold.value, 2))

    def slice_dice(self, threshold: float) -> np.ndarray:
        """Dice of every slice: float (D,)."""
        return count_pixels(self.prob > threshold, self.target).dice().numpy()

    def _scores_at(self, threshold: float) -> dict[str, float]:
        pred = self.prob > threshold
        litres = np.prod(self.spacing) / 1e3  # millilitres of one voxel
        counts = count_pixels(pred, self.target).pooled()
        return {
            "Dice": counts.dice().item(),
            "HD95 mm": hausdorff(pred, self.target, 95, self.spacing),
            "mean distance mm": mean_surface_distance(pred, self.target, self.spacing),
            "volume error ml": float((int(pred.sum()) - int(self.target.sum())) * litres),
        }

    def shown(self) -> list:
        number, threshold = self.slice.value, round(self.threshold.value, 2)
        dice, chart = self.slice_dice(threshold), self.chart(400, self._frame)
        chart.mark(self._mark_dice, dice, threshold)
        chart.dot(number, dice[number], BLUE, 6)
        found = "blue found, orange too much, yellow missed", self._mistakes(number, threshold)
        image = cv2.cvtColor(self.images[number], cv2.COLOR_GRAY2RGB)
        return [(f"slice {number}", image), found, chart.canvas]

    def _frame(self, axes: Axes) -> None:
        axes.plot([], [], color=BLUE, label="Dice of the slice")
        axes.plot([], [], color=ORANGE, label="Dice of the whole volume")
        axes.set(xlabel="slice, from below upwards", xlim=(-0.5, len(self.images) - 0.5), ylim=(-0.03, 1.03))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=9, loc="lower center", framealpha=1, edgecolor="white")

    def _mark_dice(self, axes: Axes, dice: np.ndarray, threshold: float) -> None:
        axes.plot(dice, "o-", color=BLUE, ms=3)
        axes.axhline(self._scores_at(threshold)["Dice"], color=ORANGE)

    def describe(self) -> str:
        values = " · ".join(f"{name} {value:.2f}" for name, value in self.scores.items())
        dice = self.slice_dice(self.threshold.value)[self.slice.value]
        return f"this slice {dice:.3f} · whole volume: {values}"

    def figure(self, slices: Sequence[int]) -> Figure:
        """Some slices with their mistakes above the curve of all."""
        threshold = round(self.threshold.value, 2)
        dice = self.slice_dice(threshold)

        def draw_curve(axes: Axes) -> None:
            self._frame(axes)
            self._mark_dice(axes, dice, threshold)

        pictures = [self._mistakes(number, threshold) for number in slices]
        return strip(pictures, [f"slice {i}: {dice[i]:.2f}" for i in slices], draw_curve, slices)

    def _mistakes(self, number: int, threshold: float) -> np.ndarray:
        pred, image = self.prob[number] > threshold, cv2.cvtColor(self.images[number], cv2.COLOR_GRAY2RGB)
        return show_mistakes(image, pred, self.target[number])

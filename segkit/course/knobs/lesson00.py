"""The sliders of lesson 00: where to cut a probability map."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, check_sizes, shrink, slider, strip
from segkit.plots import BLUE, GREEN, GREY, ORANGE, grey, outlined, overlay, show_mistakes
from segkit.study.analysis import counts_by_threshold


class ThresholdExplorer(Explorer):
    """Where to cut a probability map: photograph, probability, mask, and the scores at every threshold.

    image: uint8 RGB (H, W, 3).   prob: float (H, W) in [0, 1].
    mask: the truth, bool or {0, 1} (H, W); None where nobody knows it: then no scores, only the share.
    threshold: where the slider starts.

    Attributes: threshold (the slider), scores (dict, present values of Dice, IoU, precision, recall
    and share), curves (dict, the same at `thresholds`).   Introduced in notebook 00.
    """

    thresholds = np.linspace(0, 1, 101)

    def __init__(
        self, image: np.ndarray, prob: np.ndarray, mask: np.ndarray | None = None, threshold: float = 0.5
    ):
        check_sizes(image=image, prob=prob, mask=mask)
        self.image, self.prob = image, np.asarray(prob, np.float32)
        self.mask = None if mask is None else mask.astype(bool)
        truth = self.mask if self.mask is not None else np.zeros(prob.shape, bool)
        self._person, self._rest = np.sort(self.prob[truth]), np.sort(self.prob[~truth])
        self.curves = self._scores_at(self.thresholds)
        # The panels are small, whatever the photograph: a large one answers as quickly.
        self._small_image, self._small_prob = shrink(image), shrink(self.prob)
        self._small_mask = shrink(truth.astype(np.float32)) > 0.5
        super().__init__(threshold=slider("threshold", threshold, 0, 1, 0.01))

    @property
    def scores(self) -> dict[str, float]:
        """What the mask at the present threshold scores."""
        return {name: float(values[0]) for name, values in self._scores_at([self.threshold.value]).items()}

    def shown(self) -> list:
        threshold = self.threshold.value
        chart = self.chart(420, self._draw_curves)
        chart.mark(Axes.axvline, threshold, color=GREY, lw=0.8)
        scores = self.scores
        for name, (colour, _) in self._styles().items():
            chart.dot(threshold, scores[name], colour, 6 if name == "Dice" else 4)
        lined = outlined(grey(self._small_prob), self._small_prob > threshold)
        cut, found = f"probability, cut at {threshold:.2f}", self._found(threshold)
        return [("picture", self._small_image), (cut, lined), found, chart.canvas]

    def describe(self) -> str:
        scores = self.in_words({name: value for name, value in self.scores.items() if name != "share"})
        share = f"{self.scores['share']:.1%} of the pixels called person"
        return f"threshold {self.threshold.value:.2f} · " + (f"{scores} · {share}" if scores else share)

    def figure(self, thresholds: Sequence[float] = (0.1, 0.5, 0.9)) -> Figure:
        """The mask at several thresholds, and the curves with those thresholds marked."""
        pictures = [self._found(threshold)[1] for threshold in thresholds]
        titles = [f"cut at {threshold:g}" for threshold in thresholds]
        return strip(pictures, titles, self._draw_curves, thresholds)

    def _found(self, threshold: float) -> tuple[str, np.ndarray]:
        """A title and the mask."""
        pred = self._small_prob > threshold
        if self.mask is None:
            return "mask", overlay(self._small_image, pred)
        picture = show_mistakes(self._small_image, pred, self._small_mask)
        return "blue found, orange too much, yellow missed", picture

    def _styles(self) -> dict[str, tuple[str, str]]:
        if self.mask is None:
            return {"share": (BLUE, "-")}
        return {"Dice": (BLUE, "-"), "IoU": (GREEN, "--"), "precision": (ORANGE, ":"), "recall": (GREY, "-.")}

    def _draw_curves(self, axes: Axes) -> None:
        for name, (colour, style) in self._styles().items():
            label = "share of the pixels called person" if name == "share" else name
            axes.plot(self.thresholds, self.curves[name], color=colour, ls=style, label=label)
        axes.set(xlabel="threshold", xlim=(-0.02, 1.02), ylim=(-0.03, 1.03))
        # Above the curves, never on them.
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))

    def _scores_at(self, thresholds: Sequence[float]) -> dict[str, np.ndarray]:
        counts = counts_by_threshold(self._person, self._rest, thresholds)
        share = {"share": (counts.tp + counts.fp).numpy() / self.prob.size}
        names = () if self.mask is None else self._styles()
        return {name: counts.per_image(name.lower()).numpy() for name in names} | share

"""The knobs of notebook 14."""

from collections.abc import Sequence

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, beside, panel, shrink, write
from segkit.metrics import count_classes
from segkit.plots import CLASS_COLOURS, colour_classes, grey, show_classes


class PartsExplorer(Explorer):
    """Which class wins, and what happens when one of them speaks louder.

    image: uint8 RGB (H, W, 3).   prob: float (C, H, W), sums to 1 over C.   names: of the C classes.
    truth: uint8 ids (H, W); None where nobody knows them: then shares of the picture instead of Dice.

    Attributes: part (which class), louder (added to its logit), opacity: the controls; labels (the
    present classes), scores (dict: Dice, or the share of the picture, by name).   Introduced in notebook 14.
    """

    def __init__(
        self, image: np.ndarray, prob: np.ndarray, names: Sequence[str], truth: np.ndarray | None = None
    ):
        if prob.shape != (len(names), *image.shape[:2]):
            raise ValueError(f"prob {prob.shape} should be {(len(names), *image.shape[:2])}.")
        self.image, self.names, self.truth = image, list(names), truth
        # Logits up to a constant: all that argmax and softmax look at.
        self._logits = np.log(prob.clip(1e-6)).astype(np.float32)
        self.part = ipywidgets.Dropdown(options=self.names, value=self.names[1], description="class")
        self.louder = ipywidgets.FloatSlider(0, min=-6, max=6, step=0.25, description="louder by")
        self.opacity = ipywidgets.FloatSlider(0.8, min=0, max=1, step=0.05, description="opacity")
        super().__init__(self.part, self.louder, self.opacity)

    def probabilities(self, part: str | None = None, louder: float | None = None) -> np.ndarray:
        """The softmax after one class got louder: float (C, H, W)."""
        logits = self._logits.copy()
        logits[self.names.index(self.part.value if part is None else part)] += (
            self.louder.value if louder is None else louder
        )
        exp = np.exp(logits - logits.max(0))
        return exp / exp.sum(0)

    @property
    def labels(self) -> np.ndarray:
        """The winner of every pixel: uint8 (H, W)."""
        return self.probabilities().argmax(0).astype(np.uint8)

    @property
    def scores(self) -> dict[str, float]:
        return self._scores_of(self.labels)

    def _scores_of(self, labels: np.ndarray) -> dict[str, float]:
        if self.truth is None:
            return {name: float((labels == i).mean()) for i, name in enumerate(self.names)}
        dice = count_classes(labels[None], self.truth[None], len(self.names)).dice()[0].tolist()
        return dict(zip(self.names, dice, strict=True))

    def draw(self) -> np.ndarray:
        prob = self.probabilities()
        labels = prob.argmax(0).astype(np.uint8)
        number = self.names.index(self.part.value)
        return beside(
            panel(
                shrink(colour_classes(self.image, labels, self.opacity.value)), "the winner of every pixel"
            ),
            panel(grey(shrink(prob[number])), f"probability of {self.part.value}"),
            self._bars(self._scores_of(labels)),
        )

    def _bars(self, scores: dict[str, float], width: int = 300) -> np.ndarray:
        """A bar for every class in its colour."""
        step, left, right = 29, 90, width - 50
        canvas = np.full((24 + step * len(scores), width, 3), 255, np.uint8)
        canvas = write(canvas, "Dice" if self.truth is not None else "share of the picture", (left, 4)).copy()
        for i, (name, value) in enumerate(scores.items()):
            top = 24 + i * step
            canvas[top + 4 : top + 22, left:right] = 235
            colour = CLASS_COLOURS[i % len(CLASS_COLOURS)]
            there = value == value  # a class that neither says nor shows has no Dice: nan
            length = round((right - left) * value) if there else 0
            canvas[top + 4 : top + 22, left : left + length] = colour
            canvas = write(canvas, name, (2, top + 5))
            canvas = write(canvas, f"{value:.2f}" if there else "none", (right + 6, top + 5)).copy()
        return canvas

    def describe(self) -> str:
        scores = self.scores
        what = "Dice" if self.truth is not None else "share"
        mean = ""
        if self.truth is not None:
            iou = count_classes(self.labels[None], self.truth[None], len(self.names)).iou()[0]
            mean = f" · mean IoU {iou.nanmean().item():.3f}"
        score = f"{what} {scores[self.part.value]:.3f}{mean}"
        return f"{self.part.value} louder by {self.louder.value:+.2f} · {score}"

    def figure(self, part: str | None = None, steps: Sequence[float] = (-4, 0, 4)) -> Figure:
        """The picture with one class ever louder."""
        part = self.part.value if part is None else part
        pictures, titles = [], []
        for step in steps:
            labels = self.probabilities(part, step).argmax(0).astype(np.uint8)
            pictures.append(colour_classes(self.image, labels, 0.8))
            titles.append(f"{part} {step:+g}: {self._scores_of(labels)[part]:.2f}")
        return show_classes(pictures, titles, self.names)

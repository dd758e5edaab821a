"""The knobs of notebook 14."""

import itertools
from collections.abc import Sequence

import ipywidgets
import numpy as np
import scipy.special
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, bars, slider, write
from segkit.metrics import count_classes
from segkit.plots import CLASS_COLOURS, colour_classes, grey, show_classes


class PartsExplorer(Explorer):
    """Which class wins, and what happens when one of them speaks louder.

    image: uint8 RGB (H, W, 3).   prob: float (C, H, W), sums to 1 over C.   names: of the C classes.
    truth: uint8 ids (H, W).

    Attributes: part (which class), louder (added to its logit), opacity: the controls; labels (the
    present classes), scores (dict: Dice by name).   Introduced in notebook 14.
    """

    def __init__(self, image: np.ndarray, prob: np.ndarray, names: Sequence[str], truth: np.ndarray):
        if prob.shape != (len(names), *image.shape[:2]):
            raise ValueError(f"prob {prob.shape} should be {(len(names), *image.shape[:2])}.")
        self.image, self.names, self.truth = image, list(names), truth
        # Logits up to a constant: all that argmax and softmax look at.
        self._logits = np.log(prob.clip(1e-6)).astype(np.float32)
        super().__init__(
            part=ipywidgets.Dropdown(options=self.names, value=self.names[1], description="class"),
            louder=slider("louder by", 0, -6, 6, 0.25),
            opacity=slider("opacity", 0.8, 0, 1, 0.05),
        )

    def probabilities(self, louder: float | None = None) -> np.ndarray:
        """The softmax after the chosen class got louder, as the slider says unless given: float (C, H, W)."""
        logits = self._logits.copy()
        logits[self.names.index(self.part.value)] += self.louder.value if louder is None else louder
        return scipy.special.softmax(logits, axis=0)

    @property
    def labels(self) -> np.ndarray:
        """The winner of every pixel: uint8 (H, W)."""
        return self.probabilities().argmax(0).astype(np.uint8)

    @property
    def scores(self) -> dict[str, float]:
        return self._scores_of(self.labels)

    def _scores_of(self, labels: np.ndarray) -> dict[str, float]:
        dice = count_classes(labels[None], self.truth[None], len(self.names)).dice()[0].tolist()
        return dict(zip(self.names, dice, strict=True))

    def shown(self) -> list:
        prob = self.probabilities()
        labels = prob.argmax(0).astype(np.uint8)
        number = self.names.index(self.part.value)
        winners = "the winner of every pixel", colour_classes(self.image, labels, self.opacity.value)
        scores = bars(self._scores_of(labels), itertools.cycle(CLASS_COLOURS))
        of_part = f"probability of {self.part.value}", grey(prob[number])
        return [winners, of_part, write(scores, "Dice", (110, 4))]

    def describe(self) -> str:
        score = self.scores[self.part.value]
        iou = count_classes(self.labels[None], self.truth[None], len(self.names)).iou()[0]
        words = f"{self.part.value} louder by {self.louder.value:+.2f} · "
        return words + f"Dice {score:.3f} · mean IoU {iou.nanmean().item():.3f}"

    def figure(self) -> Figure:
        """The picture with the chosen class ever louder."""
        part, steps = self.part.value, (-4, 0, 4)
        labels = [self.probabilities(step).argmax(0).astype(np.uint8) for step in steps]
        scores = [self._scores_of(winners)[part] for winners in labels]
        titles = [f"{part} {step:+g}: {score:.2f}" for step, score in zip(steps, scores, strict=True)]
        return show_classes([colour_classes(self.image, one, 0.8) for one in labels], titles, self.names)

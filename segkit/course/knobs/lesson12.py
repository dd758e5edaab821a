"""The knob of notebook 12."""

from collections.abc import Sequence

import cv2
import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, slider, strip
from segkit.metrics import count_pixels
from segkit.plots import BLUE, GREEN, GREY, ORANGE, show_mistakes


class SpeedExplorer(Explorer):
    """Quality against time, both measured: choose an input size and an engine, look at mask and clock.

    images: uint8 (H, W, 3) each.   masks: the truth, {0, 1} (H, W).
    probs: by input size, one probability (H, W) for each image.
    times: by engine and then by input size, milliseconds for one picture.
    threshold: cuts the probabilities.

    Attributes: size, engine, number (the controls), scores (dict: mean Dice, this picture, ms).
    Introduced in notebook 12.
    """

    budget = 1000 / 30
    """Milliseconds that a camera leaves; a line in the chart."""

    def __init__(
        self,
        images: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        probs: dict[int, Sequence[np.ndarray]],
        times: dict[str, dict[int, float]],
        threshold: float = 0.5,
    ):
        sizes = sorted(probs)
        for engine, by_size in times.items():
            if missing := sorted(set(sizes) - set(by_size)):
                raise ValueError(f"the times of '{engine}' lack the sizes {missing}.")
        self.images, self.masks, self.probs, self.times = images, masks, probs, times
        self.cut = threshold
        self.dice = {
            size: [self._dice(prob, mask) for prob, mask in zip(probs[size], masks, strict=True)]
            for size in sizes
        }
        super().__init__(
            size=ipywidgets.SelectionSlider(options=sizes, value=sizes[-1], description="input size"),
            engine=ipywidgets.Dropdown(options=list(times), description="engine"),
            number=slider("picture", 0, 0, len(images) - 1, 1),
        )

    def _dice(self, prob: np.ndarray, mask: np.ndarray) -> float:
        return count_pixels(prob[None] > self.cut, np.asarray(mask)[None]).dice().item()

    @property
    def scores(self) -> dict[str, float]:
        """Mean Dice and milliseconds at the present settings, and the Dice of the picture that is shown."""
        dice = self.dice[self.size.value]
        return {
            "mean Dice": float(np.mean(dice)),
            "this picture": dice[self.number.value],
            "ms": self.times[self.engine.value][self.size.value],
        }

    def shown(self) -> list:
        number, size = self.number.value, self.size.value
        mistakes = show_mistakes(self.images[number], self.probs[size][number] > self.cut, self.masks[number])
        small = cv2.resize(self.images[number], (size, size), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(small, self.masks[number].shape[::-1], interpolation=cv2.INTER_NEAREST)
        chart, scores = self.chart(420, self._draw_frame), self.scores
        chart.dot(scores["ms"], scores["mean Dice"], ORANGE, 7)
        found = "blue found, orange too much, yellow missed", mistakes
        return [(f"what it sees, {size} x {size}", seen), found, chart.canvas]

    def describe(self) -> str:
        scores = self.scores
        fits = "fits" if scores["ms"] <= self.budget else "does not fit"
        return (
            f"{self.engine.value} at {self.size.value}: {scores['ms']:.1f} ms, {1000 / scores['ms']:.0f} per "
            f"second, {fits} into {self.budget:.0f} ms · mean Dice {scores['mean Dice']:.3f}, "
            f"this picture {scores['this picture']:.3f}"
        )

    def figure(self) -> Figure:
        """The shown picture's mask at three input sizes, and below them the chart of all settings."""
        every, number = sorted(self.probs), self.number.value
        sizes = every[0], every[len(every) // 2], every[-1]
        preds = [self.probs[size][number] > self.cut for size in sizes]
        pictures = [show_mistakes(self.images[number], pred, self.masks[number]) for pred in preds]
        titles = [f"at {size}: Dice {self.dice[size][number]:.2f}" for size in sizes]
        return strip(pictures, titles, self._draw_frame, [])

    def _draw_frame(self, axes: Axes) -> None:
        sizes = sorted(self.probs)
        dice = [float(np.mean(self.dice[size])) for size in sizes]
        for (engine, by_size), colour in zip(self.times.items(), (BLUE, GREEN, GREY, ORANGE), strict=False):
            times = [by_size[size] for size in sizes]
            axes.plot(times, dice, "o-", color=colour, ms=4, label=engine)
        most = max(max(by_size.values()) for by_size in self.times.values())
        if self.budget <= 1.3 * most:
            axes.axvline(self.budget, color=GREY, lw=1)
        axes.set(xlabel="ms for one picture", ylabel="mean Dice", xlim=(-0.03 * most, 1.1 * most))
        axes.margins(y=0.12)
        axes.autoscale_view()
        last = -np.inf
        for size, score in zip(sizes, dice, strict=True):
            place = min(by_size[size] for by_size in self.times.values()), score
            here = axes.transData.transform(place)
            if np.hypot(*(here - last)) > 28:  # pixels: labels do not overlap
                beside = (-4, 4) if place[0] < self.budget else (9, -12)  # off the line and other engines
                axes.annotate(str(size), place, beside, textcoords="offset points", fontsize=9, ha="right")
                last = here
        axes.legend(frameon=False, fontsize=8, loc="lower right")

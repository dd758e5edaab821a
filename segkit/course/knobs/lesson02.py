"""The knob of notebook 02."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import cv2
import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, slider
from segkit.data import Sample, load_pair_full
from segkit.plots import grey, overlay, show_row


class PairBrowser(Explorer):
    """Leaf through a data set: each picture under its mask, and the mask alone.

    samples: from find_samples, at least one.   number: where the slider starts.
    shares: share of person by name, as in DatasetReport.shares; with it, the pairs can be sorted.
    Raises: UserError for a pair that cannot be read; the line of words shows it too.

    Attributes: number and opacity (sliders), order (drop-down), sample (Sample, the present one).
    Introduced in notebook 02.
    """

    def __init__(self, samples: Sequence[Sample], shares: Mapping[str, float] | None = None, number: int = 0):
        self._orders = {"by name": sorted(samples, key=lambda sample: sample.name)}
        if shares is not None:
            known = [sample for sample in self._orders["by name"] if sample.name in shares]
            self._orders["least person first"] = sorted(known, key=lambda sample: shares[sample.name])
            self._orders["most person first"] = self._orders["least person first"][::-1]
        self._load = lru_cache(1)(load_pair_full)  # decoded once, however often the mask grows stronger
        super().__init__(
            number=slider("picture", number, 0, len(samples) - 1, 1),
            opacity=slider("mask", 0.6, 0, 1, 0.1),
            order=ipywidgets.Dropdown(options=list(self._orders), description="order"),
        )

    @property
    def sample(self) -> Sample:
        """The pair that is shown."""
        order = self._orders[self.order.value]
        return order[min(self.number.value, len(order) - 1)]

    def shown(self) -> list:
        return [("under its mask", self._tinted(self.opacity.value)), ("mask", grey(self._pair()[1]))]

    def describe(self) -> str:
        _, mask = self._pair()
        height, width = mask.shape
        return f"{self.sample.name} · {self.sample.split} · {width} x {height} · {mask.mean():.1%} person"

    def figure(self) -> Figure:
        """The present pair under masks of several strengths."""
        return show_row([self._tinted(opacity) for opacity in (0, 0.4, 1)], ["mask 0", "mask 0.4", "mask 1"])

    def _pair(self) -> tuple[np.ndarray, np.ndarray]:
        return self._load(self.sample)

    def _tinted(self, opacity: float) -> np.ndarray:
        image, mask = self._pair()
        return cv2.addWeighted(overlay(image, mask), opacity, image, 1 - opacity, 0)

"""The sliders of lesson 08: the edge of a cut-out."""

from collections.abc import Sequence

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, check_sizes, shrink, slider
from segkit.matting.compose import replace_background, soft_alpha
from segkit.plots import contact_sheet, grey


class CutoutExplorer(Explorer):
    """The edge of a cut-out and what stands behind it.

    image: uint8 RGB (H, W, 3).   prob: float (H, W) in [0, 1].
    backgrounds: by name, each what replace_background takes: a colour, a picture, "blur".
    threshold: where the slider starts; see soft_alpha.

    Attributes: threshold, softness and behind, the controls.   Introduced in notebook 08.
    """

    def __init__(
        self,
        image: np.ndarray,
        prob: np.ndarray,
        backgrounds: dict[str, np.ndarray | Sequence[int] | str],
        threshold: float = 0.5,
    ):
        check_sizes(image=image, prob=prob)
        self.backgrounds = backgrounds
        # As large as it is shown: a large photograph answers as quickly.
        self.image, self.prob = shrink(image), shrink(np.asarray(prob, np.float32))
        super().__init__(
            threshold=slider("threshold", threshold, 0.05, 0.95, 0.05),
            softness=slider("softness", 0.4, 0.0, 1.0, 0.1),
            behind=ipywidgets.Dropdown(options=list(backgrounds), description="background"),
        )

    def alpha(self) -> np.ndarray:
        """Opacity of every pixel at the sliders' settings: float32 (h, w) in [0, 1]."""
        return soft_alpha(self.prob, self.threshold.value, self.softness.value)

    def shown(self) -> list:
        alpha = self.alpha()
        return [("opacity", grey(alpha)), ("the person, somewhere else", self._composed(alpha))]

    def describe(self) -> str:
        alpha = self.alpha()
        between = ((alpha > 0) & (alpha < 1)).mean()
        return (
            f"cut at {self.threshold.value:.2f}, softness {self.softness.value:.1f}, "
            f"{self.behind.value} behind · {alpha.mean():.1%} of the picture is person, "
            f"{between:.1%} neither here nor there"
        )

    def figure(self) -> Figure:
        """Every pair of a threshold and a softness, on the chosen background."""
        settings = [(t, s) for t in (0.2, 0.8) for s in (0, 0.4, 1)]
        pictures = [self._composed(soft_alpha(self.prob, *setting)) for setting in settings]
        return contact_sheet(pictures, [f"cut at {t}, softness {s:g}" for t, s in settings], columns=3)

    def _composed(self, alpha: np.ndarray) -> np.ndarray:
        return replace_background(self.image, alpha, self.backgrounds[self.behind.value])

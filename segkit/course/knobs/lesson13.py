"""The knobs of notebook 13."""

from collections.abc import Sequence
from functools import cache

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, slider
from segkit.plots import Picture, show_mistakes
from segkit.video.smooth import Clip, Smoother, restless_row, score_masks, smooth_clip


class SmoothingExplorer(Explorer):
    """How strongly to smooth a clip: one frame, a time slice through all, and the figures.

    clip: frames and true masks.   probs: from segment_clip, at the network's size.
    row: where the time slice cuts; None takes the row where the mask flickers most.

    Attributes: strength, frame (sliders), gate, flow (check boxes), scores (dict: iou, temporal_iou,
    flicker for the present settings).   Introduced in notebook 13.
    """

    def __init__(
        self,
        clip: Clip,
        probs: Sequence[np.ndarray],
        threshold: float = 0.5,
        strength: float = 0.7,
        row: int | None = None,
    ):
        self.clip, self.probs, self.cut = clip, list(probs), threshold
        self._result = cache(self._result)
        self.row = restless_row(self.masks(0, True, False), clip.masks) if row is None else row
        super().__init__(
            strength=slider("strength", strength, 0, 0.98, 0.02),
            frame=slider("frame", len(probs) // 2, 0, len(probs) - 1, 1),
            gate=ipywidgets.Checkbox(True, description="gate", indent=False),
            flow=ipywidgets.Checkbox(False, description="flow", indent=False),
        )

    def masks(self, strength: float, gate: bool, flow: bool) -> list[np.ndarray]:
        """The smoothed masks of the whole clip: bool (H, W) each."""
        return self._result(strength, gate, flow)[0]

    @property
    def scores(self) -> dict[str, float]:
        return self._result(*self._settings)[1]

    @property
    def _settings(self) -> tuple[float, bool, bool]:
        return round(self.strength.value, 2), self.gate.value, self.flow.value

    def _result(self, strength: float, gate: bool, flow: bool) -> tuple[list[np.ndarray], dict[str, float]]:
        smoother = Smoother(strength, flow=flow) if gate else Smoother(strength, gate=None, flow=flow)
        masks = [prob > self.cut for prob in smooth_clip(smoother, self.probs, self.clip)]
        return masks, score_masks(masks, self.clip.masks)

    def slice(self, masks: Sequence[np.ndarray]) -> np.ndarray:
        """One row of the picture, frame below frame: uint8 (T, W, 3), mistakes coloured."""
        rows = [np.stack([one[self.row] for one in of]) for of in (self.clip.images, masks, self.clip.masks)]
        return show_mistakes(*rows)

    def shown(self) -> list:
        masks, frame = self.masks(*self._settings), self.frame.value
        now = show_mistakes(self.clip.images[frame], masks[frame], self.clip.masks[frame])
        now[self.row] = 0
        layers = self.slice(masks)
        tall = np.repeat(layers, max(1, 260 // len(layers)), axis=0)
        tall[frame * (len(tall) // len(layers))] = 0
        return [(f"frame {frame}", now), ("the black row, frame below frame", tall)]

    def describe(self) -> str:
        scores = self.scores
        return (
            f"strength {self.strength.value:.2f} · IoU {scores['iou']:.3f} · "
            f"temporal IoU {scores['temporal_iou']:.3f} · flicker {scores['flicker']:.4f} · "
            "blue found, orange too much, yellow missed"
        )

    def figure(self) -> Figure:
        """Time slices at several strengths: on the left with the gate, on the right without."""
        figure = Picture(figsize=(5, 7), layout="constrained")
        for line, strength in zip(figure.subplots(3, 2), (0, 0.7, 0.96), strict=True):
            for axes, gate in zip(line, (True, False), strict=True):
                masks, scores = self._result(strength, gate, False)
                axes.imshow(self.slice(masks), aspect="auto", interpolation="nearest")
                title = f"{'gate' if gate else 'no gate'}, strength {strength:g}\n"
                title += f"IoU {scores['iou']:.3f}, flicker {scores['flicker']:.3f}"
                axes.set_title(title, fontsize=10)
                axes.set(xticks=[], yticks=[], ylabel="time ↓" if axes is line[0] else "")
        return figure

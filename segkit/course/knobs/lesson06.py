"""The sliders of lesson 06: how strong the augmentation is."""

from functools import lru_cache

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from segkit.augment import Augmentation
from segkit.course.knobs.explorer import Explorer, check_sizes, shrink, slider
from segkit.plots import contact_sheet, grey, outlined


class AugmentationExplorer(Explorer):
    """One picture and its mask, changed by the same random draw.

    image: uint8 RGB (H, W, 3).   mask: uint8 or bool {0, 1} (H, W).

    Attributes: strength (0 to 2) and seed, the sliders; together, a tick box: without it the mask gets
    a draw of its own, which is the classic mistake.   Introduced in notebook 06.
    """

    def __init__(self, image: np.ndarray, mask: np.ndarray, strength: float = 1.0, seed: int = 1):
        check_sizes(image=image, mask=mask)
        self.image, self.mask = image, mask.astype(np.uint8)
        self._original = shrink(outlined(image, self.mask))
        self._changed = lru_cache(1)(self._changed)
        super().__init__(
            strength=slider("strength", strength, 0, 2, 0.1),
            seed=slider("seed", seed, 0, 100, 1),
            together=ipywidgets.Checkbox(True, description="same draw for both", indent=False),
        )

    def augmented(
        self, strength: float | None = None, seed: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) and mask uint8 {0, 1} (H, W), at the sliders' settings unless given."""
        strength = self.strength.value if strength is None else strength
        seed = self.seed.value if seed is None else seed
        return self._changed(strength, seed, self.together.value)

    def _changed(self, strength: float, seed: int, together: bool) -> tuple[np.ndarray, np.ndarray]:
        augment = Augmentation(strength)
        image, mask = augment(self.image, self.mask, seed=seed)
        return image, mask if together else augment(self.image, self.mask, seed=seed + 1000)[1]

    def shown(self) -> list:
        image, mask = self.augmented()
        both = "do they still agree?", outlined(image, mask)
        return [("as it was", self._original), ("image", image), ("mask", grey(mask)), both]

    def describe(self) -> str:
        share = self.augmented()[1].mean()
        return (
            f"strength {self.strength.value:.1f}, seed {self.seed.value} · person {share:.1%} of it, "
            f"before {self.mask.mean():.1%}"
        )

    def figure(self) -> Figure:
        """Image with outlined mask at several strengths (columns) and seeds (rows)."""
        settings = [(strength, self.seed.value + row) for row in (0, 1) for strength in (0, 0.5, 1, 2)]
        pictures = [outlined(*self.augmented(*setting)) for setting in settings]
        return contact_sheet(pictures, [f"strength {strength:g}" for strength, _ in settings], columns=4)

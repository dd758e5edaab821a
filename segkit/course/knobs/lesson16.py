"""The knobs of notebook 16."""

from collections.abc import Mapping, Sequence

import cv2
import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, shrink, slider
from segkit.matting.compose import replace_background
from segkit.matting.effects import class_share, portrait, recolour
from segkit.plots import BLUE, GREY, ORANGE, Picture, colour_classes, contact_sheet, show_row

SIDE = 340
"""Height of the pictures."""


class RecolourExplorer(Explorer):
    """Another colour for one piece of clothing: which class, which hue, how light, how strong.

    image: uint8 (H, W, 3).   prob: float (C, H, W), as a Segmenter with classes returns it.
    classes: their names, "background" first.

    Attributes: part (drop-down), hue (0 to 360 degrees), light and strength (0 to 100), the sliders;
    colour (the present RGB).   Introduced in notebook 16.
    """

    height = SIDE

    def __init__(self, image: np.ndarray, prob: np.ndarray, classes: Sequence[str]):
        self.image, self.classes = shrink(image, SIDE), tuple(classes)
        small = np.stack([shrink(np.asarray(share, np.float32), SIDE) for share in prob])
        self.labels = small.argmax(0)
        self.shares = [class_share(self.image, small, i) for i in range(len(classes))]
        seen = [name for i, name in enumerate(classes) if (self.labels == i).any() and i]
        first = "upper" if "upper" in seen else (seen or list(classes[1:]))[0]
        super().__init__(
            part=ipywidgets.Dropdown(options=classes[1:], value=first, description="part"),
            hue=slider("hue", 260, 0, 360, 5),
            light=slider("light", 45, 0, 100, 5),
            strength=slider("strength", 45, 0, 100, 5),
        )

    @property
    def colour(self) -> tuple[int, int, int]:
        """What the sliders say, as RGB."""
        return lab_colour(self.light.value, self.strength.value, self.hue.value)

    def recoloured(self, colour: Sequence[int]) -> np.ndarray:
        """The photograph with the chosen part in a colour: uint8 (H, W, 3)."""
        return recolour(self.image, self.shares[self.classes.index(self.part.value)], colour)

    def shown(self) -> list:
        before = ("photograph", self.image), ("parts found", colour_classes(self.image, self.labels))
        after = f"{self.part.value} in another colour", self.recoloured(self.colour)
        return [*before, after, ("", np.full((SIDE, 40, 3), self.colour, np.uint8))]

    def describe(self) -> str:
        share = (self.labels == self.classes.index(self.part.value)).mean()
        return f"{self.part.value}: {share:.1%} of the picture, now {hexadecimal(self.colour)}"

    def figure(self) -> Figure:
        """The photograph, and the class in several colours."""
        colours = (178, 34, 52), (0, 114, 178), (245, 245, 240), (30, 30, 35)
        shown = [self.image, *(self.recoloured(colour) for colour in colours)]
        return contact_sheet(shown, ["photograph", *map(hexadecimal, colours)], columns=3)


def hexadecimal(colour: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def lab_colour(light: float, strength: float, hue: float) -> tuple[int, int, int]:
    """RGB of a Lab colour: light and strength 0 to 100, hue in degrees; clipped to what a screen can show."""
    angle = np.deg2rad(hue)
    lab = np.float32([[[light, strength * np.cos(angle), strength * np.sin(angle)]]])
    return tuple((cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0].clip(0, 1) * 255).round().astype(int).tolist())


class PortraitExplorer(Explorer):
    """A lens to choose: how strong the blur is, and what happens if the person is blurred along.

    image: uint8 (H, W, 3).   alpha: float (H, W) in [0, 1].

    Attributes: strength (slider), fill (check box: fill the person's place before blurring).
    Introduced in notebook 16.
    """

    height = SIDE

    def __init__(self, image: np.ndarray, alpha: np.ndarray, strength: float = 0.5):
        self.image, self.alpha = shrink(image, SIDE), shrink(alpha.astype(np.float32), SIDE)
        super().__init__(
            strength=slider("strength", strength, 0, 1, 0.05),
            fill=ipywidgets.Checkbox(True, description="fill the person's place first", indent=False),
        )

    def result(self, strength: float, fill: bool) -> np.ndarray:
        """The photograph with a blurred background: uint8 (H, W, 3)."""
        if fill or strength == 0:
            return portrait(self.image, self.alpha, strength)
        return blur_everything(self.image, self.alpha, strength)

    def shown(self) -> list:
        result = self.result(self.strength.value, self.fill.value)
        closer = "the edge, closer", zoom(result, self.alpha)
        return [("photograph", self.image), ("with a large lens", result), closer]

    def describe(self) -> str:
        how = "filled from around" if self.fill.value else "blurred along: see the glow around the edge"
        return f"strength {self.strength.value:.2f} · the person's place is {how}"

    def figure(self) -> Figure:
        """Several strengths side by side."""
        strengths = 0.0, 0.4, 1.0
        pictures = [self.result(strength, self.fill.value) for strength in strengths]
        return show_row(pictures, [f"strength {strength:g}" for strength in strengths])


def blur_everything(image: np.ndarray, alpha: np.ndarray, strength: float) -> np.ndarray:
    """The mistake of notebook 16: the whole photograph is blurred, and the person put on top of it."""
    behind = cv2.GaussianBlur(image, (0, 0), max(0.1, strength * max(alpha.shape) / 40))
    return replace_background(image, alpha, behind)


def zoom(image: np.ndarray, alpha: np.ndarray, times: int = 3) -> np.ndarray:
    """The top of the person, closer: uint8 (SIDE, SIDE, 3)."""
    rows, columns = np.nonzero(alpha > 0.5)
    side = SIDE // times
    if not len(rows):
        rows, columns = np.array([0]), np.array([alpha.shape[1] // 2])
    top = int(np.clip(rows.min() - side // 5, 0, max(0, alpha.shape[0] - side)))
    middle = int(columns[rows < rows.min() + side // 2].mean())
    left = int(np.clip(middle - side // 2, 0, max(0, alpha.shape[1] - side)))
    return shrink(image[top : top + side, left : left + side], SIDE)


class ReviewExplorer(Explorer):
    """How many pictures to correct, and which first: what it does to the quality of a set of masks.

    dice: of every picture's mask, by name.   confidence: of the same, least sure first or in any order.

    Attributes: count (slider: how many are corrected, which makes their Dice 1), curves (dict: the mean
    Dice after 0, 1, ... corrections, by order).   Introduced in notebook 16.
    """

    def __init__(self, dice: Mapping[str, float], confidence: Mapping[str, float], seed: int = 0):
        names = sorted(confidence, key=confidence.get)
        scores = np.array([dice[name] for name in names])
        orders = {
            "least sure first": (np.arange(len(names)), BLUE, "-"),
            "at random": (np.random.default_rng(seed).permutation(len(names)), GREY, "--"),
            "worst first (nobody can)": (scores.argsort(kind="stable"), ORANGE, ":"),
        }
        self.styles = {name: style for name, (_, *style) in orders.items()}
        self.curves = {
            name: scores.mean() + np.concatenate([[0], np.cumsum(1 - scores[order]) / len(scores)])
            for name, (order, *_) in orders.items()
        }
        super().__init__(count=slider("corrected", 0, 0, len(names), 1))

    def shown(self) -> list:
        chart, count = self.chart(560, self._frame), self.count.value
        chart.mark(Axes.axvline, count, color=GREY, lw=0.8)
        for name, (colour, _) in self.styles.items():
            chart.dot(count, self.curves[name][count], colour)
        return [chart.canvas]

    def describe(self) -> str:
        count = self.count.value
        values = self.in_words({name: curve[count] for name, curve in self.curves.items()})
        return f"{count} corrected: mean Dice of the masks {values}"

    def figure(self) -> Figure:
        """The curves."""
        figure = Picture(figsize=(5.6, 3.0), layout="constrained")
        self._frame(figure.subplots())
        return figure

    def _frame(self, axes: Axes) -> None:
        for name, (colour, style) in self.styles.items():
            axes.plot(self.curves[name], color=colour, ls=style, label=name)
        axes.set(xlabel="pictures corrected by hand", ylabel="mean Dice of the masks")
        axes.legend(frameon=False, fontsize=8, loc="lower right")

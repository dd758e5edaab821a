"""Several classes, drawn: colours with their names, and who is taken for whom. Notebook 14."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Patch
from PIL import Image

from segkit.data import IGNORE
from segkit.plots import Picture
from segkit.predict import CLASS_COLOURS


class ClassPicture(Picture):
    """A picture whose few colours a page must keep: those of the classes, however small their patches."""

    def _repr_png_(self) -> bytes:
        buffer, small = io.BytesIO(), io.BytesIO()
        self.savefig(buffer, format="png", dpi=80, bbox_inches="tight", facecolor="white")
        full = Image.open(buffer).convert("RGB")
        kept = [channel for colour in (*CLASS_COLOURS, (255, 255, 255)) for channel in colour]
        found = full.quantize(256 - len(kept) // 3).getpalette()
        palette = Image.new("P", (1, 1))
        palette.putpalette(kept + found[: 768 - len(kept)])
        full.quantize(palette=palette, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
        return small.getvalue()


def paint_labels(labels: np.ndarray) -> np.ndarray:
    """Class ids as flat colours, background black, pixels to leave out (255) white.

    labels: uint8 (H, W).   Returns: uint8 RGB (H, W, 3).
    """
    colours = np.array(CLASS_COLOURS, np.uint8)[labels.astype(int) % len(CLASS_COLOURS)]
    colours[labels == IGNORE] = 255
    return colours


def show_classes(
    images: Sequence[np.ndarray], titles: Sequence[str], names: Sequence[str], height: float = 3.0
) -> ClassPicture:
    """Pictures in a row over one legend of the class colours, background left out."""
    widths = [image.shape[1] / image.shape[0] for image in images]
    figure = ClassPicture(figsize=(max(height * sum(widths), 6), height + 0.8), layout="constrained")
    row = np.atleast_1d(figure.subplots(1, len(images), width_ratios=widths))
    for axes, image, title in zip(row, images, titles, strict=True):
        axes.imshow(image, interpolation="nearest" if image.shape[0] < 200 else "antialiased")
        axes.set_title(title, fontsize=10)
        axes.axis("off")
    colours = np.array(CLASS_COLOURS) / 255
    patches = [Patch(color=colours[i % len(colours)], label=name) for i, name in enumerate(names)][1:]
    figure.legend(
        handles=patches, loc="outside lower center", ncols=min(8, len(patches)), frameon=False, fontsize=9
    )
    return figure


def show_confusion(matrix: np.ndarray, names: Sequence[str], title: str = "") -> Picture:
    """A confusion matrix as shares of each row: of the true pixels of a class, how many were called what.

    matrix: counts (C, C), rows true, columns called.   names: of the classes.
    """
    matrix = np.asarray(matrix, float)
    share = matrix / matrix.sum(1, keepdims=True).clip(1)
    side = 1.6 + 0.55 * len(names)
    figure = Picture(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        text = f"{value:.0%}" if value >= 0.005 else "·"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=8,
            color="white" if value > 0.55 else "black",
        )
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="called", ylabel="true", title=title)
    return figure

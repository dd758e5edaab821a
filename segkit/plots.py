"""Pictures for people: curves, sheets of results, side-by-side views.

Figures are made without pyplot's global state, so they can be written from any thread and never pop up.
"""

import io
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from segkit.files import atomic_path

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"  # Okabe-Ito: safe for the colour-blind


class Picture(Figure):
    """A figure that a notebook shows by itself, without pyplot, when it is the last line of a cell."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=80, bbox_inches="tight", facecolor="white")
        # 256 colours of its own are plenty for a page, and a notebook of photographs stays small.
        picture = Image.open(buffer).convert("RGB").quantize(256)
        small = io.BytesIO()
        picture.save(small, format="png", optimize=True)
        return small.getvalue()

    def _ipython_display_(self) -> None:
        # As soon as a notebook uses pyplot, IPython draws every figure its own, large way: this comes before.
        from IPython.display import display

        shown = {"image/png": b64encode(self._repr_png_()).decode(), "text/plain": repr(self)}
        display(shown, raw=True)


def save_figure(figure: Figure, path: str | Path, dpi: int = 110) -> Path:
    """Write a figure, whole or not at all. Returns the path."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, bbox_inches="tight", facecolor="white")
    return Path(path)


def plot_curves(history: list[dict], path: str | Path | None = None) -> Figure:
    """Loss and Dice by epoch, with the best epoch marked and the steps of the learning rate.

    history: rows as in history.csv.   path: where to write it, if anywhere.   Introduced in notebook 07.
    """
    epochs = [row["epoch"] for row in history]
    best = max(history, key=lambda row: row["val_dice"])
    figure = Picture(figsize=(11, 3.4), layout="constrained")
    losses, dice, rate = figure.subplots(1, 3)
    marker = "o" if len(epochs) < 3 else None
    losses.plot(epochs, [row["train_loss"] for row in history], color=BLUE, label="training", marker=marker)
    losses.plot(
        epochs, [row["val_loss"] for row in history], color=ORANGE, ls="--", label="validation", marker=marker
    )
    losses.set(title="Loss", xlabel="epoch", ylim=(0, None))
    losses.legend(frameon=False)
    dice.plot(epochs, [row["val_dice"] for row in history], color=ORANGE, label="Dice", marker=marker)
    dice.plot(epochs, [row["val_iou"] for row in history], color=GREEN, ls="--", label="IoU", marker=marker)
    dice.plot(best["epoch"], best["val_dice"], "*", color="black", ms=11)
    title = f"Validation: best Dice {best['val_dice']:.3f}, epoch {best['epoch']}"
    dice.set(title=title, xlabel="epoch", ylabel="mean over images", ylim=(0, 1))
    dice.legend(frameon=False, loc="lower right" if best["val_dice"] > 0.5 else "upper right")
    rate.step(epochs, [row["lr"] for row in history], color=GREY, where="mid")
    rate.set(title="Learning rate", xlabel="epoch", yscale="log")
    for axes in (losses, dice, rate):
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    if path is not None:
        save_figure(figure, path)
    return figure


def show_row(images: Sequence[np.ndarray], titles: Sequence[str], height: float = 3.0) -> Figure:
    """Pictures side by side, each under its title. Grey arrays in [0, 1] are drawn on one common scale."""
    widths = [image.shape[1] / image.shape[0] for image in images]
    figure = Picture(figsize=(height * sum(widths), height + 0.3), layout="constrained")
    for axes, image, title in zip(
        np.atleast_1d(figure.subplots(1, len(images), width_ratios=widths)), images, titles, strict=True
    ):
        axes.imshow(
            image,
            cmap="gray" if image.ndim == 2 else None,
            vmin=0,
            vmax=255 if image.dtype == np.uint8 else 1,
        )
        axes.set_title(title, fontsize=10)
        axes.axis("off")
    return figure


def contact_sheet(
    images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 6, title: str = ""
) -> Figure:
    """Many pictures at a glance, each with a short caption."""
    rows = max(1, -(-len(images) // columns))
    figure = Picture(figsize=(2.1 * columns, 2.4 * rows + (0.5 if title else 0)), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, titles, strict=False):
        axes.imshow(image, cmap="gray" if image.ndim == 2 else None)
        axes.set_title(caption, fontsize=8)
    figure.suptitle(title)
    return figure

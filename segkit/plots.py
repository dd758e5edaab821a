"""Pictures for people: curves, sheets of results, side-by-side views.

Figures are made without pyplot's global state, so they can be written from any thread and never pop up.
"""

import io
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image
from PIL.ImageColor import getrgb as rgb

from segkit.files import IGNORE, atomic_path

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"  # Okabe-Ito: safe for the colour-blind


class Picture(Figure):
    """A figure that a notebook shows by itself, without pyplot, when it is the last line of a cell."""

    kept: tuple = ()
    """Colours, as three numbers up to 255, that a page must keep however small their patches are."""

    def _repr_png_(self) -> bytes:
        buffer, small = io.BytesIO(), io.BytesIO()
        self.savefig(buffer, format="png", dpi=80, bbox_inches="tight", facecolor="white")
        # 256 colours of its own are plenty for a page, and a notebook of photographs stays small.
        full = Image.open(buffer).convert("RGB")
        palette = full.quantize(256 - len(self.kept))
        if self.kept:  # and no shade close to one of them, which Pillow's rough search would take for it
            shades = np.reshape(palette.getpalette(), (-1, 3))
            far = [shade for shade in shades if np.abs(np.subtract(self.kept, shade)).sum(1).min() > 24]
            palette.putpalette(np.ravel([*self.kept, *far]).tolist())
            palette = full.quantize(palette=palette, dither=Image.Dither.NONE)
        palette.save(small, format="png", optimize=True, dpi=(80, 80))
        return small.getvalue()

    def _ipython_display_(self) -> None:
        # As soon as a notebook uses pyplot, IPython draws every figure its own, large way: this comes before.
        from IPython.display import display

        display({"image/png": b64encode(self._repr_png_()).decode(), "text/plain": repr(self)}, raw=True)


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
    figure = Picture(figsize=(7.5, 4.6), layout="constrained")
    losses, dice, rate = figure.subplot_mosaic("ld;rr", height_ratios=[3, 2]).values()
    marker = "o" if len(epochs) < 3 else None
    looks = {"training": ("train_loss", BLUE, "-"), "validation": ("val_loss", ORANGE, "--")}
    for name, (key, colour, style) in looks.items():
        losses.plot(epochs, [row[key] for row in history], color=colour, ls=style, label=name, marker=marker)
    losses.set(title="Loss", xlabel="epoch", ylim=(0, None))
    losses.legend(frameon=False)
    dice.plot(epochs, [row["val_dice"] for row in history], color=ORANGE, label="Dice", marker=marker)
    dice.plot(epochs, [row["val_iou"] for row in history], color=GREEN, ls="--", label="IoU", marker=marker)
    dice.plot(best["epoch"], best["val_dice"], "*", color="black", ms=11)
    title = f"Best Dice {best['val_dice']:.3f}, epoch {best['epoch']}"
    dice.set(title=title, xlabel="epoch", ylabel="validation mean", ylim=(0, 1))
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
    height = min(height, 7.5 / sum(widths))  # wider, and a phone shows titles too small to read
    letters = [max(map(len, title.split("\n"))) or 1 for title in titles]
    # A letter is about 0.6 times as wide as it is high, and a point is 1/72 inch.
    font = min([10, *(120 * height * w / n for w, n in zip(widths, letters, strict=True))])
    figure = Picture(figsize=(height * sum(widths), height + 0.3), layout="constrained")
    row = np.atleast_1d(figure.subplots(1, len(images), width_ratios=widths))
    for axes, image, title in zip(row, images, titles, strict=True):
        # For pictures in colour, matplotlib leaves the scale of greys aside.
        axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
        axes.set_title(title, fontsize=font)
        axes.axis("off")
    return figure


def contact_sheet(
    images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 6, title: str = ""
) -> Figure:
    """Many pictures at a glance, each with a short caption."""
    shapes = np.array([image.shape[:2] for image in images] or [(1, 1)])
    parts = np.split(shapes[:, 0] / shapes[:, 1], range(columns, len(shapes), columns))
    side = min(2.1, 7.5 / min(columns, 4))  # four in a row fit a phone
    heights = [side * min(1, part.max()) + 0.3 for part in parts]  # wide pictures leave no gap below them
    letters = [max(map(len, caption.split("\n"))) or 1 for caption in titles]
    font = max(6, min([10, *(120 * side / count for count in letters)]))  # as in a row
    figure = Picture(figsize=(side * columns, sum(heights) + (0.5 if title else 0)), layout="constrained")
    grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, titles, strict=False):
        axes.imshow(image, cmap="gray")
        axes.set_title(caption, fontsize=font)
    figure.suptitle(title)
    return figure


PERSON_COLOUR = (0, 114, 178)  # the blue of the Okabe-Ito palette: told apart by colour-blind readers

# Okabe and Ito's palette again, for the classes of parts.json in their order; 0 is never drawn.
CLASS_COLOURS = (
    *((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), PERSON_COLOUR),
    *((213, 94, 0), (204, 121, 167), (153, 153, 153)),
)


def overlay(image: np.ndarray, mask: np.ndarray, colour: Sequence[int] = PERSON_COLOUR) -> np.ndarray:
    """Tint the person and draw the outline: uint8 (H, W, 3), bool (H, W) -> uint8 (H, W, 3)."""
    mask = mask.astype(bool)
    halfway = 0.5 * np.arange(256)[:, None, None] + 0.5 * np.array(colour)  # from each byte of a colour
    tinted = np.where(mask[..., None], cv2.LUT(image, halfway.astype(np.uint8)), image)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(tinted, contours, -1, (255, 255, 255), max(1, round(max(mask.shape) / 400)))


def colour_classes(image: np.ndarray, labels: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Tint every class in a colour of its own, background (0) not at all.

    image: uint8 (H, W, 3).   labels: uint8 class ids (H, W).   Returns: uint8 (H, W, 3).   Notebook 14.
    """
    share = np.where(labels > 0, opacity, 0.0)[..., None]
    return (image * (1 - share) + paint_labels(labels) * share).round().astype(np.uint8)


YELLOW = "#F0E442"  # Okabe-Ito as well


def show_mistakes(image: np.ndarray, pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The photograph in pale grey; blue is rightly person, orange wrongly person, yellow missed.

    image: uint8 (H, W, 3).   pred, target: bool or {0, 1} (H, W).   Returns: uint8 (H, W, 3).
    """
    pred, target = pred.astype(bool), target.astype(bool)
    pale = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    picture = (pale * 0.6 + 255 * 0.4).astype(np.uint8)
    for where, colour in ((pred & target, BLUE), (pred & ~target, ORANGE), (target & ~pred, YELLOW)):
        picture[where] = (0.35 * pale[where] + 0.65 * np.array(rgb(colour))).astype(np.uint8)
    return picture


def outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The outline of a mask in orange, the colours inside untouched: uint8 (H, W, 3), {0, 1} (H, W)."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(2, round(max(mask.shape) / 200))
    return cv2.drawContours(image.copy(), contours, -1, rgb(ORANGE), width)


def grey(values: np.ndarray) -> np.ndarray:
    """float or bool (H, W) in [0, 1] -> uint8 RGB (H, W, 3)."""
    return (values * 255).clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def paint_labels(labels: np.ndarray) -> np.ndarray:
    """Class ids as flat colours, background black, pixels to leave out (255) white.

    labels: uint8 (H, W).   Returns: uint8 RGB (H, W, 3).
    """
    colours = np.array(CLASS_COLOURS, np.uint8)[labels.astype(int) % len(CLASS_COLOURS)]
    colours[labels == IGNORE] = 255
    return colours


def show_classes(
    images: Sequence[np.ndarray], titles: Sequence[str], names: Sequence[str], height: float = 2.5
) -> Picture:
    """Pictures in a row over one legend of the class colours, background left out."""
    figure = show_row(images, titles, height)
    figure.set_size_inches(max(figure.get_figwidth(), 6), figure.get_figheight() + 0.6)
    figure.kept = (*CLASS_COLOURS, (255, 255, 255))
    for axes, image in zip(figure.axes, images, strict=True):
        axes.images[0].set_interpolation("nearest" if image.shape[0] < 200 else "antialiased")
    colours = np.array(CLASS_COLOURS) / 255
    patches = [Patch(color=colours[i % len(colours)], label=name) for i, name in enumerate(names)][1:]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)
    return figure

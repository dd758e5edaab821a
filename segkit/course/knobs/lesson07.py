"""The knob of notebook 07."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, hang, shrink, slider
from segkit.plots import BLUE, GREY, ORANGE, Picture, show_mistakes


class EpochExplorer(Explorer):
    """Walk through a training that is over: the curves, and what the network answered at each epoch.

    history: rows with epoch, train_loss, val_loss and val_dice, as in history.csv.
    pictures: name -> (image uint8 (H, W, 3), mask {0, 1} (H, W), probs float (E, H, W)), one
        probability map for each of the E epochs.
    Raises: ValueError when a picture has another number of maps than there are epochs.

    Attributes: epoch, the slider; row (dict, the line of the history it stands on).
    Introduced in notebook 07.
    """

    def __init__(self, history: list[dict], pictures: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]):
        for name, (_, _, probs) in pictures.items():
            if len(probs) != len(history):
                raise ValueError(f"'{name}' has {len(probs)} maps for {len(history)} epochs.")
        self.history, self.pictures = list(history), pictures
        self._curves = {key: [row[key] for row in history] for key in history[0]}
        super().__init__(epoch=slider("epoch", len(history), 1, len(history), 1))

    @property
    def row(self) -> dict:
        """The line of the history that the slider stands on."""
        return self.history[self.epoch.value - 1]

    def lowest_loss(self) -> dict:
        """The line with the lowest validation loss."""
        return min(self.history, key=lambda row: row["val_loss"])

    def best_dice(self) -> dict:
        """The line with the best validation Dice, the one whose weights are kept."""
        return max(self.history, key=lambda row: row["val_dice"])

    def shown(self) -> list:
        row, losses, dice = self.row, self.chart(360, self._draw_losses), self.chart(300, self._draw_dice)
        losses.dot(row["epoch"], row["train_loss"], BLUE)
        losses.dot(row["epoch"], row["val_loss"], ORANGE)
        dice.dot(row["epoch"], row["val_dice"], ORANGE)
        found = [(name, self._found(name, self.epoch.value)) for name in self.pictures]
        return [losses.canvas, dice.canvas, *found]

    def describe(self) -> str:
        row = self.row
        words = f"epoch {row['epoch']} · training loss {row['train_loss']:.3f}, "
        words += f"validation loss {row['val_loss']:.3f}, validation Dice {row['val_dice']:.3f}"
        words += " · lowest validation loss" * (row is self.lowest_loss())
        return words + " · best validation Dice: these weights are kept" * (row is self.best_dice())

    def figure(self) -> Figure:
        """The curves, and below them a row of answers for each picture, at some epochs."""
        count = len(self.history)
        epochs = sorted({1, max(1, count // 4), max(1, count // 2), count})
        heights = [2.4, 2.0 * len(self.pictures)]
        figure = Picture(figsize=(1.8 * len(epochs), sum(heights)), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=heights)
        losses, dice = above.subplots(1, 2)
        self._draw_losses(losses)
        self._draw_dice(dice)
        for epoch in epochs:
            losses.axvline(epoch, color=GREY, lw=0.8)
            dice.axvline(epoch, color=GREY, lw=0.8)
        grid = below.subplots(len(self.pictures), len(epochs), squeeze=False)
        for axes_row, name in zip(grid, self.pictures, strict=True):
            for axes, epoch in zip(axes_row, epochs, strict=True):
                hang(axes, self._found(name, epoch), f"{name}, epoch {epoch}", fontsize=8)
        return figure

    def _found(self, name: str, epoch: int) -> np.ndarray:
        image, mask, probs = self.pictures[name]
        size = (shrink(np.ascontiguousarray(a, np.float32)) > 0.5 for a in (probs[epoch - 1], mask))
        return show_mistakes(shrink(image), *size)

    def _draw_losses(self, axes: Axes) -> None:
        axes.plot("epoch", "train_loss", data=self._curves, color=BLUE, label="training")
        axes.plot("epoch", "val_loss", data=self._curves, color=ORANGE, ls="--", label="validation")
        axes.axvline(self.lowest_loss()["epoch"], color=GREY, ls=":")
        axes.set(ylim=(0, None), xlabel="epoch")
        axes.set_title("loss (dotted: lowest validation loss)", fontsize=9)
        axes.legend(fontsize=9, framealpha=1, edgecolor="white")

    def _draw_dice(self, axes: Axes) -> None:
        axes.plot("epoch", "val_dice", data=self._curves, color=ORANGE, ls="--")
        axes.plot(self.best_dice()["epoch"], self.best_dice()["val_dice"], "*", color="black", ms=9)
        axes.set(ylim=(0, 1), xlabel="epoch")
        axes.set_title("validation Dice (star: best)", fontsize=9)

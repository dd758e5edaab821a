"""Knobs to turn: each class is a box of sliders over a picture that follows them.

Put one as the last line of a cell. Every slider is an attribute, so code can turn it as a hand would:
`explorer.threshold.value = 0.3`. Click a slider once, and the arrow keys move it. A picture is drawn in
milliseconds: what does not change is drawn once, by matplotlib, and kept.
"""

import html
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence

import cv2
import ipywidgets
import numpy as np
import torch
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from segkit.augment import Augmentation
from segkit.metrics import Counts, boundary_f, count_pixels
from segkit.plots import BLUE, GREEN, GREY, ORANGE, Picture, show_row
from segkit.predict import overlay, replace_background, soft_alpha

YELLOW = "#F0E442"  # Okabe-Ito as well
HEIGHT = 260
"""Height of a panel in pixels."""


class _AbstractWidget(type(ipywidgets.VBox), ABCMeta):
    """A widget class that refuses to be built while a method of it is missing."""


class Explorer(ipywidgets.VBox, metaclass=_AbstractWidget):
    """What the explorers share: sliders, the picture under them, and a line of words.

    A subclass hands its controls over, and writes `draw` (the picture), `describe` (the words) and `figure`.
    The first two run whenever a control's value changes. An error in them stands in the line of words, where
    a reader sees it, and is raised, where a test sees it.
    """

    def __init__(self, *controls: ipywidgets.ValueWidget):
        self.picture = ipywidgets.Image(
            format="jpeg", layout={"max_width": "100%", "align_self": "flex-start"}
        )
        self.words = ipywidgets.HTML()
        row = ipywidgets.HBox(controls, layout={"flex_flow": "row wrap"})
        super().__init__([row, self.picture, self.words])
        for control in controls:
            control.observe(self._follow, names="value")
        self._follow()

    @abstractmethod
    def draw(self) -> np.ndarray:
        """The picture for the present settings: uint8 RGB (H, W, 3)."""

    @abstractmethod
    def describe(self) -> str:
        """One line of text for the present settings."""

    @abstractmethod
    def figure(self) -> Figure:
        """The same for readers who cannot turn the knob: several settings side by side."""

    def _follow(self, change: dict | None = None) -> None:
        try:
            self.picture.value = as_jpeg(self.draw())
            self.words.value = html.escape(self.describe())
        except Exception as error:
            problem = html.escape(f"{type(error).__name__}: {error}")
            self.words.value = f'<b style="color:{ORANGE}">{problem}</b>'
            raise

    def __repr__(self) -> str:
        return f"[{type(self).__name__}: its sliders move once you run this cell yourself]"


class ThresholdExplorer(Explorer):
    """Where to cut a probability map: photograph, probability, mask, and the scores at every threshold.

    image: uint8 RGB (H, W, 3).   prob: float (H, W) in [0, 1].
    mask: the truth, bool or {0, 1} (H, W); None where nobody knows it: then no scores, only the share.
    threshold: where the slider starts.

    Attributes: threshold (the slider), scores (dict, present values of Dice, IoU, precision, recall
    and share), curves (dict, the same at `thresholds`).   Introduced in notebook 00.
    """

    thresholds = np.linspace(0, 1, 101)

    def __init__(
        self, image: np.ndarray, prob: np.ndarray, mask: np.ndarray | None = None, threshold: float = 0.5
    ):
        _same_size(image=image, prob=prob, mask=mask)
        self.image, self.prob = image, np.asarray(prob, np.float32)
        self.mask = None if mask is None else mask.astype(bool)
        truth = self.mask if self.mask is not None else np.zeros(prob.shape, bool)
        # Sorted once, a score at any threshold is a look-up.
        self._person, self._rest = np.sort(self.prob[truth]), np.sort(self.prob[~truth])
        self.curves = self._scores_at(self.thresholds)
        self.threshold = _slider("threshold", threshold, 0, 1, 0.01)
        self._chart = Chart(420, HEIGHT + TITLE, self._draw_curves)
        # The panels are small, whatever the photograph: a large one answers as quickly.
        self._small_image, self._small_prob = fit(image), fit(self.prob)
        self._small_mask = fit(truth.astype(np.float32)) > 0.5
        self._photo = panel(self._small_image, "photograph")
        super().__init__(self.threshold)

    def predicted(self) -> np.ndarray:
        """The mask at the present threshold: bool (H, W)."""
        return self.prob > self.threshold.value

    @property
    def scores(self) -> dict[str, float]:
        """What the mask at the present threshold scores."""
        return {name: float(values[0]) for name, values in self._scores_at([self.threshold.value]).items()}

    def draw(self) -> np.ndarray:
        threshold = self.threshold.value
        chart = self._chart.copy()
        chart.line([threshold, threshold], [0, 1], GREY, 1)
        scores = self.scores
        for name, (colour, _) in self._styles().items():
            chart.dot(threshold, scores[name], colour, 6 if name == "Dice" else 4)
        return beside(
            self._photo,
            panel(height_line(self._small_prob, threshold), f"probability, cut at {threshold:.2f}"),
            panel(*self._mask_and_title(threshold)),
            chart.canvas,
        )

    def describe(self) -> str:
        scores = " · ".join(f"{name} {value:.3f}" for name, value in self.scores.items() if name != "share")
        share = f"{self.scores['share']:.1%} of the pixels called person"
        return f"threshold {self.threshold.value:.2f} · " + (f"{scores} · {share}" if scores else share)

    def figure(self, thresholds: Sequence[float] = (0.1, 0.5, 0.9)) -> Figure:
        """The mask at several thresholds, and the curves with those thresholds marked."""
        shape = self.prob.shape[1] / self.prob.shape[0]
        figure = Picture(figsize=(2.6 * shape * len(thresholds) + 4.2, 3.1), layout="constrained")
        parts = figure.subplots(1, len(thresholds) + 1, width_ratios=[2.6 * shape] * len(thresholds) + [4.2])
        for axes, threshold in zip(parts, thresholds, strict=False):
            axes.imshow(self._mask_and_title(threshold)[0])
            axes.set_title(f"cut at {threshold:g}", fontsize=10)
            axes.axis("off")
            parts[-1].axvline(threshold, color=GREY, lw=0.8)
        self._draw_curves(parts[-1])
        return figure

    def _mask_and_title(self, threshold: float) -> tuple[np.ndarray, str]:
        pred = self._small_prob > threshold
        if self.mask is None:
            return overlay(self._small_image, pred), "mask"
        picture = show_mistakes(self._small_image, pred, self._small_mask)
        return picture, "blue found, orange too much, yellow missed"

    def _styles(self) -> dict[str, tuple[str, str]]:
        if self.mask is None:
            return {"share": (BLUE, "-")}
        return {"Dice": (BLUE, "-"), "IoU": (GREEN, "--"), "precision": (ORANGE, ":"), "recall": (GREY, "-.")}

    def _draw_curves(self, axes: Axes) -> None:
        for name, (colour, style) in self._styles().items():
            label = "share of the pixels called person" if name == "share" else name
            axes.plot(self.thresholds, self.curves[name], color=colour, ls=style, label=label)
        axes.set(xlabel="threshold", xlim=(-0.02, 1.02), ylim=(-0.03, 1.03))
        axes.legend(
            frameon=False, fontsize=8, loc="lower center" if self.mask is not None else "best", ncols=2
        )

    def _scores_at(self, thresholds: Sequence[float]) -> dict[str, np.ndarray]:
        cuts = np.asarray(thresholds, np.float32)
        tp = torch.from_numpy(len(self._person) - np.searchsorted(self._person, cuts, side="right"))
        fp = torch.from_numpy(len(self._rest) - np.searchsorted(self._rest, cuts, side="right"))
        counts = Counts(tp, fp, len(self._person) - tp, len(self._rest) - fp)
        share = {"share": (tp + fp).numpy() / self.prob.size}
        if self.mask is None:
            return share
        return {
            "Dice": counts.dice().numpy(),
            "IoU": counts.iou().numpy(),
            "precision": counts.precision().numpy(),
            "recall": counts.recall().numpy(),
        } | share


class MaskShiftExplorer(Explorer):
    """A perfect mask, pushed aside, grown or shrunk: which score notices, and how much?

    mask: the truth, bool or {0, 1} (H, W).   most: how many pixels the sliders go.
    tolerance: of the boundary F-score, in pixels.

    Attributes: dx (right), dy (down), grow (pixels; negative shrinks), the sliders; scores (dict,
    present values of Dice, IoU, pixel accuracy, boundary F).   Introduced in notebook 04.
    """

    colours = (BLUE, GREEN, GREY, ORANGE)

    def __init__(self, mask: np.ndarray, most: int = 20, tolerance: float = 2.0):
        self.mask, self.tolerance = mask.astype(bool), tolerance
        self.dx = _slider("right", 0, -most, most, 1)
        self.dy = _slider("down", 0, -most, most, 1)
        self.grow = _slider("grow", 0, -most, most, 1)
        super().__init__(self.dx, self.dy, self.grow)

    def predicted(self) -> np.ndarray:
        """The mask as pushed: bool (H, W)."""
        return move_mask(self.mask, self.dx.value, self.dy.value, self.grow.value)

    @property
    def scores(self) -> dict[str, float]:
        """What the pushed mask scores against the true one."""
        return self._scores_of(self.predicted())

    def draw(self) -> np.ndarray:
        pred = self.predicted()
        picture = panel(fit(self._picture_of(pred)), "blue right, orange too much, yellow missed")
        return beside(picture, bars(self._scores_of(pred), self.colours))

    def describe(self) -> str:
        scores = " · ".join(f"{name} {value:.3f}" for name, value in self.scores.items())
        return f"{self.dx.value:+d} right, {self.dy.value:+d} down, grown by {self.grow.value:+d} · {scores}"

    def figure(self, shifts: Sequence[int] = (1, 4, 12)) -> Figure:
        """The mask pushed right by several distances, and the scores over the distance."""
        shape = self.mask.shape[1] / self.mask.shape[0]
        figure = Picture(figsize=(2.6 * shape * len(shifts) + 4.2, 3.1), layout="constrained")
        parts = figure.subplots(1, len(shifts) + 1, width_ratios=[2.6 * shape] * len(shifts) + [4.2])
        for axes, shift in zip(parts, shifts, strict=False):
            axes.imshow(self._picture_of(move_mask(self.mask, shift)))
            axes.set_title(f"pushed by {shift}", fontsize=10)
            axes.axis("off")
            parts[-1].axvline(shift, color=GREY, lw=0.8)
        distances = range(self.dx.max + 1)
        scores = [self._scores_of(move_mask(self.mask, distance)) for distance in distances]
        for name, colour, style in zip(scores[0], self.colours, ("-", "--", "-.", ":"), strict=True):
            parts[-1].plot(distances, [s[name] for s in scores], color=colour, ls=style, label=name)
        parts[-1].set(xlabel="pixels pushed to the right", ylim=(-0.03, 1.03))
        parts[-1].xaxis.get_major_locator().set_params(integer=True)
        parts[-1].legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
        return figure

    def _picture_of(self, pred: np.ndarray) -> np.ndarray:
        return show_mistakes(np.full((*self.mask.shape, 3), 255, np.uint8), pred, self.mask)

    def _scores_of(self, pred: np.ndarray) -> dict[str, float]:
        counts = count_pixels(pred[None], self.mask[None])
        return {
            "Dice": counts.dice().item(),
            "IoU": counts.iou().item(),
            "pixel accuracy": counts.pixel_accuracy().item(),
            "boundary F": boundary_f(pred[None], self.mask[None], self.tolerance).item(),
        }


class AugmentationExplorer(Explorer):
    """One picture and its mask, changed by the same random draw.

    image: uint8 RGB (H, W, 3).   mask: uint8 or bool {0, 1} (H, W).

    Attributes: strength (0 to 2) and seed, the sliders; together, a tick box: without it the mask gets
    a draw of its own, which is the classic mistake.   Introduced in notebook 06.
    """

    def __init__(self, image: np.ndarray, mask: np.ndarray, strength: float = 1.0, seed: int = 1):
        _same_size(image=image, mask=mask)
        self.image, self.mask = image, mask.astype(np.uint8)
        self.strength = _slider("strength", strength, 0, 2, 0.1)
        self.seed = _slider("seed", seed, 0, 100, 1)
        self.together = ipywidgets.Checkbox(True, description="same draw for both", indent=False)
        self._original = panel(fit(outlined(image, self.mask)), "as it was")
        self._augment = Augmentation(strength)
        self._latest: dict[tuple, tuple] = {}
        super().__init__(self.strength, self.seed, self.together)

    def augmented(
        self, strength: float | None = None, seed: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (H, W, 3) and mask uint8 {0, 1} (H, W), at the sliders' settings unless given."""
        strength = self.strength.value if strength is None else strength
        seed = self.seed.value if seed is None else seed
        settings = strength, seed, self.together.value
        if settings not in self._latest:
            if strength != self._augment.strength:
                self._augment = Augmentation(strength)
            image, mask = self._augment(self.image, self.mask, seed=seed)
            if not self.together.value:
                _, mask = self._augment(self.image, self.mask, seed=seed + 1000)
            self._latest = {settings: (image, mask)}
        return self._latest[settings]

    def draw(self) -> np.ndarray:
        image, mask = self.augmented()
        return beside(
            self._original,
            panel(fit(image), "image"),
            panel(fit(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)), "mask"),
            panel(fit(outlined(image, mask)), "do they still agree?"),
        )

    def describe(self) -> str:
        share = self.augmented()[1].mean()
        return (
            f"strength {self.strength.value:.1f}, seed {self.seed.value} · person {share:.1%} of it, "
            f"before {self.mask.mean():.1%}"
        )

    def figure(self, strengths: Sequence[float] = (0, 0.5, 1, 2), seeds: int = 2) -> Figure:
        """Image with outlined mask at several strengths (columns) and seeds (rows)."""
        shape = self.mask.shape[1] / self.mask.shape[0]
        figure = Picture(figsize=(2.4 * shape * len(strengths), 2.5 * seeds + 0.3), layout="constrained")
        grid = figure.subplots(seeds, len(strengths), squeeze=False)
        for row in range(seeds):
            for axes, strength in zip(grid[row], strengths, strict=True):
                axes.imshow(outlined(*self.augmented(strength, self.seed.value + row)))
                axes.axis("off")
                axes.set_title(f"strength {strength:g}" if row == 0 else "", fontsize=10)
        return figure


class AlphaExplorer(Explorer):
    """The reader's own mix, alpha * BCE + (1 - alpha) * Dice, and what it does to a very small network.

    The network has two numbers: logit = w * (brightness - its mean) + b. Its picture is a noisy square
    with a small bright person in it. Shown are the pull (minus the gradient) on one person pixel against
    its logit, the loss over every (w, b) with the way that gradient descent takes from (0, 0), and the
    answer after so many steps.

    brightness: float (H, W), about 0 to 1; mask: {0, 1} (H, W); both None: a small picture is drawn.
    alpha, step: where the sliders start.   num_steps, lr: of the descent.   seed: of the noise.

    Attributes: alpha and step, the sliders; scores (dict, present values of loss, BCE, Dice loss and
    the Dice of the mask).   Introduced in notebook 05.
    """

    logits = np.linspace(-8, 8, 161)

    def __init__(
        self,
        brightness: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        alpha: float = 0.5,
        step: int = 30,
        num_steps: int = 150,
        lr: float = 5.0,
        seed: int = 0,
    ):
        if brightness is None or mask is None:
            brightness, mask = draw_small_person(seed)
        _same_size(brightness=brightness, mask=mask)
        self.brightness, self.mask = np.asarray(brightness, np.float64), mask.astype(bool)
        self.num_steps, self.lr = num_steps, lr
        self._x = self.brightness.ravel() - self.brightness.mean()
        self._y = self.mask.ravel().astype(np.float64)
        self.weights, self.biases = np.linspace(-2, 22, 37), np.linspace(-8, 3, 34)
        grid = np.stack(np.meshgrid(self.weights, self.biases), -1).reshape(-1, 2)
        shape = len(self.biases), len(self.weights)
        parts = [self.losses(weight, bias) for weight, bias in grid]
        self._bce_map, self._dice_map = (np.reshape(values, shape) for values in zip(*parts, strict=True))
        self._paths: dict[float, np.ndarray] = {}
        self.alpha = _slider("alpha", alpha, 0, 1, 0.05)
        self.step = _slider("step", step, 0, num_steps, 1)
        self._pull_chart = Chart(330, HEIGHT + TITLE, self._draw_pull_frame)
        self._map_chart = Chart(330, HEIGHT + TITLE, self._draw_map_frame)
        self._picture = panel(fit(_grey(self.brightness)), "picture")
        self._truth = panel(fit(_grey(self.mask)), "truth")
        super().__init__(self.alpha, self.step)

    def losses(self, weight: float, bias: float) -> tuple[float, float]:
        """(BCE, Dice loss) of the network (weight, bias), as segkit.losses has them."""
        logits = weight * self._x + bias
        probs = _sigmoid(logits)
        bce = np.mean(np.logaddexp(0, logits) - self._y * logits)
        overlap = (2 * (probs * self._y).sum() + 1) / (probs.sum() + self._y.sum() + 1)
        return float(bce), float(1 - overlap)

    def pulls(self, weight: float, bias: float) -> tuple[np.ndarray, np.ndarray]:
        """-(d loss / d logit) of every pixel for BCE and for the Dice loss: two arrays (H * W,)."""
        probs = _sigmoid(weight * self._x + bias)
        return (self._y - probs) / len(probs), self._dice_pull(probs, self._y, probs)

    def path(self, alpha: float) -> np.ndarray:
        """(weight, bias) after every step of gradient descent: (num_steps + 1, 2)."""
        if alpha not in self._paths:
            now, way = np.zeros(2), [np.zeros(2)]
            for _ in range(self.num_steps):
                bce, dice = self.pulls(*now)
                pull = alpha * bce + (1 - alpha) * dice
                now = now + self.lr * np.array([(pull * self._x).sum(), pull.sum()])
                way.append(now)
            self._paths[alpha] = np.array(way)
        return self._paths[alpha]

    def probs(self, alpha: float, step: int) -> np.ndarray:
        """What the network answers after so many steps: float (H, W)."""
        weight, bias = self.path(alpha)[step]
        return _sigmoid(weight * self._x + bias).reshape(self.mask.shape)

    @property
    def scores(self) -> dict[str, float]:
        """Loss, its two parts, and the Dice of the mask (cut at 0.5), at the sliders' settings."""
        return self._scores_at(self.alpha.value, self.step.value)

    def draw(self) -> np.ndarray:
        alpha, step = self.alpha.value, self.step.value
        return beside(
            self._pull_picture(alpha, step),
            self._map_picture(alpha, step),
            self._picture,
            panel(fit(_grey(self.probs(alpha, step))), f"answer, step {step}"),
            self._truth,
        )

    def describe(self) -> str:
        weight, bias = self.path(self.alpha.value)[self.step.value]
        scores = " · ".join(f"{name} {value:.3f}" for name, value in self.scores.items())
        return (
            f"alpha {self.alpha.value:.2f}, step {self.step.value}: w {weight:.2f}, b {bias:.2f} · {scores}"
        )

    def figure(self, alphas: Sequence[float] = (1, 0.5, 0), step: int | None = None) -> Figure:
        """One row per alpha: the pull on a person pixel, the landscape with the way taken, the answer."""
        step = self.step.value if step is None else step
        figure = Picture(figsize=(10, 2.8 * len(alphas)), layout="constrained")
        grid = figure.subplots(len(alphas), 3, squeeze=False)
        for row, alpha in zip(grid, alphas, strict=True):
            self._draw_pull_frame(row[0])
            for curve, colour, width in self._pull_curves(alpha, step):
                row[0].plot(self.logits, curve, color=colour, lw=width)
            row[0].plot(*self._pull_now(alpha, step), "o", color=BLUE)
            row[0].set_ylabel(f"alpha {alpha:g}\n\npull")
            self._draw_map_frame(row[1])
            mixed = self._mixed_map(alpha)
            row[1].imshow(
                mixed,
                origin="lower",
                extent=self._extent(),
                aspect="auto",
                cmap="gray",
                interpolation="bilinear",
            )
            row[1].plot(*self.path(alpha)[: step + 1].T, color=ORANGE, lw=2)
            row[1].plot(*self.path(alpha)[step], "o", color=ORANGE)
            row[2].imshow(self.probs(alpha, step), cmap="gray", vmin=0, vmax=1)
            row[2].contour(self.mask, [0.5], colors=[BLUE], linewidths=1)
            dice = self._scores_at(alpha, step)["Dice of the mask"]
            row[2].set_title(f"answer after {step} steps: Dice {dice:.2f}", fontsize=10)
            row[2].axis("off")
        for axes in grid[1:, :2].ravel():
            axes.set_title("")
        for axes in grid[1:, 0]:
            axes.get_legend().remove()
        for axes in grid[:-1, :2].ravel():
            axes.set_xlabel("")
        return figure

    def _scores_at(self, alpha: float, step: int) -> dict[str, float]:
        bce, dice = self.losses(*self.path(alpha)[step])
        pred = self.probs(alpha, step) > 0.5
        mask_dice = count_pixels(pred[None], self.mask[None]).dice().item()
        return {
            "loss": alpha * bce + (1 - alpha) * dice,
            "BCE": bce,
            "Dice loss": dice,
            "Dice of the mask": mask_dice,
        }

    def _dice_pull(self, probs: np.ndarray, y: np.ndarray | float, all_probs: np.ndarray) -> np.ndarray:
        """Pull of the Dice loss on pixels with these probabilities and labels, all others as they are."""
        top = 2 * (all_probs * self._y).sum() + 1
        whole = all_probs.sum() + self._y.sum() + 1
        return (2 * np.asarray(y) * whole - top) / whole**2 * probs * (1 - probs)

    def _pull_curves(self, alpha: float, step: int) -> list[tuple[np.ndarray, str, int]]:
        """Pull on one person pixel against its logit, in units in which BCE's strongest pull is 1."""
        weight, bias = self.path(alpha)[step]
        others = _sigmoid(weight * self._x + bias)
        probs, count = _sigmoid(self.logits), len(self._x)
        bce = 1 - probs
        dice = self._dice_pull(probs, 1.0, others) * count
        return [(bce, GREY, 2), (dice, GREEN, 2), (alpha * bce + (1 - alpha) * dice, BLUE, 4)]

    def _pull_now(self, alpha: float, step: int) -> tuple[float, float]:
        """Where the average person pixel stands: its logit, and the mix's pull on it."""
        weight, bias = self.path(alpha)[step]
        logit = weight * self._x[self._y > 0].mean() + bias
        return logit, float(np.interp(logit, self.logits, self._pull_curves(alpha, step)[-1][0]))

    def _pull_picture(self, alpha: float, step: int) -> np.ndarray:
        chart = self._pull_chart.copy()
        for curve, colour, width in self._pull_curves(alpha, step):
            chart.line(self.logits, curve, colour, width)
        chart.dot(*self._pull_now(alpha, step), BLUE, 6)
        return chart.canvas

    def _draw_pull_frame(self, axes: Axes) -> None:
        for colour, width, name in ((GREY, 2, "BCE"), (GREEN, 2, "Dice"), (BLUE, 4, "the mix")):
            axes.plot([], [], color=colour, lw=width, label=name)
        axes.set(xlabel="logit of one person pixel", ylabel="pull", xlim=(-8, 8), ylim=(-0.3, 7))
        axes.set_title("how strongly is it pulled up?", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="upper right")

    def _mixed_map(self, alpha: float) -> np.ndarray:
        """Brightness (low loss is bright) over (bias, weight); square root, so that the valley shows."""
        loss = alpha * np.sqrt(self._bce_map / self._bce_map.max()) + (1 - alpha) * self._dice_map
        return 1 - 0.8 * (loss - loss.min()) / (loss.max() - loss.min())

    def _map_picture(self, alpha: float, step: int) -> np.ndarray:
        chart = self._map_chart.copy()
        chart.image(self._mixed_map(alpha), self._extent())
        way = self.path(alpha)
        chart.line(*way[: step + 1].T, ORANGE, 2)
        chart.dot(*way[step], ORANGE, 6)
        return chart.canvas

    def _extent(self) -> tuple[float, float, float, float]:
        return self.weights[0], self.weights[-1], self.biases[0], self.biases[-1]

    def _draw_map_frame(self, axes: Axes) -> None:
        axes.set(xlabel="w", ylabel="b", xlim=self._extent()[:2], ylim=self._extent()[2:])
        axes.set_title("loss: bright is low", fontsize=10)


class OptimiserExplorer(Explorer):
    """The reader is the optimiser: one slider for each number of a small model, and the loss to make small.

    model: torch numbers (K,) -> logits (1, 1, H, W).   start: the numbers by their names, each in [0, 1].
    image: uint8 RGB (H, W, 3).   mask: {0, 1} (H, W).   loss_fn: takes logits and targets (1, 1, H, W).

    Attributes: knobs (the sliders by their names), loss (its present value).   Introduced in notebook 05.
    """

    def __init__(
        self,
        model: Callable[[torch.Tensor], torch.Tensor],
        start: dict[str, float],
        image: np.ndarray,
        mask: np.ndarray,
        loss_fn: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ):
        _same_size(image=image, mask=mask)
        self.model, self.image, self.mask, self.loss_fn = model, image, mask, loss_fn
        self._targets = torch.from_numpy(mask.astype(np.float32))[None, None]
        self._photo = panel(fit(image), "photograph")
        self.knobs = {name: _slider(name, float(value), 0.02, 1, 0.01) for name, value in start.items()}
        super().__init__(*self.knobs.values())

    @property
    def loss(self) -> float:
        return self._loss_and_mask(self._values())[0]

    def draw(self) -> np.ndarray:
        loss, pred = self._loss_and_mask(self._values())
        found = show_mistakes(self.image, pred, self.mask)
        return beside(
            self._photo,
            panel(fit(found), "blue right, orange too much"),
            bars({"loss": loss}, (BLUE,), most=5),
        )

    def describe(self) -> str:
        values = ", ".join(f"{name} {knob.value:.2f}" for name, knob in self.knobs.items())
        return f"{values} · loss {self.loss:.3f}"

    def figure(self, tries: Sequence[Sequence[float]]) -> Figure:
        """Several settings of the knobs side by side, each with its loss."""
        results = [self._loss_and_mask(values) for values in tries]
        pictures = [show_mistakes(self.image, pred, self.mask) for _, pred in results]
        return show_row(pictures, [f"loss {loss:.2f}" for loss, _ in results])

    def _values(self) -> list[float]:
        return [knob.value for knob in self.knobs.values()]

    @torch.no_grad()
    def _loss_and_mask(self, values: Sequence[float]) -> tuple[float, np.ndarray]:
        logits = self.model(torch.tensor(values, dtype=torch.float32))
        return float(self.loss_fn(logits, self._targets)), (logits > 0)[0, 0].numpy()


class CutoutExplorer(Explorer):
    """The edge of a cut-out and what stands behind it.

    image: uint8 RGB (H, W, 3).   prob: float (H, W) in [0, 1].
    backgrounds: by name, each what replace_background takes: a colour, a picture, "blur".
    threshold, softness: where the sliders start; see soft_alpha.

    Attributes: threshold, softness and behind, the controls.   Introduced in notebook 08.
    """

    def __init__(
        self,
        image: np.ndarray,
        prob: np.ndarray,
        backgrounds: dict[str, np.ndarray | Sequence[int] | str],
        threshold: float = 0.5,
        softness: float = 0.4,
    ):
        _same_size(image=image, prob=prob)
        self.backgrounds = backgrounds
        # As large as it is shown: a large photograph answers as quickly.
        self.image, self.prob = fit(image), fit(np.asarray(prob, np.float32))
        self.threshold = _slider("threshold", threshold, 0.05, 0.95, 0.05)
        self.softness = _slider("softness", softness, 0.0, 1.0, 0.1)
        self.behind = ipywidgets.Dropdown(options=list(backgrounds), description="background")
        super().__init__(self.threshold, self.softness, self.behind)

    def alpha(self, threshold: float | None = None, softness: float | None = None) -> np.ndarray:
        """Opacity of every pixel, at the sliders' settings unless given: float32 (h, w) in [0, 1]."""
        threshold = self.threshold.value if threshold is None else threshold
        return soft_alpha(self.prob, threshold, self.softness.value if softness is None else softness)

    def draw(self) -> np.ndarray:
        alpha = self.alpha()
        return beside(
            panel(_grey(alpha), "opacity"),
            panel(self._composed(alpha), "the person, somewhere else"),
        )

    def describe(self) -> str:
        alpha = self.alpha()
        between = ((alpha > 0) & (alpha < 1)).mean()
        return (
            f"cut at {self.threshold.value:.2f}, softness {self.softness.value:.1f}, "
            f"{self.behind.value} behind · {alpha.mean():.1%} of the picture is person, "
            f"{between:.1%} neither here nor there"
        )

    def figure(
        self, thresholds: Sequence[float] = (0.2, 0.8), softness: Sequence[float] = (0, 0.4, 1)
    ) -> Figure:
        """Every pair of a threshold and a softness, on the chosen background."""
        settings = [(t, s) for t in thresholds for s in softness]
        pictures = [self._composed(self.alpha(t, s)) for t, s in settings]
        return show_row(pictures, [f"cut at {t}, softness {s:g}" for t, s in settings], height=2.1)

    def _composed(self, alpha: np.ndarray) -> np.ndarray:
        return replace_background(self.image, alpha, self.backgrounds[self.behind.value])


class Chart:
    """Axes drawn once by matplotlib; lines, dots and pictures are then put on copies in microseconds.

    width, height: in pixels.   frame: draws whatever never changes onto the axes it is given.
    """

    def __init__(self, width: int, height: int, frame: Callable[[Axes], None]):
        figure = Picture(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
        axes = figure.subplots()
        frame(axes)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        self.canvas = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        # A straight line from data to pixels in x and in y: two points give it.
        (x0, y0), (x1, y1) = axes.transData.transform([(0, 0), (1, 1)])
        self._scale, self._origin = np.array([x1 - x0, y0 - y1]), np.array([x0, self.canvas.shape[0] - y0])
        (left, bottom), (right, top) = axes.bbox.get_points()
        rows = slice(round(self.canvas.shape[0] - top), round(self.canvas.shape[0] - bottom) + 1)
        self._inside = rows, slice(round(left), round(right) + 1)

    def copy(self) -> "Chart":
        """A chart with a canvas of its own to draw on."""
        copy = object.__new__(Chart)
        copy.__dict__ = self.__dict__ | {"canvas": self.canvas.copy()}
        return copy

    def pixels(self, x: Sequence[float], y: Sequence[float]) -> np.ndarray:
        """Where data points lie on the canvas: (N, 2), column and row."""
        return np.stack([x, y], -1) * self._scale + self._origin

    def line(self, x: Sequence[float], y: Sequence[float], colour: str, width: int = 2) -> None:
        """Draw a line through data points; what leaves the axes is cut off."""
        rows, columns = self._inside
        points = self.pixels(x, y) - (columns.start, rows.start)
        inside = self.canvas[self._inside].copy()
        points = (points.clip(-2000, 4000) * 16).round().astype(np.int32)  # in sixteenths of a pixel
        cv2.polylines(inside, [points], False, rgb(colour), width, cv2.LINE_AA, 4)
        self.canvas[self._inside] = inside

    def dot(self, x: float, y: float, colour: str, radius: int = 5) -> None:
        """Draw a dot with a white rim at a data point."""
        centre = tuple((self.pixels([x], [y])[0].clip(-2000, 4000) * 16).round().astype(int).tolist())
        cv2.circle(self.canvas, centre, (radius + 2) * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
        cv2.circle(self.canvas, centre, radius * 16, rgb(colour), -1, cv2.LINE_AA, 4)

    def image(self, values: np.ndarray, extent: tuple[float, float, float, float]) -> None:
        """Fill the rectangle (left, right, bottom, top) with grey values in [0, 1], row 0 at the bottom."""
        (left, bottom), (right, top) = self.pixels(extent[:2], extent[2:]).round().astype(int)
        picture = cv2.resize(_grey(values[::-1]), (right - left, bottom - top))
        self.canvas[top:bottom, left:right] = picture


TITLE = 24
"""Height of a panel's title in pixels."""
_FONT = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 13)  # comes with matplotlib


def panel(picture: np.ndarray, title: str) -> np.ndarray:
    """A title over a picture: uint8 (H, W, 3) -> uint8 (H + TITLE, W or wider, 3)."""
    width = max(picture.shape[1], int(_FONT.getlength(title)) + 4)
    canvas = np.full((picture.shape[0] + TITLE, width, 3), 255, np.uint8)
    canvas[TITLE:, : picture.shape[1]] = picture
    return write(canvas, title, (2, 4))


def write(canvas: np.ndarray, text: str, corner: tuple[int, int], colour: str = "black") -> np.ndarray:
    """Write text into a picture, its upper left corner at (column, row). Returns: a new picture."""
    image = Image.fromarray(canvas)
    ImageDraw.Draw(image).text(corner, text, fill=colour, font=_FONT)
    return np.asarray(image)


def beside(*panels: np.ndarray, gap: int = 10) -> np.ndarray:
    """Pictures in a row on white, tops aligned: each uint8 (H, W, 3)."""
    height = max(one.shape[0] for one in panels)
    row = np.full((height, sum(one.shape[1] + gap for one in panels) - gap, 3), 255, np.uint8)
    left = 0
    for one in panels:
        row[: one.shape[0], left : left + one.shape[1]] = one
        left += one.shape[1] + gap
    return row


def bars(scores: dict[str, float], colours: Sequence[str], width: int = 380, most: float = 1.0) -> np.ndarray:
    """Horizontal bars from 0 to `most` with their names and values: uint8 RGB."""
    canvas = np.full((HEIGHT + TITLE, width, 3), 255, np.uint8)
    left, right, step = 110, width - 60, HEIGHT // max(4, len(scores))
    for i, ((name, value), colour) in enumerate(zip(scores.items(), colours, strict=True)):
        top = TITLE + i * step + step // 4
        canvas[top : top + step // 2, left:right] = 235
        share = min(max(value / most, 0), 1)
        canvas[top : top + step // 2, left : left + round((right - left) * share)] = rgb(colour)
        canvas = write(canvas, name, (2, top + step // 4 - 8))
        canvas = write(canvas, f"{value:.3f}", (right + 8, top + step // 4 - 8)).copy()
    return canvas


def fit(picture: np.ndarray, height: int = HEIGHT) -> np.ndarray:
    """Scale a picture to a panel's height; very small ones keep their pixels visible."""
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    way = (
        cv2.INTER_AREA
        if picture.shape[0] > height
        else cv2.INTER_NEAREST
        if picture.shape[0] < height / 4
        else cv2.INTER_LINEAR
    )
    return cv2.resize(picture, (width, height), interpolation=way)


def show_mistakes(image: np.ndarray, pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The photograph in pale grey; blue is rightly person, orange wrongly person, yellow missed.

    image: uint8 (H, W, 3).   pred, target: bool or {0, 1} (H, W).   Returns: uint8 (H, W, 3).
    """
    pred, target = pred.astype(bool), target.astype(bool)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
    picture = (grey * 0.6 + 255 * 0.4).astype(np.uint8)
    for where, colour in ((pred & target, BLUE), (pred & ~target, ORANGE), (target & ~pred, YELLOW)):
        picture[where] = (0.35 * grey[where] + 0.65 * np.array(rgb(colour))).astype(np.uint8)
    return picture


def height_line(prob: np.ndarray, threshold: float) -> np.ndarray:
    """A probability map in grey with the line where it crosses the threshold, like a height on a map.

    prob: float (H, W) in [0, 1].   Returns: uint8 RGB (H, W, 3).
    """
    return outlined(_grey(prob), prob > threshold)


def outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The outline of a mask in orange, the colours inside untouched: uint8 (H, W, 3), {0, 1} (H, W)."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(2, round(max(mask.shape) / 200))
    return cv2.drawContours(image.copy(), contours, -1, rgb(ORANGE), width)


def move_mask(mask: np.ndarray, dx: int = 0, dy: int = 0, grow: int = 0) -> np.ndarray:
    """Push a mask right and down, and grow it by so many pixels (negative: shrink): bool (H, W).

    What leaves the picture is lost; what comes in is background.
    """
    mask = mask.astype(np.uint8)
    if grow:
        # Distances take the same time for any radius; a disc of 41 pixels would take fifty times as long.
        distance = cv2.distanceTransform(1 - mask if grow > 0 else mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        mask = (distance <= grow if grow > 0 else distance > -grow).astype(np.uint8)
    move = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    return cv2.warpAffine(mask, move, mask.shape[::-1], flags=cv2.INTER_NEAREST).astype(bool)


def draw_small_person(seed: int = 0, size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A noisy dark square with a small bright person: brightness float (S, S), mask bool (S, S)."""
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(mask, (15, 9), 1, 1, -1)
    cv2.ellipse(mask, (15, 15), (2, 4), 0, 0, 360, 1, -1)
    noise = np.random.default_rng(seed).normal(0, 0.12, mask.shape)
    return (0.3 + 0.4 * mask + noise).clip(0, 1), mask.astype(bool)


def as_jpeg(picture: np.ndarray) -> bytes:
    """uint8 RGB (H, W, 3) -> the bytes of a JPEG file with full colour resolution."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        92,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def rgb(colour: str) -> tuple[int, int, int]:
    """A colour by its name or #hex as three numbers up to 255."""
    return tuple(round(255 * part) for part in to_rgb(colour))


def _grey(values: np.ndarray) -> np.ndarray:
    """float or bool (H, W) in [0, 1] -> uint8 RGB (H, W, 3)."""
    return (values * 255).clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))


def _slider(description: str, value: float, low: float, high: float, step: float) -> ipywidgets.Widget:
    whole = all(isinstance(number, int) for number in (value, low, high, step))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=description)


def _same_size(**arrays: np.ndarray | None) -> None:
    sizes = {name: array.shape[:2] for name, array in arrays.items() if array is not None}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"these must be of one size: {', '.join(f'{n} {s}' for n, s in sizes.items())}.")

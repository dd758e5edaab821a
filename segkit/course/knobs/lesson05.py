"""The sliders of lesson 05: the share of BCE in the loss, trained networks, and gradient descent by hand."""

from collections.abc import Callable, Sequence
from functools import cache

import cv2
import ipywidgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit

from segkit.course.knobs.explorer import Explorer, bars, check_sizes, hang, shrink, slider
from segkit.metrics import count_pixels
from segkit.plots import BLUE, GREEN, GREY, ORANGE, Picture, grey, outlined, rgb, show_mistakes, show_row

PALE = "#A9CBE3"  # BLUE, far away


class AlphaExplorer(Explorer):
    """The reader's own mix, alpha * BCE + (1 - alpha) * Dice, and what it does to a very small network.

    The network has two numbers: logit = w * (brightness - its mean) + b. Its picture is a noisy square
    with a small bright person in it. Shown are the pull (minus the gradient) on one person pixel against
    its logit, the loss over every (w, b) with the way that gradient descent takes from (0, 0), and the
    answer after so many steps.

    alpha: where the slider starts.

    Attributes: alpha and step, the sliders; scores (dict, present values of loss, BCE, Dice loss and
    the Dice of the mask).   Introduced in notebook 05.
    """

    logits = np.linspace(-8, 8, 161)
    num_steps, lr = 150, 5.0

    def __init__(self, alpha: float = 0.5):
        self.brightness, self.mask = draw_small_person()
        self._x = self.brightness.ravel() - self.brightness.mean()
        self._y = self.mask.ravel().astype(np.float64)
        self._extent = -2, 22, -8, 3  # of the weights and the biases
        self._places = np.linspace(-2, 22, 37), np.linspace(-8, 3, 34)
        landscape = [[self.losses(w, b) for w in self._places[0]] for b in self._places[1]]
        self._bce_map, self._dice_map = np.moveaxis(landscape, 2, 0)
        self.path = cache(self.path)
        super().__init__(
            alpha=slider("alpha", alpha, 0, 1, 0.05), step=slider("step", 30, 0, self.num_steps, 1)
        )

    def losses(self, weight: float, bias: float) -> tuple[float, float]:
        """(BCE, Dice loss) of the network (weight, bias), as segkit.losses has them."""
        logits = weight * self._x + bias
        probs = expit(logits)
        bce = np.mean(np.logaddexp(0, logits) - self._y * logits)
        overlap = (2 * (probs * self._y).sum() + 1) / (probs.sum() + self._y.sum() + 1)
        return float(bce), float(1 - overlap)

    def path(self, alpha: float) -> np.ndarray:
        """(weight, bias) after every step of gradient descent: (num_steps + 1, 2)."""
        way = [np.zeros(2)]
        for _ in range(self.num_steps):
            weight, bias = way[-1]
            probs = expit(weight * self._x + bias)
            # -(d loss / d logit) of every pixel
            bce, dice = (self._y - probs) / len(probs), self._dice_pull(probs, self._y, probs)
            pull = alpha * bce + (1 - alpha) * dice
            way.append(way[-1] + self.lr * np.array([(pull * self._x).sum(), pull.sum()]))
        return np.array(way)

    def probs(self, alpha: float, step: int) -> np.ndarray:
        """What the network answers after so many steps: float (H, W)."""
        weight, bias = self.path(alpha)[step]
        return expit(weight * self._x + bias).reshape(self.mask.shape)

    @property
    def scores(self) -> dict[str, float]:
        """Loss, its two parts, and the Dice of the mask (cut at 0.5), at the sliders' settings."""
        alpha, step = self.alpha.value, self.step.value
        bce, dice = self.losses(*self.path(alpha)[step])
        loss = {"loss": alpha * bce + (1 - alpha) * dice, "BCE": bce, "Dice loss": dice}
        return loss | {"Dice of the mask": self._dice_at(alpha, step)}

    def shown(self) -> list:
        alpha, step = self.alpha.value, self.step.value
        pull, landscape = self.chart(330, self._draw_pull_frame), self.chart(330, self._draw_map_frame)
        pull.mark(self._mark_pull, alpha, step)
        pull.dot(*self._pull_now(alpha, step), BLUE)
        landscape.mark(self._mark_way, alpha, step)
        landscape.dot(*self.path(alpha)[step], ORANGE)
        title = f"alpha {alpha:g}, step {step}: Dice {self._dice_at(alpha, step):.2f}"
        given = [("picture", grey(self.brightness)), ("truth", grey(self.mask))]
        return [pull.canvas, landscape.canvas, (title, self._answer(alpha, step)), *given]

    def describe(self) -> str:
        weight, bias = self.path(self.alpha.value)[self.step.value]
        place = f"alpha {self.alpha.value:.2f}, step {self.step.value}: w {weight:.2f}, b {bias:.2f}"
        return f"{place} · {self.in_words(self.scores)}"

    def figure(self, step: int = 30) -> Figure:
        """One row per alpha: the pull on a person pixel, the landscape with the way taken, the answer."""
        figure = Picture(figsize=(7.5, 7.2), layout="constrained")
        for (pull, landscape, answer), alpha in zip(figure.subplots(3, 3), (1, 0.5, 0), strict=True):
            self._draw_pull_frame(pull)
            self._mark_pull(pull, alpha, step)
            self._draw_map_frame(landscape)
            self._mark_way(landscape, alpha, step)
            hang(answer, self._answer(alpha, step), f"alpha {alpha:g}: Dice {self._dice_at(alpha, step):.2f}")
        return figure

    def _landscape(self, alpha: float) -> np.ndarray:
        """The loss over biases (rows) and weights: low is bright; square root, so that the valley shows."""
        loss = alpha * np.sqrt(self._bce_map / self._bce_map.max()) + (1 - alpha) * self._dice_map
        return 1 - 0.8 * (loss - loss.min()) / np.ptp(loss)

    def _answer(self, alpha: float, step: int) -> np.ndarray:
        return outlined(shrink(grey(self.probs(alpha, step))), shrink(self.mask.astype(np.uint8)))

    def _dice_at(self, alpha: float, step: int) -> float:
        return count_pixels(self.probs(alpha, step)[None] > 0.5, self.mask[None]).dice().item()

    def _dice_pull(self, probs: np.ndarray, y: np.ndarray | float, all_probs: np.ndarray) -> np.ndarray:
        """Pull of the Dice loss on pixels with these probabilities and labels, all others as they are."""
        top = 2 * (all_probs * self._y).sum() + 1
        whole = all_probs.sum() + self._y.sum() + 1
        return (2 * np.asarray(y) * whole - top) / whole**2 * probs * (1 - probs)

    def _pull_curves(self, alpha: float, step: int) -> list[tuple[np.ndarray, str, int]]:
        """Pull on one person pixel against its logit, in units in which BCE's strongest pull is 1."""
        weight, bias = self.path(alpha)[step]
        others = expit(weight * self._x + bias)
        probs, count = expit(self.logits), len(self._x)
        bce = 1 - probs
        dice = self._dice_pull(probs, 1.0, others) * count
        return [(bce, GREY, 2), (dice, GREEN, 2), (alpha * bce + (1 - alpha) * dice, BLUE, 4)]

    def _pull_now(self, alpha: float, step: int) -> tuple[float, float]:
        """Where the average person pixel stands: its logit, and the mix's pull on it."""
        weight, bias = self.path(alpha)[step]
        logit = weight * self._x[self._y > 0].mean() + bias
        return logit, float(np.interp(logit, self.logits, self._pull_curves(alpha, step)[-1][0]))

    def _draw_pull_frame(self, axes: Axes) -> None:
        for colour, width, name in ((GREY, 2, "BCE"), (GREEN, 2, "Dice"), (BLUE, 4, "the mix")):
            axes.plot([], [], color=colour, lw=width, label=name)
        axes.set(xlabel="logit of one person pixel", ylabel="pull", xlim=(-8, 8), ylim=(-0.3, 7))
        axes.set_title("how strongly is it pulled up?", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="upper right")

    def _mark_pull(self, axes: Axes, alpha: float, step: int) -> None:
        for curve, colour, width in self._pull_curves(alpha, step):
            axes.plot(self.logits, curve, color=colour, lw=width / 1.5)
        axes.plot(*self._pull_now(alpha, step), "o", color=BLUE)

    def _mark_way(self, axes: Axes, alpha: float, step: int) -> None:
        shades = {"cmap": "gray", "vmin": 0, "vmax": 1, "shading": "gouraud"}
        axes.pcolormesh(*self._places, self._landscape(alpha), **shades)
        axes.plot(*self.path(alpha)[: step + 1].T, color=ORANGE)
        axes.plot(*self.path(alpha)[step], "o", color=ORANGE)

    def _draw_map_frame(self, axes: Axes) -> None:
        axes.set(xlabel="w", ylabel="b", xlim=self._extent[:2], ylim=self._extent[2:])
        axes.set_title("loss: bright is low", fontsize=10)


class NetworkExplorer(Explorer):
    """Trained networks, one for every alpha and seed: what each makes of a picture, at any threshold.

    images: uint8 RGB (P, H, W, 3).   masks: the truths, {0, 1} (P, H, W).
    probs: uint8 (A, S, P, H, W), 255 is sure: A alphas, S seeds.   alphas: their A values.
    dice: {alpha: (S, T)}, the Dice of each network over a whole split at the T thresholds `cuts`.
    alpha: where the slider starts; the nearest of the alphas.

    Attributes: alpha, seed, threshold and picture, the sliders; scores (dict: Dice and IoU of this picture,
    Dice of the split at the nearest of the cuts).   Introduced in notebook 05.
    """

    def __init__(
        self,
        images: np.ndarray,
        masks: np.ndarray,
        probs: np.ndarray,
        alphas: Sequence[float],
        dice: dict[float, np.ndarray],
        cuts: np.ndarray,
        alpha: float = 0.5,
    ):
        check_sizes(images=images[0], masks=masks[0], probs=probs[0, 0, 0])
        self.images, self.masks, self.probs = images, masks.astype(bool), probs
        self.alphas, self.dice, self.cuts = list(alphas), dice, np.asarray(cuts)
        start = min(self.alphas, key=lambda one: abs(one - alpha))
        options = [(f"{one:g}", one) for one in self.alphas]
        super().__init__(
            alpha=ipywidgets.SelectionSlider(options=options, value=start, description="alpha"),
            seed=slider("seed", 0, 0, probs.shape[1] - 1, 1),
            threshold=slider("threshold", 0.5, 0.05, 0.95, 0.05),
            picture_number=slider("picture", len(images) // 2, 0, len(images) - 1, 1),
        )

    def predicted(self) -> np.ndarray:
        """The mask of the chosen network at the chosen threshold: bool (H, W)."""
        number = self.picture_number.value
        return self._mask_of(self.alpha.value, self.seed.value, number, self.threshold.value)

    @property
    def scores(self) -> dict[str, float]:
        """What the mask scores, and what the network scores over the split."""
        counts = count_pixels(self.predicted()[None], self.masks[self.picture_number.value][None])
        own = self.dice[self.alpha.value][self.seed.value]
        scores = {name: counts.per_image(name.lower()).item() for name in ("Dice", "IoU")}
        return scores | {"Dice of all": float(np.interp(self.threshold.value, self.cuts, own))}

    def shown(self) -> list:
        number = self.picture_number.value
        image, mask = self.images[number], self.masks[number]
        chart = self.chart(380, self._draw_frame)
        curves = self.dice[self.alpha.value]
        chart.mark(Axes.plot, self.cuts, curves.T, color=PALE, lw=2)
        chart.mark(Axes.plot, self.cuts, curves[self.seed.value], color=BLUE, lw=3)
        threshold = self.threshold.value
        chart.mark(Axes.axvline, threshold, color=GREY, lw=0.8)
        chart.dot(threshold, self.scores["Dice of all"], BLUE, 6)
        truth = outlined(shrink(image), shrink(mask.astype(np.uint8)))
        found = "blue right, orange too much, yellow missed", show_mistakes(image, self.predicted(), mask)
        return [("picture and truth", truth), found, chart.canvas]

    def describe(self) -> str:
        scores = self.scores
        return (
            f"alpha {self.alpha.value:g}, seed {self.seed.value}, cut at {self.threshold.value:.2f} · "
            f"this picture: Dice {scores['Dice']:.3f}, IoU {scores['IoU']:.3f} · "
            f"all pictures: Dice {scores['Dice of all']:.3f}"
        )

    def figure(self) -> Figure:
        """A row for each alpha and a column for every second picture: the first seed's masks, cut at 0.5."""
        shown = range(0, len(self.images), 2)
        figure = Picture(figsize=(1.6 * len(shown), 1.6 * len(self.alphas)), layout="constrained")
        grid = figure.subplots(len(self.alphas), len(shown), squeeze=False)
        for row, alpha in zip(grid, self.alphas, strict=True):
            for number, axes in zip(shown, row, strict=True):
                pred = self._mask_of(alpha, 0, number, 0.5)
                axes.imshow(show_mistakes(self.images[number], pred, self.masks[number]))
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            row[0].set_ylabel(f"alpha {alpha:g}")
        return figure

    def _mask_of(self, alpha: float, seed: int, number: int, threshold: float) -> np.ndarray:
        return self.probs[self.alphas.index(alpha), seed, number] > 255 * threshold

    def _draw_frame(self, axes: Axes) -> None:
        axes.plot([], [], color=BLUE, lw=3, label="this network")
        axes.plot([], [], color=PALE, lw=2, label="the other seeds of its alpha")
        top = max(float(curves.max()) for curves in self.dice.values())
        axes.set(xlabel="threshold", ylabel="Dice, all pictures", xlim=(0, 1), ylim=(0, top + 0.12))
        axes.legend(frameon=False, fontsize=8, loc="lower center")


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
        check_sizes(image=image, mask=mask)
        self.model, self.image, self.mask, self.loss_fn = model, image, mask, loss_fn
        self._targets = torch.from_numpy(mask.astype(np.float32))[None, None]
        self._photo = shrink(image)
        self.knobs = {name: slider(name, float(value), 0.02, 1, 0.01) for name, value in start.items()}
        super().__init__(**self.knobs)

    @property
    def loss(self) -> float:
        return self._loss_and_mask(self._values())[0]

    def shown(self) -> list:
        loss, pred = self._loss_and_mask(self._values())
        found = "blue right, orange too much", show_mistakes(self.image, pred, self.mask)
        return [("picture", self._photo), found, bars({"loss": loss}, [rgb(BLUE)], most=5)]

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


def draw_small_person(seed: int = 0, size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A noisy dark square with a small bright person: brightness float (S, S), mask bool (S, S)."""
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(mask, (15, 9), 1, 1, -1)
    cv2.ellipse(mask, (15, 15), (2, 4), 0, 0, 360, 1, -1)
    noise = np.random.default_rng(seed).normal(0, 0.12, mask.shape)
    return (0.3 + 0.4 * mask + noise).clip(0, 1), mask.astype(bool)

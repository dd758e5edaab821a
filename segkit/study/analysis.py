"""Where does a network fail, by how much, and can its probabilities be believed? Introduced in notebook 09.

Everything here works on what a segmenter returned and on the true masks; no network runs in this file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

from segkit.metrics import Counts, interval, resampled_means
from segkit.plots import BLUE, GREY, ORANGE, Picture

# --- what is in a picture -------------------------------------------------------------------------------

SMALLEST_PIECE = 0.002
"""Pieces of a mask below this share of the picture are crumbs, not people."""


@dataclass(frozen=True)
class Traits:
    """What is computed about one picture and its true mask."""

    share: float
    """Of the pixels that are person."""
    cut_off: bool
    """The person touches the frame of the picture, so part of them is likely outside."""
    pieces: int
    """Connected pieces of the mask: a stand-in for the number of people. Two who overlap make one piece,
    and one behind a post makes two."""
    brightness: float
    """Mean of the grey picture, 0 black to 1 white."""
    sharpness: float
    """log10 of the variance of the Laplacian over that of the picture: low where it is blurred, or plain."""


def measure_traits(image: np.ndarray, mask: np.ndarray) -> Traits:
    """Person size, truncation, number of people, darkness and blur of one picture, computed.

    image: uint8 RGB (H, W, 3).   mask: the truth, bool or {0, 1} (H, W).
    Blur by the variance of the Laplacian: Pech-Pacheco et al. (2000).   Introduced in notebook 09.
    """
    mask = np.ascontiguousarray(mask, np.uint8)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    frame = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    # One scale for all: a photograph seems blurred when it is merely larger.
    scale = 256 / max(grey.shape)
    size = [max(3, round(side * scale)) for side in grey.shape[::-1]]
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return Traits(
        share=float(mask.mean()),
        cut_off=any(line.any() for line in frame),
        # A person may be a crumb, and then is one piece all the same.
        pieces=max(int((stats[1:, cv2.CC_STAT_AREA] >= SMALLEST_PIECE * mask.size).sum()), int(mask.any())),
        brightness=float(grey.mean() / 255),
        # Relative to the contrast, or a dark picture would count as blurred; 1e-4 keeps the log finite.
        sharpness=float(np.log10(cv2.Laplacian(small, cv2.CV_64F).var() / (small.var() + 1) + 1e-4)),
    )


def slice_groups(traits: Sequence[Traits]) -> dict[str, dict[str, np.ndarray]]:
    """Cut a set into slices by each trait.

    Returns: {trait: {slice: bool (N,)}}; the slices of one trait are disjoint and cover the set, except
    that pictures with nobody in them have no size, no frame and no pieces. Dark and blurred mean the
    lowest quarter of the set at hand.   Introduced in notebook 09.
    """
    share, cut_off, pieces, brightness, sharpness = (
        np.array([getattr(one, name) for one in traits]) for name in Traits.__dataclass_fields__
    )
    person = share > 0
    dark = brightness < np.quantile(brightness, 0.25)
    blurred = sharpness < np.quantile(sharpness, 0.25)
    return {
        "person size": {
            "under 10 %": person & (share < 0.1),
            "10 to 30 %": (share >= 0.1) & (share < 0.3),
            "over 30 %": share >= 0.3,
        },
        "frame": {"whole person": person & ~cut_off, "cut off by the frame": cut_off},
        "people": {"one piece": pieces == 1, "several pieces": pieces > 1},
        "light": {"darkest quarter": dark, "the rest": ~dark},
        "blur": {"least sharp quarter": blurred, "the rest": ~blurred},
    }


# --- how sure are we of a mean? -------------------------------------------------------------------------


def slice_table(
    scores: np.ndarray, slices: dict[str, dict[str, np.ndarray]], groups: Sequence, seed: int = 0
) -> list[dict]:
    """Count, mean and 95 % bootstrap interval of every slice.

    scores: (N,).   slices: from slice_groups.   groups: as in resampled_means.
    Returns: rows with trait, slice, count, mean, low, high; an empty slice has none of the last three.
    Introduced in notebook 09.
    """
    scores, groups = np.asarray(scores, np.float64), np.asarray(groups)
    rows = []
    for trait, parts in slices.items():
        for name, chosen in parts.items():
            row = {"trait": trait, "slice": name, "count": int(chosen.sum())}
            row |= dict.fromkeys(("mean", "low", "high"))
            if chosen.any():
                low, high = interval(resampled_means(scores[chosen], groups[chosen], seed=seed))
                row |= {"mean": float(scores[chosen].mean()), "low": low, "high": high}
            rows.append(row)
    return rows


def plot_slices(rows: Sequence[dict], overall: float) -> Figure:
    """A dot and an interval for every slice, traits apart, the mean of all as a line."""
    rows = [row for row in rows if row["count"]]
    traits = list(dict.fromkeys(row["trait"] for row in rows))
    places = [-i - 0.8 * traits.index(row["trait"]) for i, row in enumerate(rows)]
    figure = Picture(figsize=(7, 0.28 * len(rows) + 1.4), layout="constrained")
    axes = figure.subplots()
    axes.axvline(overall, color=GREY, lw=1, ls="--")
    for place, row in zip(places, rows, strict=True):
        colour = ORANGE if row["high"] < overall else BLUE
        axes.plot([row["low"], row["high"]], [place, place], color=colour, lw=2)
        axes.plot(row["mean"], place, "o", color=colour, ms=6)
    labels = [f"{row['trait']}: {row['slice']}  ({row['count']})" for row in rows]
    axes.set_yticks(places, labels, fontsize=9)
    axes.set(xlabel="mean Dice with its 95 % interval; dashed: all pictures")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


# --- can the probabilities be believed? -----------------------------------------------------------------


@dataclass(frozen=True)
class Reliability:
    """Pixels sorted into equal bins by the probability they were given; three arrays (bins,)."""

    count: np.ndarray
    said: np.ndarray
    """Mean probability of the pixels in each bin; nan in an empty one."""
    true: np.ndarray
    """Share of them that is person; nan in an empty one."""

    @property
    def ece(self) -> float:
        """Expected calibration error: how far said and true are apart, averaged over all pixels.

        Naeini, Cooper and Hauskrecht (2015); Guo et al. (2017).
        """
        return float(np.nansum(self.count * np.abs(self.said - self.true)) / self.count.sum())


def reliability(probs: Sequence[np.ndarray], masks: Sequence[np.ndarray], bins: int = 15) -> Reliability:
    """Of the pixels that were called person with 80 %, are 80 % person?

    probs: float in [0, 1], one array per picture, of any shape.   masks: the truth, bool or {0, 1}.
    Introduced in notebook 09.
    """
    count, said, true = np.zeros((3, bins))
    for prob, mask in zip(probs, masks, strict=True):
        prob = np.asarray(prob, np.float64).ravel()
        place = np.minimum((prob * bins).astype(int), bins - 1)  # a probability of 1 falls into the last bin
        count += np.bincount(place, minlength=bins)
        said += np.bincount(place, prob, minlength=bins)
        true += np.bincount(place, np.asarray(mask, np.float64).ravel(), minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(count.astype(np.int64), said / count, true / count)


def temper(prob: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities from logits divided by a temperature: above 1 they move towards 0.5.

    Which pixels lie above 0.5 does not change.   Guo et al. (2017); introduced in notebook 09.
    """
    # The shipped networks are float32: beyond these ends a probability has no logit any more.
    prob = np.clip(np.asarray(prob, np.float64), 1e-7, 1 - 1e-7)
    return 1 / (1 + ((1 - prob) / prob) ** (1 / temperature))


def some_pixels(
    probs: Sequence[np.ndarray], masks: Sequence[np.ndarray], most: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """At most so many pixels of all pictures, drawn at random: probabilities (P,), truth bool (P,)."""
    prob, true = (np.concatenate([np.ravel(one) for one in of]) for of in (probs, masks))
    if len(prob) > most:
        chosen = np.random.default_rng(seed).choice(len(prob), most, replace=False)
        prob, true = prob[chosen], true[chosen]
    return prob, true.astype(bool)


def fit_temperature(probs: Sequence[np.ndarray], masks: Sequence[np.ndarray], seed: int = 0) -> float:
    """The temperature under which the true masks are likeliest: the lowest cross-entropy.

    Fit it on validation pictures; the test split says whether it helped.   Introduced in notebook 09.
    """
    prob, true = some_pixels(probs, masks, 500_000, seed)

    def cross_entropy(log_temperature: float) -> float:
        given = temper(prob, np.exp(log_temperature))
        return -np.log(np.where(true, given, 1 - given).clip(1e-12)).mean()

    # One valley: the loss is convex in 1 / temperature.
    found = minimize_scalar(cross_entropy, bounds=np.log([0.05, 20]), method="bounded")
    return float(np.exp(found.x))


def plot_reliability(curves: dict[str, Reliability]) -> Figure:
    """Said against true, the diagonal of the honest, and below it where the pixels lie."""
    figure = Picture(figsize=(min(7.5, 4.2 * len(curves)), 4.4), layout="constrained")
    grid = figure.subplots(2, len(curves), squeeze=False, height_ratios=[3, 1], sharex=True, sharey="row")
    for (name, curve), axes, below in zip(curves.items(), *grid, strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="believable")
        held = curve.count > 0
        axes.plot(curve.said[held], curve.true[held], "o-", color=BLUE, ms=4, label="the network")
        axes.vlines(curve.said[held], curve.said[held], curve.true[held], color=ORANGE, lw=3, alpha=0.6)
        axes.set(title=f"{name}\nECE {curve.ece:.3f}", xlim=(0, 1), ylim=(0, 1))
        below.bar((np.arange(len(held)) + 0.5) / len(held), curve.count, 0.9 / len(held), color=GREY)
        below.set(xlabel="probability said", yscale="log")
    grid[0, 0].set_ylabel("share that is person")
    grid[1, 0].set_ylabel("pixels")
    grid[0, 0].legend(frameon=False, loc="upper left", fontsize=9)
    return figure


# --- where to cut ---------------------------------------------------------------------------------------


def dice_by_threshold(
    probs: Sequence[np.ndarray], masks: Sequence[np.ndarray], thresholds: np.ndarray
) -> np.ndarray:
    """Dice of every picture at every threshold: (N, T). A pixel is person where prob > threshold.

    thresholds: (T,). Two empty masks score 1.   Introduced in notebook 09.
    """
    rows = []
    for prob, mask in zip(probs, masks, strict=True):
        prob, true = np.asarray(prob, np.float32), np.asarray(mask, bool)
        rows.append(counts_by_threshold(np.sort(prob[true]), np.sort(prob[~true]), thresholds).dice())
    return np.stack(rows)


def counts_by_threshold(person: np.ndarray, rest: np.ndarray, thresholds: Sequence[float]) -> Counts:
    """Counts (T,) of one picture, a cut at each threshold: sorted once, every threshold is a look-up.

    person, rest: the probabilities of the true person's pixels and of all others, each sorted, float32.
    """
    cuts = np.asarray(thresholds, np.float32)
    tp, fp = (torch.from_numpy(len(p) - np.searchsorted(p, cuts, side="right")) for p in (person, rest))
    return Counts(tp, fp, len(person) - tp, len(rest) - fp)


# --- which class is taken for which ----------------------------------------------------------------------


def show_confusion(matrix: np.ndarray, names: Sequence[str], title: str = "") -> Picture:
    """A confusion matrix as shares of each row: of the true pixels of a class, how many were called what.

    matrix: counts (C, C), rows true, columns called.   names: of the classes.   Introduced in notebook 14.
    """
    matrix = np.asarray(matrix, float)
    share = matrix / matrix.sum(1, keepdims=True).clip(1)
    side = 1.6 + 0.55 * len(names)
    figure = Picture(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        text, colour = f"{value:.0%}" if value >= 0.005 else "·", "white" if value > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="called", ylabel="true", title=title)
    return figure

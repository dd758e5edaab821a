"""The knobs of notebooks 09 and 10."""

import itertools
from collections.abc import Sequence
from functools import cache

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segkit.course.knobs.explorer import Explorer, shrink, slider
from segkit.metrics import boundary_f
from segkit.plots import BLUE, GREY, ORANGE, Picture, contact_sheet, grey, outlined, show_mistakes
from segkit.study.analysis import (
    Reliability,
    Traits,
    dice_by_threshold,
    reliability,
    slice_groups,
    some_pixels,
    temper,
)

EVERYTHING = "all pictures"


class WorstFirst(Explorer):
    """Leaf through the pictures of a set, the worst first, in all or in one slice.

    images: uint8 (H, W, 3) each.   probs: float (H, W) each.   masks: the truth, bool or {0, 1} (H, W) each.
    names: of the pictures.   traits: from measure_traits, for the slices.   threshold: where to cut.

    Attributes: order, part (dropdowns: what counts as worst, which slice), place (slider: 0 is the worst),
    ranking (indices, worst first, of the present settings), chosen (the index that is shown), dice (N,).
    Introduced in notebook 09.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        probs: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        names: Sequence[str],
        traits: Sequence[Traits],
        threshold: float = 0.5,
    ):
        self.images, self.probs, self.names, self.facts = images, probs, names, traits
        self.masks, self.cut = [mask.astype(bool) for mask in masks], threshold
        self.dice = dice_by_threshold(probs, masks, np.array([threshold]))[:, 0]
        pairs = list(zip(probs, self.masks, strict=True))
        edges = [boundary_f((prob > threshold)[None], mask[None]).item() for prob, mask in pairs]
        # Each is a badness: high is worst.
        self._badness = {
            "lowest Dice": 1 - self.dice,
            "lowest boundary F": 1 - np.array(edges),
            "most missed": np.array([(mask & (prob <= threshold)).mean() for prob, mask in pairs]),
            "most false alarm": np.array([(~mask & (prob > threshold)).mean() for prob, mask in pairs]),
            "surest and wrong": np.array([(np.abs(prob - mask) > 0.9).mean() for prob, mask in pairs]),
        }
        self._parts = {EVERYTHING: np.ones(len(names), bool)}
        for trait, slices in slice_groups(traits).items():
            self._parts |= {f"{trait}: {name}": chosen for name, chosen in slices.items() if chosen.any()}
        super().__init__(
            order=ipywidgets.Dropdown(options=list(self._badness), description="worst is"),
            part=ipywidgets.Dropdown(options=list(self._parts), description="in"),
            place=slider("place", 0, 0, len(names) - 1, 1),
        )
        self.part.observe(self._start_again, names="value")

    @property
    def ranking(self) -> np.ndarray:
        """The pictures of the chosen slice, worst first."""
        chosen = np.flatnonzero(self._parts[self.part.value])
        return chosen[np.argsort(-self._badness[self.order.value][chosen], kind="stable")]

    @property
    def chosen(self) -> int:
        return int(self.ranking[self._place])

    @property
    def _place(self) -> int:
        return min(self.place.value, len(self.ranking) - 1)  # a slice may be shorter than the slider

    def shown(self) -> list:
        image, prob, mask = (of[self.chosen] for of in (self.images, self.probs, self.masks))
        chart, scores = self.chart(330, self._draw_frame), self.dice[self.ranking]
        places = np.linspace(0, 1, len(scores))
        chart.mark(Axes.plot, places, scores, "o", color=GREY, ms=4)
        chart.dot(places[self._place], self.dice[self.chosen], ORANGE)
        small = shrink(prob.astype(np.float32))
        cut = "probability, and where it is cut", outlined(grey(small), small > self.cut)
        found = "blue found, orange wrong, yellow missed", show_mistakes(image, prob > self.cut, mask)
        return [(self.names[self.chosen], image), cut, found, chart.canvas]

    def describe(self) -> str:
        trait = self.facts[self.chosen]
        return (
            f"{self._place + 1} of {len(self.ranking)} · Dice "
            f"{self.dice[self.chosen]:.3f} · person {trait.share:.0%} of the picture, in {trait.pieces} "
            f"piece{'' if trait.pieces == 1 else 's'}, {'cut off' if trait.cut_off else 'whole'} · "
            f"brightness {trait.brightness:.2f} · sharpness {trait.sharpness:.1f}"
        )

    def figure(self, count: int = 12, columns: int = 6) -> Figure:
        """The worst of the present order and slice, as one sheet."""
        worst = self.ranking[:count]
        pictures = [
            shrink(show_mistakes(self.images[i], self.probs[i] > self.cut, self.masks[i]), 170) for i in worst
        ]
        return contact_sheet(pictures, [f"{self.names[i][-16:]}  {self.dice[i]:.2f}" for i in worst], columns)

    def _start_again(self, change: dict) -> None:
        self.place.max = len(self.ranking) - 1
        self.place.value = 0

    def _draw_frame(self, axes: Axes) -> None:
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.03, 1.03), xticks=[0, 1], ylabel="Dice")
        axes.set_xticklabels(["worst", "best"])


class TemperatureExplorer(Explorer):
    """Make a network more or less sure of itself: the calibration curve, and a picture at that temperature.

    probs, masks: one array per picture.   image: which of them to show.   bins: of the curve.

    Attributes: temperature (the slider), curve (Reliability at the present one).   Introduced in notebook 09.
    """

    def __init__(
        self,
        probs: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        image: int = 0,
        bins: int = 15,
        seed: int = 0,
    ):
        self.prob, self.bins = np.asarray(probs[image], np.float32), bins
        # Enough for two decimals, and quick.
        self._prob, self._true = some_pixels(probs, masks, 200_000, seed)
        log = {"base": 2, "min": -2, "max": 2, "step": 0.05}
        super().__init__(temperature=ipywidgets.FloatLogSlider(1.0, description="temperature", **log))

    def at(self, temperature: float) -> Reliability:
        """The calibration at any temperature."""
        return reliability([temper(self._prob, temperature)], [self._true], self.bins)

    @property
    def curve(self) -> Reliability:
        return self.at(self.temperature.value)

    def shown(self) -> list:
        chart = self.chart(324, self._draw_frame)
        chart.mark(self._mark_curve, self.curve)
        prob = shrink(temper(self.prob, self.temperature.value).astype(np.float32))
        return [chart.canvas, ("probability; the line is at 0.5", outlined(grey(prob), prob > 0.5))]

    def describe(self) -> str:
        return f"temperature {self.temperature.value:.2f} · expected calibration error {self.curve.ece:.4f}"

    def figure(self) -> Figure:
        """The curve at several temperatures, and the error at all of them."""
        figure = Picture(figsize=(7.5, 5.6), layout="constrained")
        *curves, errors = (figure.add_subplot(2, 3, place) for place in range(1, 6))
        for axes, temperature in zip(curves, (0.5, 1.0, 2.0, 4.0), strict=True):
            self._draw_frame(axes)
            curve = self.at(temperature)
            self._mark_curve(axes, curve)
            axes.set_title(f"temperature {temperature:g}\nECE {curve.ece:.3f}", fontsize=10)
        steps = np.geomspace(0.25, 4, 25)
        errors.plot(steps, [self.at(step).ece for step in steps], color=BLUE)
        errors.set(xscale="log", xlabel="temperature", ylabel="ECE", ylim=(0, None))
        errors.set_xticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
        errors.minorticks_off()
        return figure

    def _draw_frame(self, axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="said", ylabel="true")

    def _mark_curve(self, axes: Axes, curve: Reliability) -> None:
        held = curve.count > 0
        axes.plot(curve.said[held], curve.true[held], "o-", color=BLUE, ms=4)


class SeedExplorer(Explorer):
    """How many seeds until the winner stays the winner? Draw some of the runs of a sweep, and look again.

    rows: one line per run, as in results.csv, with its val_dice.   by: the setting that was varied.

    Runs are drawn with replacement, so more seeds than were run can be tried as well.

    Attributes: seeds, draw_number (sliders), winners (dict: setting -> share of many draws in which its mean
    is the highest).   Introduced in notebook 10.
    """

    draws = 4000

    def __init__(self, rows: pd.DataFrame, by: str, seed: int = 0):
        self.by, self._seed = by, seed
        self.runs = {value: group.to_numpy() for value, group in rows.groupby(by)["val_dice"]}
        self.winners_with = cache(self.winners_with)
        super().__init__(seeds=slider("seeds", 1, 1, 12, 1), draw_number=slider("draw", 0, 0, 49, 1))

    def drawn(self, seeds: int, number: int) -> dict:
        """{setting: scores of that many of its runs}, another choice for every number."""
        rng = np.random.default_rng((self._seed, number))
        return {value: rng.choice(runs, seeds) for value, runs in self.runs.items()}

    @property
    def winners(self) -> dict:
        return self.winners_with(self.seeds.value)

    def winners_with(self, seeds: int) -> dict:
        """How often each setting would be named the winner, had this many seeds been run."""
        rng = np.random.default_rng(self._seed)
        means = [rng.choice(runs, (self.draws, seeds)).mean(1) for runs in self.runs.values()]
        won = np.bincount(np.argmax(means, axis=0), minlength=len(means)) / self.draws
        return dict(zip(self.runs, won.tolist(), strict=True))

    def shown(self) -> list:
        chart, drawn = self.chart(440, self._draw_frame), self.drawn(self.seeds.value, self.draw_number.value)
        means = [scores.mean() for scores in drawn.values()]
        for place, scores in enumerate(drawn.values()):
            chart.mark(Axes.plot, [place] * len(scores), scores, "o", color=GREY, mec="white")
            colour = ORANGE if place == int(np.argmax(means)) else BLUE
            chart.mark(Axes.hlines, means[place], place - 0.25, place + 0.25, color=colour, lw=3)
        return [chart.canvas]

    def describe(self) -> str:
        drawn = self.drawn(self.seeds.value, self.draw_number.value)
        best = max(drawn, key=lambda value: drawn[value].mean())
        shares = ", ".join(f"{value:g}: {share:.0%}" for value, share in self.winners.items())
        many = f"{self.seeds.value} seed{'' if self.seeds.value == 1 else 's'}"
        return f"{many}, this draw: {self.by} {best:g} wins · over all draws the winner is {shares}"

    def figure(self) -> Figure:
        """How often each setting wins, over the number of seeds."""
        figure = Picture(figsize=(6.4, 3), layout="constrained")
        axes = figure.subplots()
        counts = range(1, self.seeds.max + 1)
        styles = itertools.cycle([("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"), ("-", "v")])
        colours = itertools.cycle([BLUE, ORANGE, GREY])
        for value, (line, marker), colour in zip(self.runs, styles, colours, strict=False):
            shares = [self.winners_with(count)[value] for count in counts]
            axes.plot(counts, shares, ls=line, marker=marker, color=colour, label=f"{self.by} {value:g}")
        axes.set(xlabel="seeds per setting", ylabel="how often it wins", ylim=(-0.03, 1.03), xticks=counts)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        axes.spines[["top", "right"]].set_visible(False)
        return figure

    def _draw_frame(self, axes: Axes) -> None:
        scores = np.concatenate(list(self.runs.values()))
        room = 0.1 * np.ptp(scores) + 1e-3
        axes.set(xlim=(-0.6, len(self.runs) - 0.4), ylim=(scores.min() - room, scores.max() + room))
        axes.set_xticks(range(len(self.runs)), [f"{value:g}" for value in self.runs])
        axes.set(xlabel=f"{self.by} (grey: runs, bar: mean, orange: the winner)", ylabel="val_dice")

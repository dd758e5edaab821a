"""Scores of a trained network on a data set, at each photograph's own size. Notebooks 04 and 08."""

import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from segkit.data import SPLITS, Sample, displayed_size, find_samples, load_pair_full, read_class_names, shrink
from segkit.files import IGNORE, UNNAMED, UserError, check_choice, write_table
from segkit.metrics import Counts, boundary_f, count_labels, interval, resampled_means
from segkit.plots import colour_classes, contact_sheet, outlined, overlay, save_figure
from segkit.predict import ANSWER, BATCH_PIXELS, Segmenter

SCORES = ("dice", "iou", "pixel_accuracy", "precision", "recall")

FILES = ("per_image.csv", "worst.png")
"""What an evaluation leaves in its folder."""


@dataclass
class Evaluation:
    """Scores per image, and the counts they come from."""

    samples: list[Sample]
    counts: Counts
    boundary_f: np.ndarray
    """(N,) at a tolerance of 2 pixels"""

    classes: tuple[str, ...] = ("person",)
    """With several, counts are (N, C) and every score of an image is its mean over the classes it holds."""

    no_folds: bool = False
    """Whether folds would help no more: every picture was scored, or they are in fewer than five groups."""

    def scores(self, name: str) -> np.ndarray:
        """One of SCORES for every image: (N,)."""
        return self.counts.per_image(name).numpy()

    @property
    def groups(self) -> list[str]:
        """What each picture belongs to: (N,)."""
        return [sample.group or sample.name for sample in self.samples]

    def certainty(self) -> str:
        """How sure the mean Dice is, in a sentence: whole groups are resampled."""
        count = len(set(self.groups))
        kind = "pictures" if count == len(self.samples) else f"groups of {len(self.samples)} pictures"
        if count < 2:
            return f"mean Dice of {count} {kind}: too few for an interval"
        low, high = interval(resampled_means(self.scores("dice"), self.groups))
        advice = "" if self.no_folds else ": segkit train DATA --folds 5 scores every picture"
        caution = f"; of so few it is too narrow{advice}" if count < 10 else ""
        return f"mean Dice, 95 % interval: {low:.4f} to {high:.4f}, from {count} {kind}{caution}"

    def rows(self) -> list[dict]:
        """One dictionary per image, worst Dice first."""
        scores = {name: self.scores(name) for name in SCORES} | {"boundary_f": self.boundary_f}
        rows = [
            {"name": sample.name, "split": sample.split, "group": self.groups[i]}
            | {name: round(float(values[i]), 4) for name, values in scores.items()}
            for i, sample in enumerate(self.samples)
        ]
        return sorted(rows, key=lambda row: row["dice"])

    def table(self) -> str:
        """Mean over images beside the pooled score, in plain text, and a line for each of several classes."""
        lines = [f"{'':16}{'mean of images':>16}{'all pixels pooled':>20}"]
        pooled = self.counts.pooled()
        for name in SCORES:
            values = getattr(pooled, name)()
            all_pixels = (values if values.ndim == 1 else values[0, 1:]).nanmean().item()
            lines.append(f"{name.replace('_', ' '):16}{self.scores(name).mean():16.4f}{all_pixels:20.4f}")
        lines += [f"{'boundary F, 2 px':16}{self.boundary_f.mean():16.4f}{'-':>20}", self.certainty()]
        if len(self.classes) > 1:
            lines += [f"\n{'class':16}{'Dice, pooled':>16}{'IoU, pooled':>20}"]
            for i, name in enumerate(self.classes):
                dice, iou = pooled.dice()[0, i].item(), pooled.iou()[0, i].item()
                absent = f"{name:16}{'in no picture':>16}"
                lines.append(absent if math.isnan(dice) else f"{name:16}{dice:16.4f}{iou:20.4f}")
        return "\n".join(lines)


def evaluate(
    person: Segmenter,
    folder: str | Path,
    split: str | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch_size: int = 8,
    splits: str | Path | None = None,
) -> Evaluation:
    """Score a network on one split of a folder, or on all of it.

    The probabilities go back to the photograph's own size before they are compared, so scores of
    networks with other input sizes can be put side by side.
    split: train, val or test; None takes every picture.   flip, scales: test-time augmentation, see
    Segmenter.predict_batch.   splits: a table in place of the folder's splits.csv.   Raises: UserError.
    """
    check_choice("split", split, (None, *SPLITS))
    several = len(person.classes) > 1
    if several and (named := read_class_names(folder)) != person.classes:
        raise UserError(
            f"the network knows the classes {', '.join(person.classes)}, "
            f"but '{folder}' holds {', '.join(named)}: they must be the same, in the same order."
        )
    found = find_samples(folder, labels="parts" if several else "masks", splits=splits)
    samples = [sample for sample in found if split in (None, sample.split)]
    counts, edges, scored = [], [], []
    # Large pictures go through alone, and of the photograph its answer needs no more than this.
    batch_size = min([batch_size, *(1 + BATCH_PIXELS // math.prod(displayed_size(s.image)) for s in samples)])
    with ThreadPoolExecutor() as pool, tqdm(total=len(samples), unit="img", desc="evaluating") as bar:
        for start in range(0, len(samples), batch_size):
            batch = samples[start : start + batch_size]
            read = pool.map(lambda sample: load_pair_full(sample, classes=person.classes), batch)
            pairs = [(shrink(image, math.inf if several else ANSWER), mask) for image, mask in read]
            probs = person.predict_batch([image for image, _ in pairs], flip, scales)
            for sample, (_, mask), prob in zip(batch, pairs, probs, strict=True):
                if mask.min() >= UNNAMED:
                    bar.write(f"left out '{sample.image}': none of its pixels is asked for", sys.stderr)
                    continue
                scored.append(sample)
                pred, true, asked = person.labels(prob, mask.shape)[None], mask[None], mask[None] != IGNORE
                # Counted in parts: of a large picture, the counts of all pixels would fill the memory.
                bands = (np.array_split(one, 1 + mask.size // BATCH_PIXELS, axis=1) for one in (pred, true))
                parts = [count_labels(*two, len(person.classes)) for two in zip(*bands, strict=True)]
                counts.append(Counts.cat(parts).pooled())
                # One outline: the whole person's.
                edges.append(boundary_f(pred > 0, (true > 0) & asked, asked=asked).item())
            bar.update(len(pairs))
    if not scored:
        where = f"the {len(samples)} of {len(found)} pictures of '{folder}' in the split {split or 'all'}"
        raise UserError(f"there is nothing to score in {where}.")
    no_folds = split is None or len({sample.group or sample.name for sample in found}) < 5
    return Evaluation(scored, Counts.cat(counts), np.array(edges), person.classes, no_folds)


def write_evaluation(
    result: Evaluation, person: Segmenter | Mapping[str, Segmenter], out: str | Path, worst: int = 18
) -> list[Path]:
    """Write per_image.csv (worst first) and worst.png into a folder. Returns their paths.

    person: what was scored, or, by the name of each picture, what it was scored with.
    """
    out, rows = Path(out), result.rows()
    write_table(out / "per_image.csv", rows)
    samples, pictures = {sample.name: sample for sample in result.samples}, []
    for row in rows[:worst]:
        used = person[row["name"]] if isinstance(person, Mapping) else person
        image, mask = load_pair_full(samples[row["name"]], classes=used.classes)
        small, labels = shrink(image, 320), used.labels(used(shrink(image, ANSWER)))
        size, way = small.shape[1::-1], cv2.INTER_NEAREST
        pred, true = (cv2.resize(one, size, interpolation=way) for one in (labels, mask))
        tinted = overlay(small, pred) if len(used.classes) == 1 else colour_classes(small, pred)
        pictures.append(outlined(tinted, true > 0))
    what = used.classes[0] if len(used.classes) == 1 else "classes"
    title = f"Worst first, with Dice: predicted {what} tinted, the true outline in orange"
    names = [f"{row['name'][-22:]}  {row['dice']:.2f}" for row in rows[:worst]]
    sheet = contact_sheet(pictures, names, title=title)
    return [out / "per_image.csv", save_figure(sheet, out / "worst.png")]

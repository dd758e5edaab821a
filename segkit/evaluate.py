"""Scores of a trained network on a data set, at each photograph's own size. Notebooks 04 and 08."""

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from segkit.data import SPLITS, Sample, find_samples, load_pair_full
from segkit.files import UserError, atomic_path
from segkit.metrics import Counts, boundary_f, count_pixels
from segkit.plots import contact_sheet, save_figure
from segkit.predict import Segmenter, overlay

SCORES = ("dice", "iou", "pixel_accuracy", "precision", "recall")


@dataclass
class Evaluation:
    """Scores per image, and the counts they come from."""

    samples: list[Sample]
    counts: Counts
    boundary_f: np.ndarray
    """(N,) at a tolerance of 2 pixels"""

    def rows(self) -> list[dict]:
        """One dictionary per image, worst Dice first."""
        scores = {name: getattr(self.counts, name)().tolist() for name in SCORES}
        rows = [
            {"name": sample.name, "split": sample.split}
            | {name: round(values[i], 4) for name, values in scores.items()}
            | {"boundary_f": round(float(self.boundary_f[i]), 4)}
            for i, sample in enumerate(self.samples)
        ]
        return sorted(rows, key=lambda row: row["dice"])

    def table(self) -> str:
        """Mean over images beside the pooled score, in plain text."""
        lines = [f"{'':16}{'mean of images':>16}{'all pixels pooled':>20}"]
        pooled = self.counts.pooled()
        for name in SCORES:
            mean, all_pixels = getattr(self.counts, name)().mean().item(), getattr(pooled, name)().item()
            lines.append(f"{name.replace('_', ' '):16}{mean:16.4f}{all_pixels:20.4f}")
        lines.append(f"{'boundary F, 2 px':16}{self.boundary_f.mean():16.4f}{'-':>20}")
        return "\n".join(lines)


def evaluate(
    person: Segmenter, folder: str | Path, split: str | None = None, flip: bool = False, batch_size: int = 16
) -> Evaluation:
    """Score a network on one split of a folder, or on all of it.

    The probabilities go back to the photograph's own size before they are compared, so scores of
    networks with other input sizes can be put side by side.
    split: train, val or test; None takes every picture.   Raises: UserError.
    """
    if split is not None and split not in SPLITS:
        raise UserError(f"there is no split '{split}': the splits are {', '.join(SPLITS)}.")
    found = find_samples(folder)
    samples = [sample for sample in found if split in (None, sample.split)]
    if not samples:
        raise UserError(f"the {split} split of '{folder}' is empty ({len(found)} pictures in all).")
    counts, edges = [], []
    with ThreadPoolExecutor() as pool, tqdm(total=len(samples), unit="img", desc="evaluating") as bar:
        for start in range(0, len(samples), batch_size):
            pairs = list(pool.map(load_pair_full, samples[start : start + batch_size]))
            probs = person.predict_batch([image for image, _ in pairs], flip)
            for (_, mask), prob in zip(pairs, probs, strict=True):
                pred = prob[None] > person.threshold
                counts.append(count_pixels(pred, mask[None]))
                edges.append(boundary_f(pred, mask[None]).item())
            bar.update(len(pairs))
    return Evaluation(samples, Counts.cat(counts), np.array(edges))


def write_evaluation(result: Evaluation, person: Segmenter, out: str | Path, worst: int = 18) -> list[Path]:
    """Write per_image.csv (worst first) and worst.png into a folder. Returns their paths."""
    out, rows = Path(out), result.rows()
    with atomic_path(out / "per_image.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    samples = {sample.name: sample for sample in result.samples}
    pictures = []
    for row in rows[:worst]:
        image, mask = load_pair_full(samples[row["name"]])
        image, pred = _thumbnail(image), _thumbnail((person(image) > person.threshold).astype(np.uint8))
        outlines, _ = cv2.findContours(_thumbnail(mask), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        pictures.append(cv2.drawContours(overlay(image, pred), outlines, -1, (230, 159, 0), 2))
    sheet = contact_sheet(
        pictures,
        [f"{row['name'][-22:]}  {row['dice']:.2f}" for row in rows[:worst]],
        title="Worst first, with Dice: prediction in blue, the true outline in orange",
    )
    return [out / "per_image.csv", save_figure(sheet, out / "worst.png")]


def _thumbnail(picture: np.ndarray, side: int = 320) -> np.ndarray:
    scale = side / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST if picture.ndim == 2 else cv2.INTER_AREA)

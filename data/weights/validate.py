"""What the weights are chosen by: validation photographs of every kind, none of a test set.

    python data/weights/validate.py runs/photographs person-base              # at its own input size
    python data/weights/validate.py runs/photographs runs/a runs/b --sizes 256 288 352

The kinds, from the validation split of what photographs.py writes:
whole     COCO photographs with a small person
cut       up to three cuts of each: a third to two thirds of its sides, a person on 12 to 85 % of it
close     COCO photographs whose person fills a fifth or more
portrait  selfies and portraits
head      the upper end of each portrait's person, so that the head fills the frame
grey      the portraits, grey and pale
full      street fashion, head to toe
nobody    pictures without a person: the share of pixels that are called person

The rule, written before the run of the present weights: the highest mean Dice over the first seven kinds;
among candidates within .003 of it, the highest mean boundary F. A candidate that calls more than 0.5 % of
the pixels of `nobody` person is out while another does not. Candidates are a run's best epoch and its moving
average at the end, at several input sizes. What ships must be ahead of what shipped before.

A network of several classes is given what clothes.py wrote:
    python data/weights/validate.py runs/clothes runs/person-parts runs/person-parts:average --sizes 320 384
Its kinds are whole, the validation split, and half, the same people from the waist up. The rule, written
before the run: the highest mean IoU of the classes without background, each over all pixels of a kind, and
over both kinds; among candidates within .003 of it, the smallest input.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from publish import load_candidate
from tqdm import tqdm

from segkit.data import find_samples, load_pair_full
from segkit.evaluate import evaluate
from segkit.files import IGNORE, read_image, read_labels, write_image
from segkit.predict import Segmenter

LARGE = 0.2
KINDS = ("whole", "cut", "close", "portrait", "head", "grey", "full")


def head_of(mask: np.ndarray) -> tuple[slice, slice] | None:
    """The upper part of the person, about as high as it is wide there: a head, and little else."""
    rows = np.flatnonzero(mask.any(1))
    tall = max(60, int(0.42 * len(rows)))
    top = max(0, rows[0] - tall // 12)
    columns = np.flatnonzero(mask[top : top + tall].any(0))
    middle, half = (columns[0] + columns[-1]) // 2, int(0.55 * tall)
    cut = np.s_[top : top + tall, max(0, middle - half) : middle + half]
    return cut if min(mask[cut].shape) >= 60 and 0.2 < mask[cut].mean() < 0.95 else None


def cuts_of(mask: np.ndarray, random: np.random.Generator) -> list[tuple[slice, slice]]:
    found = []
    for _ in range(60):
        share = random.uniform(0.3, 0.65) * random.uniform(0.8, 1.2, 2)
        height, width = (np.array(mask.shape) * share).astype(int)
        y, x = (random.integers(0, np.array(mask.shape) - (height, width))).tolist()
        cut = np.s_[y : y + height, x : x + width]
        if min(height, width) >= 90 and 0.12 < mask[cut].mean() < 0.85:
            found.append(cut)
        if len(found) == 3:
            break
    return found


def write_pictures(folder: Path, out: Path) -> None:
    """A data set per kind in `out`, from the validation split of `folder`. The cuts are always the same."""
    random = np.random.default_rng(0)
    for sample in tqdm(find_samples(folder), desc="cutting", leave=False):
        if sample.split != "val":
            continue
        image, mask = load_pair_full(sample)
        if sample.source.startswith("neg_"):
            pairs = [("nobody", sample.name, image, mask)]
        elif sample.source == "ccp":
            pairs = [("full", sample.name, image, mask)]
        elif sample.source in ("selfie", "aisegment"):
            pale = (image.mean(2, keepdims=True).repeat(3, 2) * 0.5 + 110).astype(np.uint8)
            pairs = [("portrait", sample.name, image, mask), ("grey", sample.name, pale, mask)]
            if cut := head_of(mask):
                pairs.append(("head", sample.name, image[cut], mask[cut]))
        elif mask.mean() >= LARGE:
            pairs = [("close", sample.name, image, mask)]
        else:
            pairs = [("whole", sample.name, image, mask)]
            for i, cut in enumerate(cuts_of(mask, random), 1):
                pairs.append(("cut", f"{sample.name}-{i}", image[cut], mask[cut]))
        for kind, name, picture, truth in pairs:
            write_image(out / kind / "images" / f"{name}.png", picture)
            write_image(out / kind / "masks" / f"{name}.png", truth * np.uint8(255))


def write_halves(folder: Path, out: Path) -> None:
    """The validation split as two data sets of several classes: whole, and the upper half of each person."""
    for sample in find_samples(folder, labels="parts"):
        if sample.split != "val":
            continue
        image, labels = read_image(sample.image), read_labels(sample.mask)
        rows = np.flatnonzero(((labels > 0) & (labels != IGNORE)).any(1))
        waist = np.s_[max(0, rows[0] - len(rows) // 20) : rows[0] + len(rows) // 2]
        for kind, part in (("whole", np.s_[:]), ("half", waist)):
            write_image(out / kind / "images" / f"{sample.name}.png", image[part])
            write_image(out / kind / "parts" / f"{sample.name}.png", labels[part])
    for kind in ("whole", "half"):
        shutil.copyfile(folder / "parts.json", out / kind / "parts.json")


def classes_line(person: Segmenter, pictures: Path) -> str:
    scores = [evaluate(person, pictures / kind).counts.pooled().iou()[0, 1:] for kind in ("whole", "half")]
    cells = [f"{a:.3f}/{b:.3f}" for a, b in zip(*scores, strict=True)]
    named = "  ".join(f"{name} {cell}" for name, cell in zip(person.classes[1:], cells, strict=True))
    whole, half = (score.nanmean().item() for score in scores)  # a class that nobody wears has no score
    return f"mean IoU {(whole + half) / 2:.4f} (whole {whole:.4f}, half {half:.4f})  |  {named}"


def person_line(person: Segmenter, pictures: Path) -> str:
    dice, edges = {}, []
    for kind in KINDS:
        result = evaluate(person, pictures / kind)
        dice[kind] = result.scores("dice").mean()
        edges.append(result.boundary_f.mean())
    alarms = [
        (person(read_image(path)) > person.threshold).mean()
        for path in sorted((pictures / "nobody" / "images").iterdir())
    ]
    cells = "  ".join(f"{kind} {value:.3f}" for kind, value in dice.items())
    return (
        f"Dice {np.mean(list(dice.values())):.4f}  boundary F {np.mean(edges):.3f}  "
        f"nobody {np.mean(alarms):.2%} (max {np.max(alarms):.0%})  |  {cells}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photographs", type=Path, help="what photographs.py or clothes.py wrote")
    parser.add_argument("weights", nargs="+", help="names, checkpoints, run folders, RUN:average for the end")
    parser.add_argument("--sizes", type=int, nargs="+", help="input sizes (default: each network's own)")
    parser.add_argument("--look_once", action="store_true", help="without a second look at a small person")
    given = parser.parse_args()
    pictures = given.photographs.with_name(f"{given.photographs.name}-validation")
    several = (given.photographs / "parts.json").exists()
    if not pictures.exists():
        (write_halves if several else write_pictures)(given.photographs, pictures)
    for name in given.weights:
        person = Segmenter(*load_candidate(name), device="cpu")
        person.look_closer &= not given.look_once
        for size in given.sizes or [person.preprocessing.size]:
            person.preprocessing = replace(person.preprocessing, size=size)
            line = (classes_line if several else person_line)(person, pictures)
            print(f"{name} at {size}: {line}", flush=True)


if __name__ == "__main__":
    main()

"""White matter in patients never seen: steps chosen on validation patients, judged once on 24 others.

    python notebooks/studies/15_brain.py    # writes 15_brain.csv beside it

The rule, written before the first run:
1. Patients are made from seed 271, which nothing used before: 20 to train on, 6 to validate, 24 to test.
2. The learning rate: the lesson's 3e-3 and three times as much, 150 steps each; the better mean Dice of the
   validation patients wins.
3. The steps: doubled from 150, to 600 at most, as long as that mean gains .01; the last that did is kept.
4. Only now the test patients are made, and the network so chosen is scored on them once, beside the answers
   that took no training. The network is that of the lesson: person-unet, 8 slices of 96 x 96 a step.
"""

import csv
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from segkit import Segmenter, load_dataset
from segkit.files import write_image
from segkit.metrics import count_pixels
from segkit.sets.brain import SLICES, load_brain, make_patient
from segkit.sets.importers import write_class_name
from segkit.study.few_pictures import fine_tune, starting_network

SEED = 271
TRAIN, VAL, TEST = range(20), range(20, 26), range(26, 50)


def dice(pred, true):
    return count_pixels(pred, true).pooled().dice().item()


def write_slices(folder, patients):
    """Training and validation patients as a data set; the test patients never lie in a folder."""
    lines = ["name,split,group"]
    for number, (images, masks) in patients.items():
        for z, image, mask in zip(SLICES, images, masks, strict=True):
            name = f"p{number:02}_z{z:02}"
            write_image(folder / "images" / f"{name}.png", image)
            write_image(folder / "masks" / f"{name}.png", mask.astype(np.uint8) * 255)
            lines.append(f"{name},{'train' if number in TRAIN else 'val'},p{number:02}")
    write_class_name(folder, "white matter")
    (folder / "splits.csv").write_text("\n".join(lines) + "\n")
    return {split: load_dataset(folder, split=split, size=96) for split in ("train", "val")}


def segment(network, scan):
    return np.stack([network(image[..., None].repeat(3, 2)) for image in scan]) > network.threshold


def untrained(known, scan):
    """The answers of the lesson that took no training, and where white matter usually is, slice by slice."""

    def thumbs(pictures):
        small = (
            np.stack([cv2.resize(p, (24, 28), interpolation=cv2.INTER_AREA).ravel() for p in pictures]) * 1.0
        )
        return (small - small.mean(1, keepdims=True)) / small.std(1, keepdims=True)

    images, masks = (np.concatenate(kind) for kind in zip(*known, strict=True))
    usual = np.mean([mask for _, mask in known], axis=0)
    far = ((thumbs(scan)[:, None] - thumbs(images)) ** 2).sum(-1)
    return {
        "nearest slice": masks[far.argmin(1)],
        "brightest": scan > np.quantile(scan, 1 - masks.mean()),
        "where it usually is": usual > np.quantile(usual, 1 - masks.mean()),
    }


def main():
    brain, rows = load_brain(), []
    place = Path(tempfile.mkdtemp())
    known = {number: make_patient(*brain, seed=1000 * SEED + number) for number in (*TRAIN, *VAL)}
    sets = write_slices(place / "brain", known)

    def note(**row):
        rows.append(row)
        print(row, flush=True)
        with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ("part", "answer", "lr", "steps", "patient", "dice"))
            writer.writeheader()
            writer.writerows(rows)

    def train(lr, steps):
        model, _ = starting_network("person-unet", 96)
        where = place / f"{lr}-{steps}"
        done = fine_tune(model, sets["train"], sets["val"], where, steps, lr=lr, augment=0, seed=SEED)
        network, scores = Segmenter.load(done.checkpoint), []
        for number in VAL:
            scan, white = known[number]
            scores.append(dice(segment(network, scan), white))
            how = {"lr": lr, "steps": steps, "patient": number, "dice": round(scores[-1], 4)}
            note(part="validation", answer="network", **how)
        return float(np.mean(scores)), lr, steps, network

    best = max((train(lr, 150) for lr in (3e-3, 1e-2)), key=lambda one: one[0])
    for steps in (300, 600):
        longer = train(best[1], steps)
        if longer[0] < best[0] + 0.01:
            break
        best = longer
    _, lr, steps, network = best
    for number in TEST:
        scan, white = make_patient(*brain, seed=1000 * SEED + number)
        answers = {"network": segment(network, scan)} | untrained([known[n] for n in TRAIN], scan)
        for name, pred in answers.items():
            how = {"lr": lr, "steps": steps} if name == "network" else {}
            note(part="test", answer=name, **how, patient=number, dice=round(dice(pred, white), 4))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

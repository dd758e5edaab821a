"""One data set for training from all the photographs, with a source for each and with what not to ask.

    python data/weights/photographs.py people-real people-more --out runs/photographs

- Source: the column of that name in each splits.csv; `shares` in a recipe weighs by it.
- Held out for testing: portraits with a soft matte in alphas/, one Clothing Co-Parsing photograph in ten.
- Held out for validation: what splits.csv says; one in four of the COCO photographs whose person fills a
  fifth of the picture (people-real's own validation has none); one Clothing Co-Parsing photograph in ten.
- ignore/: Clothing Co-Parsing labels the main subject alone, so passers-by are "background". Where
  person-base is sure of a person away from the labelled one, the loss asks nothing.
"""

import argparse
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from segkit.data import Sample, find_samples
from segkit.files import read_image, read_mask, write_image, write_table
from segkit.predict import Segmenter

LARGE = 0.2
"""Share of the picture from which on a person counts as a close-up."""
HELD_OUT = 4
"""One close-up of COCO in so many is for validation."""
SURE = 0.8
"""Probability from which on a person that the label leaves out is believed."""


def passers_by(mask: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Where the network is sure of people apart from the labelled one: mask and result uint8 {0, 1} (H, W).

    Pieces that touch the labelled person belong to it, or are the label's ragged edge; specks are dropped.
    """
    near = cv2.dilate(mask, np.ones((9, 9), np.uint8))
    count, pieces, facts, _ = cv2.connectedComponentsWithStats((prob > SURE).astype(np.uint8))
    found = np.zeros_like(mask)
    for piece in range(1, count):
        inside = pieces == piece
        if facts[piece, cv2.CC_STAT_AREA] > 0.0005 * mask.size and not (inside & (near > 0)).any():
            found[inside] = 1
    # The edge of a passer-by is unsure as well.
    return cv2.dilate(found, np.ones((7, 7), np.uint8)) * (1 - mask)


def split_of(sample: Sample, folder: Path, large: int) -> str:
    if (folder / "alphas" / f"{sample.name}.png").exists():
        return "test"
    if sample.source == "ccp":
        return {0: "val", 1: "test"}.get(int(sample.name[-4:]) % 10, "train")
    if sample.source == "coco_single" and large and large % HELD_OUT == 1:
        return "val"
    return sample.split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs="+", help="people-real, people-more")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    person, rows, large = Segmenter.load("person-base"), [], 0
    for folder in given.photographs:
        for sample in tqdm(find_samples(folder), desc=folder.name):
            mask = read_mask(sample.mask)
            close_up = sample.source == "coco_single" and sample.split == "train" and mask.mean() >= LARGE
            large += close_up
            split = split_of(sample, folder, large if close_up else 0)
            for kind, path in (("images", sample.image), ("masks", sample.mask)):
                (given.out / kind).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, given.out / kind / path.name)
            if sample.source == "ccp" and split == "train":
                unasked = passers_by(mask, person(read_image(sample.image)))
                if unasked.any():
                    write_image(given.out / "ignore" / f"{sample.name}.png", unasked * np.uint8(255))
            rows.append({"name": sample.name, "split": split, "source": sample.source})
    write_table(given.out / "splits.csv", rows)
    counts = Counter(row["split"] for row in rows)
    unasked = len(list(given.out.glob("ignore/*")))
    print(f"{given.out}: {dict(counts)}, {unasked} with something not asked")


if __name__ == "__main__":
    main()

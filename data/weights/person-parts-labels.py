"""Body parts for real photographs, as far as other labels give them away; the rest is 255, "do not ask".

    python data/weights/person-parts-labels.py people-real people-real-parts

people-real (see README.md beside this file) has two kinds of photographs. Clothing Co-Parsing labels
clothes, not bodies: hair is hair and shoes are feet, but a jumper covers torso and arms alike. Of a person
who stands, proportions decide the clear cases, and what is not clear becomes 255. The photographs of COCO
have a mask alone: background is background, and every pixel of the person is 255. The new folder has
images/, masks/, parts/, parts.json, splits.csv.
"""

import csv
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np

from segkit.data import find_samples
from segkit.files import IGNORE, embedded_path, read_labels, read_mask, write_image

HAIR, SKIN, UPPER, LOWER, DRESS, SHOES, ACCESSORY, BAG = range(1, 9)  # Clothing Co-Parsing
HEAD, HAIR_PART, TORSO, ARMS, HANDS, LEGS, FEET = range(1, 8)  # data/people/parts.json
HELD_OUT = 10
"""One Clothing Co-Parsing photograph in ten is for validation, one for testing."""
COCO_SHARE = 3
"""One COCO photograph in three: they teach little but what is no person."""


def body_parts(clothes: np.ndarray) -> np.ndarray:
    """Clothes uint8 (H, W) -> ids of body parts or 255, uint8 (H, W).

    Heights are shares of the person from head (0) to soles (1), widths shares of the person's height.
    """
    person = (clothes > 0) & (clothes != BAG)
    parts = np.where(person, IGNORE, 0).astype(np.uint8)
    parts[clothes == HAIR] = HAIR_PART
    rows, columns = np.flatnonzero(person.any(1)), np.flatnonzero(person.any(0))
    top, height = rows[0], rows[-1] - rows[0] + 1
    y = (np.arange(len(clothes)) - top)[:, None] / height
    shown = {kind: (clothes == kind) & (y >= 0) & (y <= 1) for kind in range(1, 9)}
    stands = height > 1.8 * (columns[-1] - columns[0] + 1)
    whole = (shown[SHOES] & (y > 0.94)).any() and ((shown[HAIR] | shown[SKIN]) & (y < 0.1)).any()
    if not (stands and whole):
        return parts

    def middle(low: float, high: float) -> float:
        return float(np.median(np.nonzero(person & (y >= low) & (y <= high))[1]))

    head, hips = middle(0, 0.12), middle(0.45, 0.55)
    axis = head + (hips - head) * (y - 0.08) / 0.42
    aside = np.abs(np.arange(clothes.shape[1])[None] - axis) / height
    cloth = shown[UPPER] | shown[DRESS]
    between = (y > 0.18) & (y < 0.46)
    for part, where in {
        HEAD: shown[SKIN] & (y < 0.15),
        HAIR_PART: shown[ACCESSORY] & (y < 0.05),  # hats
        TORSO: cloth & between & (aside < 0.06),
        ARMS: (shown[UPPER] | shown[SKIN]) & (y > 0.22) & (y < 0.42) & (aside > 0.13),
        LEGS: (cloth & (y > 0.58)) | (shown[LOWER] & (y > 0.53)) | (shown[SKIN] & (y > 0.62) & (y < 0.91)),
        FEET: (shown[SHOES] & (y > 0.91)) | (shown[SKIN] & (y > 0.95)),
    }.items():
        parts[where] = part
    parts[shown[SHOES] & (y < 0.87) & (y > 0.6)] = LEGS  # boots
    count, pieces, boxes, _ = cv2.connectedComponentsWithStats(shown[SKIN].astype(np.uint8))
    for i in range(1, count):
        _, piece_top, width, tall, _ = boxes[i]
        high = (piece_top + tall / 2 - top) / height
        if 0.25 < high < 0.62 and max(width, tall) < 0.11 * height and min(width, tall) > 0.02 * height:
            parts[pieces == i] = HANDS
    return parts


def main(source: Path, out: Path) -> None:
    rows = []
    for number, sample in enumerate(find_samples(source)):
        clothes, split = source / "parts" / f"{sample.name}.png", sample.split
        if clothes.exists():
            parts = body_parts(read_labels(clothes))
            split = {0: "val", 1: "test"}.get(int(sample.name[-4:]) % HELD_OUT, "train")
        else:
            parts = read_mask(sample.mask) * np.uint8(IGNORE)
            if split != "train" or number % COCO_SHARE:  # without a part there is nothing to validate
                continue
        for kind, path in (("images", sample.image), ("masks", sample.mask)):
            (out / kind).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / kind / path.name)
        write_image(out / "parts" / f"{sample.name}.png", parts)
        rows.append((sample.name, split))
    shutil.copyfile(embedded_path("people") / "parts.json", out / "parts.json")
    with (out / "splits.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "split"), *rows])
    print(f"{len(rows)} pictures in {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

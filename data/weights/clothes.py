"""Clothes as classes, from the photographs that name them; elsewhere a person is UNNAMED: any of the classes.

    python data/weights/clothes.py runs/photographs people-real --out runs/clothes

- Clothing Co-Parsing names hair, skin, every piece of clothing and bags. Its passers-by stay unasked for,
  as in photographs.py. It shows people from head to toe, so the upper part of each is cut out as well, a
  fifth of some and two fifths of others: ccp_upper, for the faces that fill a frame.
- data/people names parts of the body: hair is hair, head and hands are skin; under torso, arms, legs and feet
  anything may be worn, so these are UNNAMED.
- Of the other photographs, one in three: the person is UNNAMED, the rest background.
"""

import argparse
import csv
import json
import shutil
from pathlib import Path

import numpy as np

from segkit.data import find_samples
from segkit.files import IGNORE, UNNAMED, embedded_path, read_image, read_labels, read_mask, write_image

CLASSES = ("background", "hair", "skin", "upper", "lower", "dress", "footwear", "bag")
"""A skirt is a dress, tights and socks are lower."""
NAMED = np.arange(256, dtype=np.uint8)
NAMED[[7, 8]] = UNNAMED, CLASSES.index("bag")
"""The labels of people-real/parts as CLASSES; 7, accessories from hat to belt, was never learned."""
BODY = np.full(256, UNNAMED, np.uint8)
BODY[[0, 1, 2, 5]] = 0, CLASSES.index("skin"), CLASSES.index("hair"), CLASSES.index("skin")
"""data/people's background, head, hair and hands; the rest stays UNNAMED."""
OTHERS = 3
UPPER = (0.2, 0.4)


def upper_part(labels: np.ndarray, share: float) -> tuple[slice, slice]:
    """A square, cut off at the picture's edges, around the upper `share` of who is labelled."""
    person = (labels > 0) & (labels != IGNORE)
    rows = np.flatnonzero(person.any(1))
    tall = int(share * len(rows))
    top, bottom = max(0, rows[0] - tall // 10), rows[0] + tall
    middle = int(np.flatnonzero(person[top:bottom].any(0)).mean())
    half = (bottom - top) // 2
    return slice(top, bottom), slice(max(0, middle - half), middle + half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photographs", type=Path, help="what photographs.py wrote")
    parser.add_argument("named", type=Path, help="people-real, whose parts/ name clothes")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    people, rows = embedded_path("people"), []
    for number, sample in enumerate([*find_samples(given.photographs), *find_samples(people)]):
        unasked = given.photographs / "ignore" / f"{sample.name}.png"
        if sample.source == "ccp":
            labels = NAMED[read_labels(given.named / "parts" / f"{sample.name}.png")]
            if unasked.exists():
                labels[read_mask(unasked) > 0] = IGNORE
            if sample.split == "train":
                part, name = upper_part(labels, UPPER[number % 2]), f"{sample.name}-upper"
                write_image(given.out / "images" / f"{name}.png", read_image(sample.image)[part])
                write_image(given.out / "masks" / f"{name}.png", read_mask(sample.mask)[part])
                write_image(given.out / "parts" / f"{name}.png", labels[part])
                rows.append((name, "train", "ccp_upper"))
        elif sample.split != "train":
            continue
        elif sample.source == "people":
            labels = BODY[read_labels(people / "parts" / f"{sample.name}.png")]
        elif number % OTHERS == 0:
            labels = read_mask(sample.mask) * np.uint8(UNNAMED)
        else:
            continue
        for folder, path in (("images", sample.image), ("masks", sample.mask)):
            (given.out / folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, given.out / folder / path.name)
        write_image(given.out / "parts" / f"{sample.name}.png", labels)
        rows.append((sample.name, sample.split, sample.source))
    (given.out / "parts.json").write_text(json.dumps(dict(enumerate(CLASSES)), indent=2) + "\n")
    with (given.out / "splits.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "split", "source"), *rows])
    print(f"{len(rows)} pictures in {given.out}")


if __name__ == "__main__":
    main()

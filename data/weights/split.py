"""The photographs of people-real as two data sets, ccp and coco, with close-ups among the validation.

    python data/weights/split.py people-real people-real-split

people-real validates on 66 photographs of COCO, and in all of them the person is small (below a fifth of
the picture). Who chooses by them chooses a network for small people, and large pictures in. So one in four
of the 153 COCO photographs with a larger person moves from training to validation. Apart, the two sets can
also be given different weight: a folder that is named twice is seen twice in an epoch.
"""

import csv
import shutil
import sys
from pathlib import Path

from segkit.data import find_samples
from segkit.files import read_mask

LARGE = 0.2
"""Share of the picture from which on a person counts as a close-up."""
HELD_OUT = 4
"""One close-up in so many is for validation."""


def main(source: Path, out: Path) -> None:
    rows, large = {"ccp": [], "coco": []}, 0
    for sample in find_samples(source):
        kind, split = sample.name.split("_")[0], sample.split
        if kind == "coco" and split == "train" and read_mask(sample.mask).mean() >= LARGE:
            split = "train" if large % HELD_OUT else "val"
            large += 1
        for path, folder in ((sample.image, "images"), (sample.mask, "masks")):
            (out / kind / folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / kind / folder / path.name)
        rows[kind].append((sample.name, split))
    for kind, pictures in rows.items():
        with (out / kind / "splits.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("name", "split"), *pictures])
        counts = {split: sum(s == split for _, s in pictures) for split in ("train", "val")}
        print(f"{out / kind}: " + ", ".join(f"{count} {split}" for split, count in counts.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""What the choices of README.md were made by: validation photographs, whole, cut, and close-ups.

    python data/weights/validate.py people-real-split/coco person-base           # at its own input size
    python data/weights/validate.py people-real-split/coco runs/a runs/b --sizes 256 288 352

Prints the mean Dice (boundary F) of each network at each input size, on the validation photographs where the
person is small, on up to three cuts of each (a third to two thirds of its sides, of which a person fills 12
to 85 %), and on the close-ups that split.py holds out. The cuts are the same every time. Nothing here looks
at a test set.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from split import LARGE
from tqdm import tqdm

from segkit.data import find_samples, load_pair_full
from segkit.evaluate import evaluate
from segkit.files import write_image
from segkit.predict import Segmenter


def write_pictures(folder: Path, out: Path) -> None:
    """Three data sets in `out`: whole and close, validation pictures of `folder`, and cut, parts of whole."""
    random = np.random.default_rng(0)
    for sample in tqdm(find_samples(folder), desc="cutting", leave=False):
        if sample.split != "val":
            continue
        image, mask = load_pair_full(sample)
        large = mask.mean() >= LARGE
        pairs = [("close" if large else "whole", sample.name, image, mask)]
        for _ in range(60):
            if large or len(pairs) > 3:
                break
            share = random.uniform(0.3, 0.65) * random.uniform(0.8, 1.2, 2)
            height, width = (np.array(mask.shape) * share).astype(int)
            y, x = (random.integers(0, np.array(mask.shape) - (height, width))).tolist()
            cut = np.s_[y : y + height, x : x + width]
            if min(height, width) >= 90 and 0.12 < mask[cut].mean() < 0.85:
                pairs.append(("cut", f"{sample.name}-{len(pairs)}", image[cut], mask[cut]))
        for kind, name, image, mask in pairs:
            write_image(out / kind / "images" / f"{name}.png", image)
            write_image(out / kind / "masks" / f"{name}.png", mask * np.uint8(255))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photographs", type=Path, help="people-real-split/coco, see README.md")
    parser.add_argument("weights", nargs="+", help="names, checkpoints or run folders")
    parser.add_argument("--sizes", type=int, nargs="+", help="input sizes (default: each network's own)")
    parser.add_argument("--flip", action="store_true", help="average with the mirror image")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], help="average over these scales")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_pictures(given.photographs, Path(scratch))
        for name in given.weights:
            person = Segmenter.load(name)
            for size in given.sizes or [person.preprocessing.size]:
                person.preprocessing = replace(person.preprocessing, size=size)
                cells, means = [], []
                for kind in ("whole", "cut", "close"):
                    if not (Path(scratch) / kind).is_dir():
                        continue
                    result = evaluate(person, Path(scratch) / kind, None, given.flip, given.scales)
                    dice, edge = result.scores("dice").mean(), result.boundary_f.mean()
                    means.append(dice)
                    cells.append(f"{kind} ({len(result.samples)}) {dice:.4f} ({edge:.3f})")
                print(f"{name} at {size}: {'   '.join(cells)}   mean {np.mean(means):.4f}", flush=True)


if __name__ == "__main__":
    main()

"""Whether a second look pays, and how it should look: validation photographs, as validate.py wrote them.

    python data/weights/closer.py runs/photographs-validation person-base

The first look finds the person; the second sees the mirror image of the square around it, or of the whole
where the person fills it. One row for each margin around the person, and of these one for each share that
the second look has in the answer, none for one look: mean Dice and boundary F of the kinds whole, cut and
close, and the pixels called person where nobody is.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from tqdm import tqdm

from segkit import predict
from segkit.data import find_samples, load_pair_full
from segkit.metrics import boundary_f, dice_score
from segkit.predict import Segmenter, part_with_person, settle

KINDS = ("whole", "cut", "close", "nobody")
MARGINS = (0.2, 0.3, 0.4, 0.5, 0.7)
SHARES = (0, 0.5, 0.7, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", type=Path, help="a data set per kind")
    parser.add_argument("weights")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--limit", type=int, help="of each kind, this many pictures")
    given = parser.parse_args()
    person = Segmenter.load(given.weights, engine=given.engine)
    scores = {key: {kind: [] for kind in KINDS} for key in itertools.product(MARGINS, SHARES)}
    for kind in KINDS:
        for sample in tqdm(find_samples(given.pictures / kind)[: given.limit], desc=kind, leave=False):
            image, truth = load_pair_full(sample)
            (first,) = person.look_once([image])
            for margin in MARGINS:
                predict.MARGIN = margin
                part = part_with_person(first)
                (second,) = person.look_once([image[part or ...]], mirrored=True)
                for share in SHARES:
                    prob = first.copy()
                    if share:  # as Segmenter does, with another margin and another share
                        inside = prob[part or ...]
                        inside += (share if part else 0.5) * (second - inside)
                        settle(prob)
                    pred = (prob > person.threshold)[None]
                    both = dice_score(pred, truth[None]), boundary_f(pred, truth[None])
                    scores[margin, share][kind].append(
                        (pred.mean(), 0) if kind == "nobody" else [score.item() for score in both]
                    )
    for (margin, share), kinds in scores.items():
        means = {kind: np.mean(values, axis=0) for kind, values in kinds.items()}
        cells = "  ".join(f"{kind} {means[kind][0]:.4f} / {means[kind][1]:.3f}" for kind in KINDS[:3])
        print(f"margin {margin}, share {share}: {cells}  nobody {means['nobody'][0]:.2%}")


if __name__ == "__main__":
    main()

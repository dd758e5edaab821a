"""How far from the truth is a score on few pictures? One split against five folds, ten times 40 pictures.

    python notebooks/studies/09_folds.py    # writes 09_folds.csv beside it; finished seeds are kept

For each seed, whole scenes of data/people, 40 pictures together, are taken as if there were no others, and
dealt as `segkit data split` and `segkit train --folds 5` deal. A tiny network is trained on one split and
scored on its test pictures; five are trained in folds and score all 40. The truth is what the same networks
score on all the pictures that were not taken. Network and loop are those of 02_leakage.py: sixty trainings.
"""

import csv
import runpy
from pathlib import Path

import numpy as np
import torch

from segkit.sets.groups import deal_folds, deal_groups

HERE = Path(__file__).parent
PICTURES, SEEDS, EPOCHS = 40, 10, 30
COLUMNS = ("seed", "pictures_single", "single", "truth_single", "pictures_folds", "folds", "truth_folds")
leakage = runpy.run_path(str(HERE / "02_leakage.py"))


def take(scenes: np.ndarray, seed: int) -> np.ndarray:
    """The rows of whole scenes, as they come, as long as they fit into PICTURES."""
    taken: list[int] = []
    for scene in np.random.default_rng(seed).permutation(np.unique(scenes)):
        views = np.flatnonzero(scenes == scene).tolist()
        taken += views if len(taken) + len(views) <= PICTURES else []
    return np.array(taken)


def one_seed(images: np.ndarray, masks: np.ndarray, scenes: np.ndarray, seed: int) -> dict:
    """A row of the table."""
    taken = take(scenes, seed)
    others = np.setdiff1d(np.arange(len(scenes)), taken)
    groups, shares = dict(enumerate(scenes[taken])), dict(enumerate(masks[taken].mean((1, 2))))

    def judged(learn: np.ndarray, judge: np.ndarray) -> tuple[float, float]:
        network = leakage["train_tiny"](images[taken[learn]], masks[taken[learn]], seed, EPOCHS)
        return tuple(leakage["dice_of"](network, images[of], masks[of]) for of in (taken[judge], others))

    splits, parts = deal_groups(groups, shares, seed), deal_folds(groups, shares, 5, seed)
    splits, parts = (np.array([dealt[row] for row in groups]) for dealt in (splits, parts))
    learn, test = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
    held = [np.flatnonzero(parts == part) for part in range(5)]
    single, *folds = [judged(learn, test)] + [judged(np.flatnonzero(parts != p), held[p]) for p in range(5)]
    own, truth = np.array(folds).T
    return {
        "seed": seed,
        "pictures_single": len(test),
        "single": round(single[0], 4),
        "truth_single": round(single[1], 4),
        "pictures_folds": len(taken),
        "folds": round(float(np.average(own, weights=[len(part) for part in held])), 4),
        "truth_folds": round(float(truth.mean()), 4),
    }


def main() -> None:
    path = HERE / "09_folds.csv"
    rows = list(csv.DictReader(path.open(newline=""))) if path.exists() else []
    people = leakage["load_people"]()
    for seed in range(SEEDS):
        if str(seed) in {str(row["seed"]) for row in rows}:
            continue
        rows.append(one_seed(*people, seed))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        print(rows[-1], flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

"""What a leak does to the score that `segkit train` reports: a table of lesson 02.

    python notebooks/studies/02_leak_train.py [SEEDS]    # writes 02_leak_train.csv, two minutes a seed

The scenes of data/people with three views or more are a data set of their own. `segkit train --folds 3`
scores each of its pictures twice: as the folder is, so that views of one scene lie on both sides, and after
`segkit data split --group`, which keeps scenes whole. Both score the same pictures, so the two scores of a
picture are compared; whole scenes are resampled for the intervals.
"""

import csv
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from segkit.data import find_samples
from segkit.files import embedded_path
from segkit.metrics import interval, resampled_means
from segkit.sets.groups import deal_folder
from segkit.study.folds import cross_validate
from segkit.train import Recipe, TrainConfig

SCENE = r"(s\d+)"
COLUMNS = ("seed", "views_apart", "scenes_whole", "gain", "low", "high")


def copy_scenes(folder: Path) -> dict[str, str]:
    """The scenes with three views or more, as a data set without a splits.csv: the scene of each name."""
    people = find_samples(embedded_path("people"))
    views = Counter(sample.group for sample in people)
    chosen = [sample for sample in people if views[sample.group] >= 3]
    for sample in chosen:
        for kind, path in (("images", sample.image), ("masks", sample.mask)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / kind / path.name)
    return {sample.name: sample.group for sample in chosen}


def score(folder: Path, out: Path, seed: int) -> dict[str, float]:
    """The Dice of every picture, each by a network of a fold that did not see it."""
    recipe = Recipe(size=32, model_settings={"widths": (8, 16, 32), "bottleneck": 32}, augment=0)
    config = TrainConfig(num_epochs=40, lr=5e-3, schedule="cosine", precision="fp32", seed=seed)
    result = cross_validate([folder], out, 3, recipe, config).result
    names = [sample.name for sample in result.samples]
    return dict(zip(names, result.scores("dice").tolist(), strict=True))


def line(seed, apart: np.ndarray, whole: np.ndarray, scenes: list[str]) -> dict:
    """A row of the table from two scores of each picture."""
    low, high = interval(resampled_means(apart - whole, scenes))
    numbers = [apart.mean(), whole.mean(), (apart - whole).mean(), low, high]
    return dict(zip(COLUMNS, [seed, *(round(float(number), 4) for number in numbers)], strict=True))


def main(seeds: int) -> None:
    rows, scores = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "views")
        scenes = copy_scenes(folder)
        for seed in range(seeds):
            (folder / "splits.csv").unlink(missing_ok=True)
            apart = score(folder, Path(place, f"apart{seed}"), seed)
            deal_folder(folder, seed, SCENE)
            whole = score(folder, Path(place, f"whole{seed}"), seed)
            scores.append([[dice[name] for name in scenes] for dice in (apart, whole)])
            rows.append(line(seed, *np.array(scores[-1]), list(scenes.values())))
            print(rows[-1], flush=True)
    rows.append(line("mean", *np.mean(scores, axis=0), list(scenes.values())))
    with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

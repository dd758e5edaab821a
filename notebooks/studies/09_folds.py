"""How far from the truth is a score on few pictures? One split against five folds, ten times 40 pictures.

    python notebooks/studies/09_folds.py    # writes 09_folds.csv beside it; finished seeds are kept

For each seed, whole scenes of data/people, 40 pictures together, are taken as if there were no others. A
small U-Net is trained on one split of them and scored on its test pictures; five are trained in folds and
score all 40. The truth is what the same networks score on all the pictures that were not taken.
"""

import contextlib
import csv
import io
import tempfile
from pathlib import Path

import numpy as np

from segkit import Segmenter
from segkit.data import find_samples, load_dataset, write_splits
from segkit.files import embedded_path
from segkit.metrics import count_pixels
from segkit.sets.groups import deal_groups
from segkit.study.folds import cross_validate
from segkit.train import Recipe, TrainConfig, train

HERE = Path(__file__).parent
SIZE, PICTURES, SEEDS = 32, 40, 10
RECIPE = Recipe(width=8, size=SIZE, augment=0.0)
SETTINGS = {"num_epochs": 4, "steps_per_epoch": 20, "batch_size": 8, "lr": 3e-3, "schedule": "cosine"}
COLUMNS = ("seed", "pictures_single", "single", "truth_single", "pictures_folds", "folds", "truth_folds")


def load_people() -> tuple[dict, dict]:
    """Every embedded picture and its mask, small, and the file and scene of each, by name."""
    people = embedded_path("people")
    arrays = {}
    for split in ("train", "val", "test"):
        part = load_dataset(people, split=split, size=SIZE)
        arrays |= {sample.name: part.pair(i) for i, sample in enumerate(part.samples)}
    return arrays, {sample.name: sample for sample in find_samples(people)}


def dice_of(run: Path, arrays: dict, names: list[str]) -> np.ndarray:
    network = Segmenter.load(run)
    probs = network.predict_batch([arrays[name][0] for name in names])
    masks = np.stack([arrays[name][1] for name in names])
    return count_pixels(np.stack(probs) > network.threshold, masks).dice().numpy()


def take(samples: dict, seed: int) -> list[str]:
    """Whole scenes, as they come, as long as they fit into PICTURES."""
    taken = []
    for scene in np.random.default_rng(seed).permutation(sorted({s.group for s in samples.values()})):
        views = [name for name, sample in samples.items() if sample.group == scene]
        taken += views if len(taken) + len(views) <= PICTURES else []
    return taken


def one_seed(seed: int, place: Path, arrays: dict, samples: dict) -> dict:
    taken, few = take(samples, seed), place / "few"
    others = [name for name in samples if name not in taken]
    for name in taken:
        for kind, path in (("images", samples[name].image), ("masks", samples[name].mask)):
            (few / kind).mkdir(parents=True, exist_ok=True)
            (few / kind / path.name).symlink_to(path.resolve())
    groups = {name: samples[name].group for name in taken}
    splits = deal_groups(groups, {}, seed)
    write_splits(few, splits, groups)
    config = TrainConfig(seed=seed, precision="fp32", **SETTINGS)

    train([few], place / "single", RECIPE, config)
    single = dice_of(place / "single", arrays, [name for name in taken if splits[name] == "test"])
    done = cross_validate([few], place / "cv", 5, RECIPE, config)
    networks = [place / "cv" / f"fold{fold}" for fold in range(1, 6)]
    held = [[s.name for s in find_samples(few, "test", splits=fold / "splits.csv")] for fold in networks]
    parts = [dice_of(*pair) for pair in zip(networks, [arrays] * 5, held, strict=True)]
    assert len(done.result.samples) == sum(map(len, parts)) == len(taken)
    return {
        "seed": seed,
        "pictures_single": len(single),
        "single": round(float(single.mean()), 4),
        "truth_single": round(float(dice_of(place / "single", arrays, others).mean()), 4),
        "pictures_folds": len(taken),
        "folds": round(float(np.concatenate(parts).mean()), 4),
        "truth_folds": round(float(np.mean([dice_of(fold, arrays, others).mean() for fold in networks])), 4),
    }


def main() -> None:
    path = HERE / "09_folds.csv"
    rows = list(csv.DictReader(path.open(newline=""))) if path.exists() else []
    arrays, samples = load_people()
    for seed in range(SEEDS):
        if str(seed) in {str(row["seed"]) for row in rows}:
            continue
        with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
            rows.append(one_seed(seed, Path(place), arrays, samples))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        print(rows[-1], flush=True)
    for name in ("single", "folds"):
        errors = np.array([float(row[name]) - float(row[f"truth_{name}"]) for row in rows])
        mean, most = np.abs(errors).mean(), np.abs(errors).max()
        print(f"{name}: {mean:.3f} from the truth on average, {most:.3f} at most")


if __name__ == "__main__":
    main()

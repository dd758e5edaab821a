"""How far from the truth is a score on few pictures? One split against five folds, ten times 40 pictures.

    python notebooks/studies/09_folds.py    # writes 09_folds.csv beside it; finished seeds are kept

For each seed, 20 scenes (40 pictures) of data/people are taken as if there were no others. A small U-Net is
trained on one split of them and scored on its test pictures; five are trained in folds and score all 40. The
truth is what the same networks score on the pictures that were not taken.
"""

import contextlib
import csv
import io
import tempfile
from pathlib import Path

import numpy as np

from segkit.data import find_samples, load_dataset, write_splits
from segkit.files import embedded_path
from segkit.sets.groups import deal_groups
from segkit.study.few_pictures import dice_of
from segkit.study.folds import cross_validate
from segkit.train import Recipe, TrainConfig, train

HERE = Path(__file__).parent
SIZE, SCENES, SEEDS = 64, 20, 10
RECIPE = Recipe(width=8, size=SIZE, augment=0.5)
SETTINGS = {"num_epochs": 12, "batch_size": 4, "lr": 3e-3, "schedule": "cosine", "precision": "fp32"}
COLUMNS = ("seed", "pictures_single", "single", "truth_single", "pictures_folds", "folds", "truth_folds")


def one_seed(seed: int, place: Path) -> dict:
    samples = find_samples(embedded_path("people"))
    scenes = np.random.default_rng(seed).permutation(sorted({s.group for s in samples}))
    taken = [s for s in samples if s.group in set(scenes[:SCENES])]
    few, rest = place / "few", place / "rest"
    for folder, chosen in ((few, taken), (rest, [s for s in samples if s.group in set(scenes[SCENES:])])):
        for sample in chosen:
            for kind, path in (("images", sample.image), ("masks", sample.mask)):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                (folder / kind / path.name).symlink_to(path.resolve())
        write_splits(folder, dict.fromkeys((s.name for s in chosen), "test"))
    groups = {s.name: s.group for s in taken}
    write_splits(few, deal_groups(groups, {}, seed), groups, overwrite=True)
    config = TrainConfig(seed=seed, **SETTINGS)
    others = load_dataset(rest, split="test", size=SIZE)

    single = train([few], place / "single", RECIPE, config)
    held = load_dataset(few, split="test", size=SIZE)
    cross_validate([few], place / "cv", 5, RECIPE, config)
    networks = [place / "cv" / f"fold{fold}" for fold in range(1, 6)]
    parts = [load_dataset(few, split="test", size=SIZE, splits=fold / "splits.csv") for fold in networks]
    out_of_fold = np.concatenate([dice_of(fold, part) for fold, part in zip(networks, parts, strict=True)])
    return {
        "seed": seed,
        "pictures_single": len(held),
        "single": round(float(dice_of(single.checkpoint, held).mean()), 4),
        "truth_single": round(float(dice_of(single.checkpoint, others).mean()), 4),
        "pictures_folds": len(out_of_fold),
        "folds": round(float(out_of_fold.mean()), 4),
        "truth_folds": round(float(np.mean([dice_of(fold, others).mean() for fold in networks])), 4),
    }


def main() -> None:
    path = HERE / "09_folds.csv"
    rows = list(csv.DictReader(path.open(newline=""))) if path.exists() else []
    for seed in range(SEEDS):
        if str(seed) in {str(row["seed"]) for row in rows}:
            continue
        with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
            rows.append(one_seed(seed, Path(place)))
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

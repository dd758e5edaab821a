"""A recipe that is found, not guessed: short runs of one budget, each with one thing changed.

    python data/weights/ablation.py people-real                # every row, two seeds; go on where it stopped
    python data/weights/ablation.py people-real --rows "loss"  # only rows whose name holds this
    python data/weights/ablation.py --table                    # the table of what is there, into ablation.md

people-real is a folder of photographs with masks and splits (making.md beside this file). Without it the
runs learn from data/people alone, rows about photographs are left out, and the lines go into
ablation-rendered.csv.
One line per run goes into ablation.csv; runs that stand there are skipped. The table is read in notebook 11.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import albumentations as A
import numpy as np
import pandas as pd
from accelerate.utils import set_seed

from segkit.augment import Augmentation
from segkit.data import Preprocessing, load_dataset
from segkit.evaluate import evaluate
from segkit.files import UserError, embedded_path
from segkit.models import IMAGENET, NORMALISATION, build_model
from segkit.predict import Segmenter
from segkit.study.compare import COLUMNS, compare_to_reference, read_runs
from segkit.train import fit
from segkit.training.multiscale import multi_scale
from segkit.training.settings import split_settings

HERE = Path(__file__).parent

REFERENCE = {
    "model": "unet-lite0",
    "model_settings": {"pretrained": True, "decoder": [96, 64, 40, 24]},
    "size": 96,
    "num_epochs": 8,
    "batch_size": 16,
    "optimizer": "adamw",
    "lr": 1.5e-3,
    "encoder_lr": 0.25,
    "weight_decay": 1e-4,
    "schedule": "cosine",
    "ema": 0.99,
    "augment": 1.0,
    "paste": 0.25,
    "early_stop": 100,
    "cache": "disk",
    "precision": "fp32",  # the same arithmetic on every machine
}
PER_EPOCH = 480  # pictures: 8 epochs of 30 steps

# Which steps of segkit.augment each family names. What a row leaves out is left out by these.
FAMILIES = {
    "geometry": (A.HorizontalFlip, A.Affine),
    "colour": (A.ColorJitter, A.RandomGamma),
    "quality": (A.ToGray, A.OneOf, A.ImageCompression),  # grey, blur, noise, compression
}
SMALL = {"model": "unet", "model_settings": {"widths": [8, 16, 32, 64, 128], "bottleneck": 128}}
SMALL |= {"lr": 2e-3, "encoder_lr": 1.0}

# Row: what it changes. Settings of training, and three words of this script: sets (real, rendered),
# without (a family of augmentation), scales (multi-scale training).
# "small: ..." rows are compared with "small: reference".
ROWS = {
    "reference": {},
    "rendered people only": {"sets": ("rendered",)},
    "photographs only": {"sets": ("real",)},
    "no ImageNet weights": {"model_settings": {"pretrained": False, "decoder": [96, 64, 40, 24]}},
    "no ImageNet weights, encoder at the full rate": {
        "model_settings": {"pretrained": False, "decoder": [96, 64, 40, 24]},
        "encoder_lr": 1.0,
    },
    "encoder at the full rate": {"encoder_lr": 1.0},
    "the larger encoder, Lite2": {"model": "unet-lite2"},
    "loss BCE alone": {"loss": "bce"},
    "loss Dice alone": {"loss": "dice"},
    "loss focal": {"loss": "focal"},
    "loss Tversky": {"loss": "tversky"},
    "no augmentation": {"augment": 0.0, "paste": 0.0},
    "no flips, scale jitter, turns": {"without": "geometry"},
    "no colour jitter": {"without": "colour"},
    "no blur, noise, compression, grey": {"without": "quality"},
    "no copy-paste": {"paste": 0.0},
    "sharp crops": {"zoom": 2.0},
    "several sizes (0.67, 1, 1.33)": {"scales": (2 / 3, 1.0, 4 / 3)},
    "deep supervision": {
        "loss": "deep",
        "model_settings": {"pretrained": True, "decoder": [96, 64, 40, 24], "deep": True},
    },
    "size 64": {"size": 64},
    "size 128": {"size": 128},
    "no moving average": {"ema": 0.0},
    "plateau schedule": {"schedule": "plateau", "plateau_patience": 1},
    "small: reference": SMALL,
    "small: with a teacher": SMALL | {"teacher": "person-base"},
    "small: attention gates": SMALL | {"model_settings": SMALL["model_settings"] | {"attention": True}},
    "DeepLabV3+": {"model": "deeplab-lite0", "model_settings": {"pretrained": True}},
    "DeepLabV3+, rates 1, 2, 3": {
        "model": "deeplab-lite0",
        "model_settings": {"pretrained": True, "rates": [1, 2, 3]},
    },
}
NEEDS_PHOTOGRAPHS = ("rendered people only", "photographs only")


class Without(Augmentation):
    """The augmentation of training with one family of its steps left out."""

    def __init__(self, strength: float, crop_to: int | None, family: str | None):
        super().__init__(strength, crop_to)
        left_out = FAMILIES.get(family, ())
        steps = [step for step in self._compose.transforms if not isinstance(step, left_out)]
        assert family is None or len(steps) < len(self._compose.transforms)
        self._compose = A.Compose(steps, additional_targets={"parts": "mask"})


def train_and_score(
    change: dict, seed: int, real: Path | None, run: Path, per_epoch: int, epochs: int
) -> dict:
    """One run in the folder `run`; its scores by the columns of the table."""
    change = dict(change)
    sets, without, scales = (change.pop(word, None) for word in ("sets", "without", "scales"))
    steps = per_epoch // REFERENCE["batch_size"]
    recipe, config = split_settings(
        REFERENCE | change | {"seed": seed, "num_epochs": epochs, "steps_per_epoch": steps}
    )
    folders = {"real": real, "rendered": embedded_path("people")}
    folders = {name: folder for name, folder in folders.items() if folder is not None}
    learn_from = [folder for name, folder in folders.items() if sets is None or name in sets]
    set_seed(seed)
    model = build_model(recipe.model, recipe.width, **recipe.model_settings)
    preprocessing = Preprocessing(recipe.size, **NORMALISATION.get(recipe.model, IMAGENET))
    common = {"preprocessing": preprocessing, "cache": recipe.cache, "seed": seed}
    crop_to = recipe.size if recipe.zoom > 1 else None
    transform = Without(recipe.augment, crop_to, without) if recipe.augment > 0 else None
    train_set = load_dataset(
        *learn_from, split="train", transform=transform, paste=recipe.paste, zoom=recipe.zoom, **common
    )
    val_set = load_dataset(*folders.values(), split="val", **common)
    started = time.perf_counter()
    if scales:
        with multi_scale(model, scales):
            fit(model, train_set, val_set, run, config)
    else:
        fit(model, train_set, val_set, run, config)
    seconds = time.perf_counter() - started
    scores = {"steps": epochs * (per_epoch // config.batch_size), "seconds": round(seconds, 1)}
    person = Segmenter.load(run)
    for name in ("real", "rendered"):
        result = evaluate(person, folders[name], "val") if name in folders else None
        scores[f"dice_{name}"] = round(float(np.mean(result.scores("dice"))), 4) if result else ""
        scores[f"boundary_{name}"] = round(float(result.boundary_f.mean()), 4) if result else ""
    return scores


def markdown_table(runs: list[dict]) -> str:
    """Every row on the real and on the rendered validation pictures, as a Markdown table."""

    def shown(number: float | None, form: str) -> str:
        return "" if number is None else format(number, form)

    columns = [
        {c.row: c for c in compare_to_reference(runs, score)} for score in ("dice_real", "dice_rendered")
    ]
    order = sorted({run["row"]: None for run in runs}, key=lambda row: row.count(": "))
    lines = [
        "| change | seeds | Dice, real | spread | difference | | Dice, rendered | spread | difference | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in order:
        cells = [row, str(max(table[row].runs for table in columns if row in table))]
        for table in columns:
            if not (c := table.get(row)):
                cells += [""] * 4
                continue
            cells += [f"{c.mean:.3f}", shown(c.spread, ".3f"), shown(c.difference, "+.3f"), c.verdict]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("real", nargs="?", type=Path, help="the folder of photographs, people-real")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="default: 0 1")
    parser.add_argument("--rows", default="", help="only rows whose name holds this text")
    parser.add_argument("--csv", type=Path, help="default: ablation.csv beside this script")
    parser.add_argument("--table", action="store_true", help="train nothing; put the table into ablation.md")
    parser.add_argument("--per-epoch", type=int, default=PER_EPOCH, help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, default=REFERENCE["num_epochs"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.table:
        from card import replace_between

        page, table = HERE / "ablation.md", markdown_table(read_runs(args.csv or HERE / "ablation.csv"))
        page.write_text(replace_between(page.read_text(), "ablation", [table]))
        return
    path = args.csv or HERE / ("ablation.csv" if args.real else "ablation-rendered.csv")
    rows = {name: change for name, change in ROWS.items() if args.rows in name}
    if args.real is None:
        left_out = [name for name in rows if name in NEEDS_PHOTOGRAPHS]
        rows = {name: change for name, change in rows.items() if name not in left_out}
        print(
            "no folder of photographs was given: every run learns from data/people alone, the columns of "
            f"real pictures stay empty, and these rows are left out: {', '.join(left_out) or 'none'}"
        )
    for seed in args.seeds:  # a whole table of one seed first
        for row, change in rows.items():
            done = {(r["row"], r["seed"]) for r in read_runs(path)} if path.exists() else set()
            if (row, seed) in done:
                continue
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                scores = train_and_score(change, seed, args.real, run, args.per_epoch, args.epochs)
            line = scores | {"row": row, "seed": seed, "change": json.dumps(change)}
            table = pd.DataFrame([line], columns=COLUMNS)
            table.to_csv(path, mode="a", header=not path.exists(), index=False)
            print(
                f"{row}, seed {seed}: Dice {scores['dice_real']} real, {scores['dice_rendered']} rendered, "
                f"{scores['seconds']:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")

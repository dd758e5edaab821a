"""Alpha at 256 pixels: the table and the probabilities that lesson 05 reads.

    python notebooks/studies/05_alpha.py

Five alphas, five seeds, a sweep of notebooks/sweeps/train_once.ipynb: 80 minutes on two cores. It
goes on where it was stopped. Writes 05_alpha.csv (a line for each run) and 05_alpha.npz (Dice of
each run at every threshold, and the probabilities of some validation pictures).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from segkit import load_dataset
from segkit.course.sweep import grid, run_sweep
from segkit.data import resize_smoothly
from segkit.files import embedded_path
from segkit.metrics import dice_score

HERE = Path(__file__).parent
ALPHAS, SEEDS = (0.0, 0.25, 0.5, 0.75, 1.0), range(5)
FIXED = {"size": 256, "num_epochs": 16, "limit": 419, "precision": "bf16", "keep_probs": True}  # all 419
CUTS = np.linspace(0.05, 0.95, 19)
PICTURES = 8
SHOWN = 128  # side of the probabilities that the lesson shows
COARSE = 8  # probabilities are stored in steps of 8 / 255: a small file


def gather(runs: Path) -> None:
    """The runs of the sweep -> 05_alpha.csv and 05_alpha.npz. Takes the seeds that every alpha has."""
    table = pd.read_csv(runs / "results.csv").set_index(["seed", "alpha"])["val_dice"].unstack()
    seeds = table[list(ALPHAS)].dropna().index
    probs = [
        [np.load(runs / f"seed={seed},alpha={alpha:g}" / "probs.npz") for seed in seeds] for alpha in ALPHAS
    ]
    pictures = load_dataset(embedded_path("people"), split="val", size=FIXED["size"])
    masks = torch.from_numpy(pictures.arrays[1])[:, None]
    # From the smallest person to the largest.
    order = np.argsort(pictures.arrays[1].mean((1, 2)))
    chosen = order[(np.linspace(0.05, 0.95, PICTURES) * len(order)).astype(int)]
    dice = np.zeros((len(ALPHAS), len(seeds), len(CUTS)), np.float32)
    lines, some = [], []
    for a, alpha in enumerate(ALPHAS):
        for s, seed in enumerate(seeds):
            whole = probs[a][s]["probs"]
            soft = torch.from_numpy(whole)[:, None] / 255
            dice[a, s] = [dice_score(soft > cut, masks > 0).mean().item() for cut in CUTS]
            area = ((soft > 0.5).sum() / masks.sum()).item()
            lines.append({"alpha": alpha, "seed": seed, "val_dice": table.loc[seed, alpha], "area": area})
            some += [resize_smoothly(one, SHOWN, SHOWN) // COARSE * COARSE for one in whole[chosen]]
    pd.DataFrame(lines).round(5).to_csv(HERE / "05_alpha.csv", index=False)
    some = np.stack(some).reshape(len(ALPHAS), len(seeds), PICTURES, SHOWN, SHOWN)
    names = [pictures.samples[i].name for i in chosen]
    mean_mask = dice_of_mean_mask(masks)
    np.savez_compressed(HERE / "05_alpha.npz", dice=dice, probs=some, names=names, mean_mask=mean_mask)


def dice_of_mean_mask(masks: torch.Tensor) -> float:
    """What the mean of the training masks scores, cut where it does best on these."""
    train = load_dataset(embedded_path("people"), split="train", size=FIXED["size"])
    own = torch.from_numpy(train.arrays[1])[:, None] > 0
    mean = own.float().mean(0, keepdim=True)
    scores = [dice_score((mean > cut).expand_as(own), own).mean().item() for cut in CUTS]
    return dice_score((mean > CUTS[np.argmax(scores)]).expand_as(masks), masks > 0).mean().item()


def main() -> None:
    runs = Path("runs", "alpha256")
    sweep = run_sweep(grid(seed=SEEDS, alpha=ALPHAS), runs, fixed=FIXED, workers=2)
    if not sweep.failed:
        gather(runs)


if __name__ == "__main__":
    main()

"""A tiny network judged on scenes that it knows and on scenes that are new to it: the table of lesson 02.

python notebooks/studies/02_leakage.py [SEEDS]     writes 02_leakage.csv; a seed takes a minute on one core

Half of the scenes go to one network, half to another. Each learns from two views of each of its scenes, and
is judged twice: on the other views of these scenes, and on such views of the scenes that went to the other.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from segkit import build_model
from segkit.data import load_dataset
from segkit.files import embedded_path
from segkit.metrics import count_pixels

SIZE, EPOCHS = 32, 60


def as_input(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.5


def train_tiny(images, masks, seed, epochs=EPOCHS):
    """A small U-Net, taught from nothing by images uint8 (N, S, S, 3) and masks {0, 1} (N, S, S)."""
    torch.manual_seed(seed)
    net = build_model("unet", widths=(8, 16, 32), bottleneck=32)
    x, y, batch = as_input(images), torch.from_numpy(masks)[:, None].float(), 16
    optimiser = torch.optim.Adam(net.parameters())
    steps = epochs * -(-len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(batch):
            optimiser.zero_grad()
            bce(net(x[chosen]), y[chosen]).backward()
            optimiser.step()
            schedule.step()
    return net.eval()


@torch.inference_mode()
def masks_of(net, images):
    """What the network calls person: bool (N, S, S)."""
    return (net(as_input(images)) > 0)[:, 0].numpy()


def dice_of(net, images, masks):
    """Mean Dice of these pictures."""
    return count_pixels(masks_of(net, images), masks).dice().mean().item()


def known_and_new(images, masks, scenes, seed, epochs=EPOCHS):
    """The mean Dice of both networks on scenes they know and on scenes that are new to them."""
    random = np.random.default_rng(seed)
    names, views = np.unique(scenes, return_counts=True)
    heaps = np.array_split(random.permutation(names[views >= 3]), 2)
    scores = {"known": [], "new": []}
    pairs = ([], []), ([], [])
    for heap, (learn, judge) in zip(heaps, pairs, strict=True):
        for scene in heap:
            order = random.permutation(np.flatnonzero(scenes == scene))
            learn += order[:2].tolist()
            judge += order[2:].tolist()
    for mine, other in (pairs, pairs[::-1]):
        net = train_tiny(images[mine[0]], masks[mine[0]], seed, epochs)
        scores["known"].append(dice_of(net, images[mine[1]], masks[mine[1]]))
        scores["new"].append(dice_of(net, images[other[1]], masks[other[1]]))
    return {name: float(np.mean(values)) for name, values in scores.items()}


def load_people(size=SIZE):
    """All embedded people, whatever their split: images, masks, and the scene of each."""
    people = embedded_path("people")
    splits = [load_dataset(people, split=split, size=size) for split in ("train", "val", "test")]
    images, masks = (np.concatenate(arrays) for arrays in zip(*(one.arrays for one in splits), strict=True))
    return images, masks, np.array([sample.name[:-1] for one in splits for sample in one.samples])


if __name__ == "__main__":
    people = load_people()
    with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ("seed", "known", "new"))
        table.writeheader()
        for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 12):
            row = known_and_new(*people, seed)
            table.writerow({"seed": seed} | {name: round(value, 4) for name, value in row.items()})
            file.flush()
            print(seed, row, flush=True)

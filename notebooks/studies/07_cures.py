"""Over-fitting and its cures, one at a time, and which epoch to keep: the table of lesson 07.

python notebooks/studies/07_cures.py [SEEDS]     writes 07_cures.csv; four seeds: about 5 minutes on one core

Every run starts from other weights and other pictures. Test pictures judge three choices of the same run:
the epoch of the best validation Dice, the one of the lowest validation loss, and the last.
"""

import copy
import csv
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from segkit import build_model, load_dataset
from segkit.augment import Augmentation
from segkit.losses import BCELoss
from segkit.metrics import dice_score
from segkit.training.sampler import EpochSampler

SIZE, EPOCHS, BATCH, PICTURES = 64, 55, 4, 16
CURES = {
    "as it is": {},
    "weight decay": {"weight_decay": 0.1},
    "augmentation": {"strength": 1.0},
    "narrower": {"widths": (4, 8, 16, 32)},
    "more pictures": {"pictures": 4 * PICTURES},
}
people = Path(__file__).parents[2] / "data" / "people"
judges = {
    "val": load_dataset(people, split="val", size=SIZE, limit=48),
    "test": load_dataset(people, split="test", size=SIZE),
}
loss_fn = BCELoss()


@torch.inference_mode()
def judge(net, dataset):
    """Mean loss and mean Dice of the pictures as they are."""
    net.eval()
    losses, scores = [], []
    for images, masks in DataLoader(dataset, batch_size=16):
        logits = net(dataset.preprocessing.normalise(images))
        losses += [loss_fn(a, b).item() for a, b in zip(logits.split(1), masks.split(1), strict=True)]
        scores += dice_score(logits > 0, masks).tolist()
    return np.mean(losses), np.mean(scores)


def learn_few(seed, strength=0.0, weight_decay=0.0, widths=(8, 16, 32, 64), pictures=PICTURES):
    torch.manual_seed(seed)
    net = build_model("unet", widths=widths, bottleneck=widths[-1], norm="group")
    common = {"split": "train", "size": SIZE, "limit": pictures, "seed": seed}
    plain = load_dataset(people, **common)
    few = load_dataset(people, **common, transform=Augmentation(strength) if strength else None)
    sampler = EpochSampler(len(few), BATCH, seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=weight_decay)
    history, best, lowest = [], (-1, None), (9, None)
    for epoch in range(1, EPOCHS + 1):
        few.set_epoch(epoch)
        sampler.set_epoch(epoch)
        net.train()
        for images, masks in DataLoader(few, BATCH, sampler=sampler):
            loss = loss_fn(net(few.preprocessing.normalise(images)), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss, dice = judge(net, judges["val"])
        history.append((loss, dice))
        if dice > best[0]:
            best = dice, copy.deepcopy(net.state_dict())
        if loss < lowest[0]:
            lowest = loss, copy.deepcopy(net.state_dict())
    row = {"train_loss": judge(net, plain)[0], "val_loss": history[-1][0], "lowest_val_loss": lowest[0]}
    row |= {
        "epoch_by_dice": 1 + int(np.argmax([d for _, d in history])),
        "epoch_by_loss": 1 + int(np.argmin([v for v, _ in history])),
        "test_last": judge(net, judges["test"])[1],
    }
    for name, (_, weights) in {"dice": best, "loss": lowest}.items():
        net.load_state_dict(weights)
        row[f"test_by_{name}"] = judge(net, judges["test"])[1]
    return row


if __name__ == "__main__":
    torch.set_num_threads(1)
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    rows = []
    for seed in range(seeds):
        for cure, settings in CURES.items():
            row = learn_few(seed, **settings)
            rows.append({"cure": cure, "seed": seed} | {k: round(float(v), 4) for k, v in row.items()})
            print(rows[-1], flush=True)
        with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

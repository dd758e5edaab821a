"""What are skip connections worth on pictures that the network never saw? The table of lesson 03.

    python notebooks/studies/03_skips.py        # about twenty minutes on one core

The same small U-Net, trained with its skips joined, added, or left out, from several seeds and looked at
after several step counts; and a few that see eight pictures only, again and again. Members that stand in
03_skips.csv already are not trained again.
"""

import csv
from pathlib import Path

import torch

from segkit import build_model, load_dataset
from segkit.files import embedded_path
from segkit.losses import BCEDiceLoss
from segkit.metrics import boundary_f, dice_score

TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("pictures", "join", "seed", "steps", "train_dice", "train_edges", "val_dice", "val_edges")
JOINS = {
    "joined": lambda skip, x: torch.cat([skip, x], dim=1),
    # The other half of the block's input stays empty, so all of them have the same first weights.
    "added": lambda skip, x: torch.cat([skip + x, torch.zeros_like(x)], dim=1),
    "without": lambda skip, x: torch.cat([torch.zeros_like(skip), x], dim=1),
}
STEPS = (50, 100, 200, 400, 800)
ALL, EIGHT = 419, 8  # pictures to learn from
MEMBERS = [(ALL, join, seed) for seed in range(3) for join in ("joined", "without", "added")]
MEMBERS += [(EIGHT, join, 0) for join in ("joined", "without")]
SIZE, BATCH = 64, 8


def small_unet(join, seed):
    torch.manual_seed(seed)
    net = build_model("unet", widths=(8, 16, 32, 64), bottleneck=64)
    for up in net.decoder:
        up.block.register_forward_pre_hook(lambda block, given: (join(*given[0].chunk(2, dim=1)),))
    return net


def arrays(split):
    """Normalised pictures (N, 3, SIZE, SIZE) and masks (N, 1, SIZE, SIZE) of a split."""
    people = load_dataset(embedded_path("people"), split=split, size=SIZE)
    images, masks = (torch.from_numpy(array) for array in people.arrays)
    return people.preprocessing.normalise(images.permute(0, 3, 1, 2)), masks[:, None].float()


def scores(net, images, masks):
    with torch.no_grad():
        preds = net.eval()(images) > 0
    net.train()
    return dice_score(preds, masks).mean().item(), boundary_f(preds, masks, tolerance=1).mean().item()


def train(join, seed, images, masks):
    """Yield (steps, network) at every step count of STEPS."""
    net = small_unet(join, seed).to(memory_format=torch.channels_last)  # faster on a CPU
    loss_fn = BCEDiceLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    random = torch.Generator().manual_seed(seed)
    for step in range(1, STEPS[-1] + 1):
        chosen = torch.randint(len(images), (BATCH,), generator=random)
        batch = images[chosen].contiguous(memory_format=torch.channels_last)
        targets = masks[chosen]
        if torch.rand(1, generator=random) < 0.5:
            batch, targets = batch.flip(-1), targets.flip(-1)
        loss = loss_fn(net(batch), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in STEPS:
            yield step, net


def main():
    torch.set_num_threads(1)
    seen, held_out = arrays("train"), arrays("val")
    done = set()
    if TABLE.exists():
        with TABLE.open(newline="") as file:
            done = {(int(row["pictures"]), row["join"], int(row["seed"])) for row in csv.DictReader(file)}
    else:
        TABLE.write_text(",".join(COLUMNS) + "\n")
    for pictures, name, seed in MEMBERS:
        if (pictures, name, seed) in done:
            continue
        rows, (images, masks) = [], (array[:pictures] for array in seen)
        for steps, net in train(JOINS[name], seed, images, masks):
            found = [*scores(net, images[:96], masks[:96]), *scores(net, *held_out)]
            rows.append([pictures, name, seed, steps, *(f"{score:.4f}" for score in found)])
            print(*rows[-1], flush=True)
        with TABLE.open("a", newline="") as file:  # a member is written whole or not at all
            csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()

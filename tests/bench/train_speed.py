"""Training images/s: the way most tutorials write it, beside segkit. Prints a table with the ratio.

    python tests/bench/train_speed.py [DATA] [--images 24] [--epochs 3]

Both train the same width-64 U-Net (17.3 million parameters) from the same first weights with the same
optimiser, loss and number of steps. The plain recipe decodes each picture in each epoch, works in
float32 with channels first, and reads the loss and a metric back at every step.
"""

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from PIL import Image

from segkit.data import Preprocessing, SegmentationDataset, find_samples
from segkit.files import embedded_path
from segkit.losses import BCEDiceLoss
from segkit.metrics import dice_score
from segkit.models import build_model
from segkit.train import TrainConfig, fit

SIZE, BATCH, LR = 256, 4, 1e-4
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


class PlainDataset(torch.utils.data.Dataset):
    """Opens, decodes and resizes its files every time."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        image = Image.open(self.samples[i].image).convert("RGB").resize((SIZE, SIZE))
        mask = Image.open(self.samples[i].mask).convert("L").resize((SIZE, SIZE), Image.NEAREST)
        image = (torch.from_numpy(np.array(image)) / 255 - MEAN) / STD
        return image.permute(2, 0, 1).contiguous(), (torch.from_numpy(np.array(mask))[None] > 127).float()


def plain_recipe(samples, epochs: int) -> tuple[float, float]:
    """Seconds, and mean loss of the last epoch."""
    set_seed(0)
    model, loss_fn = build_model("unet-17m"), BCEDiceLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, weight_decay=1e-5)
    started = time.perf_counter()
    for _ in range(epochs):
        total, dice = 0.0, 0.0
        loader = torch.utils.data.DataLoader(PlainDataset(samples), BATCH, shuffle=True, drop_last=True)
        for images, masks in loader:
            optimizer.zero_grad()
            logits = model(images)
            loss = loss_fn(logits, masks)
            loss.backward()
            optimizer.step()
            total += loss.item()
            dice += dice_score(logits > 0, masks).mean().item()
    return time.perf_counter() - started, total / len(loader)


def through_segkit(samples, epochs: int) -> tuple[float, float, str]:
    """Seconds with the filling of the cache, mean loss of the last epoch, and the precision it chose."""
    set_seed(0)
    model = build_model("unet-17m")
    started = time.perf_counter()
    train_set = SegmentationDataset(samples, Preprocessing(SIZE))
    caching = time.perf_counter() - started
    val_set = SegmentationDataset(samples[:1], Preprocessing(SIZE))
    config = TrainConfig(model="unet-17m", size=SIZE, num_epochs=epochs, batch_size=BATCH, lr=LR, clip=0)
    with tempfile.TemporaryDirectory() as folder:
        history = fit(model, train_set, val_set, Path(folder) / "run", config).history
        precision = (
            (Path(folder) / "run" / "config.json").read_text().split('"precision": "')[2].split('"')[0]
        )
    images = len(samples) // BATCH * BATCH
    return (
        caching + sum(images / row["images_per_s"] for row in history),
        history[-1]["train_loss"],
        precision,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="a data set; the embedded one by default")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    samples = find_samples(args.data or embedded_path("people"))[: args.images]
    count = len(samples) // BATCH * BATCH * args.epochs
    fast, fast_loss, precision = through_segkit(samples, args.epochs)
    slow, slow_loss = plain_recipe(samples, args.epochs)
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"\n{machine}; {count} images each")
    print(f"{'':24}{'images/s':>10}{'ratio':>8}{'last loss':>12}")
    print(f"{'plain recipe, fp32':24}{count / slow:10.2f}{1:8.2f}{slow_loss:12.4f}")
    print(f"{'segkit, ' + precision:24}{count / fast:10.2f}{slow / fast:8.2f}{fast_loss:12.4f}")


if __name__ == "__main__":
    main()

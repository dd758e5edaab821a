"""Training images/s: the way most tutorials write it, beside segkit. A part of bench.py.

Both train the same network from the same first weights with the same optimiser, loss and number of steps.
The plain recipe decodes each picture in each epoch, works in float32 with channels first, and reads the loss
and a metric back at every step.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from PIL import Image

from segkit.data import Preprocessing, Sample, SegmentationDataset
from segkit.losses import BCEDiceLoss
from segkit.metrics import dice_score
from segkit.models import build_model
from segkit.train import TrainConfig, fit

LR = 1e-4
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


class PlainDataset(torch.utils.data.Dataset):
    """Opens, decodes and resizes its files every time."""

    def __init__(self, samples: list[Sample], size: int):
        self.samples, self.size = samples, (size, size)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        image = Image.open(self.samples[i].image).convert("RGB").resize(self.size)
        mask = Image.open(self.samples[i].mask).convert("L").resize(self.size, Image.NEAREST)
        image = (torch.from_numpy(np.array(image)) / 255 - MEAN) / STD
        return image.permute(2, 0, 1).contiguous(), (torch.from_numpy(np.array(mask))[None] > 127).float()


def plain_recipe(samples: list[Sample], model: str, size: int, batch: int, epochs: int) -> dict:
    set_seed(0)
    network, loss_fn = build_model(model), BCEDiceLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=LR, weight_decay=1e-5)
    started = time.perf_counter()
    for _ in range(epochs):
        total, dice = 0.0, 0.0
        loader = torch.utils.data.DataLoader(PlainDataset(samples, size), batch, shuffle=True, drop_last=True)
        for images, masks in loader:
            optimizer.zero_grad()
            logits = network(images)
            loss = loss_fn(logits, masks)
            loss.backward()
            optimizer.step()
            total += loss.item()
            dice += dice_score(logits > 0, masks).mean().item()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "loss": total / len(loader), "precision": "fp32"}


def through_segkit(samples: list[Sample], model: str, size: int, batch: int, epochs: int) -> dict:
    """The epochs and the filling of the cache are timed. The few steps that choose the precision once for
    the whole run are not, nor is validation, which the plain recipe has none of.
    """
    set_seed(0)
    network = build_model(model)
    started = time.perf_counter()
    train_set = SegmentationDataset(samples, Preprocessing(size))
    seconds = time.perf_counter() - started
    val_set = SegmentationDataset(samples[:1], Preprocessing(size))
    config = TrainConfig(num_epochs=epochs, batch_size=batch, lr=LR, clip=0)
    with tempfile.TemporaryDirectory() as folder:
        history = fit(network, train_set, val_set, Path(folder) / "run", config).history
        record = json.loads((Path(folder) / "run" / "config.json").read_text())
    images = len(samples) // batch * batch
    seconds += sum(images / row["images_per_s"] for row in history)
    return {"seconds": seconds, "loss": history[-1]["train_loss"], "precision": record["precision"]}


RECIPES = {"plain": plain_recipe, "segkit": through_segkit}

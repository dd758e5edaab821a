"""What few pictures can teach: fine-tuning, a learning curve, baselines. Introduced in notebook 15."""

import shutil
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from segkit.augment import Augmentation
from segkit.checkpoint import find_checkpoint, load_checkpoint
from segkit.data import SPLITS, Preprocessing, SegmentationDataset, load_dataset
from segkit.metrics import count_pixels
from segkit.models import build_model
from segkit.predict import Segmenter
from segkit.train import Run, TrainConfig, fit

# --- training on few pictures ---------------------------------------------------------------------------


def excerpt(dataset: SegmentationDataset, indexes: Sequence[int]) -> SegmentationDataset:
    """Some pictures of a loaded data set, without decoding them again."""
    part = copy(dataset)
    part.samples = [dataset.samples[index] for index in indexes]
    if dataset.arrays is not None:
        part.arrays = tuple(array[list(indexes)] for array in dataset.arrays)
    return part


def starting_network(start_from: str, size: int, fresh: bool = False) -> tuple[nn.Module, Preprocessing]:
    """A trained network to go on with, and its preprocessing at another size.

    fresh: the same network with random weights, to see what the training before was worth.
    Raises: UserError.   Introduced in notebook 15.
    """
    model, info = load_checkpoint(find_checkpoint(start_from))
    if fresh:
        model = build_model(**info.model)
    return model.requires_grad_(True), replace(info.preprocessing, size=size)


def fine_tune(
    model: nn.Module,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset,
    run: str | Path,
    num_steps: int = 60,
    batch_size: int = 8,
    pictures: int | None = None,
    rounds: int = 4,
    seed: int = 0,
    augment: float = 1.0,
    **settings,
) -> Run:
    """Train for a number of steps, however few pictures there are; after each round, validate.

    pictures: train on so many of them, drawn by the seed; None takes all.
    augment: strength of the augmentation.   settings: other fields of TrainConfig.
    Returns: Run, as from segkit.train.fit.   Raises: UserError.   Introduced in notebook 15.
    """
    count = len(train_set) if pictures is None else min(pictures, len(train_set))
    chosen = np.random.default_rng(seed).permutation(len(train_set))[:count]
    rounds = min(rounds, num_steps)
    part = excerpt(train_set, chosen.tolist())
    part.seed = seed
    if augment > 0:
        part.transform = Augmentation(augment)
    usual = {"num_epochs": rounds, "steps_per_epoch": -(-num_steps // rounds), "batch_size": batch_size}
    usual |= {"optimizer": "adamw", "weight_decay": 1e-4, "schedule": "cosine", "seed": seed}
    # Choosing a precision costs more than a short training on a CPU would gain.
    usual["precision"] = "auto" if torch.cuda.is_available() else "fp32"
    return fit(model, part, val_set, run, TrainConfig(**usual | settings))


def dice_of(checkpoint: str | Path, data: SegmentationDataset) -> np.ndarray:
    """Dice of each picture of a loaded data set, at the size it was loaded in: float (N,)."""
    network = Segmenter.load(checkpoint)
    images, masks = zip(*map(data.pair, range(len(data))), strict=True)
    pred = np.stack([network(image) for image in images]) > network.threshold
    return count_pixels(pred, np.stack(masks)).dice().numpy()


def learning_curve(
    folder: str | Path,
    run: str | Path,
    counts: Sequence[int],
    starts: dict[str, dict],
    num_seeds: int = 2,
    num_steps: int = 40,
    size: int = 64,
) -> list[dict]:
    """Train on ever more pictures, from each start, and score on the test split.

    counts: of pictures; more than there are means all.   starts: by name, what starting_network takes, and
        lr.   Every point is trained num_seeds times; the seed decides which pictures are drawn as well.
    All trainings take the same number of steps, without augmentation: few pictures show as few.
    Returns: rows with start, pictures, seed and dice (mean over the test pictures).   Notebook 15.
    """
    rows = []
    for name, settings in starts.items():
        settings = dict(settings)
        lr = settings.pop("lr")
        _, preprocessing = starting_network(size=size, **settings)
        sets = {name: load_dataset(folder, split=name, preprocessing=preprocessing) for name in SPLITS}
        for pictures in sorted({min(count, len(sets["train"])) for count in counts}):
            for seed in range(num_seeds):
                torch.manual_seed(seed)  # random weights are drawn here
                model, _ = starting_network(size=size, **settings)
                place = Path(run) / f"{name}-{pictures}-{seed}"
                how = {"pictures": pictures, "rounds": 2, "seed": seed, "lr": lr, "augment": 0}
                done = fine_tune(model, sets["train"], sets["val"], place, num_steps, **how)
                dice = float(dice_of(done.checkpoint, sets["test"]).mean())
                rows.append({"start": name, "pictures": pictures, "seed": seed, "dice": dice})
                shutil.rmtree(place, ignore_errors=True)  # the score is what is wanted
    return rows


def baselines(train_set: SegmentationDataset, test_set: SegmentationDataset) -> dict[str, float]:
    """Mean Dice of answers that took no network: what a score has to beat.

    "all of it"; "where it usually is": the mean training mask, cut at one half; "the bright part" and "the
    dark part": each picture cut by Otsu's method (1979); "the brightest": as many pixels as in the mean mask.
    """
    images, masks = map(np.stack, zip(*map(test_set.pair, range(len(test_set))), strict=True))
    mean_mask = np.mean([train_set.pair(i)[1] for i in range(len(train_set))], axis=0)
    grey = images.astype(float).mean(-1)
    cuts = np.quantile(grey, 1 - mean_mask.mean(), axis=(1, 2), keepdims=True)
    bright = np.stack([_otsu(image) for image in images])
    answers = {
        "all of it": np.ones_like(masks),
        "where it usually is": np.broadcast_to(mean_mask > 0.5, masks.shape).copy(),
        "the bright part": bright,
        "the dark part": ~bright,
        "the brightest": grey > cuts,
    }
    return {name: count_pixels(pred, masks).dice().mean().item() for name, pred in answers.items()}


def _otsu(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1] > 0

"""One of each explorer, over small pictures drawn here: test_knobs.py holds all of them to one contract."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import skimage.data
import torch
from conftest import draw_dataset, draw_pair

from segkit.course.knobs.lesson00 import ThresholdExplorer
from segkit.course.knobs.lesson02 import PairBrowser
from segkit.course.knobs.lesson03 import UNetExplorer
from segkit.course.knobs.lesson04 import MaskShiftExplorer
from segkit.course.knobs.lesson05 import AlphaExplorer, NetworkExplorer, OptimiserExplorer
from segkit.course.knobs.lesson06 import AugmentationExplorer
from segkit.course.knobs.lesson07 import EpochExplorer
from segkit.course.knobs.lesson08 import CutoutExplorer
from segkit.course.knobs.lesson09 import SeedExplorer, TemperatureExplorer, WorstFirst
from segkit.course.knobs.lesson11 import AtrousExplorer
from segkit.course.knobs.lesson12 import SpeedExplorer
from segkit.course.knobs.lesson13 import SmoothingExplorer
from segkit.course.knobs.lesson14 import PartsExplorer
from segkit.course.knobs.lesson15 import VolumeExplorer
from segkit.course.knobs.lesson16 import PortraitExplorer, RecolourExplorer, ReviewExplorer
from segkit.data import find_samples
from segkit.losses import BCELoss
from segkit.metrics import dice_score
from segkit.sets.doctor import inspect_dataset
from segkit.study.analysis import measure_traits
from segkit.video.smooth import Clip


def people() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photograph, a probability map that is roughly right, and a mask: (240, 320)."""
    mask = np.zeros((240, 320), np.uint8)
    cv2.ellipse(mask, (150, 170), (70, 110), 0, 0, 360, 1, -1)
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 3, mask.shape), (0, 0), 8)
    prob = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 6) + noise
    return cv2.resize(skimage.data.astronaut(), (320, 240)), prob.clip(0, 1).astype(np.float32), mask


def pictures() -> tuple[list, list, list]:
    """Six drawn people with probabilities that get worse from the first to the last: images, probs, masks."""
    pairs = [draw_pair(i) for i in range(6)]
    images, masks = [image for image, _ in pairs], [mask > 0 for _, mask in pairs]
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 0.05, mask.shape) for mask in masks]
    probs = [np.clip(0.15 + 0.7 * np.roll(mask, 4 * i, 1) + noise[i], 0, 1) for i, mask in enumerate(masks)]
    return images, probs, masks


def corner(knobs: torch.Tensor) -> torch.Tensor:
    """A model of two numbers: person left of x and above tall, logits (1, 1, 240, 320)."""
    right = torch.linspace(0, 1, 320) - knobs[0]
    below = torch.linspace(0, 1, 240)[:, None] - knobs[1]
    return (-10 * torch.maximum(right, below))[None, None]


def networks() -> NetworkExplorer:
    """Three alphas, two seeds, three pictures; the higher alpha, the less sure."""
    alphas, cuts = (0.0, 0.5, 1.0), np.linspace(0.05, 0.95, 19)
    masks = np.zeros((3, 40, 40), np.uint8)
    for number, mask in enumerate(masks):
        cv2.circle(mask, (20, 20), 6 + 4 * number, 1, -1)
    soft = np.stack([cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3) for mask in masks])
    probs = np.stack([[soft * (1 - alpha / 2) + 0.1 * seed for seed in range(2)] for alpha in alphas])
    probs = (probs.clip(0, 1) * 255).astype(np.uint8)
    dice = {
        alpha: np.array([[dice_score(p > 255 * cut, masks).mean() for cut in cuts] for p in own])
        for alpha, own in zip(alphas, probs, strict=True)
    }
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 40, 3), np.uint8)
    return NetworkExplorer(images, masks, probs, alphas, dice, cuts, alpha=0.6)


HISTORY = [
    {"epoch": e, "train_loss": 1 / e, "val_loss": 0.5 + abs(e - 4) / 50, "val_dice": 0.7 - abs(e - 9) / 100}
    for e in range(1, 13)
]
"""The validation loss is lowest at epoch 4, Dice best at epoch 9."""


def epochs() -> EpochExplorer:
    """Twelve epochs; on the training picture a mask from epoch 7 on."""
    image, mask = cv2.resize(skimage.data.astronaut(), (64, 64)), np.zeros((64, 64), np.uint8)
    mask[20:50, 20:40] = 1
    probs = np.stack([mask * row["epoch"] / 12 for row in HISTORY])
    return EpochExplorer(HISTORY, {"training": (image, mask, probs), "validation": (image, mask, 1 - probs)})


def worst_first() -> WorstFirst:
    images, probs, masks = pictures()
    traits = [measure_traits(image, mask) for image, mask in zip(images, masks, strict=True)]
    return WorstFirst(images, probs, masks, [f"p{i}" for i in range(6)], traits)


def seeds() -> SeedExplorer:
    """Five runs of three alphas, two of them equally good."""
    rng = np.random.default_rng(0)
    alphas = np.repeat([0.0, 0.5, 1.0], 5)
    dice = np.repeat([0.5, 0.6, 0.6], 5) + rng.normal(0, 0.02, 15)
    return SeedExplorer(pd.DataFrame({"alpha": alphas, "val_dice": dice}), "alpha")


def speed() -> SpeedExplorer:
    """Two sizes and two engines; the larger size is righter and slower."""
    images, probs, masks = pictures()
    by_size = {96: [np.zeros_like(prob) for prob in probs], 160: probs}
    times = {"torch": {96: 9.0, 160: 40.0}, "onnx": {96: 4.0, 160: 20.0}}
    return SpeedExplorer(images, masks, by_size, times)


def square() -> tuple[Clip, list[np.ndarray]]:
    """A bright square that walks right and stops, 12 frames of 80 x 120, and what an unsure network says."""
    images, masks, rng = [], [], np.random.default_rng(0)
    for t in range(12):
        mask = np.zeros((80, 120), bool)
        left = 10 + 8 * min(t, 6)
        mask[20:60, left : left + 30] = True
        masks.append(mask)
        images.append(np.where(mask[..., None], 200, 40).astype(np.uint8).repeat(3, 2))
    edges = [cv2.blur(cv2.resize(mask.astype(np.float32), (60, 40)), (5, 5)) for mask in masks]
    probs = [(edge + rng.normal(0, 0.2, edge.shape)).clip(0, 1).astype(np.float32) for edge in edges]
    return Clip("square", images, masks, 10), probs


PARTS = ("background", "head", "body")


def head_and_body() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A photograph, probabilities (3, 120, 100) that are nearly sure of the true parts, and these."""
    truth = np.zeros((120, 100), np.uint8)
    cv2.circle(truth, (44, 25), 14, 1, -1)
    cv2.rectangle(truth, (20, 42), (80, 119), 2, -1)
    prob = np.stack([cv2.GaussianBlur((truth == i).astype(np.float32), (0, 0), 3) for i in range(3)])
    return cv2.resize(skimage.data.astronaut(), (100, 120)), prob / prob.sum(0), truth


def parts() -> PartsExplorer:
    image, prob, truth = head_and_body()
    return PartsExplorer(image, prob, PARTS, truth)


def ball() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A volume with a ball, and a network that loses its top: images, prob, target (9, 30, 30)."""
    z, y, x = np.mgrid[:9, :30, :30]
    target = np.hypot(np.hypot((z - 4) * 3, y - 15), x - 15) < 11
    return (60 + 120 * target).astype(np.uint8), np.where(target, np.where(z > 6, 0.3, 0.8), 0.1), target


def dressed() -> tuple[np.ndarray, np.ndarray]:
    """A photograph and the probabilities of background, hair and upper: (3, 160, 200)."""
    prob = np.zeros((3, 160, 200), np.float32)
    prob[1, 20:60, 80:120] = prob[2, 60:150, 60:140] = 1
    prob[0] = 1 - prob[1] - prob[2]
    return cv2.resize(skimage.data.astronaut(), (200, 160)), prob


def review() -> ReviewExplorer:
    sure = {f"p{i}": i / 10 + 0.01 * (i % 3) for i in range(11)}
    return ReviewExplorer({f"p{i}": i / 10 for i in range(11)}, sure)


def one_of_each(folder: Path) -> list:
    """Every explorer of the course; one of them shows a data set that is drawn into this folder."""
    image, prob, mask = people()
    draw_dataset(folder, 6)
    return [
        ThresholdExplorer(image, prob, mask),
        ThresholdExplorer(image, prob),
        PairBrowser(find_samples(folder), inspect_dataset(folder).shares),
        UNetExplorer(),
        MaskShiftExplorer(mask),
        AlphaExplorer(),
        networks(),
        OptimiserExplorer(corner, {"x": 0.3, "tall": 0.6}, image, mask, BCELoss()),
        AugmentationExplorer(image, mask),
        epochs(),
        CutoutExplorer(image, prob, {"blur": "blur", "green": (0, 158, 115), "itself": image}),
        worst_first(),
        TemperatureExplorer(*pictures()[1:], image=1),
        seeds(),
        AtrousExplorer(image),
        speed(),
        SmoothingExplorer(*square()),
        parts(),
        VolumeExplorer(*ball(), spacing=(3, 1, 1)),
        RecolourExplorer(*dressed(), ("background", "hair", "upper")),
        PortraitExplorer(dressed()[0], 1 - dressed()[1][0]),
        review(),
    ]

"""Trainings small enough for a test."""

import torch

from segkit.checkpoint import read_tensors
from segkit.train import train as really_train
from segkit.training.settings import split_settings

NETWORK = {"widths": (8, 16), "bottleneck": 16}
SMALL = {"size": 32, "batch_size": 4, "precision": "fp32", "model_settings": NETWORK}


def small(**settings) -> dict:
    """Settings of both kinds, flat, as a YAML file has them."""
    if "start_from" in settings:
        settings["model_settings"] = {}
    return SMALL | settings


def train(folders, run, settings: dict, resume: bool = False):
    return really_train(folders, run, *split_settings(settings), resume)


def weights(run) -> dict:
    return read_tensors(run / "last" / "state.safetensors")[0]


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

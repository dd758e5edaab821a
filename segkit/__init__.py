"""Learn and use person segmentation: a U-Net you can read, train and trust."""

from segkit.augment import Augmentation
from segkit.data import load_dataset
from segkit.files import UserError, read_image, read_mask
from segkit.models import build_model
from segkit.predict import Segmenter
from segkit.train import TrainConfig, fit

__all__ = [
    "Augmentation",
    "Segmenter",
    "TrainConfig",
    "UserError",
    "build_model",
    "fit",
    "load_dataset",
    "read_image",
    "read_mask",
]

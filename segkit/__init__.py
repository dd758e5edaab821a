"""Learn and use person segmentation: a U-Net you can read, train and trust.

Names are loaded when they are first used: `import segkit` itself loads neither torch nor albumentations.
"""

import os
from importlib import import_module

# ONNX Runtime tells its makers of each start, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

_HOME = {
    "Augmentation": "segkit.augment",
    "Segmenter": "segkit.predict",
    "TrainConfig": "segkit.train",
    "UserError": "segkit.files",
    "build_model": "segkit.models",
    "fit": "segkit.train",
    "load_dataset": "segkit.data",
    "read_image": "segkit.files",
    "read_mask": "segkit.files",
    "remove": "segkit.matting.compose",
}

__all__ = sorted([*_HOME, "check"])


def __getattr__(name: str):
    if name == "check":  # the exercises' checks, a module
        return import_module("segkit.course.check")
    if name not in _HOME:
        raise AttributeError(f"module 'segkit' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""Every setting of a training run: what is trained on what, and how. Introduced in notebook 07."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args, get_origin

from segkit.files import UserError, check_choice
from segkit.models import MODEL_NAMES


@dataclass
class Recipe:
    """What is trained on what. `train` builds the network and loads the pictures by it."""

    model: Literal[*MODEL_NAMES, None] = None
    """name of the network; unet unless start_from brings another"""
    width: int | None = None
    """channels of the first stage of the model unet; 16 unless said"""
    model_settings: dict = field(default_factory=dict)
    """further settings of the network, such as {"up": "transposed"} or {"pretrained": true}"""
    start_from: str | None = None
    """a checkpoint to go on from: its network, with its weights"""
    labels: Literal["masks", "parts"] = "masks"
    """masks for person or not; parts for the classes that parts.json names"""
    size: int = 256
    """pictures are resized to size x size"""
    splits: str | None = None
    """a CSV that deals the pictures, in place of the data set's own splits.csv"""
    shares: dict = field(default_factory=dict)
    """how often each source is drawn, such as {"selfie": 0.3, "people": 0.7}; others are not drawn at all"""
    limit: int | None = None
    """train on this many pictures only"""
    augment: float = 1.0
    """strength of the augmentation, 0 to 2"""
    zoom: float = 1.0
    """above 1, keep the pictures this many times larger and train on random crops of them as well"""
    paste: float = 0.0
    """share of the pictures that get the person of another picture pasted on"""
    recolour: float = 0.0
    """share of the pictures whose person gets clothes of other colours"""
    cache: Literal["memory", "disk", "none"] = "memory"
    """keep decoded pictures in memory, on disk, or none"""

    def __post_init__(self):
        check_settings(
            self, width=(1, 1024), size=(8, 4096), limit=(1, math.inf), augment=(0, 2), zoom=(1, 16),
            paste=(0, 1), recolour=(0, 1),
        )  # fmt: skip
        if self.splits:  # a run may be resumed from another folder
            self.splits = str(Path(self.splits).resolve())
        shares = self.shares.values()
        if not all(isinstance(share, int | float) and 0 <= share < math.inf for share in shares) or (
            shares and not any(shares)
        ):
            raise UserError(f"shares are numbers from 0 on, and not all of them 0; found {self.shares}.")
        if self.start_from and (self.model or self.width or self.model_settings):
            raise UserError("start_from brings its own network: leave out model, width and model_settings.")
        if not self.start_from:
            self.model = self.model or "unet"
            if self.model == "unet" and "widths" not in self.model_settings:
                self.width = self.width or 16
            elif self.width:
                raise UserError(
                    "width goes with the model unet alone, and not beside widths in model_settings."
                )


@dataclass(frozen=True)
class TrainConfig:
    """How it is trained: all that `fit` uses."""

    num_epochs: int = 40
    """passes over the training split"""
    steps_per_epoch: int | None = None
    """an epoch is this many batches, however many pictures there are; one pass over all unless said"""
    batch_size: int = 16
    """images per step, over all processes together"""
    accumulate: int = 1
    """cut each batch into this many pieces, one after the other, when memory is small"""
    lr: float = 1e-3
    """learning rate"""
    optimizer: Literal["adam", "adamw"] = "adam"
    """adamw keeps weight decay out of the gradient"""
    encoder_lr: float = 1.0
    """learning rate of the encoder, as a share of lr; below 1 for a pretrained one"""
    schedule: Literal["plateau", "cosine"] = "plateau"
    """how the learning rate falls"""
    ema: float = 0.0
    """validate and keep a moving average of the weights with this decay, such as 0.999; 0 is off"""
    weight_decay: float = 1e-5
    """pull of the weights towards zero"""
    loss: Literal["bce-dice", "bce", "dice", "focal", "tversky", "deep"] = "bce-dice"
    """deep is for a network built with deep supervision"""
    alpha: float = 0.5
    """share of BCE in bce-dice; the rest is Dice"""
    outline: float = 0.0
    """how much more the pixels at the person's outline weigh, in bce-dice and deep"""
    teacher: str | None = None
    """a checkpoint whose probabilities are learned along with the masks (distillation)"""
    teacher_share: float = 0.5
    """share of the teacher in the loss"""
    clip: float = 1.0
    """longest gradient allowed (its norm); 0 switches clipping off"""
    plateau_patience: int = 4
    """halve the learning rate after this many epochs without a better validation Dice"""
    early_stop: int = 15
    """stop after this many epochs without a better validation Dice"""
    workers: int = 0
    """processes that load data; with a cache, none is fastest"""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto takes what this device does fastest"""
    compile: bool = False
    """compile the network first; pays on a GPU and in long runs"""
    seed: int = 0
    """the same seed, the same run"""
    tensorboard: bool = False
    """also write TensorBoard logs into the run folder"""

    def __post_init__(self):
        most = math.inf
        check_settings(
            self, num_epochs=(1, most), steps_per_epoch=(1, most), batch_size=(1, most), accumulate=(1, most),
            lr=(1e-12, 1e38), encoder_lr=(0, 100), ema=(0, 1), weight_decay=(0, 1e30), alpha=(0, 1),
            outline=(0, 1e6), teacher_share=(0, 1), clip=(0, most), plateau_patience=(0, most),
            early_stop=(1, most), workers=(0, 256), seed=(0, 2**32 - 1),
        )  # fmt: skip
        if self.batch_size % self.accumulate:
            raise UserError(
                f"a batch of {self.batch_size} cannot be cut into {self.accumulate} equal pieces."
            )
        # What nothing uses must not stand in the records.
        idle = {} if self.loss in ("bce-dice", "deep") else {"alpha": "the losses bce-dice and deep"}
        idle |= {} if self.teacher else {"teacher_share": "a teacher"}
        idle |= {} if self.schedule == "plateau" else {"plateau_patience": "the schedule plateau"}
        for name, partner in idle.items():
            if (value := getattr(self, name)) != (unused := getattr(TrainConfig, name)):
                raise UserError(f"{name} {value} would not be used: it goes with {partner}. Take {unused}.")


def check_settings(settings, **ranges: tuple[float, float]) -> None:
    """Every value must be of its type, or one of its Literal, and in its range.   Raises: UserError."""
    for f in fields(settings):
        value, kind = getattr(settings, f.name), f.type
        if get_origin(kind) is Literal:
            check_choice(f.name, value, get_args(kind))
        elif not isinstance(value, int | float if kind is float else kind) or (
            isinstance(value, bool) and kind is not bool  # to Python, a bool is a number
        ):
            raise UserError(f"{f.name} must be of type {getattr(kind, '__name__', kind)}, found {value!r}.")
        low, high = ranges.get(f.name, (-math.inf, math.inf))
        if isinstance(value, int | float) and not low <= value <= high:
            said = f"at least {low}" if math.isinf(high) else f"from {low:g} to {high:.10g}"
            raise UserError(f"{f.name} must be {said}, found {value!r}.")


def split_settings(flat: dict) -> tuple[Recipe, TrainConfig]:
    """Settings as flags and YAML files hold them, side by side, as the two kinds.   Raises: UserError."""
    names = [{f.name for f in fields(kind)} for kind in (Recipe, TrainConfig)]
    if unknown := flat.keys() - set().union(*names):
        raise UserError(f"there is no setting {', '.join(sorted(unknown))}.")
    recipe, config = ({name: flat[name] for name in own & flat.keys()} for own in names)
    return Recipe(**recipe), TrainConfig(**config)

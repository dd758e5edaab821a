"""The training loop, line by line as in notebook 07, with what a long run needs around it.

The loop is ours because it is the lesson. Devices, several processes and gradient accumulation are
accelerate's: the same code runs alone, under `accelerate launch` and under torchrun.
"""

import csv
import json
import math
import multiprocessing
import platform
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal, get_args, get_origin

import torch
import torch.nn.functional as F
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import broadcast_object_list, set_seed
from filelock import FileLock, Timeout
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler
from tqdm.auto import tqdm

from segkit import __version__
from segkit.augment import Augmentation
from segkit.checkpoint import CheckpointInfo, ResumeState, find_checkpoint, load_checkpoint, save_checkpoint
from segkit.data import (
    Preprocessing,
    Sample,
    SegmentationDataset,
    load_dataset,
    read_class_names,
)
from segkit.device import best_device
from segkit.files import IGNORE, UserError, atomic_path
from segkit.losses import build_loss
from segkit.metrics import Counts, count_classes, count_pixels
from segkit.models import IMAGENET, MODEL_NAMES, NORMALISATION, build_model, count_parameters, to_probs
from segkit.plots import plot_curves


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
        check_settings(
            self, width=(1, 1024), size=(8, 4096), limit=(1, math.inf), augment=(0, 2), zoom=(1, 16),
            paste=(0, 1), recolour=(0, 1),
        )  # fmt: skip


@dataclass
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


def check_settings(settings, **ranges: tuple[float, float]) -> None:
    """Every word must be one of its Literal type, every number in its range.   Raises: UserError."""
    for f in fields(settings):
        value = getattr(settings, f.name)
        if get_origin(f.type) is Literal and value not in get_args(f.type):
            choices = ", ".join(str(choice) for choice in get_args(f.type) if choice)
            raise UserError(f"{f.name} is one of {choices}; found {value!r}.")
        low, high = ranges.get(f.name, (None, None))
        if low is None or (value is None and f.default is None):
            continue
        if not isinstance(value, int | float) or not low <= value <= high:
            said = f"at least {low}" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise UserError(f"{f.name} must be {said}, found {value!r}.")


def split_settings(flat: dict) -> tuple[Recipe, TrainConfig]:
    """Settings as flags and YAML files hold them, side by side, as the two kinds.   Raises: UserError."""
    if unknown := flat.keys() - {f.name for kind in (Recipe, TrainConfig) for f in fields(kind)}:
        raise UserError(f"there is no setting {', '.join(sorted(unknown))}.")
    recipe, config = (
        kind(**{f.name: flat[f.name] for f in fields(kind) if f.name in flat})
        for kind in (Recipe, TrainConfig)
    )
    return recipe, config


CANNOT_CHANGE = ("model", "width", "model_settings", "start_from", "labels", "size", "splits", "seed")
"""Settings that a run keeps when it is resumed; the others take effect from the next epoch."""


@dataclass
class Run:
    """What a training run leaves behind."""

    folder: Path
    history: list[dict]

    @property
    def best(self) -> dict:
        """The line of history with the best validation Dice."""
        return max(self.history, key=lambda row: row["val_dice"])

    @property
    def best_dice(self) -> float:
        return self.best["val_dice"]

    @property
    def best_epoch(self) -> int:
        return self.best["epoch"]

    @property
    def checkpoint(self) -> Path:
        """The weights of the epoch with the best validation Dice."""
        return self.folder / "best.safetensors"


class EpochSampler(Sampler):
    """The order of one epoch: a shuffle that depends on seed and epoch alone, cut to whole batches.

    weights: (length,), how often each is drawn; then an epoch of the same length draws with repetition.
    steps: batches of an epoch. The pictures are then dealt from a shuffled deck that goes on from epoch to
        epoch and is shuffled again when it is used up. A picture that comes again within an epoch comes as
        (index, how often it came before), for which SegmentationDataset draws another augmentation.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        weights: torch.Tensor | None = None,
        steps: int | None = None,
    ):
        self.length, self.seed, self.epoch, self.weights, self.steps = length, seed, 0, weights, steps
        self.count = steps * batch_size if steps else length - length % batch_size

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        if self.weights is not None:
            generator = self._generator(self.epoch)
            order = torch.multinomial(self.weights, self.count, True, generator=generator).tolist()
        else:
            start = self.epoch * (self.count if self.steps else self.length)
            decks = range(start // self.length, (start + self.count - 1) // self.length + 1)
            cards = chain.from_iterable(
                torch.randperm(self.length, generator=self._generator(deck)).tolist() for deck in decks
            )
            order = list(cards)[start % self.length :][: self.count]
        before = Counter()
        for index in order:
            yield (index, before[index]) if before[index] else index
            before[index] += 1

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + number)


def sampling_weights(samples: list[Sample], shares: dict[str, float]) -> torch.Tensor:
    """How often to draw each sample, (N,), so that each source has its share.   Raises: UserError."""
    counts = Counter(sample.source for sample in samples)
    if missing := sorted(set(shares) - set(counts)):
        raise UserError(
            f"no picture comes from {', '.join(missing)}: the sources are {', '.join(sorted(counts))}."
        )
    return torch.tensor([shares.get(s.source, 0) / counts[s.source] for s in samples], dtype=torch.float64)


def train(
    folders: Sequence[str | Path],
    run: str | Path,
    recipe: Recipe | None = None,
    config: TrainConfig | None = None,
    resume: bool = False,
    leaks: Iterable[str] = (),
) -> Run:
    """Build the network, load the train and val splits of the folders, and fit it. See `fit`."""
    recipe, config = recipe or Recipe(), config or TrainConfig()
    _check_run_folder(Path(run), resume)
    set_seed(config.seed)  # before the network is built: its first weights are random
    num_classes = 1 if recipe.labels == "masks" else len(read_class_names(folders[0]))
    model, preprocessing = _build(recipe, num_classes)
    crop_to = recipe.size if recipe.zoom > 1 else None
    transform = Augmentation(recipe.augment, crop_to) if recipe.augment > 0 or crop_to else None
    common = {"preprocessing": preprocessing, "cache": recipe.cache, "seed": config.seed}
    common |= {"labels": recipe.labels, "splits": recipe.splits}
    learning = {name: getattr(recipe, name) for name in ("limit", "paste", "zoom", "recolour")}
    train_set = load_dataset(*folders, split="train", transform=transform, **learning, **common)
    if recipe.shares:
        train_set.weights = sampling_weights(train_set.samples, recipe.shares)
    val_set = load_dataset(*folders, split="val", **common)
    return fit(model, train_set, val_set, run, config, resume, recipe, leaks)


def _build(recipe: Recipe, num_classes: int) -> tuple[nn.Module, Preprocessing]:
    if not recipe.start_from:
        settings = recipe.model_settings | ({"num_classes": num_classes} if num_classes > 1 else {})
        colours = NORMALISATION.get(recipe.model, IMAGENET)
        return build_model(recipe.model, recipe.width, **settings), Preprocessing(recipe.size, **colours)
    model, start = load_checkpoint(find_checkpoint(recipe.start_from))
    if len(start.classes) != num_classes:  # everything but the last layer carries over
        body = {k: v for k, v in model.state_dict().items() if not k.startswith("head.")}
        model = build_model(**(start.model | {"num_classes": num_classes}))
        model.load_state_dict(body, strict=False)
    return model.requires_grad_(True), replace(start.preprocessing, size=recipe.size)


def fit(
    model: nn.Module,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset,
    run: str | Path,
    config: TrainConfig | None = None,
    resume: bool = False,
    recipe: Recipe | None = None,
    leaks: Iterable[str] = (),
) -> Run:
    """Train a network and keep the weights with the best validation Dice.

    model: images (N, 3, S, S) -> logits (N, 1, S, S), from build_model; it is trained in place.
    run: folder for config.json, history.csv, curves.png, best.safetensors and last/ (what resuming needs).
    resume: go on after the last whole epoch of that folder. With the same settings the weights come out
        the very same as from an unbroken run; settings that are given anew take effect from here on.
    recipe: what `train` made model and sets by, for the records.   leaks: sentences to say and to record.
    Returns: Run.   Raises: UserError, also when the loss stops being a number.   Notebook 07.
    """
    config, run = config or TrainConfig(), Path(run)
    on_cpu = best_device() == "cpu"  # left unsaid, accelerate runs CPU processes side by side unconnected
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision="no",  # ours, below: accelerate's would be fixed for the whole process
        gradient_accumulation_steps=config.accumulate,
        # split_batches: a batch is shared out among the processes, so that two processes take the
        # same steps as one.
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        log_with="tensorboard" if config.tensorboard else None,
        project_dir=run,
    )
    with _alone_in(run) if accelerator.is_main_process else nullcontext():
        _check_run_folder(run, resume)
        saved = ResumeState.read(run) if resume else None
        return _fit(accelerator, model, train_set, val_set, run, config, saved, recipe, list(leaks))


def _fit(accelerator, model, train_set, val_set, run, config, saved, recipe, leaks) -> Run:
    main, device = accelerator.is_main_process, accelerator.device
    batch_size = config.batch_size
    if not config.steps_per_epoch:
        batch_size = min(batch_size, len(train_set))
    piece, left_over = divmod(batch_size, config.accumulate * accelerator.num_processes)
    if left_over:
        raise UserError(
            f"a batch of {batch_size} images cannot be shared by {accelerator.num_processes} processes "
            f"in {config.accumulate} pieces each: choose a batch size that divides evenly."
        )
    teacher, taught = load_checkpoint(find_checkpoint(config.teacher)) if config.teacher else (None, None)
    _check_network(model, config, train_set, piece, taught)
    changes = _changes(saved, config, recipe) if saved else []
    set_seed(config.seed)
    sampler = EpochSampler(len(train_set), batch_size, config.seed, train_set.weights, config.steps_per_epoch)
    workers = {"num_workers": config.workers, "pin_memory": device.type == "cuda"}
    train_loader = DataLoader(train_set, batch_size // config.accumulate, sampler=sampler, **workers)
    val_loader = DataLoader(val_set, max(batch_size, accelerator.num_processes), **workers)

    precision = config.precision
    if precision == "auto":  # every process must take the same choice, so the first one's counts
        chosen = [saved.precision if saved else choose_precision(model, batch_size, train_set)]
        precision = broadcast_object_list(chosen)[0] if accelerator.num_processes > 1 else chosen[0]
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    autocast = partial(torch.autocast, device.type, dtype, enabled=precision != "fp32")
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    model = model.to(device, memory_format=torch.channels_last)
    loss_fn = build_loss(config.loss, config.alpha, len(train_set.classes), config.outline)
    optimizer = build_optimizer(model, config.optimizer, config.lr, config.weight_decay, config.encoder_lr)
    if teacher:  # it sees the photographs in the colours that it was trained with
        teacher.to(device, memory_format=torch.channels_last).eval()
    if saved:
        saved.load("model", model)
    average = moving_average(model, config.ema) if config.ema else None
    history = saved.history if saved else []
    scheduler = build_schedule(optimizer, config, len(history))
    if saved:
        saved.load_optimizer(optimizer)
        if scaler.is_enabled() and saved.scaler:
            scaler.load_state_dict(saved.scaler)
        if average and saved.holds("average"):
            saved.load("average", average)
        if isinstance(scheduler, ReduceLROnPlateau):
            _go_on(scheduler, optimizer, saved, changes, config)
    bare_model = model
    if accelerator.num_processes > 1 and any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        else:  # torch joins the statistics on GPUs alone
            accelerator.print(f"batch norm: each process normalises by its own {piece} images of a step.")
    if config.compile:
        model = torch.compile(model)
    model, train_loader, val_loader = accelerator.prepare(model, train_loader, val_loader)

    settings = (asdict(recipe) if recipe else {}) | asdict(config)
    info = CheckpointInfo(
        model=bare_model.built_as,
        preprocessing=train_set.preprocessing,
        classes=train_set.classes,
        trained_on=_describe(train_set),
        config=settings | {"precision": precision},
    )
    if main:
        record = {
            "data": sorted({str(_folder_of(sample).resolve()) for sample in train_set.samples}),
            "config": settings,
            "made_by": "train" if recipe else "fit",
            "changes": changes,
            "leaks": leaks,
            "precision": precision,
            "model": info.model,
            "parameters": count_parameters(bare_model),
            "preprocessing": asdict(info.preprocessing),
            "trained_on": info.trained_on,
            "validated_on": _describe(val_set),
            "device": str(device),
            "processes": accelerator.num_processes,
            "versions": {
                "segkit": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
        with atomic_path(run / "config.json") as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")
    for leak in leaks:
        accelerator.print(leak)
    if config.tensorboard:
        accelerator.init_trackers("tensorboard")
    if saved:
        saved.restore_generators()
    # The forked processes of a notebook cannot draw: only its own process may.
    quiet = not main or multiprocessing.parent_process() is not None

    def train_epoch(bar) -> float:
        """One pass over the training split; returns the mean loss."""
        model.train()
        total, steps = torch.zeros((), device=device), 0
        for images, masks in train_loader:
            with accelerator.accumulate(model):
                photos = images
                images = train_set.preprocessing.normalise(images)
                with autocast():
                    logits = model(images.contiguous(memory_format=torch.channels_last))
                loss = loss_fn(logits, masks)
                if teacher:
                    with torch.no_grad():
                        wanted = to_probs(teacher(taught.preprocessing.normalise(photos)))
                    soft = F.binary_cross_entropy_with_logits(logits.float(), wanted)
                    loss = (1 - config.teacher_share) * loss + config.teacher_share * soft
                accelerator.backward(scaler.scale(loss))
                if accelerator.sync_gradients:  # the last piece of the batch
                    if config.clip > 0:
                        scaler.unscale_(optimizer)
                        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()
                    if average:
                        average.update_parameters(bare_model)
            total += loss.detach()
            steps += 1
            bar.update(len(images) * accelerator.num_processes)
            # Reading a number back makes a GPU wait, so this is done now and then, not at every step.
            # All processes read the same one: they go on, or stop, together.
            if steps % 10 == 0:
                running = accelerator.reduce(total / steps, "mean").item()
                bar.set_postfix_str(f"loss {running:.4f}")
                if not math.isfinite(running):
                    return running
        return accelerator.reduce(total / steps, "mean").item()

    try:
        for epoch in range(len(history) + 1, config.num_epochs + 1):
            started = time.perf_counter()
            train_set.set_epoch(epoch)
            train_loader.set_epoch(epoch)  # reaches the sampler; accelerate would count from 0 after a resume
            lr = optimizer.param_groups[0]["lr"]
            label = f"epoch {epoch:3}/{config.num_epochs}"
            bar = tqdm(total=sampler.count, unit="img", desc=label, disable=quiet)
            train_loss = train_epoch(bar)
            seconds = time.perf_counter() - started
            if not math.isfinite(train_loss):
                raise UserError(_advice_on_nan(run, epoch, lr, precision, history))
            with autocast():
                val_loss, counts = evaluate_loader(
                    accelerator, average or model, val_loader, loss_fn, train_set.preprocessing
                )
            row = {
                "epoch": epoch,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_dice": _mean_over_images(counts, counts.dice()),
                "val_iou": _mean_over_images(counts, counts.iou()),
                "lr": lr,
                "images_per_s": sampler.count / seconds,
                "seconds": time.perf_counter() - started,
            }
            scheduler.step(*[row["val_dice"]] * isinstance(scheduler, ReduceLROnPlateau))
            is_best = row["val_dice"] > max((r["val_dice"] for r in history), default=-1.0)
            history.append(row)
            bar.set_postfix_str(
                f"loss {train_loss:.4f}, val Dice {row['val_dice']:.4f}{' *' if is_best else ''}"
            )
            bar.close()
            if config.tensorboard:
                accelerator.log(row, step=epoch)
            if main:
                if is_best:
                    scores = {"split": "val", "images": len(val_set), "epoch": epoch}
                    scores |= {key: round(row[key], 4) for key in ("val_dice", "val_iou")}
                    best_model = average.module if average else bare_model
                    save_checkpoint(run / "best.safetensors", best_model, replace(info, scores=scores))
                # The state is written last: an epoch counts as done once everything else of it is on disk.
                _write_history(run / "history.csv", history)
                ResumeState.write(
                    run,
                    {"model": bare_model, "average": average},
                    optimizer,
                    scheduler=scheduler.state_dict(),
                    scaler=scaler.state_dict(),
                    history=history,
                    precision=precision,
                    settings=settings,
                    made_by=record["made_by"],
                    changes=changes,
                )
            if epoch - Run(run, history).best_epoch >= config.early_stop:
                accelerator.print(f"no better validation Dice for {config.early_stop} epochs: stopping here.")
                break
    finally:
        if main and history:
            plot_curves(history, run / "curves.png")
        accelerator.end_training()
    return Run(run, history)


@torch.inference_mode()
def evaluate_loader(accelerator, model, loader, loss_fn, preprocessing) -> tuple[float, Counts]:
    """Mean loss and per-image counts. Every image counts once, however many processes share the loader."""
    model.eval()
    losses, batches = [], []
    for images, masks in loader:
        images = preprocessing.normalise(images).contiguous(memory_format=torch.channels_last)
        logits = model(images)
        # One loss per image: the padding that evens out the last batch can then be dropped again.
        loss = torch.stack(
            [loss_fn(one, mask) for one, mask in zip(logits.split(1), masks.split(1), strict=True)]
        )
        if logits.shape[1] == 1:
            asked = masks != IGNORE
            counts = count_pixels(logits > 0, (masks > 0) & asked, asked)  # logit 0 is probability 0.5
        else:
            counts = count_classes(logits.argmax(1, keepdim=True), masks, logits.shape[1])
        gathered = accelerator.gather_for_metrics((loss, counts.tp, counts.fp, counts.fn, counts.tn))
        losses.append(gathered[0].cpu())
        batches.append(Counts(*(count.cpu() for count in gathered[1:])))
    return torch.cat(losses).mean().item(), Counts.cat(batches)


def _mean_over_images(counts: Counts, scores: torch.Tensor) -> float:
    return (counts.over_classes(scores) if scores.ndim == 2 else scores).mean().item()


def choose_precision(model: nn.Module, batch_size: int, train_set: SegmentationDataset) -> str:
    """What "auto" means here. GPU: bf16 where the card has it, else fp16. CPU: whichever of fp32 and bf16
    takes a training step faster, measured; bf16 is slower on small networks and on older processors.
    """
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    # What the processor can do in hardware; emulated bf16 is never faster.
    can = torch.cpu.get_capabilities()
    if not (can.get("avx512_bf16") or can.get("amx_bf16")):
        return "fp32"
    images = torch.randn(min(batch_size, 4), 3, *[train_set.preprocessing.size] * 2)
    # A copy: trying out must not change the weights or the running statistics of the network.
    trial = build_model(**model.built_as).eval().to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)

    def seconds(enabled: bool) -> float:
        times = []
        for _ in range(3):  # the first one warms up
            started = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                out = trial(images)
            out.float().mean().backward()
            times.append(time.perf_counter() - started)
        return min(times[1:])

    return "bf16" if seconds(True) < 0.9 * seconds(False) else "fp32"


def _check_run_folder(run: Path, resume: bool) -> None:
    if resume and not ResumeState.path(run).exists():
        raise UserError(f"'{run}' holds no last/state.safetensors to resume from: train without --resume.")
    if resume and not (run / "best.safetensors").exists():
        raise UserError(
            f"'{run}' has lost its best.safetensors: copy it back, or train anew in another folder."
        )
    if not resume and (run / "history.csv").exists():
        raise UserError(f"'{run}' already holds a run: choose another folder, or go on with it by --resume.")


@contextmanager
def _alone_in(run: Path):
    """Two trainings in one folder would mix.   Raises: UserError."""
    try:
        (run / "last").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"'{run}' cannot be made a run folder ({error.strerror}).") from None
    try:
        with FileLock(run / "last" / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(
            f"another training is at work in '{run}': wait until it ends, or choose another folder."
        ) from None


def _check_network(
    model: nn.Module, config: TrainConfig, train_set: SegmentationDataset, piece: int, taught
) -> None:
    """Run the network without numbers, on the device "meta": what cannot work is said before it starts."""
    name, size, classes = model.built_as["name"], train_set.preprocessing.size, train_set.classes
    with torch.device("meta"):
        trial, images = build_model(**model.built_as).train(), torch.empty(piece, 3, size, size)
    try:
        answers = trial(images).shape[1]
    except (ValueError, RuntimeError) as error:  # batch norm needs two numbers of each channel
        raise UserError(
            f"the network '{name}' cannot train on {piece} images at a time of {size}x{size} ({error}): "
            "take a larger batch_size or size."
        ) from None
    if answers > len(classes) == 1 and (config.loss != "deep" or taught):
        raise UserError(
            f"with deep supervision the network gives {answers} answers: take the loss deep and no teacher."
        )
    if len(classes) not in (1, answers):
        raise UserError(f"the network knows {answers} classes, the pictures {len(classes)}.")
    if taught and taught.classes != classes:
        raise UserError(f"the teacher knows {', '.join(taught.classes)}, the pictures {', '.join(classes)}.")


def _changes(saved: ResumeState, config: TrainConfig, recipe: Recipe | None) -> list[dict]:
    """What was given anew, at this resume and those before.   Raises: UserError for what cannot change."""
    if saved.made_by != ("train" if recipe else "fit"):
        raise UserError(f"the run was made by `{saved.made_by}`: go on with it by that one.")
    settings = json.loads(json.dumps((asdict(recipe) if recipe else {}) | asdict(config)))
    changed = {key: value for key, value in settings.items() if value != saved.settings.get(key)}
    if fixed := [f"{n} {saved.settings.get(n)!r}" for n in CANNOT_CHANGE if n in changed]:
        raise UserError(f"a run that is resumed keeps its {', '.join(fixed)}: train anew in another folder.")
    done = len(saved.history)
    if changed and config.num_epochs <= done:
        raise UserError(
            f"all {done} epochs are done, so {', '.join(changed)} would change nothing: raise num_epochs."
        )
    return saved.changes + ([{"from_epoch": done + 1, **changed}] if changed else [])


def _describe(dataset: SegmentationDataset) -> tuple[dict, ...]:
    """Which folders, and how many pictures of each."""
    counts = Counter(_folder_of(sample).resolve().name for sample in dataset.samples)
    return tuple({"name": name, "images": count} for name, count in counts.items())


def _folder_of(sample: Sample) -> Path:
    """The data set a sample belongs to: what holds its masks/ or parts/."""
    return next(parent.parent for parent in sample.mask.parents if parent.name in ("masks", "parts"))


def _write_history(path: Path, history: list[dict]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)


def _advice_on_nan(run: Path, epoch: int, lr: float, precision: str, history: list[dict]) -> str:
    kept = f"The best weights so far are kept in '{run / 'best.safetensors'}'. " if history else ""
    narrower = "" if precision == "fp32" else ", or --precision fp32"
    return (
        f"the loss is no longer a number in epoch {epoch} (learning rate {lr:g}, {precision}). {kept}"
        f"Try a learning rate ten times lower, --clip 1{narrower}."
    )


def build_optimizer(
    model: nn.Module, name: str, lr: float, weight_decay: float, encoder_lr: float = 1.0
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, 2015), or AdamW, which keeps weight decay out of the gradient (Loshchilov, 2019).

    encoder_lr: learning rate of the part called `encoder`, as a share of lr. What is pretrained should
        move less than what starts from nothing.
    """
    parts = {"rest": [], "encoder": []}
    for key, parameter in model.named_parameters():
        parts["encoder" if key.startswith("encoder.") else "rest"].append(parameter)
    groups = [{"params": parts["rest"], "lr": lr}, {"params": parts["encoder"], "lr": lr * encoder_lr}]
    make = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return make([group for group in groups if group["params"]], lr=lr, weight_decay=weight_decay)


def build_schedule(optimizer: torch.optim.Optimizer, config: TrainConfig, done: int = 0) -> LRScheduler:
    """The learning rate of the next epoch, when `done` epochs are behind.

    "plateau" halves it after plateau_patience epochs without a better validation Dice; "cosine" lets it
    glide from lr to almost nothing over num_epochs (Loshchilov and Hutter, "SGDR", 2017), and is planned
    anew where a run is resumed for another number of epochs.
    """
    if config.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=config.plateau_patience)
    scheduler = CosineAnnealingLR(optimizer, T_max=config.num_epochs)
    optimizer.zero_grad()
    for _ in range(done):
        optimizer.step()  # no gradient, so nothing moves; torch wants to see it before the schedule's
        scheduler.step()
    return scheduler


def _go_on(scheduler, optimizer, saved: ResumeState, changes: list[dict], config: TrainConfig) -> None:
    """The plateau schedule as it was when the run was left; a learning rate given anew comes first."""
    new = changes[-1] if changes and changes[-1]["from_epoch"] == len(saved.history) + 1 else {}
    if "schedule" in new:
        scheduler.best = max(row["val_dice"] for row in saved.history)
    else:
        scheduler.load_state_dict(saved.scheduler | {"patience": config.plateau_patience})
    if not new.keys() & {"lr", "encoder_lr", "schedule"}:
        for group, lr in zip(optimizer.param_groups, saved.lrs, strict=True):
            group["lr"] = lr


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """A second network that follows the first: average = decay * average + (1 - decay) * now, each step.

    It wanders less than the weights themselves and usually scores better (Polyak and Juditsky, 1992).
    The first steps count for more, or the average would hang on to the random start.
    """

    def update(average, now, steps):
        steps = float(steps)
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(average, now, steps)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)

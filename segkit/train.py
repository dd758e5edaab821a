"""The training loop, line by line as in notebook 07, with what a long run needs around it.

The loop is ours because it is the lesson. Devices, mixed precision, several processes and gradient
accumulation are accelerate's: the same code runs alone, under `accelerate launch` and under torchrun.
"""

import csv
import json
import math
import platform
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator, DataLoaderConfiguration, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, set_seed
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler
from tqdm.auto import tqdm

from segkit.augment import Augmentation
from segkit.checkpoint import CheckpointInfo, ResumeState, find_checkpoint, load_checkpoint, save_checkpoint
from segkit.data import Preprocessing, Sample, SegmentationDataset, load_dataset, read_class_names
from segkit.device import best_device
from segkit.files import IGNORE, UserError, atomic_path
from segkit.losses import build_loss
from segkit.metrics import Counts, count_classes, count_pixels
from segkit.models import IMAGENET, NORMALISATION, build_model, count_parameters, to_probs
from segkit.plots import plot_curves


@dataclass
class TrainConfig:
    """Every hyperparameter. A run records them all; a YAML file or flags set them."""

    model: str = "unet"
    """name of the network: unet, unet-7m, unet-13m, unet-17m, unet-31m, unet-lite0, unet-lite2 or
    deeplab-lite0"""
    width: int | None = 16
    """channels of the first stage of the model unet"""
    model_settings: dict = field(default_factory=dict)
    """further settings of the network, such as {"up": "transposed"} or {"pretrained": true}"""
    start_from: str | None = None
    """a checkpoint whose weights to start from; the network is then built as it says"""
    labels: str = "masks"
    """masks for person or not; parts for the classes that parts.json names"""
    size: int = 256
    """pictures are resized to size x size"""
    num_epochs: int = 40
    """passes over the training split"""
    batch_size: int = 16
    """images per step, over all processes together"""
    accumulate: int = 1
    """cut each batch into this many pieces, one after the other, when memory is small"""
    lr: float = 1e-3
    """learning rate"""
    optimizer: str = "adam"
    """adam or adamw"""
    encoder_lr: float = 1.0
    """learning rate of the encoder, as a share of lr; below 1 for a pretrained one"""
    schedule: str = "plateau"
    """plateau or cosine: how the learning rate falls"""
    ema: float = 0.0
    """validate and keep a moving average of the weights with this decay, such as 0.999; 0 is off"""
    weight_decay: float = 1e-5
    """pull of the weights towards zero"""
    loss: str = "bce-dice"
    """bce-dice, bce, dice, focal or tversky; deep, for a network built with deep supervision"""
    alpha: float = 0.5
    """share of BCE in bce-dice; the rest is Dice"""
    outline: float = 0.0
    """how much more the pixels at the person's outline weigh, in bce-dice and deep"""
    shares: dict = field(default_factory=dict)
    """how often each source is drawn, such as {"selfie": 0.3, "people": 0.7}; others are not drawn at all"""
    augment: float = 1.0
    """strength of the augmentation, 0 to 2"""
    zoom: float = 1.0
    """above 1, keep the pictures this many times larger and train on random crops of them as well"""
    paste: float = 0.0
    """share of the pictures that get the person of another picture pasted on"""
    recolour: float = 0.0
    """share of the pictures whose person gets clothes of other colours"""
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
    limit: int | None = None
    """train on this many pictures only"""
    cache: str = "memory"
    """keep decoded pictures in memory, on disk, or none"""
    workers: int = 0
    """processes that load data; with a cache, none is fastest"""
    precision: str = "auto"
    """auto, fp32, bf16 or fp16; auto takes what this device does fastest"""
    compile: bool = False
    """compile the network first; pays on a GPU and in long runs"""
    seed: int = 0
    """the same seed, the same run"""
    tensorboard: bool = False
    """also write TensorBoard logs into the run folder"""

    def __post_init__(self):
        at_least = {"size": 8, "num_epochs": 1, "batch_size": 1, "accumulate": 1, "plateau_patience": 0}
        at_least |= {"zoom": 1, "early_stop": 1, "workers": 0, "clip": 0, "weight_decay": 0, "encoder_lr": 0}
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}, found {getattr(self, name)}.")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise UserError(f"lr must be above 0, found {self.lr}.")
        if self.batch_size % self.accumulate:
            raise UserError(
                f"a batch of {self.batch_size} cannot be cut into {self.accumulate} equal pieces."
            )
        for name in ("ema", "paste", "recolour", "teacher_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} must lie between 0 and 1, found {getattr(self, name)}.")
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise UserError(f"precision is auto, fp32, bf16 or fp16, found '{self.precision}'.")


@dataclass
class Run:
    """What a training run leaves behind."""

    folder: Path
    history: list[dict]
    best_dice: float
    best_epoch: int

    @property
    def checkpoint(self) -> Path:
        """The weights of the epoch with the best validation Dice."""
        return self.folder / "best.safetensors"


class EpochSampler(Sampler):
    """The order of one epoch: a shuffle that depends on seed and epoch alone, cut to whole batches.

    weights: (length,), how often each is drawn; then an epoch of the same length draws with repetition.
    """

    def __init__(self, length: int, batch_size: int, seed: int, weights: torch.Tensor | None = None):
        self.length, self.seed, self.epoch, self.weights = length, seed, 0, weights
        self.count = length - length % batch_size

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if self.weights is not None:
            return iter(torch.multinomial(self.weights, self.count, True, generator=generator).tolist())
        return iter(torch.randperm(self.length, generator=generator)[: self.count].tolist())


def sampling_weights(samples: list[Sample], shares: dict[str, float]) -> torch.Tensor:
    """How often to draw each sample, (N,), so that each source has its share.   Raises: UserError."""
    counts = Counter(sample.source for sample in samples)
    if missing := sorted(set(shares) - set(counts)):
        raise UserError(
            f"no picture comes from {', '.join(missing)}: the sources are {', '.join(sorted(counts))}."
        )
    return torch.tensor([shares.get(s.source, 0) / counts[s.source] for s in samples], dtype=torch.float64)


def train(
    folders: list[str | Path], run: str | Path, config: TrainConfig | None = None, resume: bool = False
) -> Run:
    """Load the train and val splits of the folders, build the network, and fit it. See `fit`."""
    config = config or TrainConfig()
    set_seed(config.seed)  # before the network is built: its first weights are random
    num_classes = 1 if config.labels == "masks" else len(read_class_names(folders[0]))
    if config.start_from:
        model, start = load_checkpoint(find_checkpoint(config.start_from))
        if len(start.classes) != num_classes:  # everything but the last layer carries over
            body = {k: v for k, v in model.state_dict().items() if not k.startswith("head.")}
            model = build_model(**(start.model | {"num_classes": num_classes}))
            model.load_state_dict(body, strict=False)
        model.requires_grad_(True)
        preprocessing = replace(start.preprocessing, size=config.size)
    else:
        width = config.width if config.model == "unet" else None
        settings = config.model_settings | ({"num_classes": num_classes} if num_classes > 1 else {})
        model = build_model(config.model, width, **settings)
        preprocessing = Preprocessing(config.size, **NORMALISATION.get(config.model, IMAGENET))
    common = {"preprocessing": preprocessing, "cache": config.cache, "seed": config.seed}
    common |= {"labels": config.labels}
    crop_to = config.size if config.zoom > 1 else None
    transform = Augmentation(config.augment, crop_to) if config.augment > 0 or crop_to else None
    train_set = load_dataset(
        *folders,
        split="train",
        transform=transform,
        limit=config.limit,
        paste=config.paste,
        zoom=config.zoom,
        recolour=config.recolour,
        **common,
    )
    val_set = load_dataset(*folders, split="val", **common)
    return fit(model, train_set, val_set, run, config, resume)


def fit(
    model: nn.Module,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset,
    run: str | Path,
    config: TrainConfig | None = None,
    resume: bool = False,
) -> Run:
    """Train a network and keep the weights with the best validation Dice.

    model: images (N, 3, S, S) -> logits (N, 1, S, S), from build_model; it is trained in place.
    run: folder for config.json, history.csv, curves.png, best.safetensors and last/ (what resuming needs).
    resume: go on after the last whole epoch of that folder; the weights come out the very same as
        from an unbroken run.
    Returns: Run.   Raises: UserError, also when the loss stops being a number.   Notebook 07.
    """
    config, run = config or TrainConfig(), Path(run)
    _check_run_folder(run, resume)
    saved = ResumeState.read(run) if resume else None
    on_cpu = (
        best_device() == "cpu"
    )  # without this word, accelerate runs CPU processes side by side unconnected
    # Every process must take the same choice, so the first one's counts.
    chosen = [saved.precision if saved else choose_precision(model, config)]
    precision = broadcast_object_list(chosen)[0] if PartialState(cpu=on_cpu).num_processes > 1 else chosen[0]
    # accelerate keeps its settings for the whole process; a notebook trains more than once.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision={"fp32": "no"}.get(precision, precision),
        gradient_accumulation_steps=config.accumulate,
        # split_batches: a batch is shared out among the processes, so that two processes take the
        # same steps as one.
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        log_with="tensorboard" if config.tensorboard else None,
        project_dir=run,
    )
    set_seed(config.seed)
    main = accelerator.is_main_process

    batch_size = min(config.batch_size, len(train_set))
    if batch_size % (config.accumulate * accelerator.num_processes):
        raise UserError(
            f"a batch of {batch_size} images cannot be shared by {accelerator.num_processes} processes "
            f"in {config.accumulate} pieces each: choose a batch size that divides evenly."
        )
    weights = sampling_weights(train_set.samples, config.shares) if config.shares else None
    sampler = EpochSampler(len(train_set), batch_size, config.seed, weights)
    workers = {"num_workers": config.workers, "pin_memory": accelerator.device.type == "cuda"}
    train_loader = DataLoader(train_set, batch_size // config.accumulate, sampler=sampler, **workers)
    val_loader = DataLoader(val_set, max(batch_size, accelerator.num_processes), **workers)

    model = model.to(memory_format=torch.channels_last)
    loss_fn = build_loss(config.loss, config.alpha, len(train_set.classes), config.outline)
    optimizer = build_optimizer(model, config.optimizer, config.lr, config.weight_decay, config.encoder_lr)
    scheduler = Schedule(optimizer, config.schedule, config.num_epochs, config.plateau_patience)
    average = moving_average(model, config.ema).to(accelerator.device) if config.ema else None
    teacher, taught = load_checkpoint(find_checkpoint(config.teacher)) if config.teacher else (None, None)
    if teacher:  # it sees the photographs in the colours that it was trained with
        teacher.to(accelerator.device, memory_format=torch.channels_last).eval()
    if saved:
        saved.restore(model, optimizer, scheduler, accelerator, average)
    history = saved.history if saved else []
    bare_model = model
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if config.compile:
        model = torch.compile(model)
    model, optimizer, train_loader, val_loader = accelerator.prepare(
        model, optimizer, train_loader, val_loader
    )

    info = CheckpointInfo(
        model=bare_model.built_as,
        preprocessing=train_set.preprocessing,
        classes=train_set.classes,
        trained_on=_describe(train_set),
        config=asdict(replace(config, precision=precision)),
    )
    if main:
        _write_json(
            run / "config.json", _record(config, precision, info, accelerator, bare_model, train_set, val_set)
        )
    if config.tensorboard:
        accelerator.init_trackers("tensorboard")

    try:
        for epoch in range(len(history) + 1, config.num_epochs + 1):
            started = time.perf_counter()
            train_set.set_epoch(epoch)
            train_loader.set_epoch(epoch)  # reaches the sampler; accelerate would count from 0 after a resume
            lr = optimizer.param_groups[0]["lr"]
            bar = tqdm(
                total=sampler.count, unit="img", desc=f"epoch {epoch:3}/{config.num_epochs}", disable=not main
            )
            train_loss = _train_epoch(
                accelerator,
                model,
                train_loader,
                loss_fn,
                optimizer,
                train_set,
                config,
                bar,
                average,
                teacher and (teacher, taught.preprocessing),
            )
            seconds = time.perf_counter() - started
            if not math.isfinite(train_loss):
                raise UserError(_advice_on_nan(run, epoch, lr, precision, history))
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
            scheduler.step(row["val_dice"])
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
                    run, bare_model, optimizer, scheduler, accelerator, history, precision, average
                )
            best_epoch = max(history, key=lambda r: r["val_dice"])["epoch"]
            if epoch - best_epoch >= config.early_stop:
                accelerator.print(f"no better validation Dice for {config.early_stop} epochs: stopping here.")
                break
    finally:
        if main and history:
            plot_curves(history, run / "curves.png")
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)  # the caller's network is as it was made
        accelerator.end_training()
    best = max(history, key=lambda r: r["val_dice"])
    return Run(run, history, best["val_dice"], best["epoch"])


def _train_epoch(
    accelerator, model, loader, loss_fn, optimizer, train_set, config, bar, average, teacher
) -> float:
    """One pass over the training split; returns the mean loss."""
    model.train()
    total, steps = torch.zeros((), device=accelerator.device), 0
    for images, masks in loader:
        with accelerator.accumulate(model):
            photos = images
            images = train_set.preprocessing.normalise(images).contiguous(memory_format=torch.channels_last)
            logits = model(images)  # prepare() lets the network work in the chosen precision
            loss = loss_fn(logits, masks)
            if teacher:
                network, preprocessing = teacher
                with torch.no_grad():
                    wanted = to_probs(network(preprocessing.normalise(photos)))
                soft = F.binary_cross_entropy_with_logits(logits.float(), wanted)
                loss = (1 - config.teacher_share) * loss + config.teacher_share * soft
            accelerator.backward(loss)
            if accelerator.sync_gradients and config.clip > 0:
                accelerator.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            optimizer.zero_grad()
            if average and accelerator.sync_gradients:
                average.update_parameters(accelerator.unwrap_model(model))
        total += loss.detach()
        steps += 1
        bar.update(len(images) * accelerator.num_processes)
        # Reading a number back makes a GPU wait, so this is done now and then, not at every step.
        if steps % 10 == 0:
            running = total.item() / steps
            bar.set_postfix_str(f"loss {running:.4f}")
            if not math.isfinite(running):
                break
    return accelerator.reduce(total / steps, "mean").item()


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
            counts = count_pixels((logits > 0) & asked, (masks > 0) & asked)  # logit 0 is probability 0.5
        else:
            counts = count_classes(logits.argmax(1, keepdim=True), masks, logits.shape[1])
        gathered = accelerator.gather_for_metrics((loss, counts.tp, counts.fp, counts.fn, counts.tn))
        losses.append(gathered[0].cpu())
        batches.append(Counts(*(count.cpu() for count in gathered[1:])))
    return torch.cat(losses).mean().item(), Counts.cat(batches)


def _mean_over_images(counts: Counts, scores: torch.Tensor) -> float:
    return (counts.over_classes(scores) if scores.ndim == 2 else scores).mean().item()


def choose_precision(model: nn.Module, config: TrainConfig) -> str:
    """What "auto" means here. GPU: bf16 where the card has it, else fp16. CPU: whichever of fp32 and bf16
    takes a training step faster, measured; bf16 is slower on small networks and on older processors.
    """
    if config.precision != "auto":
        return config.precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    # What the processor can do in hardware; emulated bf16 is never faster.
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "fp32"
    images = torch.randn(min(config.batch_size, 4), 3, config.size, config.size)
    # A copy: trying out must not change the weights or the running statistics of the network.
    trial = build_model(**model.built_as).to(memory_format=torch.channels_last)
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
    if not resume and (run / "history.csv").exists():
        raise UserError(f"'{run}' already holds a run: choose another folder, or go on with it by --resume.")


def _describe(dataset: SegmentationDataset) -> tuple[dict, ...]:
    """Which folders, and how many pictures of each."""
    counts: dict[str, int] = {}
    for sample in dataset.samples:
        name = _folder_of(sample).resolve().name
        counts[name] = counts.get(name, 0) + 1
    return tuple({"name": name, "images": count} for name, count in counts.items())


def _folder_of(sample: Sample) -> Path:
    """The data set a sample belongs to: what holds its masks/ or parts/."""
    return next(parent.parent for parent in sample.mask.parents if parent.name in ("masks", "parts"))


def _record(config, precision, info, accelerator, model, train_set, val_set) -> dict:
    return {
        "data": sorted({str(_folder_of(sample).resolve()) for sample in train_set.samples}),
        "config": asdict(config),
        "precision": precision,
        "model": info.model,
        "parameters": count_parameters(model),
        "preprocessing": asdict(info.preprocessing),
        "trained_on": info.trained_on,
        "validated_on": _describe(val_set),
        "device": str(accelerator.device),
        "processes": accelerator.num_processes,
        "versions": {
            "segkit": version("segkit"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _write_json(path: Path, content: dict) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


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
    Raises: UserError for another name.
    """
    if name not in ("adam", "adamw"):
        raise UserError(f"the optimiser is adam or adamw, found '{name}'.")
    groups = [{"params": list(model.parameters()), "lr": lr}]
    if encoder_lr != 1:
        encoder = [p for n, p in model.named_parameters() if n.startswith("encoder.")]
        rest = [p for n, p in model.named_parameters() if not n.startswith("encoder.")]
        groups = [{"params": rest, "lr": lr}, {"params": encoder, "lr": lr * encoder_lr}]
    make = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return make(groups, lr=lr, weight_decay=weight_decay)


class Schedule:
    """The learning rate of the next epoch.

    "plateau" halves it after `patience` epochs without a better validation Dice; "cosine" lets it glide
    from lr to almost nothing over num_epochs (Loshchilov and Hutter, "SGDR", 2017).
    """

    def __init__(self, optimizer, kind: str, num_epochs: int, patience: int):
        if kind not in ("plateau", "cosine"):
            raise UserError(f"the schedule is plateau or cosine, found '{kind}'.")
        self.scheduler = (
            ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=patience)
            if kind == "plateau"
            else LambdaLR(optimizer, lambda epoch: (1 + math.cos(math.pi * epoch / num_epochs)) / 2)
        )
        self.kind = kind

    def step(self, val_dice: float) -> None:
        """Once after every epoch."""
        self.scheduler.step(val_dice) if self.kind == "plateau" else self.scheduler.step()

    def state_dict(self) -> dict:
        return self.scheduler.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.scheduler.load_state_dict(state)


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """A second network that follows the first: average = decay * average + (1 - decay) * now, each step.

    It wanders less than the weights themselves and usually scores better (Polyak and Juditsky, 1992).
    The first steps count for more, or the average would hang on to the random start.
    """

    def update(average, now, steps):
        steps = float(steps)
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(average, now, steps)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)

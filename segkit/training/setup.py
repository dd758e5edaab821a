"""All that the training loop works with, made ready: loaders, optimiser, precision, teacher, records."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import broadcast_object_list, set_seed
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from segkit.checkpoint import CheckpointInfo, find_checkpoint, load_checkpoint
from segkit.data import Preprocessing, SegmentationDataset
from segkit.device import best_device
from segkit.files import UserError
from segkit.losses import build_loss
from segkit.models import IMAGENET, NORMALISATION, build_model, count_parameters
from segkit.training.optim import build_optimizer, build_schedule, moving_average
from segkit.training.runs import ResumeState, changed_settings, describe_set, folders_of, write_record
from segkit.training.sampler import EpochSampler
from segkit.training.settings import Recipe, TrainConfig
from segkit.training.trial import check_network, choose_precision


@dataclass
class Setup:
    """What the loop works with."""

    accelerator: Accelerator
    model: nn.Module
    """As accelerate wraps it, to be called."""
    bare_model: nn.Module
    """The network itself, to be saved."""
    average: AveragedModel | None
    teacher: nn.Module | None
    taught: CheckpointInfo | None
    """What the teacher's checkpoint says."""
    train_set: SegmentationDataset
    val_set: SegmentationDataset
    train_loader: DataLoader
    val_loader: DataLoader
    sampler: EpochSampler
    loss_fn: Callable
    optimizer: Optimizer
    scheduler: LRScheduler
    scaler: torch.amp.GradScaler
    precision: str
    autocast: Callable
    info: CheckpointInfo
    history: list[dict]
    settings: dict
    made_by: str
    changes: list[dict]


def network_of(recipe: Recipe, num_classes: int, best: Path = Path()) -> tuple[nn.Module, Preprocessing]:
    """The network that a recipe asks for, and how pictures are prepared for it.   Raises: UserError.

    best: the checkpoint of the run itself: where it is, what the run started from may be gone.
    """
    if not recipe.start_from:
        settings = recipe.model_settings | ({"num_classes": num_classes} if num_classes > 1 else {})
        colours = NORMALISATION.get(recipe.model, IMAGENET)
        try:
            model = build_model(recipe.model, recipe.width, **settings)
        except TypeError as error:
            raise UserError(f"no network has the settings {settings} ({error}).") from None
        return model, Preprocessing(recipe.size, **colours)
    model, start = load_checkpoint(best if best.is_file() else find_checkpoint(recipe.start_from))
    if len(start.classes) != num_classes:  # everything but the last layer carries over
        if "members" in start.model:
            raise UserError(
                f"'{recipe.start_from}' is the mean of several networks: start from one of its folds."
            )
        body = {k: v for k, v in model.state_dict().items() if not k.startswith("head.")}
        model = build_model(**(start.model | {"num_classes": num_classes}))
        model.load_state_dict(body, strict=False)
    return model.requires_grad_(True), replace(start.preprocessing, size=recipe.size)


def connect(config: TrainConfig, run: Path) -> Accelerator:
    """The device, and the other processes where there are several."""
    return Accelerator(
        cpu=best_device() == "cpu",  # left unsaid, accelerate runs CPU processes side by side unconnected
        mixed_precision="no",  # ours, below: accelerate's would be fixed for the whole process
        gradient_accumulation_steps=config.accumulate,
        # split_batches: a batch is shared out among the processes, so that two processes take the
        # same steps as one.
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        log_with="tensorboard" if config.tensorboard else None,
        project_dir=run,
    )


def prepare(
    accelerator: Accelerator,
    model: nn.Module,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset,
    run: Path,
    config: TrainConfig,
    saved: ResumeState | None,
    recipe: Recipe | None,
    leaks: list[str],
) -> Setup:
    """Check that all of it fits together, build it, take up what was saved, and write config.json.

    Raises: UserError.
    """
    device, processes = accelerator.device, accelerator.num_processes
    batch_size = config.batch_size if config.steps_per_epoch else min(config.batch_size, len(train_set))
    piece, left_over = divmod(batch_size, config.accumulate * processes)
    if left_over:
        raise UserError(
            f"a batch of {batch_size} images cannot be shared by {processes} processes "
            f"in {config.accumulate} pieces each: choose a batch size that divides evenly."
        )
    teacher, taught = load_checkpoint(find_checkpoint(config.teacher)) if config.teacher else (None, None)
    check_network(model, config, train_set, val_set, piece, taught)
    settings, data = (asdict(recipe) if recipe else {}) | asdict(config), folders_of(train_set)
    made_by = "train" if recipe else "fit"
    changes = changed_settings(saved, settings | {"data": data}, made_by) if saved else []
    set_seed(config.seed)
    sampler = EpochSampler(len(train_set), batch_size, config.seed, train_set.weights, config.steps_per_epoch)
    workers = {"num_workers": config.workers, "pin_memory": device.type == "cuda"}
    train_loader = DataLoader(train_set, batch_size // config.accumulate, sampler=sampler, **workers)
    val_loader = DataLoader(val_set, max(batch_size, processes), **workers)

    precision = config.precision
    if precision == "auto":  # every process must take the same choice, so the first one's counts
        chosen = [saved.precision if saved else choose_precision(model, batch_size, train_set)]
        precision = broadcast_object_list(chosen)[0] if processes > 1 else chosen[0]
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    model = model.to(device, memory_format=torch.channels_last)
    if teacher:
        teacher.to(device, memory_format=torch.channels_last).eval()
    optimizer = build_optimizer(model, config.optimizer, config.lr, config.weight_decay, config.encoder_lr)
    if saved:
        saved.load("model", model)
    average = moving_average(model, config.ema) if config.ema else None
    history = saved.history if saved else []
    scheduler = build_schedule(optimizer, config, len(history))
    if saved:
        saved.restore(optimizer, scheduler, scaler, average, changes, config)

    loss_fn = build_loss(config.loss, config.alpha, len(train_set.classes), config.outline)
    bare_model = model
    if processes > 1 and any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        else:  # torch joins the statistics on GPUs alone
            accelerator.print(f"batch norm: each process normalises by its own {piece} images of a step.")
    if config.compile:
        model = torch.compile(model)
    model, train_loader, val_loader = accelerator.prepare(model, train_loader, val_loader)

    info = CheckpointInfo(
        model=bare_model.built_as,
        preprocessing=train_set.preprocessing,
        classes=train_set.classes,
        trained_on=describe_set(train_set),
        config=settings | {"precision": precision},
    )
    for leak in leaks:
        accelerator.print(leak)
    if config.tensorboard:
        accelerator.init_trackers("tensorboard")
    if saved:
        saved.restore_generators()
    setup = Setup(
        accelerator=accelerator, model=model, bare_model=bare_model, average=average, teacher=teacher,
        taught=taught, train_set=train_set, val_set=val_set, train_loader=train_loader, val_loader=val_loader,
        sampler=sampler, loss_fn=loss_fn,
        optimizer=optimizer, scheduler=scheduler, scaler=scaler, precision=precision,
        autocast=partial(torch.autocast, device.type, dtype, enabled=precision != "fp32"), info=info,
        history=history, settings=settings | {"data": data}, made_by=made_by, changes=changes,
    )  # fmt: skip
    if accelerator.is_main_process:
        if not saved:  # stopped in its first epoch, it goes on from here
            ResumeState.write(run, setup)
        record = {"made_by": made_by, "changes": changes, "leaks": leaks, "config": settings}
        record |= {"precision": precision, "parameters": count_parameters(bare_model)}
        record |= {"device": str(device), "processes": processes, "data": data}
        write_record(run, record, info, val_set)
    return setup

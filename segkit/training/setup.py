"""All that the training loop works with, made ready: loaders, optimiser, precision, teacher, records."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import broadcast_object_list, set_seed
from torch import nn
from torch.utils.data import DataLoader

from segkit.checkpoint import CheckpointInfo, find_checkpoint, load_checkpoint
from segkit.data import Preprocessing, SegmentationDataset, find_samples
from segkit.device import best_device
from segkit.files import UserError, require
from segkit.losses import build_loss
from segkit.models import IMAGENET, NORMALISATION, build_model
from segkit.training.optim import build_optimizer, build_schedule, moving_average
from segkit.training.runs import ResumeState, changed_settings, describe_set, folders_of, write_record
from segkit.training.sampler import EpochSampler, sampling_weights
from segkit.training.settings import Recipe, TrainConfig
from segkit.training.trial import check_network, choose_precision


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


def check_words(recipe: Recipe, config: TrainConfig, folders: Sequence[str | Path], num_classes: int) -> None:
    """What else is given in words, before pictures are decoded, which takes a while.   Raises: UserError."""
    build_loss(config.loss, config.alpha, num_classes, config.outline)
    if config.teacher:
        load_checkpoint(find_checkpoint(config.teacher))
    if recipe.shares:
        found = [s for f in folders for s in find_samples(f, labels=recipe.labels, splits=recipe.splits)]
        sampling_weights([sample for sample in found if sample.split == "train"], recipe.shares)


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


class Setup:
    """What the loop works with: checked that all of it fits together, built, and taken up where it was saved.

    config.json is written.   Raises: UserError.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        train_set: SegmentationDataset,
        val_set: SegmentationDataset,
        run: Path,
        config: TrainConfig,
        saved: ResumeState | None,
        recipe: Recipe | None,
        leaks: list[str],
    ):
        device, processes = accelerator.device, accelerator.num_processes
        batch_size = config.batch_size if config.steps_per_epoch else min(config.batch_size, len(train_set))
        piece, left_over = divmod(batch_size, config.accumulate * processes)
        if left_over:
            raise UserError(
                f"a batch of {batch_size} images cannot be shared by {processes} processes "
                f"in {config.accumulate} pieces each: choose a batch size that divides evenly."
            )
        self.accelerator, self.train_set, self.val_set = accelerator, train_set, val_set
        self.teacher, self.taught = None, None
        if config.teacher:  # the network, and what its checkpoint says
            self.teacher, self.taught = load_checkpoint(find_checkpoint(config.teacher))
            self.teacher.to(device, memory_format=torch.channels_last)
        check_network(model, config, train_set, val_set, piece, self.taught)
        used = (asdict(recipe) if recipe else {}) | asdict(config)
        self.settings, self.made_by = used | {"data": folders_of(train_set)}, "train" if recipe else "fit"
        self.changes = changed_settings(saved, self.settings, self.made_by) if saved else []
        self.history = saved.history if saved else []
        before = {*saved.learnt} if saved and saved.history else set()
        self.learnt = sorted(before | {str(sample.image.resolve()) for sample in train_set.samples})
        self.trained_on, kept = describe_set(train_set), saved.trained_on if before else ()
        now = {one["name"] for one in self.trained_on}
        self.trained_on = (*(one for one in kept if one["name"] not in now), *self.trained_on)
        if seen := [sample.name for sample in val_set.samples if str(sample.image.resolve()) in before]:
            many = f"{len(seen)}, such as '{seen[0]}'"
            said = f"leak: pictures to validate on ({many}) were trained on before the run was resumed"
            leaks = [*leaks, f"{said}: the splits are others now. The cure: train anew in another folder"]
        set_seed(config.seed)
        self.sampler = EpochSampler(
            len(train_set), batch_size, config.seed, train_set.weights, config.steps_per_epoch
        )
        workers = {"num_workers": config.workers, "pin_memory": device.type == "cuda"}
        train_loader = DataLoader(train_set, batch_size // config.accumulate, sampler=self.sampler, **workers)
        val_loader = DataLoader(val_set, max(batch_size, processes), **workers)

        self.precision = config.precision
        if self.precision == "auto":  # every process must take the same choice, so the first one's counts
            chosen = [saved.precision if saved else choose_precision(model, batch_size, train_set)]
            self.precision = broadcast_object_list(chosen)[0] if processes > 1 else chosen[0]
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        self.autocast = partial(torch.autocast, device.type, dtype, enabled=self.precision != "fp32")
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "fp16")
        self.bare_model = model.to(device, memory_format=torch.channels_last)  # to be saved
        self.optimizer = build_optimizer(model, config)
        if saved:
            saved.load("model", model)
        self.average = moving_average(model, config.ema) if config.ema else None
        self.scheduler = build_schedule(self.optimizer, config, len(self.history))
        if saved:
            saved.restore(self, config)

        self.loss_fn = build_loss(config.loss, config.alpha, len(train_set.classes), config.outline)
        if processes > 1 and any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):
            if device.type == "cuda":
                model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
            else:  # torch joins the statistics on GPUs alone
                accelerator.print(f"batch norm: each process normalises by its own {piece} images of a step.")
        if config.compile:
            model = torch.compile(model)
        # As accelerate wraps it, to be called.
        self.model, self.train_loader, self.val_loader = accelerator.prepare(model, train_loader, val_loader)

        self.info = CheckpointInfo(
            model=self.bare_model.built_as,
            preprocessing=train_set.preprocessing,
            classes=train_set.classes,
            trained_on=self.trained_on,
            config=used | {"precision": self.precision},
        )
        for leak in leaks:
            accelerator.print(leak)
        if config.tensorboard:
            require("tensorboard", extra="tensorboard")  # or accelerate would go on without
            accelerator.init_trackers("tensorboard")
        if saved:
            saved.restore_generators()
        if accelerator.is_main_process:
            if not saved:  # stopped in its first epoch, it goes on from here
                ResumeState.write(run, self)
            write_record(run, self, leaks)

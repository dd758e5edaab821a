"""The training loop, line by line as in notebook 07, with what a long run needs around it.

The loop is ours because it is the lesson. Devices, several processes and gradient accumulation are
accelerate's: the same code runs alone, under `accelerate launch` and under torchrun.
"""

import math
import multiprocessing
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate.utils import set_seed
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from tqdm.auto import tqdm

from segkit.augment import Augmentation
from segkit.checkpoint import save_checkpoint
from segkit.data import SegmentationDataset, load_dataset, read_class_names
from segkit.files import UserError, write_table
from segkit.metrics import Counts, count_labels
from segkit.models import to_probs
from segkit.plots import plot_curves
from segkit.training.advice import advice_on_nan, advice_on_zero, advised_on_memory, doubts
from segkit.training.runs import ResumeState, Run, alone_in, check_run_folder
from segkit.training.sampler import sampling_weights
from segkit.training.settings import Recipe, TrainConfig
from segkit.training.setup import Setup, check_words, connect, network_of


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
    check_run_folder(Path(run), resume)
    set_seed(config.seed)  # before the network is built: its first weights are random
    num_classes = 1 if recipe.labels == "masks" else len(read_class_names(folders[0]))
    model, preprocessing = network_of(recipe, num_classes, Path(run) / "best.safetensors")
    check_words(recipe, config, folders, num_classes)
    crop_to = recipe.size if recipe.zoom > 1 else None
    transform = Augmentation(recipe.augment, crop_to) if recipe.augment > 0 or crop_to else None
    common = {"preprocessing": preprocessing, "cache": recipe.cache, "seed": config.seed}
    common |= {"labels": recipe.labels, "splits": recipe.splits}
    learning = {name: getattr(recipe, name) for name in ("limit", "paste", "zoom", "recolour")}
    train_set = load_dataset(*folders, split="train", transform=transform, **learning, **common)
    if recipe.shares:
        train_set.weights = sampling_weights(train_set.samples, recipe.shares)
    val_set = load_dataset(*folders, split="val", **common)
    return fit(model, train_set, val_set, run, config, resume, recipe, [*leaks, *doubts(train_set)])


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
    accelerator = connect(config, run)
    with alone_in(run) if accelerator.is_main_process else nullcontext():
        check_run_folder(run, resume)
        saved = ResumeState.read(run) if resume else None
        setup = Setup(accelerator, model, train_set, val_set, run, config, saved, recipe, list(leaks))
        try:
            with advised_on_memory(config, train_set.preprocessing.size):
                _all_epochs(setup, config, run)
        finally:
            if accelerator.is_main_process and setup.history:
                plot_curves(setup.history, run / "curves.png")
            accelerator.end_training()
    return Run(run, setup.history)


def _all_epochs(setup: Setup, config: TrainConfig, run: Path) -> None:
    """Train, validate, keep the best weights, write down what happened; again until it gets no better."""
    accelerator, history, optimizer = setup.accelerator, setup.history, setup.optimizer
    # The forked processes of a notebook cannot draw: only its own process may.
    forked = not accelerator.is_main_process or multiprocessing.parent_process() is not None
    quiet = forked or bool(os.environ.get("TQDM_DISABLE"))  # which tqdm's own bars of notebooks pass over
    for epoch in range(len(history) + 1, config.num_epochs + 1):
        if history and len(history) - Run(run, history).best_epoch >= config.early_stop:
            accelerator.print(f"no better validation Dice for {config.early_stop} epochs: stopping here.")
            break
        started, images = time.perf_counter(), setup.sampler.count
        setup.train_set.set_epoch(epoch)
        setup.train_loader.set_epoch(epoch)  # reaches the sampler, which would start at 0 after a resume
        lr = optimizer.param_groups[0]["lr"]
        bar = tqdm(total=images, unit="img", desc=f"epoch {epoch:3}/{config.num_epochs}", disable=quiet)
        train_loss = train_epoch(setup, config, bar)
        seconds = time.perf_counter() - started
        val_loss, counts = evaluate_loader(setup) if math.isfinite(train_loss) else (math.nan, None)
        if not math.isfinite(val_loss):
            raise UserError(advice_on_nan(run, epoch, lr, setup.precision, history))
        row = {
            "epoch": epoch,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "val_dice": counts.per_image("dice").nanmean().item(),
            "val_iou": counts.per_image("iou").nanmean().item(),
            "lr": lr,
            "images_per_s": images / seconds,
            "seconds": time.perf_counter() - started,
        }
        setup.scheduler.step(*[row["val_dice"]] * isinstance(setup.scheduler, ReduceLROnPlateau))
        is_best = row["val_dice"] > max((r["val_dice"] for r in history), default=-1.0)
        history.append(row)
        bar.set_postfix_str(f"loss {train_loss:.4f}, val Dice {row['val_dice']:.4f}{' *' if is_best else ''}")
        bar.close()
        accelerator.log(row, step=epoch)  # to TensorBoard, where it was asked for
        if accelerator.is_main_process:
            if is_best:
                scores = {"split": "val", "images": len(setup.val_set), "epoch": epoch}
                scores |= {key: round(row[key], 4) for key in ("val_dice", "val_iou")}
                best = setup.average.module if setup.average else setup.bare_model
                save_checkpoint(run / "best.safetensors", best, replace(setup.info, scores=scores))
            # The state is written last: an epoch counts as done once everything else of it is on disk.
            write_table(run / "history.csv", history)
            ResumeState.write(run, setup)
        if epoch == min(5, config.num_epochs) and max(row["val_dice"] for row in history) < 0.01:
            accelerator.print(advice_on_zero(setup.info, epoch))


def train_epoch(setup: Setup, config: TrainConfig, bar: tqdm) -> float:
    """One pass over the training split; returns the mean loss."""
    accelerator, model, optimizer, scaler = setup.accelerator, setup.model, setup.optimizer, setup.scaler
    model.train()
    total, steps = torch.zeros((), device=accelerator.device), 0
    for steps, (photos, masks) in enumerate(setup.train_loader, 1):
        with accelerator.accumulate(model):
            images = setup.train_set.preprocessing.normalise(photos)
            with setup.autocast():
                logits = model(images.contiguous(memory_format=torch.channels_last))
            loss = setup.loss_fn(logits, masks)
            if setup.teacher:  # it sees the photographs in the colours that it was trained with
                with torch.no_grad():
                    wanted = to_probs(setup.teacher(setup.taught.preprocessing.normalise(photos)))
                cross_entropy = F.cross_entropy if wanted.shape[1] > 1 else F.binary_cross_entropy_with_logits
                soft = cross_entropy(logits.float(), wanted)
                loss = (1 - config.teacher_share) * loss + config.teacher_share * soft
            accelerator.backward(scaler.scale(loss))
            if accelerator.sync_gradients:  # the last piece of the batch
                if config.clip > 0:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(model.parameters(), config.clip)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
                if setup.average:
                    setup.average.update_parameters(setup.bare_model)
        total += loss.detach()
        bar.update(len(images) * accelerator.num_processes)
        # Reading a number back makes a GPU wait, so this is done now and then, not at every step.
        # All processes read the same one: they go on, or stop, together.
        if steps % 10 == 0:
            running = accelerator.reduce(total / steps, "mean").item()
            bar.set_postfix_str(f"loss {running:.4f}")
            if not math.isfinite(running):
                return running
    return accelerator.reduce(total / steps, "mean").item()


@torch.inference_mode()
def evaluate_loader(setup: Setup) -> tuple[float, Counts]:
    """Mean loss and per-image counts. Every image counts once, however many processes share the loader."""
    model = setup.average or setup.model
    model.eval()
    losses, batches = [], []
    for images, masks in setup.val_loader:
        images = setup.train_set.preprocessing.normalise(images)
        with setup.autocast():
            logits = model(images.contiguous(memory_format=torch.channels_last))
        # One loss per image: the padding that evens out the last batch can then be dropped again.
        pairs = zip(logits.split(1), masks.split(1), strict=True)
        loss = torch.stack([setup.loss_fn(one, mask) for one, mask in pairs])
        # A logit of 0 is a probability of 0.5.
        pred = logits > 0 if logits.shape[1] == 1 else logits.argmax(1, keepdim=True)
        counts = count_labels(pred, masks, logits.shape[1])
        gathered = setup.accelerator.gather_for_metrics((loss, counts.tp, counts.fp, counts.fn, counts.tn))
        losses.append(gathered[0].cpu())
        batches.append(Counts(*(count.cpu() for count in gathered[1:])))
    return torch.cat(losses).mean().item(), Counts.cat(batches)

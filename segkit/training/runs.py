"""The folder of a run: what is written into it, and how a run goes on after an interruption."""

import hashlib
import json
import math
import platform
from collections import defaultdict
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from filelock import FileLock, Timeout
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from segkit import __version__
from segkit.checkpoint import read_tensors, write_tensors
from segkit.data import SegmentationDataset
from segkit.files import UserError, write_text
from segkit.models import count_parameters
from segkit.training.settings import TrainConfig

if TYPE_CHECKING:
    from segkit.training.setup import Setup

CANNOT_CHANGE = ("model", "width", "model_settings", "start_from", "labels", "size", "splits", "seed")
"""Settings that a run keeps when it is resumed; the others take effect from the next epoch."""

FILES = ("history.csv", "best.safetensors", "curves.png", "config.json", "cv.json", "last/state.safetensors")
"""What a training or a cross-validation writes, and would replace."""


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


@dataclass
class ResumeState:
    """All that an unbroken run would have had in memory after its last whole epoch, or before its first.

    One safetensors file, written whole or not at all: weights, the optimiser's memory, the states of the
    random generators, and the rest as JSON. Order and augmentation follow from seed and epoch.
    """

    tensors: dict
    lrs: list[float]
    scheduler: dict
    scaler: dict
    history: list[dict]
    precision: str
    settings: dict
    made_by: str
    changes: list[dict]
    learnt: list[str] = field(default_factory=list)
    """Every picture that was trained on so far."""
    trained_on: list[dict] = field(default_factory=list)

    @staticmethod
    def path(run: Path) -> Path:
        return run / "last" / "state.safetensors"

    @classmethod
    def write(cls, run: Path, setup: "Setup") -> None:
        """Raises: UserError, for example when the disk is full."""
        tensors = {"generator/cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors["generator/cuda"] = torch.cuda.get_rng_state()
        for prefix, network in (("model", setup.bare_model), ("average", setup.average)):
            weights = network.state_dict().items() if network is not None else ()
            tensors |= {f"{prefix}/{name}": t.detach().cpu().clone().contiguous() for name, t in weights}
        state = setup.optimizer.state_dict()
        for index, slots in state["state"].items():
            tensors |= {f"adam/{index}/{slot}": value.cpu().contiguous() for slot, value in slots.items()}
        names = ("history", "precision", "settings", "made_by", "changes", "learnt", "trained_on")
        rest = {name: getattr(setup, name) for name in names}
        rest |= {"scheduler": setup.scheduler.state_dict(), "scaler": setup.scaler.state_dict()}
        rest["lrs"] = [group["lr"] for group in state["param_groups"]]
        write_tensors(cls.path(run), tensors, {"segkit_state": json.dumps(rest)})

    @classmethod
    def read(cls, run: Path) -> "ResumeState":
        """Raises: UserError when it is missing, damaged, or of another version of segkit."""
        tensors, metadata = read_tensors(cls.path(run))
        try:
            metadata["sha256"]  # where it fits, nothing is lost
            return cls(tensors, **json.loads(metadata["segkit_state"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"'{cls.path(run)}' is no state that this segkit wrote ({error!r}).") from None

    def load(self, name: str, network: nn.Module) -> None:
        """Give a network the weights that were kept under that name.   Raises: UserError."""
        try:
            network.load_state_dict(self._under(f"{name}/"))
        except RuntimeError:
            raise UserError("the run was made with another network: resume with the same one.") from None

    def restore(self, setup: "Setup", config: TrainConfig) -> None:
        """Give it back what was remembered. What was given anew at this resume comes first."""
        optimizer, scheduler, scaler = setup.optimizer, setup.scheduler, setup.scaler
        parameters = range(sum(len(group["params"]) for group in optimizer.param_groups))
        slots = {index: kept for index in parameters if (kept := self._under(f"adam/{index}/"))}
        # That memory alone: learning rate and weight decay are those of today.
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        if scaler.is_enabled() and self.scaler:
            scaler.load_state_dict(self.scaler)
        if setup.average and self.settings.get("ema"):
            self.load("average", setup.average)
        if not isinstance(scheduler, ReduceLROnPlateau):
            return
        changes = [change for change in setup.changes if change["from_epoch"] == len(self.history) + 1]
        new = changes[-1] if changes else {}
        if "schedule" in new:
            scheduler.best = max((row["val_dice"] for row in self.history), default=-math.inf)
        else:
            scheduler.load_state_dict(self.scheduler | {"patience": config.plateau_patience})
        if not new.keys() & {"lr", "encoder_lr", "schedule"}:
            for group, lr in zip(optimizer.param_groups, self.lrs, strict=True):
                group["lr"] = lr

    def restore_generators(self) -> None:
        """Dropout and the like go on with the random numbers that an unbroken run would draw."""
        torch.set_rng_state(self.tensors["generator/cpu"])
        if "generator/cuda" in self.tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.tensors["generator/cuda"])

    def _under(self, prefix: str) -> dict:
        return {key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)}


def check_run_folder(run: Path, resume: bool) -> None:
    there = [name for name in FILES if (run / name).exists()]
    goes_on = FILES[-1] in there
    if resume and not goes_on:
        cure = "train anew in another folder" if there else "train without --resume"
        raise UserError(f"'{run}' holds no last/state.safetensors to resume from: {cure}.")
    if resume and "history.csv" in there and "best.safetensors" not in there:
        raise UserError(
            f"'{run}' has lost its best.safetensors: copy it back, or train anew in another folder."
        )
    if there and not resume:
        more = ", or go on with the run there by --resume" * goes_on
        raise UserError(f"'{run}' already holds {there[0]}: choose another folder{more}.")


@contextmanager
def alone_in(run: Path):
    """Two trainings in one folder would mix.   Raises: UserError."""
    try:
        (run / "last").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"'{run}' cannot be made a run folder ({error.strerror}).") from None
    try:
        with FileLock(run / "last" / ".lock", timeout=0):
            for place in (run, run / "last"):
                for begun in place.glob(".*-????????.*"):  # of atomic_path, when the run before was killed
                    begun.unlink()
            yield
    except Timeout:
        raise UserError(
            f"another training is at work in '{run}': wait until it ends, or choose another folder."
        ) from None


def changed_settings(saved: ResumeState, settings: dict, made_by: str) -> list[dict]:
    """What was given anew, at this resume and those before.   Raises: UserError for what cannot change."""
    if saved.made_by != made_by:
        raise UserError(f"the run was made by `{saved.made_by}`: go on with it by that one.")
    settings = json.loads(json.dumps(settings))
    changed = {key: value for key, value in settings.items() if value != saved.settings.get(key)}
    if fixed := [f"{n} {saved.settings.get(n)!r}" for n in CANNOT_CHANGE if n in changed]:
        raise UserError(f"a run that is resumed keeps its {', '.join(fixed)}: train anew in another folder.")
    done = len(saved.history)
    if changed and settings["num_epochs"] <= done:
        raise UserError(
            f"all {done} epochs are done, so {', '.join(changed)} would change nothing: raise num_epochs."
        )
    return saved.changes + ([{"from_epoch": done + 1, **changed}] if changed else [])


def write_record(run: Path, setup: "Setup", leaks: list[str]) -> None:
    """config.json: everything that the run was made with and by."""
    about, config, accelerator = asdict(setup.info), dict(setup.settings), setup.accelerator
    record = {name: getattr(setup, name) for name in ("made_by", "changes", "precision")}
    record |= {"data": config.pop("data"), "config": config, "leaks": leaks}
    record |= {name: about[name] for name in ("model", "preprocessing", "trained_on")}
    record |= {"validated_on": describe_set(setup.val_set), "parameters": count_parameters(setup.bare_model)}
    record |= {"device": str(accelerator.device), "processes": accelerator.num_processes}
    python = platform.python_version()
    record["versions"] = {"segkit": __version__, "torch": torch.__version__, "python": python}
    write_text(run / "config.json", json.dumps(record, indent=2) + "\n")


def describe_set(dataset: SegmentationDataset) -> tuple[dict, ...]:
    """The folders by name, each by itself where two share one, how many pictures of each, and which."""
    found = defaultdict(list)
    for sample in dataset.samples:
        found[sample.folder.resolve()].append(sample.name)
    return tuple({"name": at.name, "images": len(n), "which": fingerprint(n)} for at, n in found.items())


def fingerprint(names: Iterable[str]) -> str:
    """A short text that is another one for other names."""
    return hashlib.sha256("\n".join(sorted(names)).encode(errors="replace")).hexdigest()[:12]


def folders_of(dataset: SegmentationDataset) -> list[str]:
    return sorted({str(sample.folder.resolve()) for sample in dataset.samples})

"""A trained network in one file that says how to use it. No pickle: loading a file runs no code.

A checkpoint is a safetensors file. Its tensors are the weights; its metadata holds, as JSON under the
key "segkit", everything else that is needed to use them again.
"""

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from segkit.data import Preprocessing
from segkit.files import UserError, atomic_path, embedded_path
from segkit.models import build_model

FORMAT_VERSION = 1


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says about itself."""

    model: dict
    """The arguments of build_model."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    classes: tuple[str, ...] = ("person",)
    threshold: float = 0.5
    trained_on: tuple[dict, ...] = ()
    """One line per data set: its name and how many pictures were trained on."""
    scores: dict = field(default_factory=dict)
    config: dict = field(default_factory=dict)
    """Every hyperparameter of the run."""


def save_checkpoint(path: str | Path, model: nn.Module, info: CheckpointInfo, half: bool = False) -> Path:
    """Write weights and info to one file, whole or not at all.

    half: store float16, half the size; loading gives float32 back.
    Returns: the path.   Raises: UserError.
    """
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        tensors[name] = tensor.half() if half and tensor.is_floating_point() else tensor
    write_tensors(path, tensors, {"segkit": describe(info)})
    return Path(path)


def describe(info: CheckpointInfo) -> str:
    """The info as JSON, as it stands in the metadata of a checkpoint and of an exported file."""
    return json.dumps({"format_version": FORMAT_VERSION, "segkit_version": version("segkit"), **asdict(info)})


def read_description(path: str | Path, text: str) -> CheckpointInfo:
    """The other way round.   path: of the file it comes from, for the message.   Raises: UserError."""
    try:
        stored = json.loads(text)
        if stored["format_version"] > FORMAT_VERSION:
            raise UserError(
                f"'{path}' is in format {stored['format_version']}, "
                f"written by segkit {stored['segkit_version']}. "
                f"This is segkit {version('segkit')}, which reads up to format {FORMAT_VERSION}. "
                f"Update segkit to {stored['segkit_version']} or newer."
            )
        return CheckpointInfo(
            model=stored["model"],
            preprocessing=Preprocessing(**stored["preprocessing"]),
            classes=tuple(stored["classes"]),
            threshold=float(stored["threshold"]),
            trained_on=tuple(stored["trained_on"]),
            scores=stored["scores"],
            config=stored["config"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"'{path}' describes itself in a way that makes no sense ({error!r}).") from None


def load_checkpoint(path: str | Path) -> tuple[nn.Module, CheckpointInfo]:
    """Build the network that a checkpoint describes and fill it with the weights, on the CPU, in eval mode.

    Raises: UserError when the file is missing, damaged, not from segkit, or from a newer segkit.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    if "segkit" not in metadata:
        raise UserError(
            f"'{path}' holds tensors but not how to use them: it was not written by segkit. "
            "Expected a checkpoint such as best.safetensors from a run folder."
        )
    info = read_description(path, metadata["segkit"])
    try:
        # On "meta" the network has shapes but no memory: a file that asks for a huge one is found
        # out by comparing shapes, before anything is allocated.
        with torch.device("meta"):
            model = build_model(**info.model)
    except (TypeError, ValueError) as error:
        raise UserError(f"'{path}' describes itself in a way that makes no sense ({error!r}).") from None
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if expected != found:
        odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise UserError(
            f"'{path}' says it is a '{info.model['name']}', but {len(odd)} of its tensors do not fit that "
            f"network, {odd[0]} among them."
        )
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    model.load_state_dict(tensors, assign=True)
    return model.eval().requires_grad_(False), info


def write_tensors(path: str | Path, tensors: dict, metadata: dict[str, str]) -> None:
    """A safetensors file, whole or not at all.   Raises: UserError, for example when the disk is full."""
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read_tensors(path: str | Path) -> tuple[dict, dict[str, str]]:
    """Tensors and metadata of a safetensors file.   Raises: UserError when it is missing or damaged."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no checkpoint '{path}'.")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size
        raise UserError(
            f"'{path}' ({size:,} bytes) is not a whole .safetensors file ({error}). "
            "Copy it again, or train again; files of other formats (.pt, .pth) are never loaded."
        ) from None


def find_checkpoint(path: str | Path) -> Path:
    """The file behind a name of shipped weights, a run folder, or a path.   Raises: UserError."""
    path = Path(path)
    if path.is_dir():
        return path / "best.safetensors"
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    names = sorted(file.stem for file in embedded_path("weights").glob("*.safetensors"))
    if path.name not in names:
        raise UserError(
            f"there is no checkpoint '{path}', and no weights of that name ship. "
            f"These do: {', '.join(names) or 'none'}."
        )
    return embedded_path("weights") / f"{path.name}.safetensors"


@dataclass
class ResumeState:
    """All that an unbroken run would have had in memory after its last whole epoch.

    One safetensors file, written whole or not at all. Order and augmentation need no state: they
    follow from seed and epoch.
    """

    tensors: dict
    optimizer_groups: list
    scheduler: dict
    scaler: dict
    history: list[dict]
    precision: str

    @staticmethod
    def path(run: Path) -> Path:
        return run / "last" / "state.safetensors"

    @classmethod
    def write(cls, run, model, optimizer, scheduler, accelerator, history, precision, average=None) -> None:
        state = optimizer.state_dict()
        tensors = {}
        for prefix, network in {"model": model, "average": average}.items():
            if network is not None:
                weights = network.state_dict().items()
                tensors |= {f"{prefix}/{name}": t.detach().cpu().clone().contiguous() for name, t in weights}
        for index, slots in state["state"].items():
            tensors |= {f"adam/{index}/{slot}": value.cpu().contiguous() for slot, value in slots.items()}
        rest = {
            "optimizer_groups": state["param_groups"],
            "scheduler": scheduler.state_dict(),
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler else {},
            "history": history,
            "precision": precision,
        }
        write_tensors(cls.path(run), tensors, {"segkit_state": json.dumps(rest)})

    @classmethod
    def read(cls, run: Path) -> "ResumeState":
        path = cls.path(run)
        if not path.exists():
            raise UserError(
                f"'{run}' holds no {path.relative_to(run)} to resume from: train without --resume."
            )
        tensors, metadata = read_tensors(path)
        if "segkit_state" not in metadata:
            raise UserError(f"'{path}' was not written by a training run: there is nothing to resume.")
        return cls(tensors, **json.loads(metadata["segkit_state"]))

    def restore(self, model, optimizer, scheduler, accelerator, average=None) -> None:
        try:
            for prefix, network in {"model/": model, "average/": average}.items():
                if network is not None:
                    network.load_state_dict(
                        {k.removeprefix(prefix): t for k, t in self._under(prefix).items()}
                    )
        except RuntimeError:
            raise UserError(
                "the run was made with another network: resume it with the same settings."
            ) from None
        slots: dict[int, dict] = {}
        for key, tensor in self._under("adam/").items():
            _, index, slot = key.split("/")
            slots.setdefault(int(index), {})[slot] = tensor
        optimizer.load_state_dict({"state": slots, "param_groups": self.optimizer_groups})
        scheduler.load_state_dict(self.scheduler)
        if self.scaler and accelerator.scaler:
            accelerator.scaler.load_state_dict(self.scaler)

    def _under(self, prefix: str) -> dict:
        return {key: tensor for key, tensor in self.tensors.items() if key.startswith(prefix)}

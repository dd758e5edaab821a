"""A trained network in one file that says how to use it. No pickle: loading a file runs no code.

A checkpoint is a safetensors file. Its tensors are the weights; its metadata holds, as JSON under the
key "segkit", everything else that is needed to use them again.
"""

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from segkit import __version__
from segkit.data import Preprocessing
from segkit.files import UserError, atomic_path, embedded_path
from segkit.models import build_model

FORMAT_VERSION = 1

LARGEST = 4_000_000_000
"""Bytes of a checkpoint, or of an exported file: more would fill the memory of a laptop."""

KINDS = {"format_version": int, "model": dict, "classes": list, "threshold": float | int, "look_closer": bool}
KINDS |= {"trained_on": list, "scores": dict, "config": dict}
"""What a description holds, by JSON's types."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says about itself."""

    model: dict
    """The arguments of build_model."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    classes: tuple[str, ...] = ("person",)
    threshold: float = 0.5
    look_closer: bool = False
    """Look a second time, at the part with the person: see Segmenter."""
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
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if half:
        tensors = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    write_tensors(path, tensors, {"segkit": describe(info)})
    return Path(path)


def describe(info: CheckpointInfo) -> str:
    """The info as JSON, as it stands in the metadata of a checkpoint and of an exported file."""
    return json.dumps({"format_version": FORMAT_VERSION, "segkit_version": __version__, **asdict(info)})


def read_description(path: str | Path, text: str) -> CheckpointInfo:
    """The other way round.   path: of the file it comes from, for the message.   Raises: UserError."""
    try:
        stored = json.loads(text)
        if odd := [key for key, kind in KINDS.items() if not isinstance(stored.get(key, False), kind)]:
            raise TypeError(f"{odd[0]}: {str(stored.get(odd[0]))[:80]}")
        if not 1 <= stored["format_version"] <= FORMAT_VERSION:
            raise UserError(
                f"it is in format {stored['format_version']}, written by segkit {stored['segkit_version']}. "
                f"This is segkit {__version__}, which reads up to format {FORMAT_VERSION}. "
                f"Update segkit to {stored['segkit_version']} or newer."
            )
        info = CheckpointInfo(
            model=stored["model"],
            preprocessing=Preprocessing(**stored["preprocessing"]),
            classes=tuple(stored["classes"]),
            threshold=float(stored["threshold"]),
            look_closer=stored.get("look_closer", False),
            trained_on=tuple(stored["trained_on"]),
            scores=stored["scores"],
            config=stored["config"],
        )
        network = info.model  # or, of an ensemble, the first of its members
        while "members" in network:
            network = network["members"][0]
        network["name"], [line["name"] for line in info.trained_on]
    except UserError as error:
        raise UserError(f"'{path}': {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"'{path}' describes itself in a way that makes no sense ({error!r}).") from None
    if not 0 < info.threshold < 1:
        raise UserError(f"'{path}' says its threshold is {info.threshold}: it lies between 0 and 1.")
    if not all(isinstance(name, str) for name in info.classes):
        raise UserError(f"'{path}' says its classes are {stored['classes']!r}: expected a list of names.")
    if (said := network.get("num_classes", 1)) != len(info.classes):
        raise UserError(
            f"'{path}' says that its network has {said} classes, and names "
            f"{len(info.classes)}: {', '.join(info.classes)}."
        )
    return info


def load_checkpoint(path: str | Path) -> tuple[nn.Module, CheckpointInfo]:
    """Build the network that a checkpoint describes and fill it with the weights, on the CPU, in eval mode.

    Raises: UserError when the file is missing, damaged, not from segkit, or from a newer segkit.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    if "segkit" not in metadata:
        raise UserError(
            f"'{path}' holds tensors but not how to use them. "
            "Expected a checkpoint such as best.safetensors from a run folder."
        )
    info = read_description(path, metadata["segkit"])
    try:
        # On "meta" the network has shapes but no memory: a file that asks for a huge one is found
        # out by comparing shapes, before anything is allocated.
        with torch.device("meta"):
            model = build_model(**info.model)
    except UserError as error:
        raise UserError(f"'{path}': {error}") from None
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UserError(f"'{path}' describes itself in a way that makes no sense ({error!r}).") from None
    expected = {name: (t.shape, t.is_floating_point()) for name, t in model.state_dict().items()}
    found = {name: (t.shape, t.is_floating_point()) for name, t in tensors.items()}
    if odd := sorted({name for name, _ in expected.items() ^ found.items()}):
        raise UserError(
            f"'{path}' says it is a '{info.model['name']}', but {len(odd)} of its tensors do not fit that "
            f"network, {odd[0]} among them."
        )
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    # The root of a variance below 0 is no number either.
    if odd := [n for n, t in tensors.items() if not (t.sqrt() if "running_var" in n else t).isfinite().all()]:
        raise UserError(
            f"'{path}' holds weights that are no finite numbers, in '{odd[0]}': its training went wrong, or "
            "the file is damaged. Take an earlier checkpoint, or train again with a smaller learning rate."
        )
    model.load_state_dict(tensors, assign=True)
    return model.eval().requires_grad_(False), info


def write_tensors(path: str | Path, tensors: dict, metadata: dict[str, str]) -> None:
    """A safetensors file, whole or not at all, with a checksum among its metadata.

    Raises: UserError, for example when the disk is full.
    """
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata | {"sha256": checksum(tensors, metadata)})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def checksum(tensors: dict, metadata: dict[str, str]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, and over metadata."""
    digest = sha256(json.dumps({k: v for k, v in metadata.items() if k != "sha256"}, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # Through a view as bytes, since NumPy does not know bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def check_size(path: Path) -> None:
    """Before a file is read.   Raises: UserError when it is larger than any network here, or its training."""
    if (size := path.stat().st_size) > LARGEST:
        raise UserError(f"'{path}' ({size:,} bytes) is no network of segkit: those have {LARGEST:,} at most.")


def read_tensors(path: str | Path) -> tuple[dict, dict[str, str]]:
    """Tensors and metadata of a safetensors file.   Raises: UserError when it is missing or damaged.

    Files from before there was a checksum are taken as they are.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no checkpoint '{path}'.")
    if path.suffix.lower() == ".onnx":
        raise UserError(f"'{path}' is an ONNX file: name the .safetensors checkpoint that it came from.")
    check_size(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"'{path}' ({path.stat().st_size:,} bytes) is not a whole .safetensors file ({error}). "
            "Copy it again, or train again; files of other formats (.pt, .pth) are never loaded."
        ) from None
    if metadata.get("sha256", found := checksum(tensors, metadata)) != found:
        raise UserError(f"'{path}' is damaged: its checksum does not fit. Copy it again, or train again.")
    return tensors, metadata


def find_checkpoint(path: str | Path) -> Path:
    """The file behind a name of shipped weights, a run folder, or a path.   Raises: UserError.

    A name that ships means the weights that ship, unless a folder of that name holds a checkpoint.
    """
    path = Path(path)
    if (path / "best.safetensors").exists():
        return path / "best.safetensors"
    names = sorted(file.stem for file in embedded_path("weights").glob("*.safetensors"))
    if len(path.parts) == 1 and path.name in names:
        return embedded_path("weights") / f"{path.name}.safetensors"
    if path.is_dir():
        raise UserError(f"there is no checkpoint in the folder '{path}': expected best.safetensors in it.")
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    raise UserError(
        f"there is no checkpoint '{path}', and no weights of that name ship. "
        f"These do: {', '.join(names) or 'none'}."
    )

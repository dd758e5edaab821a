"""From a checkpoint to an ONNX file, which runs without PyTorch. Introduced in notebook 12.

The file holds everything between a photograph at the network's size and a probability:

    images uint8 (N, H, W, 3) -> normalise, network, sigmoid or softmax -> probabilities float32 (N, C, H, W)

N, H and W are free; H and W are multiples of the number under the metadata's key "divisor", 32 for the
shipped weights. Whoever runs the file resizes a photograph to the size that the metadata name, and resizes
the answer back. Under the key "segkit" stands what a checkpoint says of itself, so
`Segmenter.load("person.onnx")` needs nothing else.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segkit.checkpoint import CheckpointInfo, check_size, describe, load_checkpoint, read_description
from segkit.data import Preprocessing
from segkit.files import UserError, atomic_path, require

OPSET = 20

TOLERANCE = {"fp32": 1e-4, "half": 2e-2}
"""How far a probability may be from torch's. An int8 file is judged by its Dice instead."""

QUANTISED = ["Conv", "Resize", "Concat", "MaxPool", "Add"]
"""The kinds of steps that calculate in whole numbers in an int8 file."""


class Exported(nn.Module):
    """What goes into the file: the network with its preprocessing before and its sigmoid behind it.

    images uint8 (N, H, W, 3) -> float32 (N, C, H, W) in [0, 1].
    """

    def __init__(self, model: nn.Module, preprocessing: Preprocessing):
        super().__init__()
        self.model, self.preprocessing = model.eval(), preprocessing

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(self.preprocessing.normalise(images.permute(0, 3, 1, 2)))
        return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def export_onnx(checkpoint: str | Path, out: str | Path) -> Path:
    """Write the network of a checkpoint as an ONNX file, if its answers are those of torch (see differences).

    checkpoint: the path of a .safetensors file; segkit.checkpoint.find_checkpoint knows it by name.
    Returns: out.   Raises: UserError; `out` is then as it was before.
    """
    require("onnx", "onnxruntime", "onnxscript", extra="export")
    model, info = load_checkpoint(checkpoint)
    divisor = model.divisor
    # Tracing works on any size; two pictures that are not square keep the four axes apart.
    example = torch.zeros(2, 2 * divisor, 3 * divisor, 3, dtype=torch.uint8)
    free = {0: torch.export.Dim("batch")}
    free |= {axis: divisor * torch.export.Dim(name) for axis, name in ((1, "h"), (2, "w"))}
    with _quiet():
        program = torch.onnx.export(
            Exported(model, info.preprocessing),
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            dynamic_shapes={"images": free},
            input_names=["images"],
            output_names=["probabilities"],
        )
    graph = program.model_proto
    for node in graph.graph.node:
        node.ClearField("metadata_props")  # names the files of this machine
    with atomic_path(out) as temporary:
        _write(graph, temporary, {"segkit": describe(info), "divisor": str(divisor), "precision": "fp32"})
        worst = max(differences(temporary, checkpoint).values())
        if not worst <= TOLERANCE["fp32"]:
            raise UserError(
                f"'{out}' was not written: its probabilities would differ from torch's by {worst:.1e}, "
                f"more than {TOLERANCE['fp32']:g}."
            )
    return Path(out)


def halve(path: str | Path, out: str | Path) -> Path:
    """Store and calculate in 16-bit floats: half the size; faster where the processor or card has them.

    path: a file from export_onnx. What comes in and goes out, the preprocessing and the sigmoid stay as
    they are.   Returns: out.   Raises: UserError.
    """
    require("onnx", "onnxruntime", extra="export")
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    graph = onnx.load(path)
    ends = ("Transpose", "Cast", "Div", "Sub", "Sigmoid", "Softmax")
    with _quiet():
        small = convert_float_to_float16(
            graph,
            keep_io_types=True,
            disable_shape_infer=True,
            op_block_list=[],
            node_block_list=[node.name for node in graph.graph.node if node.op_type in ends],
        )
    with atomic_path(out) as temporary:
        _write(small, temporary, read_metadata(path) | {"precision": "half"})
    return Path(out)


def quantise(path: str | Path, out: str | Path, images: Iterable[np.ndarray]) -> Path:
    """Calculate in 8-bit whole numbers: a quarter of the size, and faster where the processor can do it.

    Every weight and every value between two layers becomes one of 256 steps. For the weights the range of
    the steps is known; for the values it is found by looking at pictures (static quantisation).

    The first and the last convolution stay in floats. They cost little time, and before and behind them go
    the colours of the photograph and the probability, where 256 steps are too coarse.

    path: a file from export_onnx.   images: uint8 (S, S, 3) each, such as the network will meet.
    Returns: out.   Raises: UserError.
    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference" (2018).   Introduced in notebook 12.
    """
    require("onnx", "onnxruntime", extra="export")
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        rest = iter(images)

        def get_next(self):
            image = next(self.rest, None)
            return None if image is None else {"images": image[None]}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, done = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(path, plain, skip_symbolic_shape=True)
        convs = [node.name for node in onnx.load(plain).graph.node if node.op_type == "Conv"]
        quantize_static(
            plain,
            done,
            Pictures(),
            op_types_to_quantize=QUANTISED,
            nodes_to_exclude=[convs[0], convs[-1]],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        graph = onnx.load(done)
    with atomic_path(out) as temporary:
        _write(graph, temporary, read_metadata(path) | {"precision": "int8"})
    return Path(out)


def differences(path: str | Path, checkpoint: str | Path) -> dict[tuple[int, int], float]:
    """The largest difference of a probability between an ONNX file and torch, by (height, width).

    checkpoint: what the file was exported from.   The sizes are the network's own and two that are not
    square, the pictures noise at several scales, two at a time.   Raises: UserError.
    """
    require("onnxruntime", extra="export")
    import onnxruntime

    model, info = load_checkpoint(checkpoint)
    network, step, rng = Exported(model, info.preprocessing), model.divisor, np.random.default_rng(0)
    own = -(-info.preprocessing.size // step) * step
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = {}
    for height, width in ((own, own), (2 * step, 5 * step), (4 * step, 3 * step)):
        coarse = rng.integers(0, 256, (2, height // step, width // step, 3), dtype=np.uint8)
        images = coarse.repeat(step, 1).repeat(step, 2) // 2
        images += rng.integers(0, 128, images.shape, dtype=np.uint8)
        with torch.inference_mode():
            expected = network(torch.from_numpy(images)).numpy()
        (got,) = session.run(None, {"images": images})
        found[height, width] = float(np.abs(got - expected).max())
    return found


def read_metadata(path: str | Path) -> dict[str, str]:
    """What export_onnx wrote beside the graph.   Raises: UserError when the file is none of ours."""
    require("onnx", extra="export")
    import onnx
    from google.protobuf.message import DecodeError

    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file '{path}'.")
    check_size(path)
    try:
        graph = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise UserError(
            f"'{path}' ({path.stat().st_size:,} bytes) is not a whole .onnx file ({error}). Export it again."
        ) from None
    found = {entry.key: entry.value for entry in graph.metadata_props}
    if found.pop("sha256", known := _checksum(graph, found)) != known:
        raise UserError(f"'{path}' is damaged: its checksum does not fit. Copy it again, or export it again.")
    if "segkit" not in found or not found.get("divisor", "").isdigit():
        raise UserError(
            f"'{path}' does not say how to use it: it was not written by `segkit export`. "
            "Expected the file of such a command."
        )
    return {key: found.get(key, "fp32") for key in ("segkit", "divisor", "precision")}


def read_info(path: str | Path) -> CheckpointInfo:
    """What an ONNX file says about itself, as a checkpoint does.   Raises: UserError."""
    return read_description(path, read_metadata(path)["segkit"])


def _checksum(graph, metadata: dict[str, str]) -> str:
    """SHA-256 of a graph, and of all metadata but the checksum.   metadata_props of the graph is emptied."""
    del graph.metadata_props[:]
    said = json.dumps({key: text for key, text in metadata.items() if key != "sha256"}, sort_keys=True)
    return sha256(said.encode() + graph.SerializeToString(deterministic=True)).hexdigest()


def _write(graph, path: Path, metadata: dict[str, str]) -> None:
    for key, value in (metadata | {"sha256": _checksum(graph, metadata)}).items():
        graph.metadata_props.add(key=key, value=value)
    path.write_bytes(graph.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of packages that nobody needs here; errors still come through."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)

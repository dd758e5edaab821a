"""Other engines than PyTorch for a trained network, behind the same Segmenter. Introduced in notebook 12.

An engine takes uint8 (N, H, W, 3), with sides that are multiples of its `divisor`, and returns probabilities
float32 (N, C, H, W). Its `name` says what really calculates. None of them ever goes over to another device by
itself: what was asked for runs, or a UserError says why it cannot.
"""

import hashlib
import os
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import torch

from segkit.checkpoint import CheckpointInfo, check_size, read_description
from segkit.data import Preprocessing, find_samples
from segkit.deploy.export import export_onnx, halve, quantise, read_info, read_metadata
from segkit.files import UserError, cache_folder, check_choice, embedded_path, read_image, require
from segkit.predict import PRECISIONS

CALIBRATION_PICTURES = 32
"""Of the embedded validation pictures, to find the ranges of an int8 file."""

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}


class Engine:
    """What a Segmenter needs. An engine that is pickled is loaded again, in whichever process that is."""

    name: str
    device: torch.device
    divisor: int

    def __new__(cls, *made_from, **settings):
        self = super().__new__(cls)
        self._again, self._process = partial(cls, *made_from, **settings), os.getpid()
        return self

    def __reduce__(self):
        return self._again, ()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, 3) -> float32 (N, C, H, W). May be called by several threads at once.

        Raises: UserError in a forked process, where it would wait for ever for threads left behind.
        """
        if os.getpid() != self._process:
            raise UserError("an engine runs in the process that loaded it: load the network in each process.")
        height, width = images.shape[1:3]
        edges = ((0, 0), (0, -height % self.divisor), (0, -width % self.divisor), (0, 0))
        return self._run(np.pad(images, edges, mode="edge"))[..., :height, :width]


class OnnxEngine(Engine):
    """ONNX Runtime. device: "cpu", "cuda", or "tensorrt", which hands what TensorRT cannot do to CUDA."""

    def __init__(self, path: Path, metadata: dict[str, str], device: str, threads: int | None):
        import onnxruntime

        if device not in PROVIDERS:
            raise UserError(
                f"ONNX Runtime runs here on {', '.join(PROVIDERS)}, not on '{device}'. "
                "For other devices there is engine='torch'."
            )
        wanted, there = PROVIDERS[device], onnxruntime.get_available_providers()
        if missing := [provider for provider in wanted if provider not in there]:
            raise UserError(
                f"{missing[0]} is not part of this ONNX Runtime, which has {', '.join(there)}. "
                "On a machine with an NVIDIA card: pip uninstall onnxruntime, pip install onnxruntime-gpu"
                f"{' tensorrt' if device == 'tensorrt' else ''}. Nothing else was tried in its place."
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        settings = {provider: {} for provider in wanted}
        if device == "tensorrt":
            settings["TensorrtExecutionProvider"] = tensorrt_settings(metadata["precision"])
        self.session = onnxruntime.InferenceSession(path, options, providers=list(settings.items()))
        self.session.disable_fallback()
        if self.session.get_providers()[0] != wanted[0]:  # it warns, and goes on with the processor
            raise UserError(
                f"{wanted[0]} could not start, mostly because CUDA, cuDNN or TensorRT in the version that "
                "this ONNX Runtime was built for is not installed. Nothing else was tried in its place."
            )
        self.device = torch.device("cpu" if device == "cpu" else "cuda")
        self.divisor = int(metadata["divisor"])
        self.name = f"ONNX Runtime {onnxruntime.__version__}, {wanted[0]}"

    def _run(self, images: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"images": images})[0]


def tensorrt_settings(precision: str) -> dict:
    """Of ONNX Runtime's TensorRT provider for a file of one of PRECISIONS.

    Building an engine takes minutes, so it is kept in the cache folder for the next start.
    """
    folder = cache_folder() / "tensorrt"
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "trt_fp16_enable": precision == "half",
        "trt_int8_enable": precision == "int8",
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": True,
    }


FIRST_ANSWER = threading.Lock()


class OpenVinoEngine(Engine):
    """Intel's OpenVINO. device: "cpu", or one of its own names, such as "GPU".

    half: calculate in bf16 (processor) or fp16 (graphics), whatever the file holds.
    """

    def __init__(self, path: Path, metadata: dict[str, str], device: str, threads: int | None, half: bool):
        # Importing OpenVINO sends a message about it to its makers, unless this package is not there.
        sys.modules.setdefault("openvino_telemetry", None)
        import openvino

        core, place = openvino.Core(), device.upper()
        if place.split(".")[0] not in {name.split(".")[0] for name in core.available_devices}:
            raise UserError(
                f"OpenVINO finds no '{device}' here, only {', '.join(core.available_devices)}. "
                "Nothing else was tried in its place."
            )
        on_cpu = place == "CPU"
        settings = {"PERFORMANCE_HINT": "LATENCY"}
        # By itself it calculates in bf16 on some processors; here nothing is less exact than was asked for.
        settings["INFERENCE_PRECISION_HINT"] = ("bf16" if on_cpu else "f16") if half else "f32"
        if threads is not None and on_cpu:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._compiled, self._mine = core.compile_model(str(path), place, settings), threading.local()
        if half and "float32" in str(self._compiled.get_property("INFERENCE_PRECISION_HINT")):
            raise UserError(
                f"'{device}' does not calculate in 16-bit floats. Nothing else was tried in its place: "
                "leave the precision out, or take fp32."
            )
        self.device, self.divisor = torch.device("cpu"), int(metadata["divisor"])
        # What OpenVINO sets up at its first answer waits for ever where two threads ask for it at once.
        with FIRST_ANSWER:
            self(np.zeros((1, self.divisor, self.divisor, 3), np.uint8))
        version = openvino.__version__.split("-")[0]
        self.name = f"OpenVINO {version}, {place}{', bf16' if half and on_cpu else ''}"

    def _run(self, images: np.ndarray) -> np.ndarray:
        if not hasattr(self._mine, "request"):  # a request serves one thread at a time
            self._mine.request = self._compiled.create_infer_request()
        # A copy: the next answer is written into the same memory.
        return self._mine.request.infer({0: images})[0].copy()


def open_engine(
    path: Path,
    engine: str,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> tuple[Engine, CheckpointInfo]:
    """An engine of ENGINES other than torch, and what its file says of itself.

    path: a checkpoint, which is exported into the cache folder the first time, or an .onnx file, which
        must be of the precision that is asked for.   Other arguments: see Segmenter.load.
    Raises: UserError.
    """
    package = "openvino" if engine == "openvino" else "onnxruntime"
    require(package, extra=package.replace("onnxruntime", "export"))
    # OpenVINO's half is a way of calculating, not of storing.
    stored = "fp32" if engine == "openvino" and precision == "half" else precision
    if path.suffix.lower() != ".onnx":
        path = exported(path, stored or "fp32")
    metadata = read_metadata(path)
    if (found := metadata["precision"]) != (stored or found):
        raise UserError(
            f"'{path}' is of precision {found}, asked for was {precision}: name the checkpoint instead."
        )
    info = read_description(path, metadata["segkit"])
    if engine == "tensorrt" and device not in (None, "cuda"):
        raise UserError(f"TensorRT runs on 'cuda', not on '{device}'.")
    try:
        if engine == "openvino":
            return OpenVinoEngine(path, metadata, device or "cpu", threads, precision == "half"), info
        device = "tensorrt" if engine == "tensorrt" else device or "cpu"
        return OnnxEngine(path, metadata, device, threads), info
    except UserError:
        raise
    except Exception as error:  # of a kind of its own, such as for a file that a newer onnx wrote
        raise UserError(f"'{path}' does not run with {engine} here ({str(error)[:200]}).") from error


def exported(checkpoint: Path, precision: str = "fp32") -> Path:
    """The ONNX file of a checkpoint in the cache folder, made the first time, which takes 10 to 20 seconds.

    precision: one of PRECISIONS; int8 is calibrated on the embedded validation pictures.
    Returns: its path.   Raises: UserError, OSError.
    """
    check_size(checkpoint)
    # Another checkpoint, another torch or another segkit.deploy.export: another file.
    recipe = Path(export_onnx.__code__.co_filename).read_bytes() + torch.__version__.encode()
    key = hashlib.sha256(checkpoint.read_bytes() + recipe).hexdigest()[:20]
    folder = cache_folder() / "onnx" / f"{checkpoint.stem}-{key}"
    path = folder / f"{precision}.onnx"
    return path if path.exists() else export(checkpoint, path, precision)


def export(checkpoint: Path, out: Path, precision: str, data: str | Path | None = None) -> Path:
    """Write the network of a checkpoint as an ONNX file of one of PRECISIONS.

    data: the set whose validation pictures calibrate int8; None takes the embedded one.
    Returns: out.   Raises: UserError, also for a data set that fp32 would not look at.
    """
    check_choice("precision", precision, PRECISIONS)
    if precision == "fp32":
        if data is not None:
            raise UserError("fp32 looks at no pictures: leave --data out, or ask for half or int8 as well.")
        return export_onnx(checkpoint, out)
    whole = exported(checkpoint)
    if precision == "half":
        return halve(whole, out)
    return quantise(whole, out, calibration_pictures(read_info(whole).preprocessing, data))


def calibration_pictures(preprocessing: Preprocessing, folder: str | Path | None = None) -> list[np.ndarray]:
    """Pictures to find the ranges of an int8 file with: uint8 (S, S, 3), from the validation split.

    folder: a data set; None takes the embedded one.   Raises: UserError.
    """
    folder = embedded_path("people") if folder is None else folder
    samples = [sample for sample in find_samples(folder) if sample.split == "val"]
    if not samples:
        raise UserError(f"'{folder}' has no validation pictures to calibrate an int8 file on.")
    size, count = preprocessing.size, min(len(samples), CALIBRATION_PICTURES)
    # Spread over the set, because neighbours in it are alike.
    chosen = [samples[i * len(samples) // count] for i in range(count)]
    return [preprocessing.resize(read_image(sample.image, size)) for sample in chosen]

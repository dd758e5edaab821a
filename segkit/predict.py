"""From a photograph to a probability map, a mask, a cut-out. Introduced in notebook 08."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import nn

from segkit.checkpoint import CheckpointInfo, find_checkpoint, load_checkpoint
from segkit.device import best_device
from segkit.files import UserError
from segkit.models import to_probs

if TYPE_CHECKING:
    from segkit.deploy.engines import Engine

ENGINES = ("torch", "onnx", "openvino", "tensorrt")
PRECISIONS = ("fp32", "half", "int8")


class Segmenter:
    """A network together with its preprocessing and threshold: what every consumer holds.

    person = Segmenter.load("runs/first/best.safetensors")
    prob = person(image)               # uint8 RGB (H, W, 3) -> float32 (H, W) in [0, 1]
    mask = prob > person.threshold     # bool (H, W)
    """

    def __init__(
        self,
        model: nn.Module | None,
        info: CheckpointInfo,
        device: str | None = None,
        dtype: torch.dtype = torch.float32,
        engine: "Engine | None" = None,
    ):
        """model: the network, or None where an engine stands in for it; see Segmenter.load."""
        self.info, self.threshold, self.preprocessing = info, info.threshold, info.preprocessing
        self.engine, self.dtype = engine, dtype
        self.device = engine.device if engine else torch.device(device or best_device())
        self.model = model
        if model is not None:
            self.model = model.to(self.device, dtype, memory_format=torch.channels_last).eval()

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str | None = None,
        engine: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ) -> "Segmenter":
        """Load a checkpoint, or a file that `segkit export` wrote.

        path: a name of shipped weights ("person-base", "person-small"), the path of a .safetensors
            checkpoint, of an .onnx file, or of a run folder, whose best.safetensors is taken.
        device: "cpu", "cuda", ...; None takes the GPU if there is one with torch, and the processor with
            the other engines.
        engine: "torch"; "onnx" (ONNX Runtime), "openvino" or "tensorrt" (through ONNX Runtime), for which
            a checkpoint is exported the first time. None takes torch, and onnx for an .onnx file.
        precision: "fp32"; "half" (bf16 with torch and OpenVINO on a processor, else fp16); or "int8" (not
            with torch). None takes fp32, or what an .onnx file holds.
        threads: how many the engine may use on a processor; None lets it choose. With torch this is a
            setting of the whole process.
        What was asked for runs, or an error says why not: `person.runs_on` names it. Notebook 12.
        Raises: UserError.
        """
        path = find_checkpoint(path)
        engine = engine or ("onnx" if path.suffix == ".onnx" else "torch")
        if engine not in ENGINES:
            raise UserError(f"there is no engine '{engine}': the engines are {', '.join(ENGINES)}.")
        if precision not in (None, *PRECISIONS):
            raise UserError(f"precision is {', '.join(PRECISIONS)}, found '{precision}'.")
        if threads is not None and threads < 1:
            raise UserError(f"at least one thread is needed, found {threads}.")
        if engine != "torch":
            from segkit.deploy.engines import (
                open_engine,  # the other engines' packages load only when asked for
            )

            opened, info = open_engine(path, engine, device, precision, threads)
            return cls(None, info, engine=opened)
        if path.suffix == ".onnx":
            raise UserError(f"torch cannot run '{path}': load it with engine='onnx' or 'openvino'.")
        if precision == "int8":
            raise UserError("int8 does not run with torch here: take engine='onnx' or 'openvino'.")
        if threads is not None:
            torch.set_num_threads(threads)
        device = device or best_device()
        half = torch.bfloat16 if torch.device(device).type == "cpu" else torch.float16
        return cls(*load_checkpoint(path), device, half if precision == "half" else torch.float32)

    @property
    def runs_on(self) -> str:
        """What really calculates, in words."""
        if self.engine:
            return self.engine.name
        precision = "" if self.dtype == torch.float32 else f", {str(self.dtype).removeprefix('torch.')}"
        return f"PyTorch {torch.__version__.split('+')[0]}, {self.device}{precision}"

    def __call__(self, image: np.ndarray, flip: bool = False, scales: Sequence[float] = (1.0,)) -> np.ndarray:
        """Probability of person for every pixel, at the photograph's own size.

        image: uint8 RGB (H, W, 3).   flip, scales: test-time augmentation, see predict_batch.
        Returns: float32 (H, W) in [0, 1]; of a network with C classes (C, H, W), which sum to 1.
        """
        return self.predict_batch([image], flip, scales)[0]

    @torch.inference_mode()
    def predict_batch(
        self, images: Sequence[np.ndarray], flip: bool = False, scales: Sequence[float] = (1.0,)
    ) -> list[np.ndarray]:
        """Probabilities of several photographs, which may differ in size, in one pass.

        flip: also look at the mirror image.   scales: also look at the photograph at these multiples
        of the input size. The answers are averaged; each view costs a pass.
        Returns: one float32 (H, W) in [0, 1] per photograph, or (C, H, W) with several classes.
        Raises: UserError for other arrays.
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise UserError(
                    f"an image is uint8 RGB of shape (H, W, 3), found {image.dtype} {image.shape}. "
                    "segkit.read_image gives every picture in this form."
                )
        channels = () if len(self.classes) == 1 else (len(self.classes),)
        total = [np.zeros((*image.shape[:2], *channels), np.float32) for image in images]
        views = list(itertools.product(scales, (False, True) if flip else (False,)))
        for scale, mirrored in views:
            # Whole steps of 8 keep the padding small.
            size = max(8, round(self.preprocessing.size * scale / 8) * 8)
            small = np.stack([self.preprocessing.resize(image, size) for image in images])
            probs = self._probabilities(small[:, :, ::-1] if mirrored else small)
            probs = probs[:, :, ::-1] if mirrored else probs
            for sum_, prob in zip(total, probs, strict=True):
                # Probabilities are resized, then thresholded: the other way round, edges become stairs.
                height, width = sum_.shape[:2]
                sum_ += cv2.resize(
                    np.ascontiguousarray(prob), (width, height), interpolation=cv2.INTER_LINEAR
                )
        # OpenCV wants classes last, everyone else first.
        return [np.moveaxis(sum_ / len(views), -1, 0) if channels else sum_ / len(views) for sum_ in total]

    @property
    def classes(self) -> tuple[str, ...]:
        """("person",), or the names of the classes by their ids, "background" first."""
        return self.info.classes

    def labels(self, prob: np.ndarray) -> np.ndarray:
        """Which class every pixel is, from what this segmenter returned: uint8 (H, W).

        One class: 1 where the probability is above the threshold. Several: the most probable.   Notebook 14.
        """
        return (prob > self.threshold if prob.ndim == 2 else prob.argmax(0)).astype(np.uint8)

    def foreground(self, prob: np.ndarray) -> np.ndarray:
        """The probability that a pixel is no background, from what this segmenter returned: (H, W)."""
        return prob if prob.ndim == 2 else 1 - prob[0]

    def _probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3) -> float32 (N, S, S), or (N, S, S, C) with several classes."""
        if self.engine:
            probs = self.engine(images)
        else:
            batch = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
            probs = self.probabilities(batch).cpu().numpy()
        return probs[:, 0] if probs.shape[1] == 1 else probs.transpose(0, 2, 3, 1)

    @torch.no_grad()
    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, 3, H, W) at the network's size -> float32 (N, C, H, W): normalise, network, sigmoid,
        or a softmax where there are several classes. With torch only.
        """
        return to_probs(self.model(self.preprocessing.normalise(images).to(self.dtype)))

"""From a photograph to a probability map, a mask, a cut-out. Introduced in notebook 08."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import nn

from segkit.checkpoint import CheckpointInfo, find_checkpoint, load_checkpoint
from segkit.data import resize_smoothly, shrink
from segkit.device import best_device, check_device
from segkit.files import Picture, UserError, check_choice, read_image
from segkit.models import to_probs

if TYPE_CHECKING:
    from segkit.deploy.engines import Engine

ENGINES = ("torch", "onnx", "openvino", "tensorrt")
PRECISIONS = ("fp32", "half", "int8")

CLOSER, MAYBE, MARGIN, LARGEST, SMALLEST = 0.7, 0.35, 0.4, 0.85, 80
"""Of a closer look: its share in the answer; from which probability on it looks, since legs in the dark must
not be cut off; the margin around the person as a share of the person's longer side; the largest part of the
photograph that is worth it, and the fewest pixels of a side that hold more to see. These and the next three
were chosen on validation photographs: data/weights/making.md."""

FARTHER, LUMP = 7 / 12, 0.03
"""Of a look from farther away: its size as a share of the input; how deep a lump must be, as a share of the
photograph's side, for that look to decide it."""

ANSWER = 4096
"""The longer side, in pixels, of the looks' answers; a larger photograph gets them enlarged."""

BATCH_PIXELS = 36_000_000
"""So many pixels are in memory together, or one picture that has more. With all results a process takes
1.4 GB for 50 megapixels, 2.3 for 100, and 2.9 for 150, which are the most; with the mask alone, or of
nobody, 1.9."""

SURE = 0.7
"""What an island of the answer must reach somewhere: see settle."""

if hasattr(os, "register_at_fork"):
    # The threads that calculate do not come along into a forked process, which would wait for them for ever.
    os.register_at_fork(after_in_child=lambda: (torch.set_num_threads(1), cv2.setNumThreads(0)))

THREADED: set[int] = set()
"""The processes in which a thread besides the main one has calculated."""


def check_process() -> None:
    """Before anything is calculated: what a thread held when its process was forked, nobody gives back.

    Raises: UserError in a process that was forked from one of THREADED.
    """
    if threading.current_thread() is not threading.main_thread():
        THREADED.add(os.getpid())
    if THREADED - {os.getpid()}:
        raise UserError(
            "this process was forked from one whose threads had used a Segmenter, and may wait for ever for "
            "what they held: start it by multiprocessing.get_context('spawn'), and load the network in it."
        )


class Segmenter:
    """A network together with its preprocessing and threshold: what every consumer holds.

    person = Segmenter.load("runs/first/best.safetensors")
    prob = person(image)               # uint8 RGB (H, W, 3) -> float32 (H, W) in [0, 1]
    mask = prob > person.threshold     # bool (H, W)

    look_closer: where somebody is seen, look a second time, at the mirror image. Where the person fills a
        part of the photograph only, see that part alone, which then counts for CLOSER; else look from farther
        away too, which sees lumps that were missed. Then settle what is sure nowhere. person-base does, at
        the price of a second pass, or of a second and two smaller ones. For one class alone. Notebook 08.
    """

    def __init__(
        self,
        model: nn.Module | None,
        info: CheckpointInfo | None = None,
        device: str | None = None,
        dtype: torch.dtype = torch.float32,
        engine: "Engine | None" = None,
    ):
        """model: the network, or None where an engine stands in for it; see Segmenter.load."""
        if info is None:  # such as Segmenter("photo.jpg")
            raise UserError(
                'load it first: Segmenter.load("person-base")("photo.jpg"), or segkit.remove("photo.jpg").'
            )
        self.info, self._threshold, self.preprocessing = info, info.threshold, info.preprocessing
        self.look_closer, self.engine, self.dtype = info.look_closer, engine, dtype
        self.device = engine.device if engine else torch.device(device or best_device())
        self.model = model and model.to(self.device, dtype, memory_format=torch.channels_last).eval()

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
        engine = engine or ("onnx" if path.suffix.lower() == ".onnx" else "torch")
        check_choice("engine", engine, ENGINES)
        check_choice("precision", precision, (None, *PRECISIONS))
        if threads is not None and not 1 <= threads <= 1024:
            raise UserError(f"the number of threads goes from 1 to 1024, found {threads}.")
        if engine != "torch":
            from segkit.deploy.engines import open_engine  # loads those engines' packages

            opened, info = open_engine(path, engine, device, precision, threads)
            return cls(None, info, engine=opened)
        if path.suffix.lower() == ".onnx":
            raise UserError(f"torch cannot run '{path}': load it with engine='onnx' or 'openvino'.")
        if precision == "int8":
            raise UserError("int8 does not run with torch: take engine='onnx' or 'openvino' (--engine onnx).")
        if threads is not None:
            torch.set_num_threads(threads)
        device = check_device(device) if device else best_device()
        half = torch.bfloat16 if torch.device(device).type == "cpu" else torch.float16
        return cls(*load_checkpoint(path), device, half if precision == "half" else torch.float32)

    @property
    def runs_on(self) -> str:
        """What really calculates, in words."""
        if self.engine:
            return self.engine.name
        precision = "" if self.dtype == torch.float32 else f", {str(self.dtype).removeprefix('torch.')}"
        return f"PyTorch {torch.__version__.split('+')[0]}, {self.device}{precision}"

    def __call__(
        self, image: np.ndarray | Picture, flip: bool = False, scales: Sequence[float] = (1.0,)
    ) -> np.ndarray:
        """Probability of person for every pixel, at the photograph's own size.

        image: uint8 RGB (H, W, 3), or what read_image reads: a path, bytes, a Pillow image.
        flip, scales: test-time augmentation, see predict_batch.
        Returns: float32 (H, W) in [0, 1]; of a network with C classes (C, H, W), which sum to 1.
        """
        return self.predict_batch([image], flip, scales)[0]

    @torch.inference_mode()
    def predict_batch(
        self, images: Sequence[np.ndarray | Picture], flip: bool = False, scales: Sequence[float] = (1.0,)
    ) -> list[np.ndarray]:
        """Probabilities of photographs, which may differ in size; look_closer takes up to four passes.

        flip: also look at the mirror image.   scales: also look at the photograph at these multiples
        of the input size. The answers are averaged; each view costs a pass.
        Returns: one float32 (H, W) in [0, 1] per photograph, or (C, H, W) with several classes.
        Raises: UserError for other arrays.
        """
        check_process()
        images = [image if isinstance(image, np.ndarray) else read_image(image) for image in images]
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise UserError(
                    f"an image is uint8 RGB of shape (H, W, 3), found {image.dtype} {image.shape}. "
                    "segkit.read_image gives every picture in this form."
                )
        size = self.preprocessing.size
        if len(scales) == 0 or not all(8 <= size * scale <= 4096 for scale in scales):
            raise UserError(f"the input, {size} times each scale, is 8 to 4096 pixels: found {[*scales]}.")
        if not self.look_closer or len(self.classes) > 1:
            return self.look_once(images, flip, scales)
        # What a network sees at a few hundred pixels fits into fewer than a photograph has, and into memory.
        small = [shrink(image, ANSWER) for image in images]
        probs = self._looks(small, flip, scales)
        return [resize_smoothly(prob, *image.shape[:2]) for prob, image in zip(probs, images, strict=True)]

    def _looks(self, images: list[np.ndarray], flip: bool, scales: Sequence[float]) -> list[np.ndarray]:
        """All looks of look_closer, as look_once returns one."""
        probs = self.look_once(images, flip, scales)
        # Where nobody is seen, one look is enough.
        seen = [i for i, prob in enumerate(probs) if (prob > 0.5).any()]
        parts = [part_with_person(prob) for prob in probs]
        again = [i for i in seen if parts[i] or not flip]  # flip has seen the mirror image
        views = [images[i][parts[i] or ...] for i in again]
        for i, second in zip(again, self.look_once(views, flip, scales, mirrored=True), strict=True):
            border = np.concatenate([second[0], second[-1], second[:, 0], second[:, -1]])
            if parts[i] and np.median(border) > 0.5:
                continue  # the first look saw an end of it: closer by, there is only fur or cloth to see
            first = probs[i][parts[i] or ...]
            first += (CLOSER if parts[i] else 0.5) * (second - first)
        large = [i for i in seen if not parts[i]]
        far = self.look_once([images[i] for i in large], flip=True, scales=[FARTHER])
        for i, farther in zip(large, far, strict=True):
            correct_lumps(probs[i], farther)
        for prob in probs:
            settle(prob)
        return probs

    @torch.inference_mode()
    def look_once(
        self,
        images: Sequence[np.ndarray],
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        mirrored: bool = False,
    ) -> list[np.ndarray]:
        """As predict_batch, without the second look: for videos, and for pictures of the network's size.

        mirrored: look at the mirror image alone.
        """
        check_process()
        if not images:
            return []
        totals: list[np.ndarray | None] = [None] * len(images)
        views = [(scale, side) for scale in scales for side in ((False, True) if flip else (mirrored,))]
        size = self.preprocessing.size
        for scale, mirrored in views:
            small = np.stack([self.preprocessing.resize(image, round(size * scale)) for image in images])
            probs = self._probabilities(small[:, :, ::-1] if mirrored else small)
            probs = probs[:, :, ::-1] if mirrored else probs
            for i, (image, prob) in enumerate(zip(images, probs, strict=True)):
                # Probabilities are resized, then thresholded: the other way round, edges become stairs.
                prob = resize_smoothly(np.array(prob), *image.shape[:2])
                totals[i] = prob if totals[i] is None else np.add(totals[i], prob, out=totals[i])
        for total in totals:
            total /= len(views)
        # OpenCV wants classes last, everyone else first.
        return [np.moveaxis(total, -1, 0) if total.ndim == 3 else total for total in totals]

    @property
    def threshold(self) -> float:
        """The probability above which a pixel is person; where there are several classes, no background."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if len(self.classes) > 1:
            raise UserError(
                f"this network tells {len(self.classes)} classes apart, and the most probable one wins: "
                "there is no threshold to set."
            )
        if not 0 < value < 1:
            raise UserError(f"the threshold lies between 0 and 1, found {value}.")
        self._threshold = value

    @property
    def classes(self) -> tuple[str, ...]:
        """("person",), or the names of the classes by their ids, "background" first."""
        return self.info.classes

    def labels(self, prob: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Which class every pixel is, from what this segmenter returned: uint8 (H, W).

        One class: 1 where the probability is above the threshold. Several: the most probable.   Notebook 14.
        size: the photograph's (H, W), where one class was looked for in a smaller copy.
        """
        ids = prob.argmax(0) if prob.ndim > 2 else resize_smoothly(prob, *size or prob.shape) > self.threshold
        return ids.astype(np.uint8)

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


def part_with_person(prob: np.ndarray) -> tuple[slice, slice] | None:
    """The square around the people of a photograph, cut off at its edges; None where it holds nearly all.

    prob: float (H, W) in [0, 1].   Returns: rows and columns.
    """
    height, width = prob.shape
    small = shrink(prob, 512)  # a box needs no more
    scale = max(small.shape) / max(prob.shape)
    boxes = cv2.connectedComponentsWithStats((small > MAYBE).astype(np.uint8))[2][1:]  # without background
    boxes = boxes[boxes[:, 4] * 10 >= boxes[:, 4].max(initial=1)]  # specks beside a person do not count
    if not len(boxes):
        return None
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:4]).max(0)
    half = (high - low).max() * (0.5 + MARGIN)
    left, top = np.maximum((low + high) / 2 - half, 0) / scale
    right, bottom = np.minimum(((low + high) / 2 + half) / scale, (width, height))
    part = slice(int(top), int(bottom)), slice(int(left), int(right))
    sides = prob[part].shape
    return part if min(sides) >= SMALLEST and np.prod(sides) <= LARGEST * prob.size else None


def correct_lumps(prob: np.ndarray, farther: np.ndarray) -> None:
    """Where a look from farther away turns a whole lump over, it is right more often; outlines stay.

    A lump hangs together, is on one side of 0.5 in `prob` and on the other in the mean of both, and is LUMP
    deep somewhere.   prob, farther: float32 (H, W) in [0, 1]; prob is changed in place.
    """
    turned = (prob > 0.5) != (prob + farther > 1)
    _, lumps = cv2.connectedComponents(turned.astype(np.uint8))
    depth = cv2.distanceTransform(turned.astype(np.uint8), cv2.DIST_L2, 3)
    deep = np.zeros(lumps.max() + 1, bool)
    deep[lumps[depth > LUMP * np.sqrt(prob.size)]] = True
    np.copyto(prob, farther, where=deep[lumps])


def settle(prob: np.ndarray) -> None:
    """Islands that are sure nowhere, and holes that are, become what surrounds them: p turns into 1 - p.

    Hysteresis, after Canny, "A Computational Approach to Edge Detection" (1986): what is over 0.5 counts
    where it hangs together with SURE. Outlines stay where they were.
    prob: float (H, W) in [0, 1], changed in place.
    """
    for person in (True, False):
        _, islands = cv2.connectedComponents(((prob > 0.5) == person).astype(np.uint8))
        sure = np.zeros(islands.max() + 1, bool)
        sure[islands[prob >= SURE if person else prob <= 1 - SURE]] = True
        if sure.any():
            sure[0] = True  # no island, but what surrounds them
            np.subtract(1, prob, out=prob, where=~sure[islands])

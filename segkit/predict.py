"""From a photograph to a probability map, a mask, a cut-out. Introduced in notebook 08."""

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from segkit.checkpoint import CheckpointInfo, load_checkpoint
from segkit.files import UserError, read_image, write_image

PERSON_COLOUR = (0, 114, 178)  # the blue of the Okabe-Ito palette: told apart by colour-blind readers
OUTPUTS = ("mask", "overlay", "cutout")


class Segmenter:
    """A network together with its preprocessing and threshold: what every consumer holds.

    person = Segmenter.load("runs/first/best.safetensors")
    prob = person(image)               # uint8 RGB (H, W, 3) -> float32 (H, W) in [0, 1]
    mask = prob > person.threshold     # bool (H, W)
    """

    def __init__(self, model: nn.Module, info: CheckpointInfo, device: str | None = None):
        self.info, self.threshold, self.preprocessing = info, info.threshold, info.preprocessing
        self.device = torch.device(device or best_device())
        self.model = model.to(self.device, memory_format=torch.channels_last).eval()

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> "Segmenter":
        """Load a checkpoint.

        path: of a .safetensors checkpoint, or of a run folder, whose best.safetensors is taken.
        device: "cpu", "cuda", ...; None takes the GPU if there is one.   Raises: UserError.
        """
        path = Path(path)
        return cls(*load_checkpoint(path / "best.safetensors" if path.is_dir() else path), device)

    def __call__(self, image: np.ndarray, flip: bool = False, scales: Sequence[float] = (1.0,)) -> np.ndarray:
        """Probability of person for every pixel, at the photograph's own size.

        image: uint8 RGB (H, W, 3).   flip, scales: test-time augmentation, see predict_batch.
        Returns: float32 (H, W) in [0, 1].
        """
        return self.predict_batch([image], flip, scales)[0]

    @torch.inference_mode()
    def predict_batch(
        self, images: Sequence[np.ndarray], flip: bool = False, scales: Sequence[float] = (1.0,)
    ) -> list[np.ndarray]:
        """Probabilities of several photographs, which may differ in size, in one pass.

        flip: also look at the mirror image.   scales: also look at the photograph at these multiples
        of the input size. The answers are averaged; each view costs a pass.
        Returns: one float32 (H, W) in [0, 1] per photograph.   Raises: UserError for other arrays.
        """
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise UserError(
                    f"an image is uint8 RGB of shape (H, W, 3), found {image.dtype} {image.shape}. "
                    "segkit.read_image gives every picture in this form."
                )
        total = [np.zeros(image.shape[:2], np.float32) for image in images]
        views = list(itertools.product(scales, (False, True) if flip else (False,)))
        for scale, mirrored in views:
            # Whole steps of 8 keep the padding small.
            size = max(8, round(self.preprocessing.size * scale / 8) * 8)
            small = np.stack([self.preprocessing.resize(image, size) for image in images])
            probs = self._probabilities(small[:, :, ::-1] if mirrored else small)
            probs = probs[:, :, ::-1] if mirrored else probs
            for sum_, prob in zip(total, probs, strict=True):
                # Probabilities are resized, then thresholded: the other way round, edges become stairs.
                height, width = sum_.shape
                sum_ += cv2.resize(
                    np.ascontiguousarray(prob), (width, height), interpolation=cv2.INTER_LINEAR
                )
        return [sum_ / len(views) for sum_ in total]

    def _probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, S, S, 3) -> float32 (N, S, S): normalise, network, sigmoid."""
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
        logits = self.model(self.preprocessing.normalise(batch))
        return logits[:, 0].float().sigmoid().cpu().numpy()


def best_device() -> str:
    """The GPU if there is one, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def overlay(image: np.ndarray, mask: np.ndarray, colour: Sequence[int] = PERSON_COLOUR) -> np.ndarray:
    """Tint the person and draw the outline: uint8 (H, W, 3), bool (H, W) -> uint8 (H, W, 3)."""
    mask = mask.astype(bool)
    tinted = image.copy()
    tinted[mask] = (0.5 * image[mask] + 0.5 * np.array(colour)).astype(np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(tinted, contours, -1, (255, 255, 255), max(1, round(max(mask.shape) / 400)))


def soft_alpha(prob: np.ndarray, threshold: float = 0.5, softness: float = 0.4) -> np.ndarray:
    """Opacity with a soft edge: probabilities within softness / 2 of the threshold become a ramp.

    prob: float (H, W) in [0, 1].   softness: 0 is a hard mask, 1 keeps the most haze.
    Returns: float32 (H, W) in [0, 1].
    """
    if softness <= 0:
        return (prob > threshold).astype(np.float32)
    return ((prob - threshold) / softness + 0.5).clip(0, 1).astype(np.float32)


def cutout(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The person on nothing: uint8 (H, W, 3), alpha (H, W) in [0, 1] -> uint8 RGBA (H, W, 4)."""
    return np.dstack([image, (alpha * 255).round().astype(np.uint8)])


def replace_background(
    image: np.ndarray, alpha: np.ndarray, background: np.ndarray | Sequence[int] | str
) -> np.ndarray:
    """The person on another background.

    image: uint8 (H, W, 3).   alpha: (H, W) in [0, 1].
    background: an RGB colour, a picture uint8 (h, w, 3) that is scaled to cover, or "blur".
    Returns: uint8 (H, W, 3).
    """
    height, width = alpha.shape
    if isinstance(background, str):
        if background != "blur":
            raise UserError(f"background is a colour, a picture or 'blur', found '{background}'.")
        behind = cv2.GaussianBlur(image, (0, 0), max(height, width) / 60)
    else:
        background = np.asarray(background, np.uint8)
        behind = (
            np.broadcast_to(background, image.shape)
            if background.ndim == 1
            else cover(background, height, width)
        )
    alpha = alpha[..., None].astype(np.float32)
    return (image * alpha + behind * (1 - alpha)).round().astype(np.uint8)


def cover(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale a picture until it covers (height, width) and cut off what hangs over, evenly on both sides."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]


@dataclass
class FolderReport:
    """What came of a list of pictures."""

    written: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    """The picture, and why it was left out."""

    def collect(self, jobs: dict[Path, Future]) -> None:
        """Wait for the pictures being written and note how each went."""
        for path, job in jobs.items():
            try:
                self.written += job.result()
            except UserError as error:
                self.failed[path] = str(error)


def predict_files(
    person: Segmenter,
    paths: Iterable[Path],
    out: str | Path,
    outputs: Sequence[str] = ("mask",),
    background: np.ndarray | Sequence[int] | str | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    batch_size: int = 8,
) -> FolderReport:
    """Segment pictures into a folder: NAME_mask.png, NAME_overlay.jpg, NAME_cutout.png, NAME_background.jpg.

    Reading and writing run in threads beside the network. A broken picture is reported and does not
    stop the rest. Pictures that share a name get NAME-2 and so on.   Raises: UserError for a wrong output.
    """
    if unknown := sorted(set(outputs) - set(OUTPUTS)):
        raise UserError(f"there is no output '{unknown[0]}': the outputs are {', '.join(OUTPUTS)}.")
    out, paths, report = Path(out), list(paths), FolderReport()
    targets = [out / name for name in _distinct_names(paths)]

    def write(target: Path, image: np.ndarray, prob: np.ndarray) -> list[Path]:
        mask = prob > person.threshold
        pictures = {
            "mask.png": lambda: mask.astype(np.uint8) * 255,
            "overlay.jpg": lambda: overlay(image, mask),
            "cutout.png": lambda: cutout(image, soft_alpha(prob, person.threshold)),
            "background.jpg": lambda: replace_background(
                image, soft_alpha(prob, person.threshold), background
            ),
        }
        wanted = [*outputs, *([] if background is None else ["background"])]
        return [
            write_image(target.with_name(f"{target.name}_{suffix}"), make())
            for suffix, make in pictures.items()
            if suffix.split(".")[0] in wanted
        ]

    def read(path: Path) -> np.ndarray | UserError:
        try:
            return read_image(path)
        except UserError as error:
            return error

    batches = [
        list(zip(paths, targets, strict=True))[i : i + batch_size] for i in range(0, len(paths), batch_size)
    ]
    with ThreadPoolExecutor() as pool, tqdm(total=len(paths), unit="img", desc="predicting") as bar:
        # While the network works on one batch, the next is read and the one before is written;
        # no more than these three are ever in memory.
        reading = [pool.submit(read, path) for path, _ in batches[0]] if batches else []
        writing: dict[Path, Future] = {}
        for batch, following in zip(batches, [*batches[1:], []], strict=True):
            images = [job.result() for job in reading]
            reading = [pool.submit(read, path) for path, _ in following]
            readable = [
                (job, image)
                for job, image in zip(batch, images, strict=True)
                if isinstance(image, np.ndarray)
            ]
            report.failed |= {
                path: str(i) for (path, _), i in zip(batch, images, strict=True) if isinstance(i, UserError)
            }
            probs = person.predict_batch([image for _, image in readable], flip, scales) if readable else []
            report.collect(writing)
            writing = {
                path: pool.submit(write, target, image, prob)
                for ((path, target), image), prob in zip(readable, probs, strict=True)
            }
            bar.update(len(batch))
        report.collect(writing)
    return report


def _distinct_names(paths: list[Path]) -> list[str]:
    taken: dict[str, int] = {}
    names = []
    for path in paths:
        taken[path.stem] = taken.get(path.stem, 0) + 1
        names.append(path.stem if taken[path.stem] == 1 else f"{path.stem}-{taken[path.stem]}")
    return names

"""From a photograph to a probability map, a mask, a cut-out. Introduced in notebook 08."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from segkit.checkpoint import CheckpointInfo, load_checkpoint
from segkit.edges import clean_colours, refine_alpha
from segkit.effects import background_alone, portrait, recolour_classes
from segkit.engines import ENGINES, Engine, open_engine, padded
from segkit.export import PRECISIONS
from segkit.files import UserError, embedded_path, read_image, write_image

PERSON_COLOUR = (0, 114, 178)  # the blue of the Okabe-Ito palette: told apart by colour-blind readers
# Okabe and Ito's palette again, for the classes of parts.json in their order; 0 is never drawn.
CLASS_COLOURS = (
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (153, 153, 153),
)
OUTPUTS = ("mask", "overlay", "cutout")


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
        engine: Engine | None = None,
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
            height, width = images.shape[1:3]
            probs = self.engine(padded(images, self.engine.divisor))[..., :height, :width]
        else:
            batch = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
            probs = self.probabilities(batch).cpu().numpy()
        return probs[:, 0] if probs.shape[1] == 1 else probs.transpose(0, 2, 3, 1)

    @torch.no_grad()
    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (N, 3, H, W) at the network's size -> float32 (N, C, H, W): normalise, network, sigmoid,
        or a softmax where there are several classes. With torch only.
        """
        logits = self.model(self.preprocessing.normalise(images).to(self.dtype)).float()
        return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


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


def colour_classes(image: np.ndarray, labels: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Tint every class in a colour of its own, background (0) not at all.

    image: uint8 (H, W, 3).   labels: uint8 class ids (H, W).   Returns: uint8 (H, W, 3).   Notebook 14.
    """
    colours = np.array(CLASS_COLOURS, np.float32)[labels.astype(int) % len(CLASS_COLOURS)]
    share = np.where(labels > 0, opacity, 0.0)[..., None]
    return (image * (1 - share) + colours * share).round().astype(np.uint8)


def soft_alpha(prob: np.ndarray, threshold: float = 0.5, softness: float = 0.4) -> np.ndarray:
    """Opacity with a soft edge: probabilities within softness / 2 of the threshold become a ramp.

    prob: float (H, W) in [0, 1].   softness: 0 is a hard mask, 1 keeps the most haze.
    Returns: float32 (H, W) in [0, 1].
    """
    if softness <= 0:
        return (prob > threshold).astype(np.float32)
    return ((prob - threshold) / softness + 0.5).clip(0, 1).astype(np.float32)


def on_its_own(image: np.ndarray, prob: np.ndarray, threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """The person ready for another background: cleaned colours uint8 (H, W, 3), alpha float32 (H, W).

    prob: float (H, W) in [0, 1], as a Segmenter returns it.   Introduced in notebook 16.
    """
    alpha = refine_alpha(image, prob, threshold)
    return clean_colours(image, alpha), alpha


def cutout(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The person on nothing: uint8 (H, W, 3), alpha (H, W) in [0, 1] -> uint8 RGBA (H, W, 4).

    Where nothing is seen the colours are black: the old room is not in the file.
    """
    opacity = (alpha * 255).round().astype(np.uint8)
    return np.dstack([np.where(opacity[..., None] > 0, image, np.uint8(0)), opacity])


def replace_background(
    image: np.ndarray, alpha: np.ndarray, background: np.ndarray | Sequence[int] | str
) -> np.ndarray:
    """The person on another background.

    image: uint8 (H, W, 3).   alpha: (H, W) in [0, 1].
    background: an RGB colour, a picture uint8 (h, w, 3) that is scaled to cover, "blur", or "portrait"
        for a blur that grows with the distance from the person.
    Returns: uint8 (H, W, 3).
    """
    height, width = alpha.shape
    if isinstance(background, str):
        if background == "portrait":
            return portrait(image, alpha)
        if background != "blur":
            raise UserError(f"background is a colour, a picture, 'blur' or 'portrait', found '{background}'.")
        # The person is taken out first: blurred along, they would glow.
        behind = cv2.GaussianBlur(background_alone(image, alpha), (0, 0), max(height, width) / 60)
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
    notes: dict[Path, str] = field(default_factory=dict)
    """The picture, and what was asked for that it does not show."""

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
    recolour: Mapping[str, Sequence[int]] | None = None,
) -> FolderReport:
    """Segment pictures into a folder: NAME_mask.png, NAME_overlay.jpg, NAME_cutout.png, NAME_background.jpg.

    recolour: with a network of several classes, also NAME_recoloured.jpg: {"torso": (200, 30, 30)}.
    With several classes, the mask holds their ids and the overlay their colours.
    Reading and writing run in threads beside the network. A broken picture is reported and does not
    stop the rest. Pictures that share a name get NAME-2 and so on.   Raises: UserError for a wrong output.
    """
    if unknown := sorted(set(outputs) - set(OUTPUTS)):
        raise UserError(f"there is no output '{unknown[0]}': the outputs are {', '.join(OUTPUTS)}.")
    if unknown := [name for name in recolour or {} if name not in person.classes[1:]]:
        raise UserError(
            f"this network cannot recolour '{unknown[0]}': it knows {', '.join(person.classes)}. "
            "Body parts need a network of several classes, such as person-parts."
        )
    out, paths, report = Path(out), list(paths), FolderReport()
    targets = [out / name for name in _distinct_names(paths)]

    def write(path: Path, target: Path, image: np.ndarray, prob: np.ndarray) -> list[Path]:
        labels, shares, prob = person.labels(prob), prob, person.foreground(prob)
        several = len(person.classes) > 1
        pictures = {
            "mask.png": lambda: labels if several else labels * 255,
            "overlay.jpg": lambda: colour_classes(image, labels) if several else overlay(image, labels),
            "cutout.png": lambda: cutout(*on_its_own(image, prob, person.threshold)),
            "background.jpg": lambda: replace_background(
                *on_its_own(image, prob, person.threshold), background
            ),
            "recoloured.jpg": lambda: recolour_classes(image, shares, person.classes, recolour),
        }
        wanted = [*outputs, *(["background"] if background is not None else [])]
        wanted += ["recoloured"] if recolour else []
        if unseen := [name for name in recolour or {} if not (labels == person.classes.index(name)).any()]:
            report.notes[path] = f"no {' and no '.join(unseen)} was found, so nothing there has a new colour"
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
                path: pool.submit(write, path, target, image, prob)
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

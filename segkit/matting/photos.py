"""Photographs in, masks and cut-outs out: whole folders. Introduced in notebook 08."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from segkit.files import UserError, read_image, write_image
from segkit.matting.compose import cutout, on_its_own, replace_background
from segkit.matting.effects import recolour_classes
from segkit.predict import Segmenter

OUTPUTS = ("mask", "overlay", "cutout")


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
            "overlay.jpg": lambda: _overlay(image, labels, several),
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


def _overlay(image: np.ndarray, labels: np.ndarray, several: bool) -> np.ndarray:
    from segkit.plots import colour_classes, overlay  # with matplotlib, which takes a quarter of a second

    return colour_classes(image, labels) if several else overlay(image, labels)

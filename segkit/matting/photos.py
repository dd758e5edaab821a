"""Photographs in, masks and cut-outs out: whole folders. Introduced in notebook 08."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from os.path import abspath
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from tqdm.auto import tqdm

from segkit.data import displayed_size, resize_smoothly, shrink
from segkit.files import (
    IMAGE_SUFFIXES,
    UserError,
    check_outputs,
    find_images,
    open_picture,
    read_image,
    unique_names,
    write_image,
)
from segkit.matting.compose import cutout, on_its_own, replace_background
from segkit.matting.effects import recolour_classes
from segkit.plots import colour_classes, overlay
from segkit.predict import ANSWER, BATCH_PIXELS, Segmenter

OUTPUTS = ("mask", "overlay", "cutout")

ENDINGS = {"mask": "mask.png", "overlay": "overlay.jpg", "cutout": "cutout.png"}
ENDINGS |= {"background": "background.jpg", "recoloured": "recoloured.jpg"}

DESCRIBING = {270, 271, 272, 305, 306, 315, 33432, 0x8769, 0x8825}
"""The tags of a TIFF that tell of the photograph: words, camera, program, day, author, rights, EXIF, GPS."""

Job = tuple[Path, Any]
"""A picture, and what its results need to know."""


@dataclass
class PicturesReport:
    """What came of many pictures. Whatever goes wrong with one picture is that picture's."""

    failed: dict[Path, str] = field(default_factory=dict, kw_only=True)
    """The picture, and why it was left out."""

    def attempt(self, path: Path, work: Callable[..., Any], *arguments: Any) -> Any:
        """What the work gives; None where it fails."""
        try:
            return work(*arguments)
        except Exception as error:
            odd = f"'{path}' could not be worked on ({error!r})."
            self.failed[path] = str(error) if isinstance(error, UserError) else odd

    def segment(
        self, jobs: list[Job], look: Callable, finish: Callable, batch: int, progress: bool, side=math.inf
    ) -> None:
        """Read pictures, look at some together, and finish each; all that is not `look` runs in threads.

        batch: how many together, at most.   side: no picture is kept larger than so many pixels.
        look: list of uint8 (H, W, 3) -> list of what was seen.   finish: of (*job, image, what was seen).
        """
        bar = tqdm(total=len(jobs), unit="img", desc="segmenting", disable=not progress)
        with ThreadPoolExecutor() as pool, bar:
            for some in _batches(jobs, batch):
                self._segment_batch(pool, some, look, finish, lambda path: shrink(read_image(path), side))
                bar.update(len(some))

    def _segment_batch(
        self, pool: Executor, batch: list[Job], look: Callable, finish: Callable, read: Callable
    ) -> None:
        reading = [(path, pool.submit(read, path)) for path, _ in batch]
        images = [self.attempt(path, job.result) for path, job in reading]
        good = [(*job, image) for job, image in zip(batch, images, strict=True) if image is not None]
        try:
            seen = look([image for *_, image in good])
        except Exception:  # each alone: one of them is to blame
            alone = [self.attempt(path, look, [image]) for path, _, image in good]
            seen = [found and found[0] for found in alone]
        both = [(*job, prob) for job, prob in zip(good, seen, strict=True) if prob is not None]
        writing = [(job[0], pool.submit(finish, *job)) for job in both]
        for path, job in writing:
            self.attempt(path, job.result)


@dataclass
class FolderReport(PicturesReport):
    """What came of a list of pictures."""

    written: list[Path] = field(default_factory=list)
    notes: dict[Path, str] = field(default_factory=dict)
    """The picture, and what was asked for that it does not show; the folder, and what was not taken of it."""


def predict_files(
    person: Segmenter,
    paths: Iterable[str | Path],
    out: str | Path,
    outputs: Sequence[str] = ("mask",),
    background: np.ndarray | Sequence[int] | str | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    recolour: Mapping[str, Sequence[int]] | None = None,
    overwrite: bool = False,
    progress: bool = True,
    also_read: Iterable[Path] = (),
) -> FolderReport:
    """Segment pictures into a folder: NAME_mask.png, NAME_overlay.jpg, NAME_cutout.png, NAME_background.jpg.

    paths: pictures, and folders, whose pictures keep the folders below them: out/holiday/0001_mask.png.
    recolour: with a network of several classes, also NAME_recoloured.jpg: {"upper": (200, 30, 30)}.
    overwrite: replace results that are there already; a picture that is read is never replaced.
    progress: show a bar.   also_read: more files that no result may replace, such as the background.
    With several classes, the mask holds their ids and the overlay their colours.
    A broken picture is reported and does not stop the rest. Pictures that share a name get NAME-2 and so on.
    EXIF and resolution of a photograph stay with its results, and its turn and its colours are applied: they
    are upright and sRGB.
    Raises: UserError for a wrong output, a folder without pictures, or before anything would be overwritten.
    """
    if unknown := sorted(set(outputs) - set(OUTPUTS)):
        raise UserError(f"there is no output '{unknown[0]}': the outputs are {', '.join(OUTPUTS)}.")
    if unknown := [name for name in recolour or {} if name not in person.classes[1:]]:
        raise UserError(
            f"this network cannot recolour '{unknown[0]}': it knows {', '.join(person.classes)}. "
            "Clothes need a network of several classes, such as person-parts."
        )
    outputs = sorted(outputs, key=OUTPUTS.index)  # what needs most memory last
    wanted = [*outputs, *["background"] * (background is not None), *["recoloured"] * bool(recolour)]
    out, report = Path(out), FolderReport()
    if out.suffix.lower() in IMAGE_SUFFIXES and not out.is_dir():
        raise UserError(f"results go into a folder, which gets files such as NAME_mask.png; found '{out}'.")
    paths, names = _found(paths, out, report)
    kinds = dict.fromkeys(wanted)
    targets = [{kind: out / f"{name}_{ENDINGS[kind]}" for kind in kinds} for name in unique_names(names)]
    check_outputs([file for files in targets for file in files.values()], [*paths, *also_read], overwrite)

    # The answer about one class is enlarged where it is used: of a large picture, it would fill the memory.
    several = len(person.classes) > 1
    side = math.inf if several else ANSWER

    def write(path: Path, files: dict[str, Path], image: np.ndarray, prob: np.ndarray) -> None:
        metadata, count = _described(path)  # Pillow may decode it for that, so before memory is needed
        labels = person.labels(prob if several else resize_smoothly(prob, *image.shape[:2]))
        said = [f"it holds {count} pictures, and the first was taken"] if count > 1 else []
        said += [] if labels.any() else [f"no {kind_of(person)} was found"]
        alone = cache(lambda: on_its_own(image, person.foreground(prob), person.threshold))

        def placed() -> np.ndarray:
            colours, alpha = alone()
            alone.cache_clear()  # what follows needs it no more, and writing needs memory
            return replace_background(colours, alpha, background, image)

        pictures = {
            "mask": lambda: labels if several else labels * 255,
            "overlay": lambda: colour_classes(image, labels) if several else overlay(image, labels),
            "cutout": lambda: cutout(*alone()),
            "background": placed,
            "recoloured": lambda: recolour_classes(image, prob, person.classes, recolour),
        }
        if unseen := [name for name in recolour or {} if not (labels == person.classes.index(name)).any()]:
            said.append(f"no {' and no '.join(unseen)} was found, so nothing there has a new colour")
        if said:
            report.notes[path] = "; ".join(said)
        check_outputs(files.values(), overwrite=overwrite)  # another run may have made it meanwhile
        for kind, file in files.items():
            more = {"icc_profile": None} if kind == "mask" else {}  # its numbers are no colours
            report.written.append(write_image(file, pictures[kind](), **metadata | more))

    def look(images: list[np.ndarray]) -> list[np.ndarray]:
        return person.predict_batch([shrink(image, side) for image in images], flip, scales)

    person.predict_batch([], flip, scales)  # says now what is wrong with the scales
    report.segment(list(zip(paths, targets, strict=True)), look, write, 8, progress)
    return report


def _found(given: Iterable[str | Path], out: Path, report: FolderReport) -> tuple[list[Path], list[str]]:
    """The pictures that are meant, each once, and the names of their results.

    Results of an earlier run into the same place are no pictures to work on.
    """
    named: dict[str, tuple[Path, str]] = {}
    for item in map(Path, given):
        if not item.is_dir():
            name = item.stem.lstrip(".") or "picture"  # a name of dots would lead out of the folder
            named.setdefault(abspath(item), (item, name))
            continue
        found, others = find_images(item)
        if not found:
            raise UserError(f"folder '{item}' holds no pictures{others and f', but {others}'}.")
        own = {path: path.relative_to(item).with_suffix("").as_posix() for path in found}
        names = unique_names([*own.values()])
        results = {abspath(out / f"{name}_{ending}") for name in names for ending in ENDINGS.values()}
        before = {path for path in found if abspath(path) in results}
        others = [others] * bool(others) + [f"results of a run before: {len(before)}"] * bool(before)
        if others:
            report.notes[item] = f"not taken from there: {', '.join(others)}"
        for path in found:
            if path not in before:
                named.setdefault(abspath(path), (path, own[path]))
    return [path for path, _ in named.values()], [name for _, name in named.values()]


def _batches(jobs: Iterable[Job], most: int) -> Iterator[list[Job]]:
    """At most so many pictures, and BATCH_PIXELS, together; a larger picture comes alone."""
    batch, pixels = [], 0
    for job in jobs:
        size = 0
        with suppress(UserError):  # it is said when the picture is read
            size = math.prod(displayed_size(job[0]))
        if batch and (len(batch) == most or pixels + size > BATCH_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(job)
        pixels += size
    if batch:
        yield batch


def kind_of(person: Segmenter) -> str:
    """What a network finds; the classes of several together are the person."""
    return person.classes[0] if len(person.classes) == 1 else "person"


def _described(path: Path) -> tuple[dict, int]:
    """What goes on to the results, and how many pictures the file holds; its pixels are not kept."""
    with open_picture(path) as picture:
        # An MPO's second picture is a small copy of its first.
        return kept_metadata(picture), 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)


def kept_metadata(picture: Image.Image) -> dict:
    """What goes on from a photograph to its results, as options of write_image.

    EXIF without the orientation, since results are upright, and without what only says how a TIFF is stored;
    the resolution; and the profile sRGB where the photograph had a profile, since read_image turned its
    colours into sRGB.
    """
    kept = {}
    if picture.info.get("icc_profile"):
        kept["icc_profile"] = srgb_profile()
    with suppress(Exception):  # odd EXIF stays behind
        exif = picture.getexif()
        for tag in [0x0112, *(set(exif) - DESCRIBING if picture.format == "TIFF" else ())]:
            exif.pop(tag, None)
        if len(data := exif.tobytes()) < 65_000 and len(exif):  # more than that, JPEG cannot hold
            kept["exif"] = data
    with suppress(Exception):
        dpi = tuple(float(value) for value in picture.info["dpi"])
        if len(dpi) == 2 and all(1 <= value <= 30_000 for value in dpi):
            kept["dpi"] = dpi
    return kept


@cache
def srgb_profile() -> bytes:
    """The ICC profile of sRGB, with a fixed date, so that results do not change from day to day."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes.fromhex("07d0 0001 0001 0000 0000 0000") + profile[36:]

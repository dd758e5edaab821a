"""`segkit annotate`: a network draws the masks, a person corrects what needs it. Introduced in notebook 16.

OUT becomes a data set like any other (images/, masks/), and beside it stand the same masks as annotation
tools read them, a confidence for each picture, and a page that shows the least sure ones first.
"""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from string import Template
from urllib.parse import quote

import cv2
import numpy as np

from segkit.data import displayed_size, resize_smoothly, shrink
from segkit.files import (
    UserError,
    check_choice,
    counted,
    in_utf8,
    list_images,
    unique_names,
    write_image,
    write_table,
    write_text,
)
from segkit.matting.photos import PicturesReport, kind_of
from segkit.plots import overlay
from segkit.predict import ANSWER, Segmenter
from segkit.sets.exporters import Annotated, check_formats, coco_shape, cut_pieces, write_formats
from segkit.sets.importers import check_new, write_class_name, write_picture

THUMBNAIL = 240
"""Longer side of the pictures on the review page."""

UNSURE = 0.9
"""Below this confidence the review page says: look."""


@dataclass(frozen=True)
class AnnotateConfig:
    """What decides how the annotations come out."""

    per: str = "person"
    """person: one annotation for each connected piece; image: one for each picture"""
    format: tuple[str, ...] = ("coco", "labelme")
    """the files to write, any of: coco labelme yolo cvat label-studio"""
    least: float = 0.0005
    """leave out pieces smaller than this share of the picture"""
    tolerance: float = 1.0
    """how many pixels a polygon may be off; fewer points are easier to drag, 0 keeps all"""
    threshold: float | None = None
    """probability from which a pixel is person; the network's own by default"""

    def __post_init__(self):
        check_choice("per", self.per, ("person", "image"))
        check_formats(self.format)
        if not 0 <= self.least < 1 or self.tolerance < 0:
            raise UserError("least is a share from 0 to below 1, and tolerance a number of pixels from 0 on.")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UserError(f"the threshold lies between 0 and 1, found {self.threshold}.")


@dataclass
class AnnotateReport(PicturesReport):
    """What came of a folder."""

    out: Path
    confidence: dict[str, float] = field(default_factory=dict)
    """Of every picture by name, least sure first."""
    annotations: int = 0
    resumed: int = 0
    """How many pictures earlier runs had done."""

    def __str__(self) -> str:
        unsure = sum(value < UNSURE for value in self.confidence.values())
        again = f", {self.resumed} of them from a run before" if self.resumed else ""
        return (
            f"{counted(len(self.confidence), 'picture')}{again}, "
            f"{counted(self.annotations, 'annotation')}; "
            f"{unsure} with a confidence below {UNSURE}\n"
            f"look:     {self.out / 'review.html'}\n"
            f"correct:  labelme {self.out / 'images'}   (in other tools: --format yolo cvat label-studio)\n"
            f"go on:    segkit data import {self.out} --layout labelme --empty keep -o corrected"
        )


def confidence(prob: np.ndarray, mask: np.ndarray) -> float:
    """How sure a network is of a mask: the Dice it would expect if its probabilities were true.

    prob: float (H, W) in [0, 1].   mask: bool (H, W), what was made of it.
    Returns: 2 sum(prob in mask) / (sum(prob) + sum(mask)); for an empty mask, 1 - the highest probability.
    """
    if not mask.any():
        return float(1 - prob.max())
    return float(2 * prob[mask].sum() / (prob.sum() + mask.sum()))


def annotate_folder(
    person: Segmenter,
    folder: str | Path,
    out: str | Path,
    config: AnnotateConfig | None = None,
    batch_size: int = 8,
    progress: bool = True,
) -> AnnotateReport:
    """Annotate every picture of a folder. What earlier runs have done is left as it is, and counts.

    out: becomes a data set: images/NAME.jpg|png, upright; masks/NAME.png; the files of config.format;
        confidence.csv; review.html; records/, where a run goes on.
    A broken picture is reported and does not stop the rest, and so is one that has changed since: its masks
    may have been corrected. With several classes, all but the background are person.
    Raises: UserError when the folder holds no pictures, or `out` was made with other settings.
    """
    folder, out, config = Path(folder), Path(out), config or AnnotateConfig()
    if all((folder / part).is_dir() for part in ("images", "masks")):
        raise UserError(f"'{folder}' is a data set with masks: its photographs are in '{folder / 'images'}'.")
    paths = list_images(folder)
    if not paths:
        raise UserError(f"folder '{folder}' holds no pictures.")
    class_name = kind_of(person)
    threshold = person.threshold if config.threshold is None else config.threshold
    settings = {**asdict(config), "threshold": threshold, "network": repr(person.info), "known_by": "sha256"}
    settings.pop("format")  # another one can be added at any time
    _check_settings(out, settings, folder)
    report, before = AnnotateReport(out), _records(out)
    report.resumed = len(before)
    stamps = {path: report.attempt(path, _stamp, folder, path) for path in paths}
    jobs = _names({path: stamp for path, stamp in stamps.items() if stamp}, before, out, report)

    def write(path: Path, name: str, image: np.ndarray, prob: np.ndarray) -> None:
        prob, size, people = person.foreground(prob), displayed_size(path), []
        # First, since a large picture is read anew for it.
        file = write_picture(out, name, path, image if image.shape[:2] == size else None).name
        mask = np.zeros(size, bool)

        def seen(mask: np.ndarray) -> np.ndarray:  # at the size of the answer
            return cv2.resize(mask.view(np.uint8), prob.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0

        for piece in cut_pieces(resize_smoothly(prob, *size) > threshold, config.per, config.least):
            mask |= piece
            people.append(coco_shape(piece) | {"score": round(float(prob[seen(piece)].mean()), 4)})
        write_image(out / "masks" / f"{name}.png", mask.view(np.uint8) * 255)
        record = Annotated(
            name,
            file,
            *size,
            people,
            confidence=round(confidence(prob, seen(mask)), 4),
            source=stamps[path],
            share=round(float(mask.mean()), 4),
            thumbnail=_thumbnail(image, seen(mask)),
        )
        # The record comes last: a picture counts as done once everything else of it is on disk.
        write_text(out / "records" / f"{name}.json", json.dumps(asdict(record)))

    report.segment(list(jobs.items()), person.predict_batch, write, batch_size, progress, ANSWER)
    records = sorted(_records(out), key=lambda record: (record.confidence, record.name))
    if not records:
        why = next(iter(report.failed.values()))
        raise UserError(f"not one picture of '{folder}' was annotated: {why}")
    report.confidence = {record.name: record.confidence for record in records}
    report.annotations = sum(len(record.annotations) for record in records)
    write_class_name(out, class_name)
    write_formats(out, config.format, records, class_name, config.tolerance)
    columns = ("name", "confidence", "annotations", "share")
    rows = [(r.name, r.confidence, len(r.annotations), r.share) for r in records]
    write_table(out / "confidence.csv", [dict(zip(columns, row, strict=True)) for row in rows])
    write_text(out / "review.html", _review_page(records))
    return report


# Files


def _stamp(folder: Path, path: Path) -> list[str]:
    """What tells a picture from every other, wherever the folder is moved: its path there, its content."""
    return [path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()]


def _records(out: Path) -> list[Annotated]:
    return [Annotated(**json.loads(path.read_text())) for path in sorted((out / "records").glob("*.json"))]


def _names(stamps: dict[Path, list[str]], before: list[Annotated], out: Path, report: PicturesReport) -> dict:
    """The pictures to do, each with a name that no other one has or had; one that has changed fails."""
    done = {record.source[0]: record for record in before}
    new = [path for path, (name, _) in stamps.items() if name not in done]
    for path in stamps.keys() - new:
        if (known := done[stamps[path][0]]).source != stamps[path]:
            report.failed[path] = (
                f"'{path}' is another picture than '{out / 'images' / known.file}', which an earlier run "
                "annotated and somebody may have corrected: rename it, or choose another place for --out."
            )
    taken = [record.name for record in before]
    plain = [in_utf8("_".join(Path(stamps[path][0]).with_suffix("").parts)) for path in new]
    return dict(zip(new, unique_names(taken + plain)[len(taken) :], strict=True))


def _check_settings(out: Path, settings: dict, folder: Path) -> None:
    """Pictures annotated in two ways must not mix.   Raises: UserError."""
    place = out / "settings.json"
    if not place.exists():
        check_new(out, folder)
        write_text(place, json.dumps(settings))
    elif json.loads(place.read_text()) != settings:
        raise UserError(f"'{out}' was annotated with other settings or another network: choose a new folder.")


def _thumbnail(image: np.ndarray, mask: np.ndarray) -> str:
    """The overlay as a small JPEG, in base64."""
    small, small_mask = shrink(image, THUMBNAIL), shrink(mask.astype(np.float32), THUMBNAIL) > 0.5
    picture = cv2.cvtColor(overlay(small, small_mask), cv2.COLOR_RGB2BGR)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return base64.b64encode(coded.tobytes()).decode("ascii")


def _review_page(records: Sequence[Annotated]) -> str:
    """One self-contained page, least sure first: nothing is loaded from elsewhere."""
    cards = [
        f'<a class="{"look" * (r.confidence < UNSURE)}" href="images/{quote(r.file)}">'
        f'<img loading="lazy" alt="{html.escape(r.name, True)} with its mask in blue" '
        f'src="data:image/jpeg;base64,{r.thumbnail}"><b>{r.confidence:.3f}</b> {html.escape(r.name)}<br>'
        f"<small>{counted(len(r.annotations), 'annotation')}, "
        f"{r.share:.0%} of the picture</small></a>"
        for r in records
    ]
    unsure = sum(record.confidence < UNSURE for record in records)
    page = Template(Path(__file__).with_name("review.html").read_text(encoding="utf-8"))
    return page.substitute(count=len(records), unsure=unsure, limit=UNSURE, cards="\n".join(cards))

"""A data set in the files of annotation tools: COCO, labelme, YOLO, CVAT, Label Studio. Notebook 16.

Run lengths where the tool reads them, so that masks come back exactly; polygons for labelme and YOLO.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import cv2
import numpy as np
from scipy.spatial import KDTree
from tqdm.auto import tqdm

from segkit.data import Sample, find_samples, read_class_name
from segkit.files import UserError, check_choice, open_picture, read_mask, unique_names, write_text
from segkit.matting.photos import PicturesReport
from segkit.sets.importers import new_folder, upright, write_picture
from segkit.sets.regions import brush_encode, codec, runs


@dataclass(frozen=True)
class Annotated:
    """A picture and the people on it as COCO annotations; the confidence where a network drew them.

    name, file: below images/, such as val/a and val/a.jpg.
    """

    name: str
    file: str
    height: int
    width: int
    annotations: Sequence[dict]
    confidence: float | None = None
    split: str = ""
    source: Sequence[str] = ()
    """What tells the photograph from every other, as segkit.sets.annotate keeps it."""
    share: float = 0.0
    thumbnail: str = ""
    """The overlay as a small JPEG, in base64."""

    def masks(self) -> Iterator[np.ndarray]:
        """One mask for each of the people, one after the other: bool (H, W)."""
        for person in self.annotations:
            yield runs(person["segmentation"]["counts"], shape=(self.height, self.width))


@dataclass
class ExportReport(PicturesReport):
    """What an export did, and what of the set no format has a place for."""

    written: int = 0
    dropped: list[str] = field(default_factory=list)


def export_dataset(
    folder: str | Path, out: str | Path, formats: Sequence[str], progress: bool = True
) -> ExportReport:
    """Write a data set as images/ and the files of annotation tools to the new folder `out`.

    Where splits.csv deals the pictures, each split has a folder below images/. People are those of
    instances/NAME.png where there is one, else the connected pieces of the mask. What is wrong with one
    picture does not stop the others.   Raises: UserError where nothing can be written.
    """
    check_formats(formats)
    folder, report, pictures = Path(folder), ExportReport(), []
    samples, class_name = find_samples(folder), read_class_name(folder)
    dealt = (folder / "splits.csv").exists()
    names = unique_names([sample.name.replace("/", "_") for sample in samples])
    report.dropped = [f"{part}/" for part in ("ignore", "parts") if (folder / part).is_dir()]
    if len({sample.group for sample in samples}) < len(samples):
        report.dropped.append("the groups of splits.csv")
    with new_folder(out, folder) as made:
        bar = tqdm(zip(samples, names, strict=True), "export", len(samples), unit="img", disable=not progress)
        for sample, name in bar:
            name = f"{sample.split}/{name}" if dealt else name
            pictures.append(report.attempt(sample.image, _annotated, folder, made, sample, name))
        pictures = [picture for picture in pictures if picture]
        if not pictures:
            raise UserError(f"nothing of '{folder}' could be exported: {next(iter(report.failed.values()))}")
        write_formats(made, formats, pictures, class_name)
    report.written = len(pictures)
    return report


def _annotated(folder: Path, out: Path, sample: Sample, name: str) -> Annotated:
    """A picture of a data set with its people, once the picture is written.   Raises: UserError."""
    pixels, mask, _ = upright(sample.image, read_mask(sample.mask) > 0)
    people, numbered = cut_pieces(mask), folder / "instances" / f"{sample.name}.png"
    if numbered.is_file():
        with open_picture(numbered) as picture:
            labels = np.array(picture)  # 16 bits where there are many
        if not np.array_equal(labels > 0, mask):
            raise UserError(f"'{numbered}' and '{sample.mask}' show different people: remove one.")
        people = (labels == number for number in np.unique(labels[mask]))
    image = write_picture(out, name, sample.image, pixels)
    shapes = [coco_shape(person) for person in people]
    return Annotated(name, f"{name}{image.suffix}", *mask.shape, shapes, split=sample.split)


def check_formats(formats: Sequence[str]) -> None:
    """Raises: UserError for a format that is not known, or none."""
    for name in formats:
        check_choice("a format", name, FORMATS)
    if not formats:
        raise UserError(f"say which format: {', '.join(FORMATS)}.")


def write_formats(
    out: Path, formats: Iterable[str], pictures: Sequence[Annotated], of: str, tolerance: float = 0.5
) -> None:
    """Write the files of some formats beside out/images.

    of: the class that the masks show.
    tolerance: how many pixels a polygon may leave the outline by; with 0 it runs through its every pixel.
        Half a pixel leaves the other half to readers that fill the outline itself as well.
    """
    for name in formats:
        FORMATS[name](out, pictures, tolerance, of)


def cut_pieces(mask: np.ndarray, per: str = "person", least: float = 0.0) -> Iterator[np.ndarray]:
    """The connected pieces of a mask, largest first, or all of it in one; pixels touch at corners too.

    mask: bool (H, W).   per: "person" or "image".   least: smaller pieces, as a share of the picture, go.
    Returns: bool (H, W), one after the other; for "image" one, or none where nothing is left.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = [i for i in range(1, count) if areas[i] >= least * mask.size]
    if per == "image" and kept:
        bands = np.array_split(labels, 1 + len(labels) // 256)
        yield np.concatenate([np.isin(band, kept) for band in bands])
    elif per == "person":
        yield from (labels == i for i in sorted(kept, key=lambda i: -areas[i]))


# COCO


def coco_shape(mask: np.ndarray) -> dict:
    """One COCO annotation of a mask, bool (H, W): segmentation as run lengths, area, bbox, iscrowd."""
    rle = codec().encode(np.asfortranarray(mask).view(np.uint8))
    shape = {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}
    box = [float(part) for part in codec().toBbox(rle)]
    return {"segmentation": shape, "area": int(mask.sum()), "bbox": box, "iscrowd": 0}


def _write_coco(out: Path, pictures: Sequence[Annotated], tolerance: float, of: str) -> None:
    images, notes = [], []
    for key, picture in enumerate(sorted(pictures, key=lambda picture: picture.name), start=1):
        image = {"id": key, "file_name": picture.file, "height": picture.height, "width": picture.width}
        images.append(image | ({} if picture.confidence is None else {"confidence": picture.confidence}))
        notes += [{"image_id": key, "category_id": 1, **person} for person in picture.annotations]
    content = {"info": {"description": "made by segkit"}, "licenses": []}
    content |= {"categories": [{"id": 1, "name": of, "supercategory": ""}], "images": images}
    content["annotations"] = [{"id": key, **note} for key, note in enumerate(notes, start=1)]
    write_text(out / "annotations.json", json.dumps(content))


# Polygons: labelme and YOLO


def outline(mask: np.ndarray, tolerance: float) -> np.ndarray:
    """One ring along the outermost pixels of a mask, its holes and parts hung on by lines walked to and fro.

    mask: bool (H, W), not empty.   Returns: at least three points (N, 2), x and y.
    """
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tolerance > 0:
        fewer = [cv2.approxPolyDP(ring, tolerance, True) for ring in contours]
        # What is thinner than the tolerance keeps its points, or nothing of it would be left.
        contours = [few if cv2.contourArea(few) else ring for few, ring in zip(fewer, contours, strict=True)]
    points = join_rings([ring[:, 0] for ring in contours])
    # The tools want three points of a polygon, and a speck has one or two.
    return np.concatenate([points, np.repeat(points[-1:], max(0, 3 - len(points)), axis=0)])


def _write_labelme(out: Path, pictures: Sequence[Annotated], tolerance: float, of: str) -> None:
    for picture in pictures:
        path, shapes = out / "images" / f"{picture.name}.json", []
        if path.exists():  # it may have been corrected by hand
            continue
        for number, person in enumerate(picture.masks()):
            rings = [outline(piece, tolerance).tolist() for piece in cut_pieces(person)]
            about = {"label": of, "group_id": number if len(rings) > 1 else None, "description": ""}
            about |= {"shape_type": "polygon", "flags": {}}
            shapes += [about | {"points": ring} for ring in rings]
        about = {"imagePath": Path(picture.file).name, "imageData": None}
        about |= {"imageHeight": picture.height, "imageWidth": picture.width}
        write_text(path, json.dumps({"version": "5.5.0", "flags": {}, "shapes": shapes, **about}))


def _write_yolo(out: Path, pictures: Sequence[Annotated], tolerance: float, of: str) -> None:
    listed: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for picture in pictures:
        size = np.array([picture.width, picture.height])
        rings = []
        for corner, box in map(_in_its_box, picture.masks()):
            # At twice the size, the outermost pixels tell where the corners between pixels are.
            ring = outline(box.repeat(2, 0).repeat(2, 1), 2 * tolerance)
            rings.append(((ring + 1) // 2 + corner) / size)
        lines = [" ".join(["0", *(f"{number:.6f}" for number in ring.ravel())]) for ring in rings]
        write_text(out / "labels" / f"{picture.name}.txt", "".join(f"{line}\n" for line in lines))
        listed.setdefault(picture.split or "train", []).append(f"./images/{picture.file}\n")
    for split, lines in listed.items():
        write_text(out / f"{split}.txt", "".join(lines))
    lists = "".join(f"{split}: {split}.txt\n" for split in listed)
    name = json.dumps(of, ensure_ascii=False)
    write_text(out / "data.yaml", f"path: .\n{lists}names:\n  0: {name}\n")


def _in_its_box(mask: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """Left and top of what a mask shows, and the part of the mask that holds it, bool (h, w)."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (left, top), mask[top : top + height, left : left + width]


def join_rings(rings: Sequence[np.ndarray]) -> np.ndarray:
    """One ring out of several: each is hung on the nearest point of those before, to and fro.

    What lies inside of an odd number of rings stays inside, so an inner ring becomes a hole.
    rings: (N, 2) each, the outer one first or anywhere.   Returns: (M, 2).
    """
    rings = sorted(rings, key=lambda ring: -np.ptp(ring, axis=0).prod())
    joined, rest = rings[0], list(rings[1:])
    while rest:
        # The nearest ring first: the line to it can then cross no other.
        near = KDTree(joined)
        found = [np.stack(near.query(ring)) for ring in rest]  # of every point, the distance and the place
        k = min(range(len(rest)), key=lambda i: found[i][0].min())
        to = found[k][0].argmin()
        at, ring = int(found[k][1, to]), rest.pop(k)
        way = _steps(joined[at], ring[to])
        around = [way, ring[to + 1 :], ring[:to], way[::-1]]
        joined = np.concatenate([joined[:at], *around, joined[at + 1 :]])
    return joined


def _steps(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The corners of a line in steps to the eight neighbours: along a flat one, walked to and fro, Pillow
    loses pixels.
    """
    points = np.linspace(start, end, 1 + np.abs(end - start).max()).round().astype(int)
    turns = 1 + np.flatnonzero(np.diff(points, 2, axis=0).any(axis=1))
    return points[[0, *turns, -1]]


# Run lengths in a box, and brush strokes: CVAT and Label Studio


def _write_cvat(out: Path, pictures: Sequence[Annotated], tolerance: float, of: str) -> None:
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations><version>1.1</version>"]
    name = escape(of)
    lines += [f"<meta><task><labels><label><name>{name}</name></label></labels></task></meta>"]
    for number, picture in enumerate(pictures):
        subset = f' subset="{picture.split}"' * bool(picture.split)  # datumaro reads no subset that is ""
        head = f'<image id="{number}" name={quoteattr(picture.file)}{subset}'
        lines.append(f'{head} width="{picture.width}" height="{picture.height}">')
        for mask in picture.masks():
            (left, top), box = _in_its_box(mask)
            (height, width), box = box.shape, box.ravel()
            edges = np.flatnonzero(np.diff(box)) + 1
            counts = [*([0] if box[0] else []), *np.diff([0, *edges, box.size])]
            lines.append(
                f'<mask label={quoteattr(of)} source="auto" occluded="0" '
                f'rle="{", ".join(map(str, counts))}" '
                f'left="{left}" top="{top}" width="{width}" height="{height}" z_order="0"></mask>'
            )
        lines.append("</image>")
    write_text(out / "annotations.xml", "\n".join([*lines, "</annotations>\n"]))


def _write_label_studio(out: Path, pictures: Sequence[Annotated], tolerance: float, of: str) -> None:
    tasks = []
    for picture in pictures:
        about = {"type": "brushlabels", "from_name": "tag", "to_name": "image", "image_rotation": 0}
        about |= {"original_width": picture.width, "original_height": picture.height}
        strokes = [{"format": "rle", "rle": brush_encode(m), "brushlabels": [of]} for m in picture.masks()]
        results = [about | {"value": stroke} for stroke in strokes]
        address = f"/data/local-files/?d={quote(f'images/{picture.file}')}"
        tasks.append({"data": {"image": address}, "annotations": [{"result": results}]})
    write_text(out / "label-studio.json", json.dumps(tasks))


FORMATS: dict[str, Callable[[Path, Sequence[Annotated], float, str], None]] = {
    "coco": _write_coco,
    "labelme": _write_labelme,
    "yolo": _write_yolo,
    "cvat": _write_cvat,
    "label-studio": _write_label_studio,
}
"""The writer of each format."""

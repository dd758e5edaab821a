"""`segkit annotate`: a network draws the masks, a person corrects what needs it. Introduced in notebook 16.

OUT becomes a data set like any other (images/, masks/), and beside it stand the same masks as COCO JSON
and as labelme files, a confidence for each picture, and a page that shows the least sure ones first.
"""

import base64
import csv
import html
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from segkit.files import UserError, atomic_path, list_images, read_image
from segkit.plots import overlay
from segkit.predict import Segmenter
from segkit.sets.importers import write_pair

THUMBNAIL = 240
"""Longer side of the pictures on the review page."""

UNSURE = 0.9
"""Below this confidence the review page says: look."""


@dataclass(frozen=True)
class AnnotateConfig:
    """What decides how the annotations come out."""

    per: str = "person"
    """person: one annotation for each connected piece; image: one for each picture"""
    shape: str = "rle"
    """rle (run-length encoding) or polygons, in the COCO file; both give the very same mask back"""
    least: float = 0.0005
    """leave out pieces smaller than this share of the picture"""
    tolerance: float = 1.0
    """how many pixels a labelme polygon may be off; fewer points are easier to drag, 0 keeps all"""
    threshold: float | None = None
    """probability from which a pixel is person; the network's own by default"""

    def __post_init__(self):
        if self.per not in ("person", "image"):
            raise UserError(f"annotations are per person or per image, found '{self.per}'.")
        if self.shape not in ("rle", "polygons"):
            raise UserError(f"the shape of an annotation is rle or polygons, found '{self.shape}'.")
        if not 0 <= self.least < 1 or self.tolerance < 0:
            raise UserError("least is a share from 0 to below 1, and tolerance a number of pixels from 0 on.")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UserError(f"the threshold lies between 0 and 1, found {self.threshold}.")


@dataclass
class AnnotateReport:
    """What came of a folder."""

    out: Path
    confidence: dict[str, float] = field(default_factory=dict)
    """Of every picture by name, least sure first."""
    annotations: int = 0
    resumed: int = 0
    """How many pictures an earlier run had done."""
    failed: dict[Path, str] = field(default_factory=dict)

    def __str__(self) -> str:
        unsure = sum(value < UNSURE for value in self.confidence.values())
        again = f", {self.resumed} of them from a run before" if self.resumed else ""
        return (
            f"{len(self.confidence)} pictures{again}, {self.annotations} annotations; "
            f"{unsure} with a confidence below {UNSURE}\n"
            f"look:     {self.out / 'review.html'}\n"
            f"correct:  labelme {self.out / 'images'}   (CVAT: images/, and annotations.json as COCO 1.0)\n"
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
    """Annotate every picture of a folder. Pictures that an earlier run has done are left as they are.

    out: becomes a data set: images/NAME.jpg|png, upright; masks/NAME.png; images/NAME.json for labelme;
        annotations.json in COCO's format; confidence.csv; review.html; records/, where a run goes on.
    A broken picture is reported and does not stop the rest. With several classes, all but the background
    are person.
    Raises: UserError when the folder holds no pictures, or `out` was made with other settings.
    """
    folder, out, config = Path(folder), Path(out), config or AnnotateConfig()
    if out.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"'{out}' lies inside '{folder}', the pictures to annotate. Choose a place outside it."
        )
    paths = _names(folder)
    threshold = person.threshold if config.threshold is None else config.threshold
    _check_settings(out, {**asdict(config), "threshold": threshold, "network": repr(person.info)})
    report = AnnotateReport(out)
    todo = {name: path for name, path in paths.items() if not _is_done(out, name, path)}
    report.resumed = len(paths) - len(todo)

    def read(path: Path) -> np.ndarray | UserError:
        try:
            return read_image(path)
        except UserError as error:
            return error

    waiting = list(todo.items())
    bar = tqdm(total=len(waiting), desc="annotating", unit="img", disable=not progress)
    with ThreadPoolExecutor() as pool, bar:
        for start in range(0, len(waiting), batch_size):
            batch = waiting[start : start + batch_size]
            pictures = list(pool.map(read, [path for _, path in batch]))
            good = []
            for (name, path), image in zip(batch, pictures, strict=True):
                if isinstance(image, UserError):
                    report.failed[path] = str(image)
                else:
                    good.append((name, path, image))
            probs = person.predict_batch([image for *_, image in good]) if good else []
            jobs = [
                pool.submit(_annotate_one, out, *item, person.foreground(prob), threshold, config)
                for item, prob in zip(good, probs, strict=True)
            ]
            for (_, path, _), job in zip(good, jobs, strict=True):
                try:
                    job.result()
                except UserError as error:
                    report.failed[path] = str(error)
            bar.update(len(batch))
    records = [
        json.loads(_record(out, name).read_text())
        for name, path in paths.items()
        if path not in report.failed
    ]
    if not records:
        raise UserError(f"no picture of '{folder}' could be read: {next(iter(report.failed.values()))}")
    records.sort(key=lambda record: (record["confidence"], record["name"]))
    report.confidence = {record["name"]: record["confidence"] for record in records}
    report.annotations = sum(len(record["annotations"]) for record in records)
    _write_text(out / "annotations.json", json.dumps(_coco(records, person)))
    _write_confidence(out / "confidence.csv", records)
    _write_text(out / "review.html", _review_page(records))
    return report


def cut_pieces(mask: np.ndarray, per: str = "person", least: float = 0.0) -> list[np.ndarray]:
    """The connected pieces of a mask, largest first, or all of it in one; pixels touch at corners too.

    mask: bool (H, W).   per: "person" or "image".   least: smaller pieces, as a share of the picture, go.
    Returns: bool (H, W) each; for "image" one, or none where nothing is left.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = [i for i in range(1, count) if areas[i] >= least * mask.size]
    if per == "image":
        return [np.isin(labels, kept)] if kept else []
    return [labels == i for i in sorted(kept, key=lambda i: -areas[i])]


def _annotate_one(out, name, path, image, prob, threshold, config) -> None:
    pieces = cut_pieces(prob > threshold, config.per, config.least)
    mask = np.any(pieces, axis=0) if pieces else np.zeros(prob.shape, bool)
    write_pair(out, name, path, image, mask)
    copy = next(p for p in (out / "images" / f"{name}.jpg", out / "images" / f"{name}.png") if p.exists())
    _write_text(
        out / "images" / f"{name}.json", json.dumps(labelme_shapes(pieces, mask, copy.name, config.tolerance))
    )
    record = {
        "name": name,
        "file": copy.name,
        "source": _stamp(path),
        "height": mask.shape[0],
        "width": mask.shape[1],
        "confidence": round(confidence(prob, mask), 4),
        "share": round(float(mask.mean()), 4),
        "annotations": [
            coco_shape(piece, config.shape) | {"score": round(float(prob[piece].mean()), 4)}
            for piece in pieces
        ],
        "thumbnail": _thumbnail(image, mask),
    }
    # The record comes last: a picture counts as done once everything else of it is on disk.
    _write_text(_record(out, name), json.dumps(record))


# Shapes


def coco_shape(mask: np.ndarray, shape: str = "rle") -> dict:
    """One COCO annotation of a mask, bool (H, W): segmentation, area, bbox (x, y, width, height), iscrowd.

    shape: "rle", or "polygons": one that runs along the borders of the pixels, so that pycocotools paints
    exactly this mask; holes hang on it by a line that is walked to and fro.   Raises: UserError.
    """
    codec = _codec()
    rle = codec.encode(np.asfortranarray(mask.astype(np.uint8)))
    if shape == "rle":
        segmentation = {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")}
    else:
        ring = join_rings(border_rings(mask))
        segmentation = [ring.astype(float).ravel().tolist()]
    return {
        "segmentation": segmentation,
        "area": int(mask.sum()),
        "bbox": [float(part) for part in codec.toBbox(rle)],
        "iscrowd": 0,
    }


def labelme_shapes(
    pieces: Sequence[np.ndarray], mask: np.ndarray, picture: str, tolerance: float = 1.0
) -> dict:
    """The content of a labelme file: a polygon for each connected piece.

    pieces: bool (H, W) each.   mask: gives the size.   picture: name of the picture beside the file.
    tolerance: how many pixels the polygon may leave the outline by; with 0 it is painted back exactly.
    """
    shapes = []
    for piece in itertools.chain.from_iterable(map(cut_pieces, pieces)):
        contours, _ = cv2.findContours(piece.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        if tolerance > 0:
            contours = [cv2.approxPolyDP(ring, tolerance, True) for ring in contours]
        points = join_rings([ring[:, 0] for ring in contours]).tolist()
        # labelme wants three points of a polygon, and a speck has one or two.
        points += [points[-1]] * max(0, 3 - len(points))
        shapes.append(
            {
                "label": "person",
                "points": [[float(x), float(y)] for x, y in points],
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
        )
    height, width = mask.shape
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": picture,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def border_rings(mask: np.ndarray) -> list[np.ndarray]:
    """Closed walks along the borders between person and background pixels, holes too.

    mask: bool (H, W).   Returns: integer corners (N, 2), x and y, where the walk turns.
    """
    padded = np.pad(mask.astype(bool), 1)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    sides = (
        # (inside, outside, first corner, second corner): the person is always to the right of the step.
        (padded[1:] & ~padded[:-1], (0, 1), (1, 1)),
        (~padded[1:] & padded[:-1], (1, 1), (0, 1)),
        (~padded[:, 1:] & padded[:, :-1], (1, 0), (1, 1)),
        (padded[:, 1:] & ~padded[:, :-1], (1, 1), (1, 0)),
    )
    for where, first, second in sides:
        corners = np.argwhere(where)[:, ::-1] - 1
        for a, b in zip((corners + first).tolist(), (corners + second).tolist(), strict=True):
            steps.setdefault(tuple(a), []).append(tuple(b))
    rings = []
    while steps:
        at = start = next(iter(steps))
        ring = []
        while True:
            ring.append(at)
            ways = steps[at]
            at = ways.pop()
            if not ways:
                del steps[ring[-1]]
            if at == start:
                break
        ring = np.array(ring)
        turns = (ring - np.roll(ring, 1, 0) != np.roll(ring, -1, 0) - ring).any(1)
        rings.append(ring[turns])
    return rings


def join_rings(rings: Sequence[np.ndarray]) -> np.ndarray:
    """One ring out of several: each is hung on the nearest point of those before, to and fro.

    What lies inside of an odd number of rings stays inside, so an inner ring becomes a hole.
    rings: (N, 2) each, the outer one first or anywhere.   Returns: (M, 2).
    """
    rings = sorted(rings, key=lambda ring: -np.ptp(ring, axis=0).prod())
    joined, rest = rings[0], list(rings[1:])
    while rest:
        # The nearest ring first: the line to it can then cross no other.
        found = [_nearest(joined, ring) for ring in rest]
        k = min(range(len(rest)), key=lambda i: found[i][0])
        _, at, to = found[k]
        ring = rest.pop(k)
        around = np.concatenate([ring[to:], ring[: to + 1]])
        joined = np.concatenate([joined[: at + 1], around, joined[at:]])
    return joined


def _nearest(one: np.ndarray, other: np.ndarray) -> tuple[float, int, int]:
    """The least squared distance between two sets of points, and the places of the two."""
    best = (np.inf, 0, 0)
    for i in range(0, len(other), 64):  # in pieces, so that long outlines need little memory
        distance = np.square(one[:, None].astype(np.float32) - other[None, i : i + 64]).sum(-1)
        a, b = np.unravel_index(distance.argmin(), distance.shape)
        if distance[a, b] < best[0]:
            best = (float(distance[a, b]), int(a), int(b) + i)
    return best


def _codec():
    """pycocotools.mask, which knows COCO's run-length encoding.   Raises: UserError."""
    try:
        from pycocotools import mask
    except ImportError:
        raise UserError("COCO files need pycocotools: pip install 'segkit-course[data]'.") from None
    return mask


# Files


def _names(folder: Path) -> dict[str, Path]:
    """A name for each picture, from its path, the same in every run."""
    paths = list_images(folder)
    if not paths:
        raise UserError(f"folder '{folder}' holds no pictures.")
    plain = {path: "_".join(path.relative_to(folder).with_suffix("").parts) for path in paths}
    twice = Counter(name.lower() for name in plain.values())
    return {
        name if twice[name.lower()] == 1 else f"{name}_{path.suffix[1:].lower()}": path
        for path, name in plain.items()
    }


def _record(out: Path, name: str) -> Path:
    return out / "records" / f"{name}.json"


def _stamp(path: Path) -> list:
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]


def _is_done(out: Path, name: str, path: Path) -> bool:
    record = _record(out, name)
    return record.exists() and json.loads(record.read_text())["source"] == _stamp(path)


def _check_settings(out: Path, settings: dict) -> None:
    """Pictures annotated in two ways must not mix.   Raises: UserError."""
    place = out / "records" / "settings.json"
    if place.exists():
        if json.loads(place.read_text()) != settings:
            raise UserError(
                f"'{out}' was annotated with other settings or another network: choose another folder."
            )
    elif out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"'{out}' exists and is not empty. Choose another folder, or remove it first.")
    else:
        _write_text(place, json.dumps(settings))


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_confidence(path: Path, records: Iterable[dict]) -> None:
    rows = [(r["name"], r["confidence"], len(r["annotations"]), r["share"]) for r in records]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("name", "confidence", "annotations", "share"), *rows])


def _coco(records: Sequence[dict], person: Segmenter) -> dict:
    numbered = dict(enumerate(sorted(records, key=lambda record: record["name"]), start=1))
    annotations = [
        {"image_id": image, "category_id": 1, **annotation}
        for image, record in numbered.items()
        for annotation in record["annotations"]
    ]
    return {
        "info": {"description": f"made by segkit annotate with {person.info.model.get('name')}"},
        "licenses": [],
        "categories": [{"id": 1, "name": "person", "supercategory": ""}],
        "images": [
            {
                "id": image,
                "file_name": record["file"],
                "height": record["height"],
                "width": record["width"],
                "confidence": record["confidence"],
            }
            for image, record in numbered.items()
        ],
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations, start=1)],
    }


def _thumbnail(image: np.ndarray, mask: np.ndarray) -> str:
    """The overlay as a small JPEG, in base64."""
    scale = min(1.0, THUMBNAIL / max(mask.shape))
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small_mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    picture = cv2.cvtColor(overlay(small, small_mask), cv2.COLOR_RGB2BGR)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return base64.b64encode(coded.tobytes()).decode("ascii")


def _review_page(records: Sequence[dict]) -> str:
    """One self-contained page, least sure first: nothing is loaded from elsewhere."""
    unsure = sum(record["confidence"] < UNSURE for record in records)
    cards = "\n".join(
        f'<a class="{"look" * (r["confidence"] < UNSURE)}" href="images/{html.escape(r["file"], True)}">'
        f'<img loading="lazy" alt="{html.escape(r["name"], True)} with its mask in blue" '
        f'src="data:image/jpeg;base64,{r["thumbnail"]}">'
        f"<b>{r['confidence']:.3f}</b> {html.escape(r['name'])}<br>"
        f"<small>{len(r['annotations'])} annotation{'s' * (len(r['annotations']) != 1)}, "
        f"{r['share']:.0%} of the picture</small></a>"
        for r in records
    )
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Review: least sure first</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222 }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 1rem }}
a {{ color: inherit; text-decoration: none; border: 1px solid #ddd; border-radius: 6px; padding: .5rem }}
a.look {{ border: 2px solid #D55E00 }}
img {{ display: block; width: 100%; height: 240px; object-fit: contain; margin-bottom: .3rem }}
code {{ background: #f2f2f2; padding: 0 .2rem }}
</style>
<h1>Least sure first</h1>
<p>{len(records)} pictures, {unsure} with a confidence below {UNSURE}: these have an orange frame.
Confidence is the Dice that the network expects of its own mask. It is an opinion, not a measurement.</p>
<p>To correct: <code>labelme images</code> opens every picture with its polygons. Then
<code>segkit data import . --layout labelme --empty keep -o ../corrected</code> makes a data set of them.</p>
<main>
{cards}
</main></html>
"""

"""The files of annotation tools: COCO, labelme, Supervisely, YOLO, CVAT, Label Studio, VGG Image Annotator.

A Reader says which files are its tool's, which pictures each names, and what is drawn on them. Nothing is
painted before somebody asks. Introduced in notebook 02.
"""

import base64
import contextlib
import csv
import itertools
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np

from segkit.files import IMAGE_SUFFIXES, UserError, name_some, open_picture, same_name
from segkit.sets.classes import find_class_list
from segkit.sets.regions import Region, brush_decode, drawn, ellipse, outlined, pasted, runs
from segkit.sets.tree import IMAGE_FOLDERS, Layout, Tree, named_split, shared_tail


class Reader(ABC):
    """One tool's files in a tree. A file or a picture that cannot be read does not stop the others."""

    name = ""
    endings: tuple[str, ...] = (".json",)
    lists: tuple[str, ...] = ()  # what a JSON file of this tool holds

    def __init__(self, tree: Tree):
        self.tree, self.layout = tree, Layout(self.name, tree.root)

    def knows(self, content: Any) -> bool:
        """Whether the content of a file is this tool's."""
        return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in self.lists)

    def files(self) -> Iterable[tuple[Path, Any]]:
        """The files that belong to this tool, with their contents; those that are broken are said."""
        for path in self.tree.files_of(*self.endings):
            try:
                content = self.tree.load(path)
            except UserError as error:
                self.layout.failed.append(str(error))
                self.layout.read.add(path)
                self.layout.spoilt.update(self.tree.same_stem(path))
            else:
                if self.knows(content):
                    yield path, content

    @abstractmethod
    def records(self, path: Path, content: Any) -> Iterable[tuple[Any, Any]]:
        """The pictures that a file names, or their paths, and what it holds of each."""

    def picture(self, name: Any, path: Path) -> Path:
        """The picture that a file names.   Raises: UserError."""
        return name if isinstance(name, Path) else self.tree.picture(name, near=path)

    @abstractmethod
    def regions(self, record: Any) -> tuple[list[Region] | None, Any]:
        """What is drawn, None where nobody annotated, and the (H, W) that is stated, if any."""

    def split(self, record: Any, image: Path, path: Path) -> str:
        return self.tree.split(image.parent) or self.tree.split(path.parent)

    def find(self) -> Layout:
        layout = self.layout
        for path, content in self.files():
            layout.read.add(path)
            with layout.noting(path):
                for name, record in self.records(path, content):
                    with layout.noting(path):
                        image = self.picture(name, path)
                        layout.spoilt.add(image)
                        with layout.noting(f"{path}: {image.name}"):
                            layout.add(image, *self.regions(record), self.split(record, image, path))
        if layout.examples and not self.tree.single:
            layout.examples += self.tree.rest(layout)
        return layout


# COCO


class Coco(Reader):
    name = "coco"
    lists = ("images", "annotations", "categories")

    def files(self) -> Iterable[tuple[Path, Any]]:
        # One that is wrong stops all: which pictures it is about cannot be told.
        return [(path, (content, _coco_notes(path, content))) for path, content in super().files()]

    def records(self, path: Path, content: tuple[dict, dict]) -> Iterable[tuple[Path, tuple]]:
        (data, notes), pictures = content, defaultdict(dict)
        # Roboflow puts a class above the others that nothing belongs to.
        used = {label for found in notes.values() for label, _ in found}
        kinds = {one["name"]: one.get("supercategory") for one in data["categories"]}
        above = set(kinds.values()) - {name for name, kind in kinds.items() if name == kind}
        self.layout.classes.update({name: 0 for name in kinds if name in used or name not in above})
        for record in data["images"]:
            with self.layout.noting(path):
                image = self.tree.picture(record["file_name"], near=path)
                pictures[image][_text(record["id"])] = record
        if repeated := [image.name for image, records in pictures.items() if len(records) > 1]:
            self.layout.tell("several records name one picture and count together", *repeated)
        for image, records in pictures.items():
            yield image, (next(iter(records.values())), [note for key in records for note in notes[key]])

    def regions(self, record: tuple[dict, list]) -> tuple[list[Region] | None, Any]:
        about, notes = record
        regions = [region for label, note in notes for region in _coco_regions(label, note)]
        return regions or None, (about.get("height"), about.get("width"))

    def split(self, record: Any, image: Path, path: Path) -> str:
        return self.tree.split(path) or super().split(record, image, path)


def _coco_notes(path: Path, data: dict) -> dict[str, list[tuple[str, dict]]]:
    """Of each image, by its id, the annotations and their classes.   Raises: UserError for an odd id."""
    try:
        known = {"image_id": _by_id(path, data["images"], "file_name")}
        known["category_id"] = _by_id(path, data["categories"], "name")
        notes = {key: [] for key in known["image_id"]}
        for number, note in enumerate(data["annotations"], start=1):
            image, label = (known[key].get(_text(note.get(key))) for key in known)
            if image is None or label is None:
                key = "category_id" if image else "image_id"
                panoptic = " Panoptic files (segments_info) are not read." * ("segments_info" in note)
                raise UserError(
                    f"'{path}': annotation {note.get('id', number)} has the {key} {note.get(key)!r}, "
                    f"which nothing there has.{panoptic}"
                )
            notes[_text(note["image_id"])].append((label["name"], note))
        return notes
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(f"'{path}' is not a COCO JSON file that can be read ({error!r}).") from error


def _by_id(path: Path, records: list[dict], name: str) -> dict[str, dict]:
    """Records by their ids, which may be numbers here and text there.   Raises: UserError."""
    known: dict[str, dict] = {}
    for record in records:
        if not isinstance(record.get(name), str) or record.get("id") is None:
            raise UserError(f"'{path}' has a record without id or {name}: {str(record)[:100]}.")
        first = known.setdefault(_text(record["id"]), record)
        if first[name] != record[name]:
            raise UserError(f"'{path}' gives the id {record['id']} to '{first[name]}' and '{record[name]}'.")
    return known


def _text(number: Any) -> str:
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _coco_regions(label: str, note: dict) -> list[Region]:
    """What one annotation draws; its rings are one object."""
    shape, regions = note.get("segmentation"), [Region(label, "box")]
    if isinstance(shape, dict):
        regions = [Region(label, "run lengths", partial(runs, shape["counts"], stated=shape["size"]))]
    elif shape:
        regions = [outlined(label, ring) for ring in (shape if np.ndim(shape[0]) else [shape])]
    about = {"group": id(note), "crowd": _text(note.get("iscrowd")) in ("1", "True")}
    return [replace(region, **about) for region in regions]


# labelme and Supervisely: one JSON for each picture


class Labelme(Reader):
    name = "labelme"
    lists = ("shapes",)

    def records(self, path: Path, content: dict) -> Iterable[tuple[Any, dict]]:
        return [(content.get("imagePath") or "", content)]

    def picture(self, name: Any, path: Path) -> Path:
        same = self.tree.same_stem(path)
        self.layout.spoilt.update(same)
        try:
            return super().picture(name, path)
        except UserError:  # renamed or moved: the picture of the same name will do
            if len(same) != 1:
                raise
            return same[0]

    def regions(self, record: dict) -> tuple[list[Region] | None, Any]:
        regions = [replace(_labelme_region(s), group=s.get("group_id")) for s in record["shapes"]]
        return regions or None, (record.get("imageHeight"), record.get("imageWidth"))


def _labelme_region(shape: dict) -> Region:
    kind, label, points = shape.get("shape_type") or "polygon", str(shape["label"]), shape["points"]
    if kind in ("polygon", "oriented_rectangle", "rotation"):  # the last is X-AnyLabeling's
        return outlined(label, points, drawn)
    if kind == "rectangle":
        return Region(label, kind, partial(drawn, points, kind))
    if kind == "mask":
        return Region(label, kind, partial(pasted, partial(_png, shape["mask"]), *points[0]))
    if kind == "circle":  # the centre and one point on the rim
        (x, y), (rim_x, rim_y) = points
        radius = float(np.hypot(x - rim_x, y - rim_y))
        return Region(label, kind, partial(ellipse, x + 0.5, y + 0.5, radius, radius))
    return Region(label, kind)


def _png(text: str, least: int = 0) -> np.ndarray:
    """Where a PNG in base64, perhaps packed by zlib as well, is over `least`: bool (h, w)."""
    data = base64.b64decode(text)
    if data[:4] != b"\x89PNG":
        # At most one byte per pixel can be needed, so a bitmap that unpacks to far more is not one.
        data = zlib.decompressobj().decompress(data, 100_000_000)
    with open_picture(data) as patch:
        alpha = patch.has_transparency_data  # then the colours say nothing
        return np.asarray(patch.convert("RGBA").getchannel("A") if alpha else patch.convert("L")) > least


class Supervisely(Reader):
    name = "supervisely"
    lists = ("objects",)

    def knows(self, content: Any) -> bool:
        return super().knows(content) and "size" in content

    def records(self, path: Path, content: dict) -> Iterable[tuple[str, dict]]:
        # The annotation of x.jpg is x.jpg.json in new exports and x.json in old ones.
        return [(path.stem, content)]

    def picture(self, name: str, path: Path) -> Path:
        image, folder = super().picture(name, path), path.parent.parent / "img"
        if image.parent != folder:  # of another data set of the export
            raise UserError(f"'{path}' belongs to a picture in '{folder}': found only '{image}'.")
        return image

    def regions(self, record: dict) -> tuple[list[Region] | None, Any]:
        regions = [_supervisely_region(shape) for shape in record["objects"]]
        return regions or None, (record["size"]["height"], record["size"]["width"])


def _supervisely_region(shape: dict) -> Region:
    kind, label, points = shape["geometryType"], shape["classTitle"], shape.get("points")
    if kind == "polygon":
        return outlined(label, points["exterior"], drawn, holes=points.get("interior", []))
    if kind == "rectangle":
        return Region(label, kind, partial(drawn, points["exterior"], kind))
    if kind in ("bitmap", "alpha_mask"):
        bitmap, least = shape["bitmap"], 127 if kind == "alpha_mask" else 0
        return Region(label, kind, partial(pasted, partial(_png, bitmap["data"], least), *bitmap["origin"]))
    return Region(label, kind)


# YOLO segmentation


class Yolo(Reader):
    """labels/NAME.txt beside images/NAME.jpg: a line per object, the class and corners from 0 to 1."""

    name = "yolo"

    def files(self) -> Iterable[tuple[Path, Any]]:
        images = self.tree.images
        self.photos = {p for p in images if not IMAGE_FOLDERS.isdisjoint(map(str.lower, p.parts))}
        named = {path: _numbers(path) for path in self.tree.files_of(".txt") if self._belongs(path)}
        return named.items() if any(lines is not None for lines in named.values()) else ()

    def _belongs(self, path: Path) -> bool:
        """Whether a text lies beside a picture of its name, or below labels/ and has one anywhere."""
        below = "labels" in map(str.lower, path.relative_to(self.tree.root).parts)
        return bool(self.tree.by_bare_name.get(same_name(path.stem)) if below else self.tree.same_stem(path))

    def records(self, path: Path, lines: list | None) -> Iterable[tuple[str, tuple]]:
        return [(path.stem, (path, lines))]

    def picture(self, name: str, path: Path) -> Path:
        # A run's own pictures of its predictions have the same names.
        return self.tree.picture(name, path, {*self.tree.same_stem(path)} or self.photos)

    def regions(self, record: tuple) -> tuple[list[Region], None]:
        path, lines = record
        if lines is None:
            raise UserError(f"'{path}' holds more than numbers, so its picture is left out.")
        known = find_class_list(self.tree, path, self.layout)
        names = dict(enumerate(known)) if isinstance(known, list) else known
        return [_yolo_region(names, f"'{path}'", n, *line) for n, line in enumerate(lines, start=1)], None

    def find(self) -> Layout:
        layout = super().find()
        for path in self.tree.files_of(".yaml", ".yml") if layout.read else ():
            data = self.tree.load(path)
            if not (isinstance(data, dict) and "names" in data):
                continue
            if "kpt_shape" in data:
                raise UserError(f"'{path}' describes poses (kpt_shape): key points have no outline.")
            layout.read.add(path)
            for key in ("train", "val", "valid", "test"):
                for entry in np.atleast_1d(data.get(key) or []):
                    for image, rank in self._images_of(str(entry)).items():
                        layout.splits[image].add((rank, named_split(key)))
        return layout

    def _images_of(self, entry: str) -> dict[Path, int]:
        """The pictures of an entry of data.yaml, a folder or a list of them, and how well the paths agree.

        The paths may be those of another machine: what counts is how they end.
        """
        parts = Path(entry.replace("\\", "/")).parts
        if lists := [path for path in self.tree.files_of(".txt") if shared_tail(path.parts, parts)]:
            at = max(lists, key=lambda path: shared_tail(path.parts, parts))
            self.layout.read.add(at)
            return dict.fromkeys(self.tree.listed(at), len(at.parts))
        ranks = {
            image: max(shared_tail(at.parts, parts) for at in image.parents) for image in self.tree.images
        }
        best = max(ranks.values(), default=0)
        return {image: rank for image, rank in ranks.items() if rank == best > 0}


def _yolo_region(names: dict[int, str] | None, path: str, line: int, key: float, *values: float) -> Region:
    if key % 1 or key < 0 or (names is not None and key not in names):
        raise UserError(f"{path} has the class {key:g} in line {line}, which no list there names.")
    label = names[int(key)] if names else f"{key:g}"
    if len(values) == 4:
        return Region(label, "box")
    if values and not (min(values) >= -0.01 and max(values) <= 1.01):
        raise UserError(f"{path} has corners outside of 0 to 1 in line {line}.")
    if len(values) % 2:
        raise UserError(f"{path} has {len(values)} numbers after the class in line {line}: expected pairs.")
    return outlined(label, values, of=1)


def _numbers(path: Path) -> list[list[float]] | None:
    """The numbers of each line; None where the file holds something else."""
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        return [[float(number) for number in row] for row in rows]
    except (OSError, ValueError):
        return None


# CVAT for images


class Cvat(Reader):
    """annotations.xml: an element per image, and in it one per shape, in the order of z_order."""

    name = "cvat"
    endings = (".xml",)

    def knows(self, content: ElementTree.Element) -> bool:
        return content.tag == "annotations" and any(part.tag in ("image", "track") for part in content)

    def records(self, path: Path, content: ElementTree.Element) -> Iterable[tuple]:
        if content.find("track") is not None:
            self.layout.failed.append(f"'{path}' annotates a video: export it as 'CVAT for images 1.1'.")
        names = [name.text for name in content.iterfind("meta//label/name")]
        self.layout.classes.update({name: 0 for name in names if name})
        return [(image.get("name"), image) for image in content.iterfind("image")]

    def regions(self, record: ElementTree.Element) -> tuple[list[Region] | None, Any]:
        shapes = sorted(record, key=lambda shape: int(shape.get("z_order") or 0))
        regions = [replace(_cvat_region(s), group=s.get("group_id")) for s in shapes]
        return regions or None, (record.get("height"), record.get("width"))

    def split(self, record: ElementTree.Element, image: Path, path: Path) -> str:
        return named_split(record.get("subset") or "") or super().split(record, image, path)


def _cvat_region(shape: ElementTree.Element) -> Region:
    kind, label = shape.tag, shape.get("label") or ""
    if kind == "polygon":
        return outlined(label, [point.split(",") for point in shape.get("points", "").split(";") if point])
    if kind == "ellipse":
        numbers = [float(shape.get(key) or 0) for key in ("cx", "cy", "rx", "ry", "rotation")]
        return Region(label, kind, partial(ellipse, *numbers))
    if kind == "mask":
        left, top, width, height = (int(shape.get(key)) for key in ("left", "top", "width", "height"))
        counts = [int(number) for number in shape.get("rle").split(",")]
        patch = partial(runs, counts, "C", shape=(height, width))
        return Region(label, kind, partial(pasted, patch, left, top))
    return Region(label, kind)


# Label Studio


ABOUT_THE_PICTURE = {"choices", "textarea", "text", "rating", "number", "datetime", "taxonomy"}


class LabelStudio(Reader):
    """A list of tasks. Of several annotations the one called ground truth counts, else the newest."""

    name = "label-studio"

    def __init__(self, tree: Tree):
        super().__init__(tree)
        self.uploaded = {re.sub(r"[^-\w.]", "", p.name.replace(" ", "_")): p.name for p in tree.images}

    def knows(self, content: Any) -> bool:
        return isinstance(content, list) and any(map(_is_task, content))

    def records(self, path: Path, content: list[dict]) -> Iterable[tuple[dict, dict]]:
        """The tasks. In JSON-MIN a record is one annotation of a task, and its lists are results."""
        tasks: dict[Any, dict] = {}
        for number, record in enumerate(content):
            if isinstance(record.get("data"), dict):
                tasks[f"record {number}"] = record
                continue
            texts = {k: v for k, v in record.items() if isinstance(v, str) and not k.endswith("_at")}
            empty = {"id": record.get("id"), "data": texts, "annotations": []}
            # Of two projects in one file, tasks may share an id.
            task = tasks.setdefault((record.get("id", number), *_picture_names(texts.values())), empty)
            lists = itertools.chain(*(value for value in record.values() if isinstance(value, list)))
            results = [value | {"value": value} for value in lists if isinstance(value, dict)]
            if record.get("annotation_id", "not said") is not None:  # a task that nobody annotated has None
                task["annotations"].append(record | {"result": results})
        return [(task, task) for task in tasks.values()]

    def picture(self, task: dict, path: Path) -> Path:
        """A task names a picture by an address; an upload put eight characters before its name, and changed
        spaces and signs in it.
        """
        texts = [str(task.get("file_upload") or ""), *map(str, task["data"].values())]
        found = set()
        for name in _picture_names(texts):
            bare = re.sub(r"^[0-9a-f]{8}-", "", name)
            for one in (name, bare, self.uploaded.get(bare, bare)):
                with contextlib.suppress(UserError):
                    found.add(self.tree.picture(one, path))
                    break
        if len(found) != 1:
            what = f"task {task.get('id')} ({name_some(texts[1:], 2)})"
            raise UserError(f"'{path}': {what} names {len(found)} pictures here: expected one.")
        (image,) = found
        if len(_annotations(task)) > 1:
            several = "several annotations of one picture: that called ground truth counts, else the newest"
            self.layout.tell(several, image.name)
        return image

    def regions(self, record: dict) -> tuple[list[Region] | None, Any]:
        done = _annotations(record)
        if not done:
            return None, None
        results = [r for r in done[-1]["result"] if "value" in r and _kind(r) not in ABOUT_THE_PICTURE]
        first = results[0] if results else {}
        size = first.get("original_height"), first.get("original_width")
        return [region for result in results for region in _label_studio_regions(result)], size


def _picture_names(texts: Iterable[str]) -> list[str]:
    """The names of the pictures among the texts of a task, which may be addresses."""
    names = [Path(unquote(re.split(r"[?&]d=", text)[-1].split("?")[0])).name for text in texts]
    return [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]


def _is_task(record: Any) -> bool:
    """Whether a record is a task of Label Studio, as in its export JSON or in JSON-MIN."""
    if not isinstance(record, dict):
        return False
    if isinstance(record.get("data"), dict):
        return bool(record.keys() & {"annotations", "completions"})
    lists = itertools.chain(*(found for found in record.values() if isinstance(found, list)))
    labelled = any(key.endswith("labels") for found in lists if isinstance(found, dict) for key in found)
    return labelled or {"annotation_id", "lead_time"} <= record.keys()


def _annotations(task: dict) -> list[dict]:
    """Those that were not cancelled; the one that counts is the last."""

    def rank(annotation: dict) -> tuple[bool, str]:
        when = annotation.get("updated_at") or annotation.get("created_at") or ""
        return bool(annotation.get("ground_truth")), str(when)

    given = task.get("annotations") or task.get("completions") or []
    return sorted((one for one in given if not one.get("was_cancelled")), key=rank)


def _kind(result: dict) -> str:
    """What a result is: polygonlabels, brushlabels, choices and so on. JSON-MIN says it by a key alone."""
    keys = [key for key in result["value"] if key.endswith("labels")]
    return str(result.get("type") or next(iter([*keys, *result["value"]]), ""))


def _label_studio_regions(result: dict) -> list[Region]:
    """One result, once for each of its labels. Corners are in percent, however the picture was turned."""
    value, kind = result["value"], _kind(result)
    texts = [text for text in value.values() if isinstance(text, str)]
    if bitmask := [text for text in texts if text.startswith("data:image/")]:  # black on nothing
        region = Region("", "bitmask", partial(_bitmask, bitmask[0]))
    elif "rle" in value:
        region = Region("", "brush", partial(brush_decode, value["rle"]))
    elif "points" in value:
        region = outlined("", value["points"] if value.get("closed", True) else [], of=100)
    elif "radiusX" in value:
        numbers = (value[key] for key in ("x", "y", "radiusX", "radiusY"))
        region = Region("", "ellipse", partial(ellipse, *numbers, value.get("rotation", 0), of=100))
    else:
        region = Region("", "box" if "height" in value else kind)
    labels = next((v for k, v in value.items() if k.endswith("labels")), None) or [kind]
    return [replace(region, label=str(label)) for label in labels]


def _bitmask(address: str, *, shape: tuple[int, int]) -> np.ndarray:
    """A picture inside its address as a mask: bool (H, W).   Raises: UserError for another size."""
    mask = _png(address.partition(",")[2])
    if mask.shape != shape:
        raise UserError(f"a bitmask is {mask.shape[1]}x{mask.shape[0]}, expected {shape[1]}x{shape[0]}.")
    return mask


# VGG Image Annotator


VIA_3 = (
    *((), ("point", "cx", "cy"), ("rect", "x", "y", "width", "height"), ("circle", "cx", "cy", "r")),
    *(("ellipse", "cx", "cy", "rx", "ry"), ("line",), ("polyline",), ("polygon",), ("rect",)),
    ("circle of three points",),
)
"""What version 3 means by the number that begins a shape: what version 2 calls it, and the numbers after."""


class Via(Reader):
    name = "via"

    def knows(self, content: Any) -> bool:
        if not isinstance(content, dict) or not content:
            return False
        if "_via_img_metadata" in content or {"file", "metadata", "attribute"} <= content.keys():
            return True
        return all(isinstance(v, dict) and {"filename", "regions"} <= v.keys() for v in content.values())

    def files(self) -> Iterable[tuple[Path, Any]]:
        yield from super().files()
        for path in self.tree.files_of(".csv"):
            if "region_shape_attributes" in path.read_text(encoding="utf-8-sig", errors="replace")[:500]:
                yield path, None

    def records(self, path: Path, content: dict | None) -> Iterable[tuple[str, list[dict]]]:
        """Names of pictures and their regions, as version 2 writes them."""
        if content is None:
            return _via_table(path)
        if "metadata" in content:
            return _via_3(content)
        records = content.get("_via_img_metadata", content).values()
        return [(record["filename"], record["regions"]) for record in records]

    def regions(self, record: Any) -> tuple[list[Region] | None, None]:
        regions = record.values() if isinstance(record, dict) else record  # a dict in version 1
        return [_via_region(**region) for region in regions] or None, None


def _via_table(path: Path) -> Iterable[tuple[str, list[dict]]]:
    """The CSV of versions 1 and 2: a row for each region, or one for a picture without."""
    found: dict[str, list[dict]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            region = {key: json.loads(row[key]) for key in ("region_shape_attributes", "region_attributes")}
            region["shape_attributes"] = region.pop("region_shape_attributes")
            regions = found.setdefault(row.get("filename") or row["#filename"], [])
            regions += [region] if region["shape_attributes"] else []
    return found.items()


def _via_label(attributes: dict) -> str:
    """The class among the attributes of a region: the one that is called so, or the only one."""
    lower = {name.lower(): value for name, value in attributes.items() if value}
    # A name may be one's own, as in VIA's demonstration: Swan, whose type is bird.
    keys = [key for key in ("class", "label", "category", "type", "object", "name") if key in lower]
    if len(lower) > 1 and not keys:
        raise UserError(f"a region has the attributes {', '.join(lower)}: call that of the class 'class'.")
    value = lower[keys[0]] if keys else next(iter(lower.values()), "object")
    if isinstance(value, dict):  # boxes to tick
        value = next((name for name, ticked in value.items() if ticked), "object")
    return str(value).strip()


def _via_region(shape_attributes: dict, region_attributes: dict | None = None, **_: Any) -> Region:
    shape, label = shape_attributes, _via_label(region_attributes or {})
    name = shape["name"]
    if name == "polygon":
        return outlined(label, np.stack([shape["all_points_x"], shape["all_points_y"]], axis=1))
    if name in ("circle", "ellipse"):
        numbers = (shape.get(key, shape.get("r")) for key in ("cx", "cy", "rx", "ry"))
        return Region(label, name, partial(ellipse, *numbers, np.rad2deg(shape.get("theta", 0))))
    return Region(label, {"rect": "box"}.get(name, name))


def _via_3(data: dict) -> Iterable[tuple[str, list[dict]]]:
    """Version 3: a file per fid, a view of files, and metadata whose xy begins with the kind of shape."""
    files = {str(record.get("fid", key)): record["fname"] for key, record in data["file"].items()}
    views = {vid: [str(f) for f in view["fid_list"]] for vid, view in data.get("view", {}).items()}
    found: dict[str, list[dict]] = {name: [] for name in files.values()}
    for record in data["metadata"].values():
        fids = views.get(str(record["vid"]), [str(record["vid"])])
        if len(fids) != 1 or fids[0] not in files:
            raise UserError(f"a region belongs to the view {record['vid']}, which shows not one picture.")
        if not record.get("xy"):
            continue  # of the whole file, or of a time in a film
        kind, *numbers = record["xy"]
        name, *keys = VIA_3[int(kind)]
        shape = {"name": name, **dict(zip(keys, numbers, strict=False))}
        if name == "polygon":
            shape |= {"all_points_x": numbers[::2], "all_points_y": numbers[1::2]}
        attributes = {}
        for key, value in record.get("av", {}).items():
            attribute = data["attribute"].get(key, {})
            attributes[attribute.get("aname", key)] = attribute.get("options", {}).get(str(value), value)
        found[files[fids[0]]].append({"shape_attributes": shape, "region_attributes": attributes})
    return found.items()


TOOLS = {reader.name: reader for reader in Reader.__subclasses__()}
"""The reader of each tool."""

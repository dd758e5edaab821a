"""The files of annotation tools: COCO, labelme, Supervisely, YOLO, CVAT, Label Studio, VGG Image Annotator.

Each reader finds the files of its tool and adds every picture with its regions to a Layout. Nothing is
painted before somebody asks. Introduced in notebook 02.
"""

import base64
import contextlib
import io
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import yaml
from PIL import Image

from segkit.files import UserError, name_some, require
from segkit.sets.layouts import Layout, Tree, load_json, named_split, read_class_list, shared_tail
from segkit.sets.regions import Region, brush_decode, drawn, ellipse, number_regions, pasted, polygons, runs

STRAY = "outline without an area"


def _outline(label: str, ring: Any, of: float = 0) -> Region:
    """A region of one ring of corners, in parts of `of` or in pixels; fewer than three make no area."""
    ring = np.asarray(ring, float)
    return Region(label, "polygon", polygons([ring], of)) if ring.size >= 6 else Region(label, STRAY)


def _begin(name: str, tree: Tree) -> tuple[Layout, list[Path]]:
    """A layout and the JSON files that belong to it; those that are broken are said."""
    layout, found = Layout(name, tree.root), []
    for path in tree.files_of(".json"):
        kind = tree.kind(path)
        if kind == name:
            found.append(path)
            layout.read.add(path)
        elif kind == "broken":
            with layout.noting(path):
                layout.read.add(path)
                layout.spoilt.update(tree.same_stem(path))
                load_json(path)
    return layout, found


# COCO


def open_coco(path: Path) -> Any:
    """Open a COCO JSON file as a pycocotools.coco.COCO whose ids all resolve.   Raises: UserError."""
    require("pycocotools", extra="data")
    from pycocotools.coco import COCO

    data = load_json(Path(path))
    try:
        images = _by_id(path, data["images"], "file_name")
        categories = _by_id(path, data["categories"], "name")
        for number, note in enumerate(data["annotations"], start=1):
            for key, known in (("image_id", images), ("category_id", categories)):
                if (record := known.get(_text(note.get(key)))) is None:
                    raise UserError(
                        f"'{path}': annotation {note.get('id', number)} has the {key} {note.get(key)!r}, "
                        "which nothing there has."
                    )
                note[key] = record["id"]
            note["id"] = number  # merged files repeat these, and nothing else refers to them
        coco = COCO()
        coco.dataset = data
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco
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
            raise UserError(
                f"'{path}' gives the id {record['id']} to '{first[name]}' and to '{record[name]}'."
            )
    return known


def _text(number: Any) -> str:
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def coco_regions(coco: Any, image_id: Any) -> list[Region]:
    """The annotations of one image, crowd regions included."""
    regions = []
    for note in coco.imgToAnns.get(image_id, []):
        label, shape = coco.cats[note["category_id"]]["name"], note.get("segmentation")
        if isinstance(shape, dict):
            regions.append(Region(label, "run lengths", lambda size, shape=shape: _coco_runs(shape, size)))
        elif shape:
            shape = [np.asarray(ring, float) for ring in (shape if np.ndim(shape[0]) else [shape])]
            rings = [ring for ring in shape if ring.size >= 6]
            regions += [Region(label, STRAY)] * (len(shape) - len(rings))
            regions += [Region(label, "polygon", polygons(rings))] if rings else []
        else:
            regions.append(Region(label, "box"))
    return regions


def _coco_runs(shape: dict, size: tuple[int, int]) -> np.ndarray:
    if tuple(shape["size"]) != size:
        raise UserError(
            f"run lengths of {shape['size']} belong to a picture of {list(size)} (height, width)."
        )
    return runs(shape["counts"], size)


def coco_mask(coco: Any, image_id: int, category_ids: Iterable[int]) -> np.ndarray:
    """The union of all annotations of these categories, crowd regions included: bool (H, W).

    Raises: UserError when an object has a box but no outline.
    """
    record, wanted = coco.imgs[image_id], {coco.cats[key]["name"] for key in category_ids}
    size = record["height"], record["width"]
    return number_regions(record["file_name"], size, coco_regions(coco, image_id), wanted) > 0


def find_coco(tree: Tree) -> Layout:
    layout, paths = _begin("coco", tree)
    for path in paths:
        coco = open_coco(path)
        layout.classes.update({category["name"]: 0 for category in coco.cats.values()})
        pictures: dict[Path, list[dict]] = {}
        for record in coco.dataset["images"]:
            with layout.noting(path):
                pictures.setdefault(tree.picture(record["file_name"], near=path), []).append(record)
        if repeated := [image.name for image, records in pictures.items() if len(records) > 1]:
            layout.notes.append(f"several records name one picture and count together: {name_some(repeated)}")
        for image, records in pictures.items():
            ids = dict.fromkeys(record["id"] for record in records)
            layout.spoilt.add(image)
            with layout.noting(f"{path}: {image.name}"):
                regions = [region for key in ids for region in coco_regions(coco, key)]
                crowds = {
                    coco.cats[note["category_id"]]["name"]
                    for key in ids
                    for note in coco.imgToAnns.get(key, [])
                    if note.get("iscrowd")
                }
                size = records[0].get("height"), records[0].get("width")
                layout.add(image, regions or None, size, tree.split(path), crowds)
    if layout.examples and not tree.single:
        layout.examples += tree.rest(layout)
    return layout


# labelme and Supervisely: one JSON for each picture


def find_labelme(tree: Tree) -> Layout:
    layout, paths = _begin("labelme", tree)
    for path in paths:
        same = tree.same_stem(path)
        layout.spoilt.update(same)
        with layout.noting(path):
            data = load_json(path)
            try:
                image = tree.picture(data.get("imagePath") or "", near=path)
            except UserError:  # renamed or moved: the picture of the same name will do
                if len(same) != 1:
                    raise
                image = same[0]
            regions = [replace(_labelme_region(s), group=s.get("group_id")) for s in data["shapes"]]
            layout.add(
                image,
                regions or None,
                (data.get("imageHeight"), data.get("imageWidth")),
                tree.split(path.parent),
            )
    if layout.examples:
        layout.examples += tree.rest(layout)
    return layout


def _labelme_region(shape: dict) -> Region:
    kind, label, points = shape.get("shape_type") or "polygon", str(shape["label"]), shape["points"]
    if kind == "mask":
        return Region(label, kind, lambda size: pasted(_png(shape["mask"]), *points[0])(size))
    if kind == "circle":  # the centre and one point on the rim
        (x, y), (rim_x, rim_y) = points
        radius = float(np.hypot(x - rim_x, y - rim_y))
        return Region(label, kind, ellipse(x + 0.5, y + 0.5, radius, radius))
    if kind == "rectangle":
        return Region(label, kind, drawn(kind, points))
    if kind in ("polygon", "oriented_rectangle"):
        return Region(label, "polygon", drawn("polygon", points)) if len(points) > 2 else Region(label, STRAY)
    return Region(label, kind)


def _png(text: str, least: int = 0) -> np.ndarray:
    """Where a PNG in base64, perhaps packed by zlib as well, is over `least`: bool (h, w)."""
    data = base64.b64decode(text)
    if data[:4] != b"\x89PNG":
        # At most one byte per pixel can be needed, so a bitmap that unpacks to far more is not one.
        data = zlib.decompressobj().decompress(data, 100_000_000)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as patch:
        alpha = patch.has_transparency_data  # then the colours say nothing
        return np.asarray(patch.convert("RGBA").getchannel("A") if alpha else patch.convert("L")) > least


def find_supervisely(tree: Tree) -> Layout:
    layout, paths = _begin("supervisely", tree)
    for path in paths:
        folder = path.parent.parent / "img"
        # The annotation of x.jpg is x.jpg.json in new exports and x.json in old ones.
        same = [image for image in tree.by_name.get(path.stem.casefold(), []) if image.parent == folder]
        same = same or tree.same_stem(folder / path.name)
        layout.spoilt.update(same)
        with layout.noting(path):
            if len(same) != 1:
                raise UserError(f"'{path}' belongs to {len(same)} pictures in '{folder}', not to one.")
            data = load_json(path)
            regions = [_supervisely_region(shape) for shape in data["objects"]]
            size = data["size"]["height"], data["size"]["width"]
            layout.add(same[0], regions or None, size, tree.split(path.parent))
    if layout.examples:
        layout.examples += tree.rest(layout)
    return layout


def _supervisely_region(shape: dict) -> Region:
    kind, label = shape["geometryType"], shape["classTitle"]
    if kind in ("bitmap", "alpha_mask"):
        bitmap, least = shape["bitmap"], 127 if kind == "alpha_mask" else 0
        return Region(label, kind, lambda size: pasted(_png(bitmap["data"], least), *bitmap["origin"])(size))
    if kind in ("polygon", "rectangle"):
        points = shape["points"]
        if kind == "polygon" and len(points["exterior"]) < 3:
            return Region(label, STRAY)
        return Region(label, kind, drawn(kind, points["exterior"], points.get("interior", [])))
    return Region(label, kind)


# YOLO segmentation


def find_yolo(tree: Tree) -> Layout | None:
    """labels/NAME.txt beside images/NAME.jpg: a line per object, the class and corners from 0 to 1."""
    layout, odd = Layout("yolo", tree.root), {}
    names, splits = _yolo_classes(tree, layout)
    for image in tree.images:
        parts = [*image.relative_to(tree.root).parts]
        at = [i for i, part in enumerate(parts[:-1]) if part.lower() == "images"]
        if at:
            parts[at[-1]] = "labels"
        places = (image.with_suffix(".txt"), tree.root.joinpath(*parts).with_suffix(".txt"))
        text = next((path for path in places if path in tree.file_set), None)
        if text is None or tree.is_mask(image):
            continue
        if (lines := _yolo_lines(text)) is None:
            odd[image] = text
            continue
        layout.read.add(text)
        layout.spoilt.add(image)
        with layout.noting(text):
            regions = _yolo_regions(text, lines, names)
            layout.add(image, regions, None, tree.split(image.parent))
    if not layout.spoilt:
        return None
    layout.spoilt.update(odd)
    layout.failed += [
        f"'{text}' holds more than numbers, so its picture is left out." for text in odd.values()
    ]
    layout.classes.update({name: 0 for name in (names or {}).values()})
    layout.examples += tree.rest(layout)
    for example in layout.examples:
        example.split = splits.get(example.image, (0, example.split))[1]
    return layout


def _yolo_lines(path: Path) -> list[list[float]] | None:
    """The numbers of each line; None where the file holds something else."""
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        return [[float(number) for number in row] for row in rows]
    except (OSError, ValueError):
        return None


def _yolo_regions(path: Path, lines: list, names: dict[int, str] | None) -> list[Region]:
    regions = []
    for number, (key, *values) in enumerate(lines, start=1):
        if names is not None and key not in names:
            raise UserError(f"'{path}' has the class {key:g} in line {number}, which no list there names.")
        label = names[int(key)] if names else f"{key:g}"
        if len(values) == 4:
            regions.append(Region(label, "box"))
            continue
        if values and not (min(values) >= -0.01 and max(values) <= 1.01):
            raise UserError(f"'{path}' has corners outside of 0 to 1 in line {number}.")
        if len(values) % 2:
            raise UserError(
                f"'{path}' has {len(values)} numbers after the class in line {number}: expected pairs."
            )
        regions.append(_outline(label, values, of=1))
    return regions


def _yolo_classes(tree: Tree, layout: Layout) -> tuple[dict[int, str] | None, dict[Path, tuple[int, str]]]:
    """Class names by id, from data.yaml or classes.txt, and the splits that data.yaml names, with a rank."""
    names, splits, kept = None, {}, None
    for path in tree.files_of(".yaml", ".yml", ".txt", ".names"):
        settings = path.suffix in (".yaml", ".yml")
        if not (settings or path.name in ("classes.txt", "obj.names")):
            continue
        known = read_class_list(path)
        data = yaml.safe_load(path.read_text(encoding="utf-8-sig")) if settings and known is not None else {}
        if known is None or (settings and not (isinstance(data, dict) and "names" in data)):
            continue
        if "kpt_shape" in data:
            raise UserError(f"'{path}' describes poses (kpt_shape): key points have no outline.")
        known = dict(enumerate(known)) if isinstance(known, list) else known
        if names is not None and known != names:
            raise UserError(f"'{kept}' and '{path}' name different classes: keep one.")
        names, kept = known, path
        layout.read.add(path)
        for key, split in (("train", "train"), ("val", "val"), ("valid", "val"), ("test", "test")):
            given = data.get(key) or []
            for entry in [given] if isinstance(given, str) else given:
                for image, rank in _yolo_split(tree, layout, str(entry)).items():
                    splits[image] = max(splits.get(image, (0, "")), (rank, split))
    return names, splits


def _yolo_split(tree: Tree, layout: Layout, entry: str) -> dict[Path, int]:
    """The pictures of one entry of data.yaml, a folder or a list of pictures, and how well the paths agree.

    The paths may be those of another machine: what counts is how they end.
    """
    parts = Path(entry.replace("\\", "/")).parts
    if lists := [path for path in tree.files_of(".txt") if shared_tail(path, parts)]:
        at = max(lists, key=lambda path: shared_tail(path, parts))
        layout.read.add(at)
        listed = {}
        for line in filter(str.strip, at.read_text(errors="replace").splitlines()):
            with contextlib.suppress(UserError):  # a part of a set is fine
                listed[tree.picture(line.strip(), near=at)] = len(at.parts)
        return listed
    ranks = {image: max(shared_tail(folder, parts) for folder in image.parents) for image in tree.images}
    best = max(ranks.values(), default=0)
    return {image: rank for image, rank in ranks.items() if rank == best > 0}


# CVAT for images


def find_cvat(tree: Tree) -> Layout | None:
    """annotations.xml: an element per image, and in it one per shape, in the order of z_order."""
    layout = Layout("cvat", tree.root)
    for path in tree.files_of(".xml"):
        try:
            root = ElementTree.parse(path).getroot()
        except (OSError, ElementTree.ParseError) as error:
            layout.failed.append(f"'{path}' is not readable XML ({error}).")
            continue
        if root.tag != "annotations" or not (root.findall("image") or root.findall("track")):
            continue
        layout.read.add(path)
        if root.findall("track"):
            layout.failed.append(f"'{path}' annotates a video: export it as 'CVAT for images 1.1'.")
        names = root.iterfind("meta//label/name")
        layout.classes.update({name.text: 0 for name in names if name.text})
        for element in root.iterfind("image"):
            with layout.noting(path):
                image = tree.picture(element.get("name"), near=path)
                layout.spoilt.add(image)
                shapes = sorted(element, key=lambda shape: int(shape.get("z_order") or 0))
                regions = [replace(_cvat_region(s), group=s.get("group_id")) for s in shapes]
                size = element.get("height"), element.get("width")
                split = named_split(element.get("subset") or "") or tree.split(image.parent)
                layout.add(image, regions or None, size, split)
    if layout.examples:
        layout.examples += tree.rest(layout)
    return layout if layout.read or layout.examples else None


def _cvat_region(shape: ElementTree.Element) -> Region:
    kind, label = shape.tag, shape.get("label") or ""
    if kind == "polygon":
        return _outline(label, [point.split(",") for point in shape.get("points", "").split(";") if point])
    if kind == "ellipse":
        numbers = [float(shape.get(key) or 0) for key in ("cx", "cy", "rx", "ry", "rotation")]
        return Region(label, kind, ellipse(*numbers))
    if kind == "mask":
        left, top, width, height = (int(shape.get(key)) for key in ("left", "top", "width", "height"))
        counts = [int(number) for number in shape.get("rle").split(",")]
        patch = partial(runs, counts, (height, width), "C")
        return Region(label, kind, lambda size: pasted(patch(), left, top)(size))
    return Region(label, kind)


# Label Studio


ABOUT_THE_PICTURE = {"choices", "textarea", "text", "rating", "number", "datetime", "taxonomy"}


def find_label_studio(tree: Tree) -> Layout:
    """A list of tasks. Of several annotations the one called ground truth counts, else the newest."""
    layout, paths = _begin("label-studio", tree)
    several: list[str] = []
    for path in paths:
        for task in _label_studio_tasks(load_json(path)):
            with layout.noting(path):
                image = _task_picture(tree, task, path)
                layout.spoilt.add(image)
                given = task.get("annotations") or task.get("completions") or []
                done = sorted((a for a in given if not a.get("was_cancelled")), key=_rank)
                several += [image.name] * (len(done) > 1)
                results = done[-1]["result"] if done else []
                results = [r for r in results if "value" in r and r.get("type") not in ABOUT_THE_PICTURE]
                size = (results or [{}])[0]
                size = size.get("original_height"), size.get("original_width")
                regions = [r for result in results for r in _label_studio_regions(result)] if done else None
                layout.add(image, regions, size, tree.split(image.parent))
    if several:
        layout.notes.append(
            "several annotations of one picture: the one called ground truth counts, else the newest: "
            f"{name_some(several)}"
        )
    if layout.examples:
        layout.examples += tree.rest(layout)
    return layout


def _label_studio_tasks(records: list[dict]) -> list[dict]:
    """The tasks of an export. In JSON-MIN a record is one annotation of a task, and its lists are results."""
    tasks: dict[Any, dict] = {}
    for number, record in enumerate(records):
        if "data" in record:
            tasks[number] = record
            continue
        data = {
            k: v for k, v in record.items() if isinstance(v, str) and k not in ("created_at", "updated_at")
        }
        first = {"id": record.get("id"), "data": data, "annotations": []}
        task = tasks.setdefault(record.get("id", f"record {number}"), first)
        values = [
            v for found in record.values() if isinstance(found, list) for v in found if isinstance(v, dict)
        ]
        kinds = [
            next((key for key in value if key.endswith("labels")), next(iter(value))) for value in values
        ]
        results = [value | {"type": kind, "value": value} for kind, value in zip(kinds, values, strict=True)]
        if record.get("annotation_id", "not said") is not None:  # a task that nobody annotated has None
            task["annotations"].append(record | {"result": results})
    return list(tasks.values())


def _rank(annotation: dict) -> tuple:
    when = annotation.get("updated_at") or annotation.get("created_at") or ""
    return bool(annotation.get("ground_truth")), str(when)


def _task_picture(tree: Tree, task: dict, near: Path) -> Path:
    """A task names a picture by an address; an upload put eight characters before its name."""
    texts = [str(task.get("file_upload") or ""), *map(str, task["data"].values())]
    names = [Path(unquote(re.split(r"[?&]d=", text)[-1].split("?")[0])).name for text in texts]
    found = set()
    for name in names:
        for one in (name, re.sub(r"^[0-9a-f]{8}-", "", name)):
            with contextlib.suppress(UserError):
                found.add(tree.picture(one, near))
                break
    if len(found) != 1:
        named = name_some(texts[1:], 2)
        raise UserError(
            f"'{near}': task {task.get('id')} ({named}) names {len(found)} pictures here: expected one."
        )
    return found.pop()


def _label_studio_regions(result: dict) -> list[Region]:
    """One result, once for each of its labels."""
    value, kind = result["value"], str(result.get("type", ""))
    labels = next((v for k, v in value.items() if k.endswith("labels")), None) or [kind]
    region = _label_studio_region(value, kind)
    return [replace(region, label=str(label)) for label in labels]


def _label_studio_region(value: dict, kind: str, label: str = "") -> Region:
    """Its corners are in percent of the picture as it is, however the page had turned it."""
    if "rle" in value:
        return Region(label, "brush", lambda shape: brush_decode(value["rle"], shape))
    if "points" in value:
        return _outline(label, value["points"], of=100)
    if "radiusX" in value:
        numbers = (value[key] for key in ("x", "y", "radiusX", "radiusY"))
        return Region(label, "ellipse", ellipse(*numbers, value.get("rotation", 0), of=100))
    return Region(label, "box" if "height" in value else kind)


# VGG Image Annotator


def find_via(tree: Tree) -> Layout:
    layout, paths = _begin("via", tree)
    for path in paths:
        data = load_json(path)
        with layout.noting(path):
            for name, regions in _via_3(data) if "metadata" in data else _via_2(data):
                with layout.noting(path):
                    image = tree.picture(name, near=path)
                    layout.spoilt.add(image)
                    layout.add(image, regions or None, None, tree.split(path.parent))
    if layout.examples:
        layout.examples += tree.rest(layout)
    return layout


def _via_2(data: dict) -> Iterable[tuple[str, list[Region]]]:
    for record in data.get("_via_img_metadata", data).values():
        regions = record["regions"]
        regions = list(regions.values()) if isinstance(regions, dict) else regions  # version 1
        yield (
            record["filename"],
            [
                _via_region(_via_label(region.get("region_attributes") or {}), **region["shape_attributes"])
                for region in regions
            ],
        )


def _via_label(attributes: dict) -> str:
    """The class among the attributes of a region: the one that is called so, else the first."""
    lower = {name.lower(): value for name, value in attributes.items()}
    keys = [key for key in ("class", "label", "name", "category", "type", "object") if lower.get(key)]
    value = lower[keys[0]] if keys else next((v for v in lower.values() if v), "object")
    if isinstance(value, dict):  # boxes to tick
        value = next((name for name, ticked in value.items() if ticked), "object")
    return str(value).strip()


def _via_region(label: str, name: str, **numbers) -> Region:
    if name == "polygon":
        return _outline(label, np.stack([numbers["all_points_x"], numbers["all_points_y"]], axis=1))
    if name in ("circle", "ellipse"):
        radii = (numbers["r"], numbers["r"]) if name == "circle" else (numbers["rx"], numbers["ry"])
        turn = np.rad2deg(numbers.get("theta", 0))
        return Region(label, name, ellipse(numbers["cx"], numbers["cy"], *radii, turn))
    return Region(label, {"rect": "box"}.get(name, name))


VIA_SHAPES = ("", "point", "box", "circle", "ellipse", "line", "polyline", "polygon", "extreme box")


def _via_3(data: dict) -> Iterable[tuple[str, list[Region]]]:
    """Version 3: a file per fid, a view of files, and metadata whose xy begins with the kind of shape."""
    files = {str(record.get("fid", key)): record["fname"] for key, record in data["file"].items()}
    views = {vid: [str(f) for f in view["fid_list"]] for vid, view in data.get("view", {}).items()}
    found: dict[str, list[Region]] = {name: [] for name in files.values()}
    for record in data["metadata"].values():
        fids = views.get(str(record["vid"]), [str(record["vid"])])
        if len(fids) != 1 or fids[0] not in files:
            raise UserError(f"a region belongs to the view {record['vid']}, which shows not one picture.")
        if not record.get("xy"):
            continue  # of the whole file, or of a time in a film
        kind, *numbers = record["xy"]
        attributes = {}
        for key, value in record.get("av", {}).items():
            attribute = data["attribute"].get(key, {})
            attributes[attribute.get("aname", key)] = attribute.get("options", {}).get(str(value), value)
        label, shape = _via_label(attributes), VIA_SHAPES[int(kind)]
        if shape == "polygon":
            region = _outline(label, numbers)
        elif shape in ("circle", "ellipse"):
            x, y, *radii = numbers
            region = Region(label, shape, ellipse(x, y, radii[0], radii[-1]))
        else:
            region = Region(label, shape)
        found[files[fids[0]]].append(region)
    return found.items()


TOOLS: dict[str, Callable[[Tree], Layout | None]] = {
    "coco": find_coco,
    "labelme": find_labelme,
    "supervisely": find_supervisely,
    "yolo": find_yolo,
    "cvat": find_cvat,
    "label-studio": find_label_studio,
    "via": find_via,
}
"""The reader of each tool."""

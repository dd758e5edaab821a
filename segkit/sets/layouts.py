"""Common annotation layouts: what a folder of pictures and annotations holds, and how to read its masks.

`detect_layout` finds the layout. What is ambiguous is not guessed: it becomes an error or a note.
Introduced in notebook 02.
"""

import base64
import contextlib
import csv
import io
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from segkit.files import (
    COLOUR,
    UserError,
    list_images,
    mask_values,
    name_some,
    open_picture,
    read_image,
    read_labels,
)

TITLES = {
    "coco": "COCO JSON",
    "voc": "Pascal VOC (JPEGImages and SegmentationClass)",
    "labelme": "labelme (a JSON beside each picture)",
    "supervisely": "Supervisely (img and ann)",
    "folders": "two folders, such as images and masks",
    "beside": "image and mask side by side, such as x.jpg and x_mask.png",
    "cutouts": "cut-outs with an alpha channel",
}

IMAGE_FOLDERS = {"images", "image", "imgs", "img", "photos"}

MASK_FOLDERS = {"masks", "mask", "labels", "label", "mattes", "gt", "masks_human", "masks_machine"}

MASK_FOLDERS |= {"masks_instances", "segmentationclass", "segmentationobject"}

MASK_ENDINGS = ("", "_mask", "-mask", ".mask", "_masks", "_label", "_seg", "_segmentation", "_matte", "_gt")

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)


@dataclass
class Example:
    """One picture and the way to its mask, which is None when nobody annotated the picture."""

    image: Path
    mask: Callable[[Any], np.ndarray] | None  # what means person (class names or mask values) -> bool (H, W)
    split: str = ""
    crowds: frozenset[str] = frozenset()  # the classes that have COCO crowd regions in it


@dataclass
class Layout:
    """What was found: examples, and how many objects of each class (0 where only the name is known)."""

    name: str
    root: Path
    examples: list[Example]
    classes: Counter[str] = field(default_factory=Counter)
    value_files: list[Path] = field(default_factory=list)  # masks that say nothing of what their values mean
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        named = ", ".join(f"{name} ({n})" if n else name for name, n in self.classes.most_common(12))
        return f"{TITLES[self.name]}, {len(self.examples)} images" + (f", classes {named}" if named else "")


def detect_layout(src: str | Path) -> Layout:
    """Find out how the pictures and annotations of a folder (or of one COCO JSON file) are laid out.

    Raises: UserError when nothing known is found, or more than one thing.
    """
    layouts = find_layouts(Path(src))
    if len(layouts) > 1:
        found = "; ".join(f"{name}: {layout}" for name, layout in layouts.items())
        raise UserError(f"'{src}' can be read in more than one way ({found}). Choose one with --layout NAME.")
    if not layouts:
        raise UserError(f"'{src}' holds no layout known here. Known are: {'; '.join(TITLES.values())}.")
    return next(iter(layouts.values()))


def find_layouts(src: Path, only: str | None = None) -> dict[str, Layout]:
    """Every layout that fits.   Raises: UserError."""
    tree = _Tree(src)
    finders = {"coco": _find_coco, "labelme": _find_labelme, "supervisely": _find_supervisely}
    if not tree.single:
        finders |= {"voc": _find_voc, "folders": _find_folders, "beside": _find_beside}
    if only:
        finders = {only: (finders | {"cutouts": _find_cutouts})[only]}
    found = {name: layout for name, find in finders.items() if (layout := find(tree)) and layout.examples}
    if "supervisely" in found:  # its exports come with mask folders painted from the same annotations
        found.pop("folders", None)
    if not found and not only and (layout := _find_cutouts(tree)):
        found["cutouts"] = layout
    return found


class _Tree:
    """The pictures and JSON files below a folder, each JSON with the layout it belongs to."""

    def __init__(self, src: Path):
        if not src.exists():
            raise UserError(f"'{src}' does not exist.")
        self.root, self.single = src, src.is_file()
        if self.single:  # COCO keeps annotations/instances.json beside images/
            self.root = src.parent if list_images(src.parent) else src.parent.parent
        self.images = list_images(self.root)
        self.by_name: dict[str, list[Path]] = defaultdict(list)
        self.by_stem: dict[Path, list[Path]] = defaultdict(list)
        for path in self.images:
            self.by_name[path.name].append(path)
            self.by_stem[path.with_suffix("")].append(path)
        self.jsons: dict[str, list[Path]] = defaultdict(list)
        for path in [src] if self.single else sorted(self.root.rglob("*.json")):
            if not path.name.startswith("."):
                self.jsons[_json_kind(path)].append(path)
        self.broken = [f"'{path}' is not readable JSON." for path in self.jsons["broken"]]

    def picture(self, name: str, near: Path) -> Path:
        """The one picture that an annotation file names.   Raises: UserError."""
        parts = Path(name.replace("\\", "/")).parts
        found = self.by_name.get(parts[-1] if parts else "", [])
        for narrower in (
            [path for path in found if path.parent == near.parent],
            [path for path in found if path.parts[-len(parts) :] == parts],
            [path for path in found if path.is_relative_to(near.parent)],
            [path for path in found if not self._is_mask(path)],
        ):
            found = narrower if len(found) > 1 and narrower else found
        if len(found) != 1:
            raise UserError(f"'{near}' names the picture '{name}': found {len(found)} times, expected once.")
        return found[0]

    def rest(self, examples: Iterable[Example]) -> list[Example]:
        """The pictures that nobody annotated; masks that an export carries along are not among them."""
        used = {example.image for example in examples}
        return [Example(path, None) for path in self.images if path not in used and not self._is_mask(path)]

    def _is_mask(self, path: Path) -> bool:
        return any(part.lower() in MASK_FOLDERS for part in path.relative_to(self.root).parts[:-1])

    def split(self, path: Path) -> str:
        """The split that a folder (or a JSON file) names: train, val, test, or nothing."""
        names = path.relative_to(self.root).as_posix().lower()
        found = re.search(r"(?<![a-z])(train|val|test)(ing|id|idation)?(?![a-z])", names)
        return found[1] if found else ""


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8-sig"))


def _json_kind(path: Path) -> str:
    try:
        data = _load(path)
    except (OSError, ValueError, RecursionError):
        return "broken"
    if not isinstance(data, dict):
        return "other"
    if all(isinstance(data.get(key), list) for key in ("images", "annotations", "categories")):
        return "coco"
    if isinstance(data.get("shapes"), list):
        return "labelme"
    return "supervisely" if isinstance(data.get("objects"), list) and "size" in data else "other"


# Masks that are pictures


def value_name(value: int) -> str:
    return f"#{value - COLOUR:06x}" if value >= COLOUR else str(value)


def _values_reader(path: Path) -> Callable[[Any], np.ndarray]:
    return lambda wanted: np.isin(mask_values(path), list(wanted))


# Finding the layouts


def open_coco(path: Path) -> Any:
    """Open a COCO JSON file as a pycocotools.coco.COCO, without its prints.   Raises: UserError."""
    try:
        from pycocotools.coco import COCO
    except ImportError:
        raise UserError("COCO files need pycocotools: pip install 'segkit[data]'.") from None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return COCO(str(path))
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise UserError(f"'{path}' is not a COCO JSON file that can be read ({error!r}).") from error


def coco_mask(coco: Any, image_id: int, category_ids: Iterable[int]) -> np.ndarray:
    """The union of all annotations of these categories, crowd regions included: bool (H, W).

    Raises: UserError when an object has a box but no outline.
    """
    record = coco.imgs[image_id]
    mask = np.zeros((record["height"], record["width"]), bool)
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image_id], catIds=list(category_ids))):
        if not annotation.get("segmentation"):
            raise UserError(f"'{record['file_name']}': object {annotation['id']} has a box but no outline.")
        mask |= coco.annToMask(annotation).astype(bool)
    return mask


def _find_coco(tree: _Tree) -> Layout:
    layout = Layout("coco", tree.root, [], failed=list(tree.broken))
    for path in tree.jsons["coco"]:
        coco = open_coco(path)
        names = {category["id"]: category["name"] for category in coco.cats.values()}
        layout.classes.update({name: 0 for name in names.values()})
        layout.classes.update(names.get(note["category_id"], "?") for note in coco.anns.values())
        for image_id, record in coco.imgs.items():
            try:
                image = tree.picture(record["file_name"], near=path)
            except (UserError, KeyError) as error:
                layout.failed.append(str(error) if isinstance(error, UserError) else f"'{path}': {record}")
                continue
            notes = coco.imgToAnns.get(image_id, [])
            crowds = frozenset(names.get(note["category_id"], "?") for note in notes if note.get("iscrowd"))
            mask = _coco_reader(coco, image_id, names) if notes else None
            layout.examples.append(Example(image, mask, tree.split(path), crowds))
    twice = [path.name for path, n in Counter(example.image for example in layout.examples).items() if n > 1]
    if twice:
        raise UserError(
            f"several JSON files in '{tree.root}' annotate the same pictures ({name_some(twice)}). "
            "Import the one you mean by its path, such as annotations/instances_val.json."
        )
    if layout.examples and not tree.single:
        layout.examples += tree.rest(layout.examples)
    return layout


def _coco_reader(coco: Any, image_id: int, names: dict[int, str]) -> Callable[[set[str]], np.ndarray]:
    return lambda wanted: coco_mask(coco, image_id, [key for key, name in names.items() if name in wanted])


def _find_labelme(tree: _Tree) -> Layout:
    def picture(path: Path, data: dict) -> Path:
        try:
            return tree.picture(data.get("imagePath") or "", near=path)
        except UserError:  # renamed or moved: the picture of the same name will do
            same = tree.by_stem[path.with_suffix("")]
            if len(same) != 1:
                raise
            return same[0]

    return _find_shapes(tree, "labelme", "shapes", "label", picture, _draw_labelme)


def _find_supervisely(tree: _Tree) -> Layout:
    def picture(path: Path, data: dict) -> Path:
        folder = path.parent.parent / "img"
        # The annotation of x.jpg is x.jpg.json in new exports and x.json in old ones.
        same = [image for image in tree.by_name[path.stem] if image.parent == folder]
        same = same or tree.by_stem[folder / path.stem]
        if len(same) != 1:
            raise UserError(f"'{path}' belongs to {len(same)} pictures in '{folder}', not to one.")
        return same[0]

    return _find_shapes(tree, "supervisely", "objects", "classTitle", picture, _draw_supervisely)


def _find_shapes(
    tree: _Tree, name: str, key: str, class_key: str, picture: Callable, draw: Callable
) -> Layout:
    """The layouts with one JSON per picture: `key` lists its shapes, `draw` paints one of them."""
    layout = Layout(name, tree.root, [], failed=list(tree.broken))
    kinds: Counter[str] = Counter()
    for path in tree.jsons[name]:
        data = _load(path)
        try:
            image = picture(path, data)
            layout.classes.update(shape[class_key] for shape in data[key])
            kinds.update(_kind(shape) for shape in data[key])
        except UserError as error:
            layout.failed.append(str(error))
            continue
        except (KeyError, TypeError, AttributeError) as error:
            layout.failed.append(f"'{path}' has a shape that cannot be read ({error!r}).")
            continue
        mask = _shape_reader(path, image, key, class_key, draw) if data[key] else None
        layout.examples.append(Example(image, mask, tree.split(path.parent)))
    if unused := {kind: n for kind, n in kinds.items() if kind not in AREAS}:
        listed = ", ".join(f"{kind} ({n})" for kind, n in unused.items())
        layout.notes.append(f"shapes without an area are not used: {listed}")
    if layout.examples:
        layout.examples += tree.rest(layout.examples)
    return layout


AREAS = ("polygon", "rectangle", "circle", "mask", "bitmap", "alpha_mask")


def _kind(shape: dict) -> str:
    return shape.get("shape_type") or shape.get("geometryType") or "polygon"


def _shape_reader(path: Path, image: Path, key: str, class_key: str, draw: Callable) -> Callable:
    def read(wanted: set[str]) -> np.ndarray:
        data = _load(path)
        size = data.get("size") or {"width": data.get("imageWidth"), "height": data.get("imageHeight")}
        height, width = size["height"], size["width"]
        if not (height and width):
            height, width = read_image(image).shape[:2]
        mask = np.zeros((height, width), bool)
        for shape in data[key]:
            if shape[class_key] in wanted and _kind(shape) in AREAS:
                draw(mask, shape)
        return mask

    return read


def _draw_labelme(mask: np.ndarray, shape: dict) -> None:
    points = [tuple(point) for point in shape["points"]]
    if _kind(shape) == "mask":
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as patch:
            _paste(mask, np.asarray(patch.convert("L")) > 0, *points[0])
    elif _kind(shape) == "circle":  # the centre and one point on the rim
        (x, y), (rim_x, rim_y) = points
        radius = np.hypot(x - rim_x, y - rim_y)
        _fill(mask, "ellipse", [x - radius, y - radius, x + radius, y + radius])
    else:
        _fill(mask, _kind(shape), points)


def _draw_supervisely(mask: np.ndarray, shape: dict) -> None:
    if _kind(shape) in ("bitmap", "alpha_mask"):
        bitmap = shape["bitmap"]
        # At most one byte per pixel can be needed, so a bitmap that unpacks to far more is not one.
        png = zlib.decompressobj().decompress(base64.b64decode(bitmap["data"]), 100_000_000)
        with Image.open(io.BytesIO(png)) as patch:
            alpha = patch.has_transparency_data  # then the colours say nothing
            values = np.asarray(patch.convert("RGBA").getchannel("A") if alpha else patch.convert("L"))
        _paste(mask, values > (127 if _kind(shape) == "alpha_mask" else 0), *bitmap["origin"])
        return
    holes = [[tuple(point) for point in ring] for ring in shape["points"].get("interior", [])]
    _fill(mask, _kind(shape), [tuple(point) for point in shape["points"]["exterior"]], holes)


def _fill(mask: np.ndarray, kind: str, points: list, holes: Sequence[list] = ()) -> None:
    """Paint one shape into a mask, with the drawing rules of Pillow, which labelme uses too."""
    picture = Image.new("L", mask.shape[::-1])
    draw = ImageDraw.Draw(picture)
    if kind == "rectangle":
        xs, ys = zip(*points, strict=True)  # the two corners come in any order
        points = [min(xs), min(ys), max(xs), max(ys)]
    getattr(draw, kind)(points, fill=1, outline=1)
    for hole in holes:
        draw.polygon(hole, fill=0, outline=0)
    mask |= np.asarray(picture) > 0


def _paste(mask: np.ndarray, patch: np.ndarray, x: float, y: float) -> None:
    """Add a patch whose top left corner stands at (x, y); what reaches over the edge is cut off."""
    x, y = round(x), round(y)
    patch = patch[max(0, -y) :, max(0, -x) :]
    target = mask[max(0, y) :, max(0, x) :][: patch.shape[0], : patch.shape[1]]
    target |= patch[: target.shape[0], : target.shape[1]]


def _find_voc(tree: _Tree) -> Layout | None:
    layout = Layout("voc", tree.root, [], notes=["void pixels (255, the pale outlines) count as background"])
    for folder in sorted({path.parent for path in tree.images if path.parent.name == "JPEGImages"}):
        base = folder.parent
        if not (base / "SegmentationClass").is_dir():
            continue
        colours: dict[int, str] = {}  # CVAT writes the masks in colour, and labelmap.txt says which
        names = list(VOC_CLASSES)
        if (base / "labelmap.txt").is_file():
            rows = [line.split(":") for line in (base / "labelmap.txt").read_text("utf-8").splitlines()]
            rows = [row for row in rows if len(row) > 1 and row[1].count(",") == 2 and row[0][:1] != "#"]
            names = [row[0] for row in rows]
            for name, rgb, *_ in rows:
                red, green, blue = map(int, rgb.split(","))
                code = red << 16 | green << 8 | blue
                colours[COLOUR + code if code else 0] = name
        layout.classes.update({name: 0 for name in names})
        splits = {
            line.split()[0]: path.stem
            for path in sorted((base / "ImageSets" / "Segmentation").glob("*.txt"))
            if path.stem in ("train", "val", "test")
            for line in path.read_text("utf-8").splitlines()
            if line.strip()
        }
        for image in (path for path in tree.images if path.parent == folder):
            mask = base / "SegmentationClass" / f"{image.stem}.png"
            reader = _voc_reader(mask, names, colours) if mask.is_file() else None
            layout.examples.append(Example(image, reader, splits.get(image.stem, "")))
    return layout if any(example.mask for example in layout.examples) else None


def _voc_reader(path: Path, names: list[str], colours: dict[int, str]) -> Callable[[set[str]], np.ndarray]:
    def read(wanted: set[str]) -> np.ndarray:
        # Without labelmap.txt the numbers of the palette are the classes; with it, its colours are.
        with open_picture(path) as picture:
            numbered = picture.mode == "P" and not colours
        values = read_labels(path) if numbered else mask_values(path)
        known = colours if values.max(initial=0) >= COLOUR else dict(enumerate(names))
        void = {255, COLOUR + 0xE0E0C0}
        if unknown := set(np.unique(values).tolist()) - known.keys() - void - {0}:
            listed = name_some([value_name(value) for value in sorted(unknown)])
            raise UserError(f"mask '{path}' holds {listed}, which is no class of this set.")
        return np.isin(values, [value for value, name in known.items() if name in wanted])

    return read


def _find_folders(tree: _Tree) -> Layout | None:
    """images/ beside masks/ at any depth, with the same subfolders and stems in both."""
    images, masks = {}, defaultdict(list)
    for path in tree.images:
        parts = path.relative_to(tree.root).parts
        named = [i for i, part in enumerate(parts[:-1]) if part.lower() in MASK_FOLDERS | IMAGE_FOLDERS]
        if not named:
            continue
        at = named[-1]
        place = parts[:at], parts[at + 1 : -1]
        if parts[at].lower() in IMAGE_FOLDERS:
            images[path] = place
        else:
            masks[*place, path.stem].append(path)
    layout = _pair("folders", tree, images, masks)
    others = len(tree.images) - len(images) - sum(map(len, masks.values()))
    if layout and others:
        layout.notes.append(f"{others} pictures stand in neither of the two folders and were not used")
    if layout and (tree.root / "splits.csv").is_file():
        with (tree.root / "splits.csv").open(newline="", encoding="utf-8-sig") as file:
            splits = {row.get("name"): row.get("split") or "" for row in csv.DictReader(file)}
        for example in layout.examples:
            example.split = splits.get(example.image.stem, example.split)
    return layout


def _find_beside(tree: _Tree) -> Layout | None:
    """x.jpg beside x_mask.png, or x.jpg beside a grey x.png."""
    images, masks = {}, defaultdict(list)
    for path in tree.images:
        stem = path.with_suffix("")
        endings = [end for end in MASK_ENDINGS[1:] if stem.name.endswith(end) and stem.name != end]
        ended = any(tree.by_stem.get(stem.with_name(stem.name[: -len(end)])) for end in endings)
        if ended or (path.suffix.lower() == ".png" and _is_grey_twin(path, tree)):
            masks[path.parent, (), path.stem].append(path)
        else:
            images[path] = (path.parent, ())
    return _pair("beside", tree, images, masks)


def _is_grey_twin(path: Path, tree: _Tree) -> bool:
    if not any(twin.suffix.lower() in (".jpg", ".jpeg") for twin in tree.by_stem[path.with_suffix("")]):
        return False
    with contextlib.suppress(OSError), Image.open(path) as picture:
        return picture.mode in ("1", "L", "P")
    return False


def _pair(name: str, tree: _Tree, images: dict[Path, tuple], masks: dict[tuple, list[Path]]) -> Layout | None:
    layout, used = Layout(name, tree.root, []), set()
    for image, place in images.items():
        found = [m for end in MASK_ENDINGS for m in masks.get((*place, image.stem + end), [])]
        found += masks.get((*place, image.name), [])  # x.jpg.png
        if len(found) > 1:
            listed = name_some([str(path.relative_to(tree.root)) for path in found])
            raise UserError(f"'{image}' has several masks ({listed}): keep the one you mean.")
        used.update(found)
        layout.examples.append(
            Example(image, _values_reader(found[0]) if found else None, tree.split(image.parent))
        )
    lonely = [path.name for paths in masks.values() for path in paths if path not in used]
    if lonely:
        layout.notes.append(f"{len(lonely)} masks have no picture: {name_some(lonely)}")
    layout.value_files = sorted(used)
    return layout if used else None


def _find_cutouts(tree: _Tree) -> Layout | None:
    examples = [Example(path, _alpha_reader(path) if _has_alpha(path) else None) for path in tree.images]
    return Layout("cutouts", tree.root, examples) if any(example.mask for example in examples) else None


def _has_alpha(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, SyntaxError), Image.open(path) as picture:
        return picture.has_transparency_data
    return False


def _alpha_reader(path: Path) -> Callable[[Any], np.ndarray]:
    return lambda wanted: read_cutout(path)[1]


def read_cutout(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The colours as displayed, uint8 RGB (H, W, 3), and where alpha is over 127, bool (H, W)."""
    read_image(path)  # for its sentences about broken and oversized files
    with Image.open(path) as picture:
        rgba = np.asarray(ImageOps.exif_transpose(picture).convert("RGBA"))
    return np.ascontiguousarray(rgba[..., :3]), rgba[..., 3] > 127

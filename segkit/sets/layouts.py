"""Common annotation layouts: what a folder of pictures and annotations holds, and how to read its masks.

`detect_layout` finds the layout. What is ambiguous is not guessed: it becomes an error or a note.
Layouts whose masks are pictures are read here, the files of annotation tools in segkit.sets.tools.
Introduced in notebook 02.
"""

import contextlib
import csv
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

import numpy as np
import yaml

from segkit.data import read_table
from segkit.files import (
    COLOUR,
    IMAGE_SUFFIXES,
    UserError,
    find_images,
    list_images,
    mask_values,
    name_some,
    open_picture,
    orientation,
    read_image,
    read_labels,
    read_mask,
    same_name,
    to_srgb,
)
from segkit.sets.regions import NO_AREA, Region, paint_regions

TITLES = {
    "coco": "COCO JSON",
    "labelme": "labelme (a JSON beside each picture)",
    "supervisely": "Supervisely (img and ann)",
    "yolo": "YOLO segmentation (data.yaml, images and labels)",
    "cvat": "CVAT for images 1.1 (annotations.xml)",
    "label-studio": "Label Studio JSON",
    "via": "VGG Image Annotator (JSON or CSV)",
    "folders": "two folders, such as images and masks (Pascal VOC, CVAT segmentation mask, labelme2voc)",
    "beside": "image and mask side by side, such as x.jpg and x_mask.png",
    "cutouts": "cut-outs with an alpha channel",
}

IMAGE_FOLDERS = {"images", "image", "imgs", "img", "photos", "jpegimages"}

MASK_FOLDERS = {"masks", "mask", "labels", "label", "mattes", "gt", "masks_human", "masks_machine"}

MASK_FOLDERS |= {"segmentationclass", "segmentationclasspng"}  # the second is of older versions of labelme

NOT_PICTURES = MASK_FOLDERS | {"masks_instances", "segmentationobject"}

MASK_WORD = "masks?|label(?:s|ed|led)?|mattes?|matting|alphas?|pha|seg(?:s|m|mentations?)?|targets?"

MASK_WORD += "|gts?|ground|(?:ground)?truth|ann(?:o|ot|otation)?s?|gtfine|gtcoarse|labelids"  # of Cityscapes

WORDS = {
    # 0000 is the first channel of nnU-Net's.
    "image": "images?|imgs?|im|photos?|pictures?|originals?|data|inputs?|0000|(?:left)?img8bit",
    "mask": MASK_WORD + "|out|cutout|removebg-preview",  # of rembg, segkit predict, remove.bg
    "shown": "overlays?|vi[sz]|visuali[sz]ations?|preview|instances?|objects?",
}

ANNOTATIONS = (".json", ".xml", ".csv", ".txt", ".yaml", ".yml", ".ndjson", ".jsonl", ".names")
"""Endings of files that may hold annotations."""

LIST = re.compile(r"(train|val|test)(ing|id|idation)?([_-]?(list|ids?|names|files|images|set))?", re.I)
"""Names of lists of the pictures of a split, without .txt."""

OVER_127 = ">127"
"""What the greys above 127 are called together, as #ff0000 is one colour and 2 one number."""

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)

CITYSCAPES_CLASSES = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground"),
    *("road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge"),
    *("tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky"),
    *("person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)

STANDARD_CLASSES = {
    "/segmentationclass(png)?/": VOC_CLASSES,
    "_gt(fine|coarse)_labelids[.]png$": CITYSCAPES_CLASSES,
}
"""What masks with these paths hold where no list says anything else."""


@dataclass
class Example:
    """One picture and the way to its mask, which is None when nobody annotated the picture.

    mask: the names of what means person -> (H, W), 0 for nobody, 1, 2, ... the objects.
    """

    image: Path
    mask: Callable[[set[str]], np.ndarray] | None
    split: str = ""
    group: str = ""
    crowds: frozenset[str] = frozenset()  # the classes that have COCO crowd regions in it


@dataclass
class Layout:
    """What was found: examples, and how many objects of each class (0 where only the name is known)."""

    name: str
    root: Path
    examples: list[Example] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    value_files: list[Path] = field(default_factory=list)  # masks that say nothing of what their values mean
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    read: set[Path] = field(default_factory=set)  # the annotation files that were understood
    spoilt: set[Path] = field(default_factory=set)  # pictures whose annotation was tried: nobody's never
    unused: Counter[str] = field(default_factory=Counter)  # shapes without an area, by kind
    lists: dict[Path, Any] = field(default_factory=dict)  # of each folder the class list in it, or None

    def __str__(self) -> str:
        named = ", ".join(f"{name} ({n})" if n else name for name, n in self.classes.most_common(12))
        return f"{TITLES[self.name]}, {len(self.examples)} images" + (f", classes {named}" if named else "")

    def settle(self, found: dict[Path, set[tuple[int, str]]]) -> dict[Path, str]:
        """One split for each picture, out of those that are named for it with the highest rank."""
        best = {image: {s for rank, s in ranks if rank == max(ranks)[0]} for image, ranks in found.items()}
        if several := [image.name for image, splits in best.items() if len(splits) > 1]:
            self.notes.append(f"in more than one split, and counted in one: {name_some(several)}")
        return {image: max(splits) for image, splits in best.items()}

    @contextlib.contextmanager
    def noting(self, what: str | Path) -> Iterator[None]:
        """What cannot be understood inside the block becomes a sentence of `failed`."""
        try:
            yield
        except UserError as error:
            self.failed.append(str(error))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            self.failed.append(f"'{what}' holds something that cannot be read ({error!r}).")

    def add(self, image: Path, regions: Sequence[Region] | None, size: Any, split: str) -> None:
        """Take up a picture and its regions; None for one that nobody annotated. size: (H, W) as stated."""
        size = tuple(map(int, size)) if size and all(size) else None
        self.classes.update(region.label for region in regions or ())
        self.unused.update(region.kind for region in regions or () if region.kind in NO_AREA)
        mask = None if regions is None else partial(paint_regions, image, size, list(regions))
        crowds = frozenset(region.label for region in regions or () if region.crowd)
        self.examples.append(Example(image, mask, split, crowds=crowds))


def detect_layout(src: Path, only: str | None = None) -> Layout:
    """Find out how the pictures and annotations of a folder (or of one annotation file) are laid out.

    only: the one layout to look for, a key of TITLES.
    Raises: UserError when nothing known is found, or more than one thing.
    """
    from segkit.sets.tools import TOOLS

    tree = Tree(src)
    foreign = [path.name for path in tree.files if not re.match("readme|licen[cs]e", path.name, re.I)]
    stages = [{name: reader(tree).find for name, reader in TOOLS.items()}]
    if not tree.single:
        stages[0] |= {"folders": partial(find_folders, tree), "beside": partial(find_beside, tree)}
        stages.append({"folders": partial(find_folders, tree, loosely=True)})
    if not tree.single and (only or not foreign):
        stages.append({"cutouts": partial(find_cutouts, tree)})
    found: dict[str, Layout] = {}
    while stages and not found:  # each where those before it found nothing
        tried: dict[str, Layout] = {}
        for name, find in stages.pop(0).items():
            carried = name == "folders" and "supervisely" in tried and tried["supervisely"].examples
            if only in (None, name) and not carried and (layout := find()):  # it carries mask folders along
                tried[name] = layout
        found = {name: layout for name, layout in tried.items() if layout.examples}
        lost = [layout for layout in tried.values() if layout.failed and not found]
        if lost:  # annotations were there, and of not one the picture
            raise UserError(f"'{src}' looks like {TITLES[lost[0].name]}, but: {lost[0].failed[0]}")
    if not found and only:
        raise UserError(f"'{src}' does not look like this: {TITLES[only]}. Try --layout auto.")
    if not found:
        unread = foreign and f"{name_some(foreign, 3)}, which cannot be read as annotations"
        words = f"Known are: {'; '.join(TITLES.values())} (among other files, by --layout cutouts)."
        raise UserError(f"'{src}' holds {unread or 'no layout known here'}. {words}")
    if len(found) > 1:
        listed = "; ".join(f"{name}: {layout}" for name, layout in found.items())
        raise UserError(
            f"'{src}' can be read in more than one way ({listed}). Choose one with --layout NAME."
        )
    (layout,) = found.values()
    twice = [image.name for image, n in Counter(e.image for e in layout.examples).items() if n > 1]
    if twice:
        raise UserError(
            f"several files or records in '{src}' annotate the same pictures ({name_some(twice)}): "
            "keep one of each, or import the file you mean by its path."
        )
    tree.read_lists(layout)
    if layout.unused:
        listed = ", ".join(f"{kind} ({n})" for kind, n in layout.unused.items())
        layout.notes.append(f"shapes without an area are not used: {listed}")
    if rest := [path for path in tree.files if path not in layout.read]:
        layout.notes.append(f"{len(rest)} files were not read: {name_some([p.name for p in rest], 5)}")
    if tree.others:
        layout.notes.append(f"not taken: {tree.others}")
    return layout


class Tree:
    """The pictures and the annotation files below a folder."""

    def __init__(self, src: Path):
        if not src.exists():
            raise UserError(f"'{src}' does not exist.")
        self.root, self.single = src, src.is_file()
        if self.single:  # COCO keeps annotations/instances.json beside images/
            self.root = src.parent if list_images(src.parent) else src.parent.parent
        found, self.others = find_images(self.root, IMAGE_SUFFIXES + ANNOTATIONS)
        self.images = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
        self.files = [src] if self.single else [path for path in found if path.suffix.lower() in ANNOTATIONS]
        self.by_name: dict[str, list[Path]] = defaultdict(list)
        self.by_bare_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.images:
            self.by_bare_name[same_name(path.stem)].append(path)
            self.by_name[same_name(path.name)].append(path)
        self.kinds = {path: json_kind(path) for path in self.files_of(".json")}

    def files_of(self, *endings: str) -> list[Path]:
        return [path for path in self.files if path.suffix.lower() in endings]

    def listed(self, path: Path, known: Set[Path] = frozenset()) -> set[Path]:
        """The pictures, of those that are known, that the lines of a list name; a part of a set is fine."""
        found = set()
        for line in path.read_text("utf-8-sig", errors="replace").splitlines():
            for name in (line.strip().strip('"'), re.split(r"[\s,;]", line.strip())[0]):
                with contextlib.suppress(UserError):
                    found.add(self.picture(name, path, known))
        return found

    def read_lists(self, layout: Layout) -> None:
        """The splits that lists such as train.txt name, where no reader has read them."""
        examples, found = {example.image: example for example in layout.examples}, defaultdict(set)
        for path in self.files_of(".txt"):
            if path not in layout.read and LIST.fullmatch(path.stem):
                for image in self.listed(path, examples.keys()) & examples.keys():
                    found[image].add((0, named_split(path.stem)))
                    layout.read.add(path)
        for image, split in layout.settle(found).items():
            examples[image].split = split

    def picture(self, name: Any, near: Path, known: Set[Path] = frozenset()) -> Path:
        """The one picture that an annotation file names, if possible of those known.   Raises: UserError."""
        if not isinstance(name, str):
            raise UserError(f"'{near}' names the picture {name!r}: expected the name of a file.")
        parts = Path(name.replace("\\", "/")).parts
        last = same_name(parts[-1]) if parts else ""
        found = self.by_name.get(last) or self.by_name.get(same_name(unquote(last)))
        found = found or self.by_bare_name.get(last, [])  # as CVAT names the frames of a film

        def fit(path: Path) -> tuple:
            tail = max(shared_tail(path, parts), shared_tail(path.with_suffix(""), parts))
            above = len({*path.parts} & {*near.parent.parts})
            here, split = path.parent == near.parent, self.split(path.parent) == self.split(near)
            return path in known, here, tail, above, split, not self.is_mask(path), path.name == parts[-1]

        best = max(map(fit, found), default=None)
        found = [path for path in found if fit(path) == best]
        if len(found) != 1:
            raise UserError(f"'{near}' names the picture '{name}': found {len(found)} times, expected once.")
        return found[0]

    def same_stem(self, path: Path) -> list[Path]:
        """The pictures that have the name of another file, but for the ending."""
        return [one for one in self.by_bare_name.get(same_name(path.stem), []) if one.parent == path.parent]

    def rest(self, layout: Layout) -> list[Example]:
        """The pictures that nobody annotated; masks that an export carries along are not among them."""
        used = {example.image for example in layout.examples} | layout.spoilt
        return [
            Example(path, None, self.split(path.parent))
            for path in self.images
            if path not in used and not self.is_mask(path)
        ]

    def is_mask(self, path: Path) -> bool:
        return any(part.lower() in NOT_PICTURES for part in path.relative_to(self.root).parts[:-1])

    def split(self, path: Path) -> str:
        """The split that a folder (or a JSON file) names: train, val, test, or nothing."""
        return named_split(path.relative_to(self.root).as_posix())


def named_split(text: str) -> str:
    """The split that words name: train, val, test, or nothing."""
    found = re.search(r"(?<![a-z])(train|val|test)(ing|id|idation)?(?![a-z])", text.lower())
    return found[1] if found else ""


def shared_tail(path: Path, parts: Sequence[str]) -> int:
    """How many parts, from the last on, two paths have in common."""
    pairs = zip(reversed(path.parts), reversed(parts), strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def json_kind(path: Path) -> str:
    """Which layout a JSON file belongs to; "broken", or "other" for one that is not known."""
    try:
        data = load_data(path)
    except UserError:
        return "broken"
    if isinstance(data, list):
        return "label-studio" if any(map(_is_task, data)) else "other"
    if not isinstance(data, dict):
        return "other"
    if all(isinstance(data.get(key), list) for key in ("images", "annotations", "categories")):
        return "coco"
    if isinstance(data.get("shapes"), list):
        return "labelme"
    if isinstance(data.get("objects"), list) and "size" in data:
        return "supervisely"
    if "_via_img_metadata" in data or {"file", "metadata", "attribute"} <= data.keys():
        return "via"
    via = data and all(isinstance(v, dict) and {"filename", "regions"} <= v.keys() for v in data.values())
    return "via" if via else "other"


def _is_task(record: Any) -> bool:
    """Whether a record is a task of Label Studio, as in its export JSON or in JSON-MIN."""
    if not isinstance(record, dict):
        return False
    if isinstance(record.get("data"), dict):
        return bool(record.keys() & {"annotations", "completions"})
    lists = [found for found in record.values() if isinstance(found, list)]
    shapes = [found for found in itertools.chain(*lists) if isinstance(found, dict)]
    labelled = any(key.endswith("labels") for found in shapes for key in found)
    return labelled or {"annotation_id", "lead_time"} <= record.keys()


PARSERS = {".json": json.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load}


def load_data(path: Path) -> Any:
    """The content of a JSON or YAML file, with or without a byte order mark.   Raises: UserError."""
    try:
        return PARSERS[path.suffix.lower()](path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        kind, words = path.suffix[1:].upper(), " ".join(str(error).split())
        raise UserError(f"'{path}' is not readable {kind} ({words[:120]}).") from error


# Class lists: which value of a mask means what

CLASS_LIST = re.compile(
    r"_?(obj|data(set)?|class(es)?|labels?|categor(y|ies))?[_-]?(map|dict|list|names?|colou?rs)?"
    r"\.(txt|csv|json|names|ya?ml)",
    re.I,
)

BACKGROUND = re.compile(r"[\W_]*(background|bg|unlabell?ed|ignore)[\W_]*", re.I)

VOID = {255, COLOUR + 0xE0E0C0}
"""Values that leave a pixel out: labelme and VOC write 255, VOC in colour a pale outline."""


def _may_list_classes(path: Path) -> bool:
    return bool(CLASS_LIST.fullmatch(path.name) or path.suffix.lower() in (".yaml", ".yml"))


def read_class_list(path: Path, pictures: Set[str] = frozenset()) -> dict[int, str] | list[str] | None:
    """Class names by mask value (COLOUR + 0xRRGGBB for colours), or in order where no value is given.

    None where the file is no class list, such as a table whose rows begin with the names of pictures.
    Raises: UserError when a value has two names, or the text is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if parse := PARSERS.get(path.suffix.lower()):
            data = parse(text)
            names = data.get("names") if isinstance(data, dict) else None
            if names is not None and not isinstance(names, dict | list):
                raise UserError(f"'{path}' gives no list of class names: expected one such as [person, dog].")
            entries = _entries(data) if names or CLASS_LIST.fullmatch(path.name) else []
        else:
            entries = _rows(text, path, pictures)
    except UnicodeDecodeError:
        raise UserError(f"'{path}' names the classes, and is not text in UTF-8: save it so.") from None
    except (OSError, ValueError, csv.Error, yaml.YAMLError, RecursionError):
        return None
    if all(value is None for value, _ in entries):
        return [name for _, name in entries if name != "__ignore__"] or None  # labelme's has no number
    if any(value is None for value, _ in entries):
        return None
    known: dict[int, str] = {}
    for value, name in entries:
        if known.setdefault(value, name) != name:
            raise UserError(f"'{path}' gives {value_name(value)} to {known[value]} and to {name}.")
    return known


def _rows(text: str, path: Path, pictures: Set[str]) -> list[tuple[int | None, str]]:
    """What the lines of a text or of a CSV say, [] where they are about pictures."""
    rows = [line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]
    if path.suffix.lower() == ".csv":
        rows = [",".join(cell.strip() for cell in row) for row in csv.reader(rows)]
    if rows[1:] and not re.search(r"\d", rows[0]) and all(re.search(r"\d", row) for row in rows[1:]):
        rows = rows[1:]  # the heads of columns
    entries = [_class_row(row) for row in rows]
    firsts = [re.split(r"[\s,;]", name)[0] for _, name in entries]
    about_pictures = sum(same_name(Path(name).stem) in pictures for name in firsts)
    return [] if len(rows) > 1000 or 2 * about_pictures > len(rows) else entries


def _class_row(row: str) -> tuple[int | None, str]:
    """(value, name) of one line: "person:192,128,128::", "0 0 0 sky", "2, person", "person: 2", "person"."""
    row = re.sub(r":[^:\d]*:[^:\d]*$", "", row)  # parts and actions, as CVAT writes them
    number, between = r"\d{1,3}", r"[\s,:;=]+"
    form = rf"((?:{number}{between})*)(.*?)((?:{between}{number})*)"
    before, name, after = re.fullmatch(form, row).groups()
    numbers = [int(found) for found in re.findall(r"\d+", f"{before} {after}")]
    if len(numbers) >= 3:
        red, green, blue = numbers[-3:]
        return COLOUR + (red << 16 | green << 8 | blue), name.strip("'\" ,:")
    if len(numbers) == 1 and (before or re.search("[,:;=\t]", after)):  # "shirt 2" is a name
        return numbers[0], name.strip("'\" ,")
    return None, row.rstrip(": ")  # as CVAT's tools write a class without a colour


def _entries(data: Any) -> list[tuple[int | None, str]]:
    """What the content of a JSON or YAML file says, in any of the usual forms, as the lines of a text do."""
    if isinstance(data, dict):
        for key in ("names", "classes", "labels", "categories"):
            if isinstance(data.get(key), dict | list):
                return _entries(data[key])
        if all(isinstance(v, str) and str(k).isdecimal() for k, v in data.items()):
            return [(int(key), name) for key, name in data.items()]
        if all(isinstance(k, str) and type(v) is int for k, v in data.items()):
            return [(value, name) for name, value in data.items()]
    if isinstance(data, list) and all(isinstance(entry, str) for entry in data):
        return [(None, name) for name in data]
    if isinstance(data, list) and all(isinstance(entry, dict) and "name" in entry for entry in data):
        keys = ("id", "value", "index", "trainId")
        ids = [next((e[k] for k in keys if type(e.get(k)) is int), None) for e in data]
        return [(key, str(entry["name"])) for key, entry in zip(ids, data, strict=True)]
    return []


def find_class_list(tree: Tree, mask: Path, layout: Layout) -> dict[int, str] | list[str] | None:
    """The class list that lies nearest above a mask; the layout takes its names up."""
    for folder in mask.parents:
        if folder not in layout.lists:
            paths = [p for p in tree.files if p.parent == folder and _may_list_classes(p)]
            found = {path: read_class_list(path, tree.by_bare_name.keys()) for path in paths}
            lists = {path: known for path, known in found.items() if known is not None}
            if empty := [p for p in found if p.name == "labelmap.txt" and p not in lists]:
                raise UserError(f"'{empty[0]}' names no class: expected lines such as person:192,128,128::")
            if len({str(known) for known in lists.values()}) > 1:
                listed = name_some([repr(str(path)) for path in lists])
                raise UserError(f"{listed} disagree about the classes: keep one.")
            layout.read.update(lists)
            layout.lists[folder] = next(iter(lists.values()), None)
        if layout.lists[folder] is not None or folder == tree.root:
            break
    known = layout.lists[folder]
    for pattern, names in STANDARD_CLASSES.items():
        if known is None and re.search(pattern, mask.as_posix(), re.I):
            known = dict(enumerate(names))
            note = "no list of classes is there: the usual one, and void pixels count as background"
            layout.notes += [note] * (note not in layout.notes)
    layout.classes.update(dict.fromkeys(known.values() if isinstance(known, dict) else known or (), 0))
    return known


def read_by_list(path: Path, known: dict[int, str] | list[str], wanted: set[str]) -> np.ndarray:
    """The pixels of the wanted classes, bool (H, W), in a mask whose values a list explains.

    Raises: UserError for a value that the list does not know.
    """
    with open_picture(path) as picture:
        mode = picture.mode
    if isinstance(known, dict) and max(known) >= COLOUR:
        painted = mode in ("P", "PA", "RGB", "RGBA", "CMYK")
        values = rgb_codes(path) if painted else read_labels(path)
        if not painted:  # numbers in the order of the list, or greys that are its colours
            numbers = dict(enumerate(known.values()))
            greys = {v & 255: n for v, n in known.items() if v - COLOUR == (v & 255) * 0x10101}
            known = numbers if set(np.unique(values).tolist()) <= numbers.keys() | {255} else greys
    else:
        values = read_labels(path) if mode in ("P", "L") else mask_values(path)
        if values.max(initial=0) >= COLOUR:  # painted, and the list gives numbers: VOC's colours count them
            numbers = {code: number for number, code in enumerate(voc_colours())}
            codes, places = np.unique(values, return_inverse=True)
            codes = np.array([numbers.get(code, code) for code in codes.tolist()])
            values = codes[places].reshape(values.shape)
    there = set(np.unique(values).tolist())
    if isinstance(known, list):
        known = _number(known, there - VOID, path)
    named = [name for name in known.values() if not BACKGROUND.fullmatch(name)]
    if there - {0} == {255} and len(named) == 1:  # two values: the class that is not the background
        known = {255: named[0]} | known
    if unknown := there - known.keys() - {0, COLOUR} - (VOID if len(there - {0}) > 1 else set()):
        listed = name_some([value_name(value) for value in sorted(unknown)])
        raise UserError(f"mask '{path}' holds {listed}, which is no class of this set.")
    return np.isin(values, [value for value, name in known.items() if name in wanted])


def _number(names: list[str], there: set[int], path: Path) -> dict[int, str]:
    """Numbers for a list that gives none: from 0 where it begins with the background, else from 1."""
    if BACKGROUND.fullmatch(names[0]):
        return dict(enumerate(names))
    if max(there, default=0) < len(names) > 1 and there - {0}:
        raise UserError(
            f"mask '{path}' holds values up to {max(there)}, and the list of {len(names)} classes "
            f"({names[0]}, ...) names no background: whether it counts from 0 or 1 cannot be told. "
            "Write a list of lines like '1 person' beside the masks."
        )
    return dict(enumerate(names, start=1))


def voc_colours() -> list[int]:
    """The colours of classes 0 to 255 as Pascal VOC numbers them: COLOUR + 0xRRGGBB, and 0 for black."""
    codes = []
    for number in range(256):
        rgb = [sum((number >> (3 * j + k) & 1) << (7 - j) for j in range(8)) for k in range(3)]
        codes.append(COLOUR + (rgb[0] << 16 | rgb[1] << 8 | rgb[2]) if number else 0)
    return codes


def rgb_codes(path: Path) -> np.ndarray:
    """COLOUR + 0xRRGGBB of each pixel, greys too: int64 (H, W)."""
    return COLOUR + read_image(path).astype(np.int64) @ (1 << 16, 1 << 8, 1)


# Masks that are pictures


def value_name(value: int) -> str:
    return f"#{value - COLOUR:06x}" if value >= COLOUR else str(value)


def values_named(path: Path, wanted: set[str]) -> np.ndarray:
    """Where a mask has one of the values that are named so: bool (H, W)."""
    values = mask_values(path)
    listed = [value for value in np.unique(values).tolist() if value_name(value) in wanted]
    return np.isin(values, listed) | ((values > 127) & (values < 256) & (OVER_127 in wanted))


def find_folders(tree: Tree, loosely: bool = False) -> Layout | None:
    """images/ beside masks/ at any depth, with the same subfolders and stems in both.

    loosely: under any names that say so, such as img_dir and ann_dir, or train and train_masks.
    """
    images, masks, said = {}, {}, set()
    stems = {(path.parent, same_name(path.stem)) for path in tree.images}
    for path in tree.images:
        roles = [_role(part, loosely) for part in path.relative_to(tree.root).parts[:-1]]
        place = tuple(rest for _, rest in roles if rest)
        role = next((role for role, _ in reversed(roles) if role), "")
        labels = re.sub("_(color|instanceids|labeltrainids)$", "_labelids", same_name(path.stem))
        if labels != same_name(path.stem) and (path.parent, labels) in stems:
            continue  # Cityscapes says the same in several ways
        if role == "mask":
            masks[path] = place
        elif role == "image" or (loosely and not role):
            images[path] = place
            said |= {path} if role else set()
    if loosely:  # a folder that only one of the two sides has tells nothing
        both = {*itertools.chain(*images.values())} & {*itertools.chain(*masks.values())}
        for places in (images, masks):
            places |= {path: tuple(part for part in place if part in both) for path, place in places.items()}
        there = {*masks.values()}
        images = {p: place for p, place in images.items() if place in there and (p in said or not said)}
    layout = _pair("folders", tree, images, masks)
    if loosely and masks and not layout and (images or tree.is_mask(min(masks))):
        raise UserError(
            f"'{tree.root}' has masks such as {min(masks).name}, and no picture has the name of one: "
            "x.jpg belongs to x.png or x_mask.png."
        )
    if layout and (others := len(tree.images) - len(images) - len(masks)):
        layout.notes.append(f"{others} pictures stand in neither of the two folders and were not used")
    if layout and (tree.root / "splits.csv").is_file():
        layout.read.add(tree.root / "splits.csv")
        with layout.noting(tree.root / "splits.csv"):
            inside = tree.root / "images"  # whose pictures a table means, if there is one
            meant = {}
            for example in layout.examples:
                place = example.image.relative_to(tree.root).parts
                if not inside.is_dir() or place[0] == "images":
                    name = Path(*(place[1:] or place)).with_suffix("").as_posix()
                    meant[normalize("NFC", name)] = example
            table = read_table(tree.root / "splits.csv", names=meant)
            for name, example in meant.items():
                row = table.get(name, {})
                example.split, example.group = row.get("split", example.split), row.get("group", name)
    return layout


def _role(folder: str, loosely: bool) -> tuple[str, str]:
    """Whether the name of a folder says image or mask, or neither, and what else it says."""
    for role, names in (("image", IMAGE_FOLDERS), ("mask", MASK_FOLDERS)):
        if folder.lower() in names:
            return role, ""
    if not loosely:
        return "", same_name(folder)
    text = re.sub(r"(?<=[a-z])(?=[A-Z]|annot)", "_", folder)  # trainannot, PedMasks
    words = [word for word in re.split(r"[\W_]+", same_name(text)) if word]
    known = {word: role for role in WORDS for word in words if re.fullmatch(WORDS[role], word)}
    role = next((role for role in ("shown", "mask", "image") if role in known.values()), "")
    return role, "_".join(word for word in words if word not in known)


def find_beside(tree: Tree) -> Layout | None:
    """x.jpg beside x_mask.png, or x.jpg beside a grey x.png."""
    images, masks, shown = {}, {}, []
    stems = {path: same_name(path.stem) for path in tree.images}
    names = {(path.parent, name) for path, stem in stems.items() for name in (stem, _bare(stem, "image"))}
    for path, stem in stems.items():
        plain = {stem, _without_number(stem)}
        ended = {_bare(name, "mask") for name in plain} - plain
        grey = path.suffix.lower() == ".png" and _is_grey_twin(path, tree)
        if (path.parent, of := _bare(stem, "shown")) in names and of != stem:
            shown.append(path.name)
        elif grey or any((path.parent, name) in names for name in ended):
            masks[path] = path.parent.parts
        else:
            images[path] = path.parent.parts
    layout = _pair("beside", tree, images, masks)
    if layout and shown:
        layout.notes.append(f"pictures of a mask over its photograph are not used: {name_some(shown)}")
    return layout


def _is_grey_twin(path: Path, tree: Tree) -> bool:
    """Whether a PNG is the mask, the cut-out, or the mask of one object (x_0.png), of the JPEG x.jpg."""
    stems = {path.stem, _without_number(path.stem)}
    twins = [twin for stem in stems for twin in tree.same_stem(path.with_name(f"{stem}.x"))]
    if not any(twin.suffix.lower() in (".jpg", ".jpeg") for twin in twins):
        return False
    with contextlib.suppress(UserError), open_picture(path) as picture:
        if picture.mode in ("1", "L", "P"):
            return True
    return (_alpha_range(path) or (255,))[0] < 255  # a cut-out


def _bare(stem: str, role: str) -> str:
    """A name without the words at its start or its end that say image or mask: "" where they are all."""
    word = WORDS[role]
    return re.sub(rf"^({word})([ _.-]+|$)|([ _.-]+({word}))+$", "", stem)


def _without_number(stem: str) -> str:
    return re.sub(r"[ _.-]+\(?\d+\)?$|(?<=\D)\(?\d+\)?$", "", stem)


def _pair(name: str, tree: Tree, images: dict[Path, tuple], masks: dict[Path, tuple]) -> Layout | None:
    """Give every picture the masks of its place and name: one for all, or one for each object.

    images, masks: their places, the folders above; the last of a mask may stand for a picture or a class.
    """
    # A picture is called by its very name, else by one that no other picture there may have.
    called, bare = defaultdict(list), defaultdict(list)
    for image, place in images.items():
        called[place, same_name(image.stem)].append(image)
        bare[place, _bare(same_name(image.stem), "image")].append(image)
    called = {key: found for key, found in bare.items() if len(found) == 1} | called
    given: dict[Path, list[tuple[Path, str]]] = defaultdict(list)
    lonely = []
    for path, place in sorted(masks.items()):
        up, folder, stem = place[:-1], "".join(place[-1:]), same_name(path.stem)
        # a_mask.png and a.jpg.png belong to a, mask_1.png to img_1, a_L.png to CamVid's a
        names = [stem, _bare(stem, "mask"), stem.removesuffix("_l"), *([Path(stem).stem] * ("." in stem))]
        plain = [*map(_without_number, names)]
        meant = [("whole", place, one) for one in names]
        meant += [("object", place, one) for one in plain + [_bare(one, "mask") for one in plain]]  # a_0.png
        if folder:  # masks/a/0.png, or a/masks/0.png beside a/images/a.png
            meant += [("object", up, folder), ("object", place, folder)]
        if folder == same_name(path.parent.name):  # masks/person/a.png
            meant += [("class", up, one) for _, _, one in meant]
        how, found = next(((how, called[at, one]) for how, at, one in meant if (at, one) in called), ("", []))
        if len(found) > 1:
            listed = name_some([str(path.relative_to(tree.root)) for path in sorted(found)])
            raise UserError(f"'{tree.root}' has one mask for several pictures ({listed}): keep one of them.")
        if found:
            given[found[0]].append((path, how))
        else:
            lonely.append(path.name)
    layout = Layout(name, tree.root)
    for image in images:
        found = given.get(image, [])
        if len(found) > 1 and any(how == "whole" for _, how in found):
            listed = name_some([str(path.relative_to(tree.root)) for path, _ in found])
            raise UserError(f"'{image}' has several masks ({listed}): keep the one you mean.")
        read = []
        for path, how in found:
            known = find_class_list(tree, path, layout)
            if known is None and how == "class":
                known = path.parent.name
                layout.classes[known] += 1
            elif known is None:
                layout.value_files.append(path)
            read.append((path, known))
        mask = partial(_read_several, read) if read else None
        layout.examples.append(Example(image, mask, tree.split(image.parent)))
    if lonely:
        layout.notes.append(f"{len(lonely)} masks have no picture: {name_some(lonely)}")
    if several := sum(found[0][1] != "whole" for found in given.values()):
        layout.notes.append(f"{several} pictures have one mask per object")
    return layout if given else None


def _read_several(masks: Sequence[tuple[Path, dict | list | str | None]], wanted: set[str]) -> np.ndarray:
    """One or several masks of a picture, the objects numbered in their order, or as VOC's: uint16 (H, W).

    masks: of each the path, and the classes that a list gives its values, or the class of all of it.
    """
    people, first = None, masks[0][0]
    for number, (path, known) in enumerate(masks, start=1):
        if isinstance(known, dict | list):
            mask = read_by_list(path, known, wanted)
        elif known is None:
            mask = read_mask(path) > 0 if wanted == {OVER_127} else values_named(path, wanted)
        else:
            values = mask_values(path)
            if values.max() <= 127 and len(np.unique(values[values > 0])) > 1:
                raise UserError(f"mask '{path}' of class {known} holds several values: expected one.")
            mask = (values > (127 if values.max() > 127 else 0)) & (known in wanted)
        people = np.zeros(mask.shape, np.uint16) if people is None else people
        if people.shape != mask.shape:
            raise UserError(f"'{path}' and '{first}' belong to one picture and differ in size.")
        people[mask] = number
    objects = Path("SegmentationObject".join(str(first).rsplit("SegmentationClass", 1)))
    if objects == first or not objects.is_file():
        return people
    values = rgb_codes(objects)
    if values.shape != people.shape:
        raise UserError(f"'{first}' and '{objects}' differ in size.")
    numbers = np.unique(values, return_inverse=True)[1].reshape(people.shape) + 1
    return np.where(people, numbers, 0).astype(np.uint16)


def find_cutouts(tree: Tree) -> Layout | None:
    """Pictures with an alpha channel; one that is opaque everywhere cuts nothing out."""
    layout, opaque = Layout("cutouts", tree.root), []
    for path in tree.images:
        alpha = _alpha_range(path)
        opaque += [path.name] * (alpha == (255, 255))
        cut = alpha is not None and alpha[0] < 255
        layout.examples.append(Example(path, (lambda _, path=path: read_cutout(path)[1]) if cut else None))
    if opaque:
        layout.notes.append(f"opaque everywhere, so no cut-outs: {name_some(opaque)}")
    return layout if any(example.mask for example in layout.examples) else None


def _alpha_range(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(UserError), open_picture(path) as picture:
        if picture.has_transparency_data:
            return picture.convert("RGBA").getchannel("A").getextrema()
    return None


def read_cutout(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The colours as displayed, uint8 RGB (H, W, 3), and where alpha is over 127, bool (H, W)."""
    with open_picture(path) as picture:
        painted = picture.convert("RGBA")
        if profile := picture.info.get("icc_profile"):
            painted = to_srgb(painted, profile)
        rgba = turned(np.asarray(painted), orientation(picture))
    return np.ascontiguousarray(rgba[..., :3]), rgba[..., 3] > 127


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W, ...) as stored, turned as an EXIF orientation says: as they are displayed."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    flip = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
    return np.flip(pixels, flip.get(orientation, ()))

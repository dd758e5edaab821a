"""What lies in a folder: its pictures, its annotation files, and what a layout makes of them.

A layout yields examples: a picture, the way to its mask, its split. Introduced in notebook 02.
"""

import contextlib
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote
from xml.etree import ElementTree

import yaml

from segkit.data import read_table, splits_of
from segkit.files import IMAGE_SUFFIXES, UserError, find_images, list_images, name_some, same_name
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


class PlainLoader(yaml.BaseLoader):
    """YAML as text alone, so that a class may be called no or 1, and without aliases: a few lines of them
    stand for more than memory holds."""

    def compose_node(self, *place: Any) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to itself by *: write each value out")
        return super().compose_node(*place)


PARSERS = {".json": json.loads, ".xml": ElementTree.fromstring}

PARSERS |= dict.fromkeys((".yaml", ".yml"), partial(yaml.load, Loader=PlainLoader))

HALF = re.compile(r"\\u[dD][89abAB]\w\w(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]\w\w)\\u[dD][c-fC-F]\w\w")
"""Half of a pair of escapes, as a text that was cut off has it: no file could be written with that."""

ANNOTATIONS = (*PARSERS, ".csv", ".txt", ".ndjson", ".jsonl", ".names")
"""Endings of files that may hold annotations."""

LIST = re.compile(r"(train|val|test)(ing|id|idation)?([_-]?(list|ids?|names|files|images|set))?", re.I)
"""Names of lists of the pictures of a split, without .txt."""


@dataclass
class Example:
    """One picture and the way to its mask, which is None when nobody annotated the picture.

    mask: the names of what means person -> (H, W), 0 for nobody, 1, 2, ... the objects. That of a cut-out
        is asked nothing, and gives the colours as well.
    """

    image: Path
    mask: Callable | None
    split: str = ""
    group: str = ""
    crowds: frozenset[str] = frozenset()  # the classes that have COCO crowd regions in it


@dataclass
class Layout:
    """What was found: examples, and how many objects of each class (0 where only the name is known)."""

    name: str
    root: Path
    class_name: str = "person"  # what a data set of ours says that its masks show
    examples: list[Example] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    value_files: list[Path] = field(default_factory=list)  # masks that say nothing of what their values mean
    remarks: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # and whose
    failed: list[str] = field(default_factory=list)
    read: set[Path] = field(default_factory=set)  # the annotation files that were understood
    spoilt: set[Path] = field(default_factory=set)  # pictures whose annotation was tried: nobody's never
    splits: dict[Path, set[tuple[int, str]]] = field(default_factory=lambda: defaultdict(set))
    """Of a picture, the splits that lists name for it, each with its rank."""
    lists: dict[Path, Any] = field(default_factory=dict)  # of each folder the class list in it, or None

    def __str__(self) -> str:
        named = ", ".join(f"{name} ({n})" if n else name for name, n in self.classes.most_common(12))
        return f"{TITLES[self.name]}, {len(self.examples)} images" + (f", classes {named}" if named else "")

    def settle_splits(self) -> None:
        """Of the splits that are named for a picture, the one of the highest rank counts."""
        for example in self.examples:
            if ranks := self.splits.get(example.image):
                best = {split for rank, split in ranks if rank == max(ranks)[0]}
                example.split = max(best)
                if len(best) > 1:
                    self.tell("in more than one split, and counted in one", example.image.name)

    def tell(self, what: str, *names: str) -> None:
        """A remark for the report, and whom it is about."""
        self.remarks[what].update(names)

    @property
    def notes(self) -> list[str]:
        """The remarks as sentences."""
        notes = []
        for what, names in self.remarks.items():
            named = name_some([f"{name} ({n})" if n > 1 else name for name, n in names.items()])
            notes.append(f"{what}: {named}" if named else what)
        return notes

    @contextlib.contextmanager
    def noting(self, what: str | Path) -> Iterator[None]:
        """What cannot be understood inside the block becomes a sentence of `failed`."""
        try:
            yield
        except UserError as error:
            self.failed.append(str(error))
        except Exception as error:  # a strange file may break any library in any way: go on
            self.failed.append(f"'{what}' holds something that cannot be read ({error!r}).")

    def add(self, image: Path, regions: Sequence[Region] | None, size: Any, split: str) -> None:
        """Take up a picture and its regions; None for one that nobody annotated. size: (H, W) as stated."""
        size = tuple(map(int, size)) if size and all(size) else None
        mask = None if regions is None else partial(paint_regions, image, size, list(regions))
        self.classes.update(label for label, *_ in dict.fromkeys(region.object for region in regions or ()))
        if without := [region.kind for region in regions or () if region.kind in NO_AREA]:
            self.tell("shapes without an area are not used", *without)
        crowds = frozenset(region.label for region in regions or () if region.crowd)
        self.examples.append(Example(image, mask, split, crowds=crowds))


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
        self.by_place: dict[tuple, list[Path]] = defaultdict(list)  # the folder and the bare name
        self.in_folder: dict[Path, list[Path]] = defaultdict(list)  # the annotation files
        for path in self.files:
            self.in_folder[path.parent].append(path)
        for path in self.images:
            self.by_bare_name[same_name(path.stem)].append(path)
            self.by_place[path.parent, same_name(path.stem)].append(path)
            self.by_name[same_name(path.name)].append(path)
        self.load = cache(load_data)

    def files_of(self, *endings: str) -> list[Path]:
        return [path for path in self.files if path.suffix.lower() in endings]

    def read_lists(self, layout: Layout) -> None:
        """The splits that lists such as train.txt name, where no reader has read them."""
        known = {example.image for example in layout.examples}
        for path in self.files_of(".txt"):
            if path not in layout.read and LIST.fullmatch(path.stem):
                for image in self.listed(path, known) & known:
                    layout.splits[image].add((0, named_split(path.stem)))
                    layout.read.add(path)

    def read_table_of_splits(self, layout: Layout) -> None:
        """The splits and groups of a splits.csv, whose names are those below images/, if there is one."""
        path, inside, meant = self.root / "splits.csv", (self.root / "images").is_dir(), {}
        if not path.is_file():
            return
        layout.read.add(path)
        for example in layout.examples:
            place = self.below(example.image)
            if not inside or place[0] == "images":
                name = Path(*(place[1:] or place)).with_suffix("").as_posix()
                meant[normalize("NFC", name)] = example
        with layout.noting(path):
            table = read_table(path, names=meant)
            dealt = splits_of(path, table, meant.keys() & table.keys())
            for name, example in meant.items():
                example.split = dealt.get(name, example.split)
                example.group = table[name]["group"] if name in table else name

    def listed(self, path: Path, known: Set[Path] = frozenset()) -> set[Path]:
        """The pictures, of those that are known, that the lines of a list name; a part of a set is fine."""
        found = set()
        for line in path.read_text("utf-8-sig", errors="replace").splitlines():
            for name in (line.strip().strip('"'), re.split(r"[\s,;]", line.strip())[0]):
                with contextlib.suppress(UserError):
                    found.add(self.picture(name, path, known))
        return found

    def picture(self, name: Any, near: Path, known: Set[Path] = frozenset()) -> Path:
        """The one picture that an annotation file names, if possible of those known.   Raises: UserError."""
        if not isinstance(name, str):
            raise UserError(f"'{near}' names the picture {name!r}: expected the name of a file.")
        name = name.partition("?")[0] if "://" in name else name  # a signed address goes on behind it
        parts = Path(name.replace("\\", "/")).parts
        last = same_name(parts[-1]) if parts else ""
        found = self.by_name.get(last) or self.by_name.get(same_name(unquote(last)))
        found = found or self.by_bare_name.get(last, [])  # as CVAT names the frames of a film
        above, split = {*near.parent.parts}, self.split(near)

        def fit(path: Path) -> tuple:
            *folders, own = path.parts
            tail = parts[-1] in (own, path.stem) and 1 + shared_tail(folders, parts[:-1])
            where = path in known, path.parent == near.parent, tail, len(above & {*folders})
            return *where, self.split(path.parent) == split, not self.is_mask(path), own == parts[-1]

        if len(found) > 1:  # as in films, whose frames have the same names
            fits = {path: fit(path) for path in found}
            best = max(fits.values())
            found = [path for path in found if fits[path] == best]
        if len(found) != 1:
            raise UserError(f"'{near}' names the picture '{name}': found {len(found)} times, expected once.")
        return found[0]

    def same_stem(self, path: Path) -> list[Path]:
        """The pictures that have the name of another file, but for the ending."""
        return self.by_place.get((path.parent, same_name(path.stem)), [])

    def rest(self, layout: Layout) -> list[Example]:
        """The pictures that nobody annotated; masks that an export carries along are not among them."""
        used = {example.image for example in layout.examples} | layout.spoilt
        rest = (path for path in self.images if path not in used and not self.is_mask(path))
        return [Example(path, None, self.split(path.parent)) for path in rest]

    def below(self, path: Path) -> tuple[str, ...]:
        """The parts of a path below the root."""
        return path.parts[len(self.root.parts) :]

    def is_mask(self, path: Path) -> bool:
        return any(part.lower() in NOT_PICTURES for part in self.below(path)[:-1])

    def split(self, path: Path) -> str:
        """The split that a folder (or a JSON file) names: train, val, test, or nothing."""
        return named_split("/".join(self.below(path)))


def load_data(path: Path) -> Any:
    """The content of a JSON, YAML or XML file.   Raises: UserError."""
    try:
        xml = path.suffix.lower() == ".xml"  # which says its own encoding
        text = path.read_bytes() if xml else HALF.sub(r"\\ufffd", path.read_text("utf-8-sig"))
        data = PARSERS[path.suffix.lower()](text)
    except (OSError, LookupError, ValueError, RecursionError, SyntaxError, yaml.YAMLError) as error:
        kind, words = path.suffix[1:].upper(), " ".join(str(error).split())
        raise UserError(f"'{path}' is not readable {kind} ({words[:120]}).") from error
    if isinstance(data, dict):
        data.pop("imageData", None)  # labelme's copies of the pictures would fill the memory
    return data


@cache
def named_split(text: str) -> str:
    """The split that words name: train, val, test, or nothing."""
    found = re.search(r"(?<![a-z])(train|val|test)(ing|id|idation)?(?![a-z])", text.lower())
    return found[1] if found else ""


def shared_tail(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts, from the last on, two paths have in common."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))

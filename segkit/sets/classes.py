"""What the values of a mask mean: lists of classes in any of the usual forms, and masks read by them.

Introduced in notebook 02.
"""

import csv
import re
from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np

from segkit.files import (
    COLOUR,
    UserError,
    mask_values,
    name_some,
    open_picture,
    read_image,
    read_labels,
    same_name,
)
from segkit.sets.tree import PARSERS, Layout, Tree, load_data

OVER_127 = ">127"
"""What the greys above 127 are called together, as #ff0000 is one colour and 2 one number."""

STANDARD_CLASSES = load_data(Path(__file__).with_name("standard_classes.yaml"))
"""What masks with these paths hold where no list says anything else: of Pascal VOC and Cityscapes."""

CLASS_LIST = re.compile(
    r"_?(obj|data(set)?|class(es)?|labels?|categor(y|ies))?[_-]?(map|dict|list|names?|colou?rs)?"
    r"\.(txt|csv|json|names|ya?ml)",
    re.I,
)

BACKGROUND = re.compile(r"[\W_]*(background|bg|unlabell?ed|ignore)[\W_]*", re.I)

VOID = {255, COLOUR + 0xE0E0C0}
"""Values that leave a pixel out: labelme and VOC write 255, VOC in colour a pale outline."""


def find_class_list(tree: Tree, mask: Path, layout: Layout) -> dict[int, str] | list[str] | None:
    """The class list that lies nearest above a mask; the layout takes its names up."""
    for folder in mask.parents:
        if folder not in layout.lists:
            layout.lists[folder] = _list_in(tree, folder, layout)
        if (known := layout.lists[folder]) is not None or folder == tree.root:
            break
    for pattern, names in STANDARD_CLASSES.items():
        if known is None and re.search(pattern, mask.as_posix(), re.I):
            known = dict(enumerate(names.split(", ")))
            layout.tell("no list of classes is there: the usual one, and void pixels count as background")
    layout.classes.update(dict.fromkeys(known.values() if isinstance(known, dict) else known or (), 0))
    return known


def _list_in(tree: Tree, folder: Path, layout: Layout) -> dict[int, str] | list[str] | None:
    """The class list that lies in a folder.   Raises: UserError where there are several, or an empty one."""
    lists = {}
    for path in tree.in_folder[folder]:
        if CLASS_LIST.fullmatch(path.name) or path.suffix.lower() in (".yaml", ".yml"):
            known = read_class_list(path, tree.by_bare_name.keys())
            if known is None and path.name == "labelmap.txt":
                raise UserError(f"'{path}' names no class: expected lines such as person:192,128,128::")
            lists |= {} if known is None else {path: known}
    if len({str(known) for known in lists.values()}) > 1:
        raise UserError(f"{name_some([*map(str, lists)])} disagree about the classes: keep one.")
    layout.read.update(lists)
    return next(iter(lists.values()), None)


def read_class_list(path: Path, pictures: Set[str] = frozenset()) -> dict[int, str] | list[str] | None:
    """Class names by mask value (COLOUR + 0xRRGGBB for colours), or in order where no value is given.

    None where the file is no class list, such as a table whose rows begin with the names of pictures.
    Raises: UserError when a value has two names, or the text is not UTF-8.
    """
    try:
        if path.suffix.lower() in PARSERS:
            data, named = load_data(path), CLASS_LIST.fullmatch(path.name)
            entries = _entries(data, path) if named or (isinstance(data, dict) and "names" in data) else []
        else:
            entries = _rows(path.read_text(encoding="utf-8-sig"), path, pictures)
    except UnicodeDecodeError:
        raise UserError(f"'{path}' names the classes, and is not text in UTF-8: save it so.") from None
    except (OSError, csv.Error):
        return None
    if all(value is None for value, _ in entries):
        return [name for _, name in entries if name != "__ignore__"] or None  # labelme's has no number
    if any(value is None for value, _ in entries):
        if "class" in path.name.lower():  # any other text may be about anything
            raise UserError(f"'{path}' numbers some classes and others not: write lines such as '1 person'.")
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
        rows = [",".join(cell.strip() for cell in row) for row in csv.reader(rows, skipinitialspace=True)]
    if rows[1:] and not re.search(r"\d", rows[0]) and all(re.search(r"\d", row) for row in rows[1:]):
        rows = rows[1:]  # the heads of columns
    entries = [_class_row(row) for row in rows]
    firsts = [re.split(r"[\s,;]", name)[0] for _, name in entries]
    about_pictures = sum(same_name(Path(name).stem) in pictures for name in firsts)
    return [] if len(rows) > 1000 or 2 * about_pictures > len(rows) else entries


def _class_row(row: str) -> tuple[int | None, str]:
    """(value, name) of one line: "person:192,128,128::", "0 0 0 sky", "2, person 1", "person: 2", "sky"."""
    row = re.sub(r":[^:\d]*:[^:\d]*$", "", row)  # parts and actions, as CVAT writes them
    number, between = r"\d{1,3}", r"[\s,:;=]+"
    cells = re.split(r"[,:;=\t]", row)
    named = [cell for cell in cells if not re.fullmatch(rf"(\s*{number})*\s*", cell)]
    if len(named) == 1 < len(cells):  # the digits in its cell are the name's own
        before, name, after = " ".join(cell for cell in cells if cell != named[0]), named[0], ""
    else:
        form = rf"((?:{number}{between})*)(.*?)((?:{between}{number})*)"
        before, name, after = re.fullmatch(form, row).groups()
    numbers = [int(found) for found in re.findall(r"\d+", f"{before} {after}")]
    if len(numbers) >= 3:
        red, green, blue = numbers[-3:]
        return COLOUR + (red << 16 | green << 8 | blue), name.strip("'\" ,:")
    if len(numbers) == 1 and (before or re.search("[,:;=\t]", after)):  # "shirt 2" is a name
        return numbers[0], name.strip("'\" ,")
    return None, row.rstrip(": ")  # as CVAT's tools write a class without a colour


def _entries(data: Any, path: Path) -> list[tuple[int | None, str]]:
    """What the content of a JSON or YAML file says, in any of the usual forms, as the lines of a text do."""
    if isinstance(data, dict):
        if not isinstance(data.get("names", {}), dict | list):
            raise UserError(f"'{path}' gives no list of class names: expected one such as [person, dog].")
        inner = [data[key] for key in ("names", "classes", "labels", "categories") if key in data]
        data = next((one for one in inner if isinstance(one, dict | list)), data)
    if isinstance(data, dict):
        if all(isinstance(v, str) and str(k).isdecimal() for k, v in data.items()):
            return [(int(key), name) for key, name in data.items()]
        if all(isinstance(k, str) and str(v).isdecimal() for k, v in data.items()):
            return [(int(value), name) for name, value in data.items()]
        if all(isinstance(k, str) and _colour(v) for k, v in data.items()):
            return [(_colour(value), name) for name, value in data.items()]
    if isinstance(data, list) and all(isinstance(entry, str) for entry in data):
        return [(None, name) for name in data]
    if isinstance(data, list) and all(isinstance(entry, dict) and "name" in entry for entry in data):
        keys = ("id", "value", "index", "trainId")
        ids = [next((int(e[k]) for k in keys if str(e.get(k)).isdecimal()), None) for e in data]
        values = [_colour(e.get("color")) for e in data] if None in ids else ids
        return [(value, str(entry["name"])) for value, entry in zip(values, data, strict=True)]
    return []


def _colour(said: Any) -> int | None:
    """COLOUR + 0xRRGGBB of "#ff0000" or of [255, 0, 0]; None for anything else."""
    if isinstance(said, list) and len(said) == 3 and all(str(part).isdecimal() for part in said):
        said = "#" + "".join(f"{int(part):02x}" for part in said)
    return COLOUR + int(said[1:], 16) if re.fullmatch("#[0-9a-fA-F]{6}", str(said)) else None


def read_by_list(path: Path, known: dict[int, str] | list[str], wanted: set[str]) -> np.ndarray:
    """The pixels of the wanted classes, bool (H, W), in a mask whose values a list explains.

    Raises: UserError for a value that the list does not know.
    """
    with open_picture(path) as picture:
        mode = picture.mode
    colours = isinstance(known, dict) and max(known) >= COLOUR
    if colours and mode in ("P", "PA", "RGB", "RGBA", "CMYK"):
        values = rgb_codes(path)
    else:
        values = read_labels(path) if colours or mode in ("P", "L") else mask_values(path)
    # Where a mask is painted and the list gives numbers, VOC's colours count them.
    numbered = {} if colours else VOC_COLOURS
    said = {value: numbered.get(value, value) for value in np.unique(values).tolist()}
    there = set(said.values())
    if colours and max(there) < COLOUR:  # numbers in the order of the list, or greys that are its colours
        numbers = dict(enumerate(known.values()))
        greys = {v & 255: n for v, n in known.items() if v - COLOUR == (v & 255) * 0x10101}
        known = numbers if there <= numbers.keys() | {255} else greys
    if isinstance(known, list):
        known = _number(known, there - VOID, path)
    named = [name for name in known.values() if not BACKGROUND.fullmatch(name)]
    if there - {0} == {255} and len(named) == 1:  # two values: the class that is not the background
        known = {255: named[0]} | known
    if unknown := there - known.keys() - {0, COLOUR} - (VOID if len(there - {0}) > 1 else set()):
        listed = name_some([value_name(value) for value in sorted(unknown)])
        bits = ": a 1-bit picture reads as 0 and 255, save it as 8-bit grey or palette PNG" * (mode == "1")
        raise UserError(f"mask '{path}' holds {listed}, which is no class of this set{bits}.")
    return np.isin(values, [value for value, number in said.items() if known.get(number) in wanted])


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


def _voc_colour(number: int) -> int:
    """The colour of a class as Pascal VOC numbers them: COLOUR + 0xRRGGBB, and 0 for black."""
    red, green, blue = (sum((number >> (3 * j + k) & 1) << (7 - j) for j in range(8)) for k in range(3))
    return COLOUR + (red << 16 | green << 8 | blue) if number else 0


VOC_COLOURS = {_voc_colour(number): number for number in range(256)}


def rgb_codes(path: Path) -> np.ndarray:
    """COLOUR + 0xRRGGBB of each pixel, greys too: int32 (H, W)."""
    image = read_image(path)
    codes = np.full(image.shape[:2], COLOUR >> 24, np.int32)
    for colour in np.moveaxis(image, 2, 0):  # in place: a large picture of 64-bit numbers fills the memory
        codes <<= 8
        codes |= colour
    return codes


def value_name(value: int) -> str:
    return f"#{value - COLOUR:06x}" if value >= COLOUR else str(value)


def values_named(path: Path, wanted: set[str]) -> np.ndarray:
    """Where a mask has one of the values that are named so: bool (H, W)."""
    values = mask_values(path)
    listed = [value for value in np.unique(values).tolist() if value_name(value) in wanted]
    return np.isin(values, listed) | ((values > 127) & (values < 256) & (OVER_127 in wanted))

"""Your own photos: turn common annotation layouts into the segkit folder format, and say what was understood.

`import_folder` writes images/, masks/ and, where the source names several splits, splits.csv. What is
ambiguous is not guessed: it becomes an error or a line of the report. Introduced in notebook 02.
"""

import contextlib
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from tqdm.auto import tqdm

from segkit.data import read_class_name
from segkit.files import (
    COLOUR,
    UserError,
    atomic_path,
    check_choice,
    counted,
    in_utf8,
    mask_values,
    name_some,
    open_picture,
    orientation,
    read_image,
    same_name,
    unique_names,
    write_image,
    write_table,
    write_text,
)
from segkit.sets.classes import BACKGROUND, OVER_127, value_name
from segkit.sets.groups import torn_groups, write_splits
from segkit.sets.layouts import detect_layout
from segkit.sets.masks import turned
from segkit.sets.regions import check_size
from segkit.sets.tree import IMAGE_FOLDERS, LIST, TITLES, Example, Layout

PERSON_WORDS = {"person", "persons", "people", "human", "humans", "pedestrian", "pedestrians"}

NOT_WORDS = {"no", "non", "not", "without"}


@dataclass
class Report:
    """What an import did. `failed` has one sentence per file that could not be used: exit non-zero then."""

    layout: Layout
    out: Path
    used: str
    class_name: str = "person"
    written: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    empty: int = 0

    failed = property(attrgetter("layout.failed"))
    notes = property(attrgetter("layout.notes"))

    def __str__(self) -> str:
        of = self.class_name
        lines = [f"found:    {self.layout}", f"{of + ':':9} {self.used}"]
        pairs = f"{counted(len(self.written), 'pair')} to {self.out}"
        lines += [f"written:  {pairs}, {self.empty} of them without {of}"]
        if self.left_out:
            named = f"{len(self.left_out)} without an annotation: {name_some(self.left_out)}"
            lines += [f"left out: {named}. --empty keep writes them as images without {of}."]
        lines += [f"note:     {note}" for note in self.notes]
        lines += [f"FAILED:   {sentence}" for sentence in self.failed]
        return "\n".join(lines)


def import_folder(
    src: str | Path,
    out: str | Path,
    layout: str = "auto",
    classes: str | Sequence[str] | None = None,
    empty: Literal["skip", "keep"] = "skip",
    crowd: Literal["person", "skip-image"] = "person",
    progress: bool = True,
    class_name: str | None = None,
) -> Report:
    """Write the pictures and person masks of `src` to the new folder `out`, in the folder format.

    Pictures are copied byte for byte where they can be. Those with an EXIF rotation are written upright,
    formats other than JPEG and PNG become PNG, and cut-outs lose their alpha channel. One bad file does
    not stop the import: it is named in `Report.failed`. The report is kept as out/import.txt.

    Where people are told apart, instances/NAME.png numbers them: 0 nobody, 1, 2, ... the people.

    src: a folder, or one annotation file such as COCO's.
    layout: "auto", or a key of TITLES.
    classes: what counts as person: class names, or mask values such as "1", "#ff0000" or ">127"; a list,
        or one text with commas. None takes what is called person, or the only class there is.
    empty: pictures without any annotation are left out ("skip") or get an empty mask ("keep").
    class_name: what the new set calls it; None keeps the source's name where one class is taken.
    crowd: COCO crowd regions count as person, or a picture that has one is left out.
    Raises: UserError when the classes are ambiguous or nothing can be imported; `out` is then not made.
    """
    src, out = Path(src), Path(out)
    check_choice("layout", layout, ("auto", *TITLES))
    check_choice("empty", empty, ("skip", "keep"))
    check_choice("crowd", crowd, ("person", "skip-image"))
    found = detect_layout(src, None if layout == "auto" else layout)
    if isinstance(classes, str):
        classes = [classes] if classes in found.classes else [text.strip() for text in classes.split(",")]
    wanted, used = _choose(found, classes)
    names = wanted & found.classes.keys()
    class_name = class_name or (_name_of(names) if names else found.class_name)
    report, taken, shares = Report(found, out, used, class_name), {}, []
    # Each class that was named must have a pixel somewhere; without names, what was taken for person.
    unseen = {name: {name} for name in wanted} if classes else {used.split("; not used")[0]: wanted}
    with new_folder(out, src) as folder:
        named = list(zip(_names(found), found.examples, strict=True))
        for name, example in tqdm(named, desc="import", unit="image", disable=not progress):
            if example.mask is None and empty == "skip":
                report.left_out.append(example.image.name)
                continue
            if crowd == "skip-image" and example.crowds & wanted:
                found.tell("left out, because it holds a crowd region", name)
                continue
            pixels = None
            with found.noting(example.image):
                pixels, mask = _read_pair(found, example, wanted)
            if pixels is None:
                continue
            write_pair(folder, name, example.image, pixels, mask > 0)
            people = np.unique(mask[mask > 0])
            if len(people) > 1:
                numbers = np.where(mask > 0, np.searchsorted(people, mask) + 1, 0)
                small = np.uint8 if len(people) < 256 else np.uint16
                write_image(folder / "instances" / f"{name}.png", numbers.astype(small))
            taken[name] = example
            shares.append((mask > 0).mean())
            if mask.any():
                several = unseen if len(unseen) > 1 else {}
                unseen = {text: one for text, one in several.items() if not _shows(example, one)}
        if not taken:
            reason = report.failed[0] if report.failed else "no image has a usable annotation."
            raise UserError(f"nothing could be imported from '{src}': {reason}")
        report.written, report.empty = [*taken], shares.count(0)
        found.failed += [f"no picture has a pixel of {text}: is it the right class?" for text in unseen]
        if (share := np.mean(shares)) > 0.7:
            found.tell(f"{share:.0%} of the pixels are {class_name}: are the masks inverted?")
        _keep_splits(folder, taken, report)
        write_class_name(folder, class_name)
        (folder / "import.txt").write_text(f"{report}\n", encoding="utf-8")
    return report


def _keep_splits(folder: Path, taken: dict[str, Example], report: Report) -> None:
    """Write splits.csv where the source names splits, and groups.csv where its pictures lie in folders."""
    splits = {name: example.split for name, example in taken.items()}
    groups = {name: example.group for name, example in taken.items()}
    layout, counts = report.layout, Counter(splits.values())
    if dealt := len(counts) > 1:
        if lost := [name for name, split in splits.items() if not split]:
            layout.tell("the source gives these no split, so its splits are not kept", *lost)
        else:
            grouped = len(set(groups.values())) < len(groups) and all(groups.values())
            write_splits(folder, splits, groups if grouped else None)
            listed = ", ".join(f"{split} {n}" for split, n in counts.items())
            layout.tell(f"splits.csv keeps the splits of the source: {listed}")
    folders = {name: one.image.parent.relative_to(layout.root).parts for name, one in taken.items()}
    told = {part for parts in folders.values() for part in parts if LIST.fullmatch(part)} | IMAGE_FOLDERS
    places = {name: "/".join(p for p in parts if p not in told) or "." for name, parts in folders.items()}
    count, torn = len({*places.values()}), torn_groups(places, splits)
    if any(groups.values()) or not 1 < count < len(places) or (dealt and not torn):
        return
    write_table(folder / "groups.csv", [{"name": name, "group": place} for name, place in places.items()])
    cure = f"segkit data split {report.out}{' --overwrite' * dealt} --group {report.out / 'groups.csv'}"
    apart = f", and {name_some(torn, 3)} lie in more than one split" if torn else ""
    layout.tell(f"groups.csv keeps {count} folders of pictures{apart}. If one is a film or a patient: {cure}")


# Reading and writing one pair


def _read_pair(layout: Layout, example: Example, wanted: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """The picture as displayed, uint8 RGB (H, W, 3), and its objects by number, (H, W). Raises: UserError."""
    if layout.name == "cutouts" and example.mask:
        pixels, mask = example.mask()
        hidden = pixels[~mask]
        if len(hidden) and (hidden == hidden[0]).all():
            remark = "no background is left under the transparency, so put one back before training"
            layout.tell(remark, example.image.name)
        return pixels, mask
    pixels, mask, remark = upright(example.image, example.mask and example.mask(wanted))
    if remark:
        layout.tell(remark, example.image.name)
    return pixels, mask


def _shows(example: Example, meaning: set[str]) -> bool:
    with contextlib.suppress(UserError):  # of this class alone, nothing may have an outline
        return bool(example.mask(meaning).any())
    return False


def upright(image: Path, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Read a picture as displayed, with its mask in the same position (an empty one for None).

    Some tools draw on the picture as displayed, others on the pixels as stored: the sizes tell which.
    Returns: uint8 RGB (H, W, 3), the mask (H, W), and a remark where EXIF turned the picture.
    Raises: UserError when picture and mask differ in size.
    """
    pixels, remark = read_image(image), ""
    shape = pixels.shape[:2]
    if mask is None:
        return pixels, np.zeros(shape, bool), remark
    with open_picture(image) as picture:
        turn = orientation(picture)
    if turn > 1:
        stored = shape[::-1] if turn >= 5 else shape
        remark = "EXIF rotation, written upright: the mask fits the picture as displayed"
        if shape == stored == mask.shape:
            remark = "EXIF rotation, and the sizes cannot tell: taken as a mask of the picture as displayed"
        elif mask.shape == stored:
            remark = "EXIF rotation, written upright: the mask fits the picture as stored, so it turned too"
            mask = turned(mask, turn)
    check_size(image, shape, mask.shape)
    return pixels, mask, remark


def write_pair(folder: Path, name: str, source: Path, pixels: np.ndarray, mask: np.ndarray) -> Path:
    """Write what `upright` gave, the picture as in write_picture and the mask. Returns: its path."""
    image = write_picture(folder, name, source, pixels)
    write_image(folder / "masks" / f"{name}.png", mask.astype(np.uint8) * 255)
    return image


def write_picture(folder: Path, name: str, source: Path, pixels: np.ndarray | None) -> Path:
    """Write images/NAME.jpg|png: the source file itself where it is upright, opaque and of that kind.

    pixels: None reads them, where they are needed.
    """
    jpeg = source.suffix.lower() in (".jpg", ".jpeg")
    target = folder / "images" / f"{name}{'.jpg' if jpeg else '.png'}"
    with open_picture(source) as picture:
        differs = picture.has_transparency_data or orientation(picture) > 1
    if differs or not (jpeg or source.suffix.lower() == ".png"):
        return write_image(target, read_image(source) if pixels is None else pixels, quality=95)
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target


def check_new(out: Path, source: Path | None = None) -> None:
    """Raises: UserError when `out` exists and is not empty, or lies inside `source`."""
    if source and out.resolve().is_relative_to(source.resolve()):
        raise UserError(f"'{out}' lies inside '{source}', which is read. Choose a place outside it.")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"'{out}' exists and is not empty. Choose another folder, or remove it first.")


@contextlib.contextmanager
def new_folder(out: str | Path, source: Path | None = None) -> Iterator[Path]:
    """Yield a hidden sibling folder that becomes `out` at the end, or vanishes when anything goes wrong.

    Raises: UserError when `out` is not as in check_new, or cannot be written.
    """
    out = Path(out)
    check_new(out, source)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
        temporary.chmod(0o755)
    except OSError as error:
        raise UserError(f"'{out}' cannot be made ({error.strerror or error}).") from error
    try:
        yield temporary
        if out.is_dir():
            out.rmdir()  # it is empty; Windows does not rename over a folder
        temporary.rename(out)
    except UserError as error:  # the hidden folder is gone when this is read
        raise UserError(str(error).replace(str(temporary), str(out))) from error
    except OSError as error:
        raise UserError(f"'{out}' could not be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_class_name(folder: str | Path, name: str) -> None:
    """Say in dataset.yaml what the masks show; for person, none is needed."""
    if name != "person":
        write_text(Path(folder) / "dataset.yaml", yaml.safe_dump({"class": name}, allow_unicode=True))
        read_class_name(folder)


def _names(layout: Layout) -> list[str]:
    """A name for each picture: its stem where all of these differ, else its path with _ for /."""
    paths = [Path(in_utf8(str(one.image.relative_to(layout.root)))) for one in layout.examples]
    if len({same_name(path.stem) for path in paths}) == len(paths):
        return [path.stem for path in paths]
    layout.tell("some pictures share a name: the folder became part of every name")
    return unique_names(["_".join(path.with_suffix("").parts) for path in paths])


# What counts as person


def _choose(layout: Layout, classes: Sequence[str] | None) -> tuple[set[str], str]:
    """The names of what means person, and the line of the report that says so.   Raises: UserError."""
    if layout.name == "cutouts":
        return set(), "alpha over 127; the colours under it are kept"
    there = set(layout.classes)
    if layout.value_files and there:
        raise UserError(
            f"a list or folders of classes ({name_some(sorted(there), 3)}) explain some masks in "
            f"'{layout.root}', and others have none: put it above all of them, or import them one by one."
        )
    pixels = _pixels(layout.value_files)
    if pixels:
        there = {OVER_127, *map(value_name, pixels)}
        classes = classes and [str(name).lower() for name in classes]
    if (missing := sorted(set(classes or ()) - there)) and (pixels or not layout.value_files):
        raise UserError(f"class {', '.join(missing)} is not there. Found: {name_some(sorted(there), 20)}.")
    if layout.value_files:
        return _choose_values(layout, pixels, classes)
    words = {name: set(re.split("[^a-z]+", name.lower())) for name in there}
    named = {name for name in there if not BACKGROUND.fullmatch(name)}
    wanted = set(classes or ()) or {name for name in there if name.strip().lower() == "person"}
    wanted = wanted or {name for name in there if words[name] & PERSON_WORDS and not words[name] & NOT_WORDS}
    wanted = wanted or (named if len(named) == 1 else set())
    if not wanted:
        raise UserError(
            f"no class of '{layout.root}' is called person (found: {', '.join(sorted(there)) or 'none'}). "
            "Say which ones count as person with --classes NAME."
        )
    rest = sorted(n for n in there - wanted if not BACKGROUND.fullmatch(n)) if len(there) < 20 else []
    return wanted, ", ".join(sorted(wanted)) + (f"; not used: {', '.join(rest)}" if rest else "")


def _name_of(names: set[str]) -> str:
    """What the set is about, by the names of the classes that were taken: person where they say nothing."""
    name = " ".join("".join(names).split())[:40].strip() if len(names) == 1 else ""
    people = set(re.split("[^a-z]+", name.lower())) & PERSON_WORDS
    return name if name and not name.isdecimal() and not people else "person"


def _pixels(masks: Sequence[Path]) -> Counter[int]:
    """How many pixels have each value."""
    pixels: Counter[int] = Counter()
    for path in masks:
        with contextlib.suppress(UserError):  # a broken mask is reported with its picture
            values, counts = np.unique(mask_values(path), return_counts=True)
            pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return pixels


def _choose_values(
    layout: Layout, pixels: Counter[int], classes: Sequence[str] | None
) -> tuple[set[str], str]:
    total, there = sum(pixels.values()), sorted(pixels.keys() - {0})
    shares = {value_name(v): f"{value_name(v)} ({n / total:.1%} of pixels)" for v, n in pixels.most_common()}
    if classes:
        rest = [share for name, share in shares.items() if name not in (*classes, "0")]
        not_used = f"; not used: {name_some(rest)}" if rest and OVER_127 not in classes else ""
        return set(classes), f"mask value {', '.join(classes)}, written as 255{not_used}"
    if len(there) == 1:
        written = "" if there == [255] else ", written as 255"
        return {value_name(there[0])}, f"mask value {value_name(there[0])}{written}"
    near_an_end = sum(n for value, n in pixels.items() if value <= 16 or 239 <= value <= 255)
    any_jpeg = any(path.suffix.lower() in (".jpg", ".jpeg") for path in layout.value_files)
    grey = not there or there[-1] < COLOUR
    if grey and (not there or any_jpeg or (len(there) >= 16 and near_an_end > 0.9 * total)):
        return {OVER_127}, "mask values over 127 (grey edges, or JPEG), written as 255"
    raise UserError(
        f"the masks in '{layout.root}' hold several values: {name_some([*shares.values()])}. "
        "Say which ones are person, such as --classes 1, --classes '#ff0000' or --classes '>127'."
    )

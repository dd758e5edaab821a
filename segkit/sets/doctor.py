"""Look at a data set, or at this machine, before training on it. Introduced in notebooks 00 and 02."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from segkit.data import (
    assign_splits,
    displayed_size,
    pictures_by_name,
    read_class_name,
    read_class_names,
    read_classes,
    read_table,
    shrink,
    splits_of,
)
from segkit.files import IGNORE, UserError, counted, mask_values, name_some, read_image, read_mask
from segkit.plots import contact_sheet, overlay
from segkit.sets.groups import near_duplicates, series_leak, thumbnail, torn_groups

ALL_MARKED = 0.999
"""Share of marked pixels above which a mask says nothing."""

MOSTLY_MARKED = 0.7

SPREAD = 0.2
"""Standard deviation of Dice from picture to picture: what the networks of this course show, about."""

FEW = 40
"""Groups: a test split of fewer says little, and cross-validation more."""


@dataclass(frozen=True)
class Finding:
    """One thing found in a data set."""

    level: str
    """"error": training would fail or learn something wrong. "warning": worth a look."""
    kind: str
    name: str
    message: str


@dataclass
class DatasetReport:
    """What the dataset doctor saw."""

    folder: Path
    class_name: str = "person"
    classes: tuple[str, ...] = ()
    """Names of the classes of parts/, by their ids."""
    findings: list[Finding] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    """Share of marked pixels by name, of every readable pair."""
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    thumbnails: dict[str, np.ndarray] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)

    def note(self, level: str, kind: str, name: str, message: str) -> None:
        self.findings.append(Finding(level, kind, name, message))

    def compare(self, name: str, what: str, found: tuple[int, int]) -> None:
        """Note where a picture, if it could be read, and its mask, (H, W), differ in size."""
        picture = self.sizes.get(name, found)
        if picture != found:
            turn = f" It fits the picture before its EXIF rotation: turn the {what}."
            words = f"picture {picture[1]}x{picture[0]}, {what} {found[1]}x{found[0]}."
            self.note("error", "sizes differ", name, words + turn * (found == picture[::-1]))

    @contextmanager
    def noting(self, kind: str, name: str) -> Iterator[None]:
        """What cannot be read inside the block is an error of this kind."""
        try:
            yield
        except UserError as error:
            self.note("error", kind, name, str(error))

    @property
    def healthy(self) -> bool:
        """No errors. Warnings are allowed."""
        return not any(finding.level == "error" for finding in self.findings)

    def text(self, most: int = 10) -> str:
        """The report for people: what the set holds, then each kind of finding with its names."""
        counts = {split: list(self.splits.values()).count(split) for split in ("train", "val", "test")}
        dealt = ", ".join(f"{count} {split}" for split, count in counts.items())
        lines = [f"{self.folder} holds {len(self.splits)} pictures ({dealt})"]
        if self.sizes:
            heights, widths = zip(*self.sizes.values(), strict=True)
            lines.append(f"sizes: {min(widths)}x{min(heights)} to {max(widths)}x{max(heights)} pixels")
        if self.shares:
            low, middle, high = np.percentile(list(self.shares.values()), [5, 50, 95])
            spread = f"{low:.0%} to {high:.0%} in nine of ten"
            lines.append(f"{self.class_name} pixels: {middle:.0%} in the middle picture, {spread}")
        if tested := [self.groups.get(name, name) for name, split in self.splits.items() if split == "test"]:
            few = len(set(tested)) < FEW and len({self.groups.get(name, name) for name in self.splits}) >= 5
            cure = f"; every picture is scored by segkit train {self.folder} --folds 5" if few else ""
            lines.append(how_sure(len(tested), len(set(tested))) + cure)
        for level, kind in sorted(dict.fromkeys((f.level, f.kind) for f in self.findings), key=itemgetter(0)):
            same = [f for f in self.findings if (f.level, f.kind) == (level, kind)]
            lines.append(f"[{level.upper()}] {kind}: {len(same)}")
            lines += [f"    {f.name}: {f.message}" for f in same[:most]]
            lines += [f"    ... and {len(same) - most} more"] if len(same) > most else []
        mend = f"masks of other names and kinds are read by segkit data import {self.folder} -o NEW"
        end = "no errors: ready to train." if self.healthy else f"errors: mend these before training; {mend}."
        if self.healthy and (empty := [split for split in ("train", "val") if not counts[split]]):
            end = f"no errors, and nothing in {' and '.join(empty)}: training needs pictures in both splits."
        lines.append(end)
        return "\n".join(lines)


def how_sure(pictures: int, groups: int) -> str:
    """How far a mean Dice on so many test pictures may be off, in words, before there is a score."""
    of = counted(pictures, "test picture") + f" in {counted(groups, 'group')}" * (groups != pictures)
    off = 1.96 * SPREAD / groups**0.5
    return f"a mean Dice on {of} will be off by up to {off:.2f} (95 %, where {SPREAD} is the spread)"


def inspect_dataset(folder: str | Path) -> DatasetReport:
    """Read every picture and mask of a folder and say what is wrong with them.

    Errors: a missing or unreadable file, a mask of another size, a mask with values other than two or
    with none over 127, masks most of which are all marked, class ids in parts/ without a name, nearly the
    same picture in two splits, a splits.csv that does not fit.
    Warnings: a mask without picture, an empty mask, one that is all marked, nearly the same picture
    twice in one split.
    Raises: UserError only when there is nothing to look at.
    """
    folder = Path(folder)
    inside = ("images", "masks", "parts", "ignore")
    images, masks, parts, unasked = (pictures_by_name(folder / part) for part in inside)
    if not images:
        raise UserError(f"'{folder}' holds no pictures in images/. Try segkit data import {folder} -o NEW")
    report, path, table = DatasetReport(folder), folder / "splits.csv", {}
    with report.noting("dataset.yaml does not fit", "dataset.yaml"):
        report.class_name = read_class_name(folder)
    report.splits = dict.fromkeys(images, "train")
    with report.noting("splits.csv does not fit", path.name):
        table = read_table(path, names=images) if path.exists() else {}
        report.splits = splits_of(path, table, images) if table else assign_splits(list(images))
        report.groups = {name: table[name]["group"] if table else name for name in images}
    of, note, found = report.class_name, report.note, {"masks": masks} if masks or not parts else {}
    if parts:
        found["parts"] = parts
        with report.noting("parts.json does not fit", "parts.json"):
            report.classes = read_class_names(folder)
    for kind, paths in found.items():
        level = "warning" if kind == "parts" and masks else "error"  # there is something to train on
        for name in sorted(images.keys() - paths.keys()):
            note(level, "picture without mask", name, f"expected {kind}/{name}.png")
    for name in sorted((masks.keys() | parts.keys() | unasked.keys()) - images.keys()):
        note("warning", "mask without picture", name, f"'{(masks | parts | unasked)[name]}' is not used")
    for name in sorted(table.keys() - images.keys()):
        note("warning", "line of splits.csv without picture", name, "no picture here has this name")
    with ThreadPoolExecutor() as pool:
        files = [
            (name, *(some.get(name) for some in (images, masks, parts, unasked))) for name in sorted(images)
        ]
        looks = pool.map(lambda one: _look_at(*one, DatasetReport(folder, of, report.classes)), files)
        for look in tqdm(looks, "looking", len(images), unit="img", leave=False, delay=1):
            report.findings += look.findings
            for part in ("shares", "sizes", "thumbnails"):
                getattr(report, part).update(getattr(look, part))
    told = set()  # one finding a picture: a still camera's frames make thousands of pairs
    for first, second in near_duplicates(report.thumbnails):
        one, other = report.splits[first], report.splits[second]
        if (first, one == other) in told:
            continue
        told.add((first, one == other))
        if one == other:
            note("warning", "same picture twice", first, f"looks the same as {second}, both in {one}")
        else:
            words = f"looks the same as {second}, in {one} and {other}"
            note("error", "same picture across splits", first, words)
    if full := [name for name, share in report.shares.items() if share > ALL_MARKED]:
        if 2 * len(full) > len(report.shares):
            note("error", f"masks are all {of}", full[0], f"and {len(full) - 1} more of {len(report.shares)}")
    elif report.shares and np.median(list(report.shares.values())) > MOSTLY_MARKED:
        note("warning", f"masks are mostly {of}", min(images), "look at --picture: are the masks inverted?")
    groups = report.groups if len(set(report.groups.values())) < len(report.groups) else {}
    for group in torn_groups(groups, report.splits):
        note("error", "group across splits", group, "lies in more than one split")
    if not groups and (said := series_leak(report.splits, f"segkit data split {folder} --overwrite")):
        note("warning", "series across splits", min(images), said)
    return report


def _look_at(
    name: str, image: Path, mask: Path | None, parts: Path | None, unasked: Path | None, look: DatasetReport
) -> DatasetReport:
    """Note of one picture what cannot be read or does not fit, its size, share and thumbnail."""
    of = look.class_name
    with look.noting("unreadable picture", name):
        look.thumbnails[name] = thumbnail(read_image(image, at_least=64))
        look.sizes[name] = displayed_size(image)
    if parts and look.classes:
        with look.noting("parts do not fit", name):
            labels = read_classes(parts, look.classes)
            share = float(_is_marked(labels).mean())
            if mask is None:
                look.shares[name] = share
            if not share:
                words = f"parts/ holds no class but {look.classes[0]}; {IGNORE} is what is left out"
                look.note("warning", "empty mask", name, words)
            look.compare(name, "parts", labels.shape)
    if mask is None:
        return look
    with look.noting("unreadable mask", name):
        labels = mask_values(mask, colours=False)
        if unasked and read_mask(unasked).shape != labels.shape:
            look.note("error", "sizes differ", name, f"the mask and '{unasked}'")
        look.compare(name, "mask", labels.shape)
        values = np.unique(labels)
        look.shares[name] = share = float((labels > 127).mean())
        if 0 < values[-1] <= 127:
            found = name_some([*map(str, values)], 6)
            look.note("error", "no value over 127", name, f"holds {found}: it would read as empty")
        elif len(values) > 2 or (len(values) == 2 and values[0] != 0):
            jpeg = " (a JPEG: save masks as PNG)" if mask.suffix.lower() in (".jpg", ".jpeg") else ""
            between = int(((labels > 0) & (labels < 255)).sum())
            words = f"{len(values)} values, {between} pixels between 0 and 255{jpeg}"
            look.note("error", "values other than two", name, words)
        if share > ALL_MARKED:
            look.note("warning", f"all {of}", name, "no background pixel: inverted, or no mask at all?")
        if values[-1] == 0:
            words = f"no {of} pixel: right only if there is none in the picture"
            look.note("warning", "empty mask", name, words)
    return look


def _is_marked(labels: np.ndarray) -> np.ndarray:
    """Where class ids name a class other than the background."""
    return (labels > 0) & (labels != IGNORE)


def picture_of_dataset(report: DatasetReport, images: int = 18):
    """A figure of the set: pictures with their masks from least to most marked, faulty ones first."""
    paths = pictures_by_name(report.folder / "images")
    masks, parts = (pictures_by_name(report.folder / part) for part in ("masks", "parts"))
    shown = report.shares.keys() & report.sizes.keys()
    faulty = [name for name in dict.fromkeys(f.name for f in report.findings) if name in shown]
    healthy = sorted(shown - set(faulty), key=report.shares.get)
    chosen = faulty[: images // 2]
    steps = np.linspace(0, len(healthy) - 1, min(len(healthy), images - len(chosen)))
    chosen += [healthy[int(i)] for i in steps]
    pictures, titles = [], []
    for name in chosen:
        image = shrink(read_image(paths[name]), 1024)  # four times what is shown of it
        if name in masks:
            marked = mask_values(masks[name], colours=False) > 127
        else:
            marked = _is_marked(read_classes(parts[name], report.classes))
        mask = cv2.resize(marked.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        pictures.append(overlay(image, mask))
        faults = [finding.kind for finding in report.findings if finding.name == name]
        what = f"! {faults[0]}" if faults else f"{report.shares[name]:.0%} {report.class_name}"
        titles.append(f"{name[-20:]}\n{what}")
    return contact_sheet(pictures, titles, 4, f"{report.folder.name}: {len(report.splits)} pictures")

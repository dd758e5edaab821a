"""From a folder of photographs and masks to arrays a network can train on. Introduced in notebook 02.

A data set is a folder: images/NAME.jpg|png, masks/NAME.png, and optionally splits.csv (name,split and perhaps
group and source), ignore/NAME.png, white where nothing is asked, and dataset.yaml, which names what the masks
show: `class: ear`.
"""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import StringIO
from os.path import splitext
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from numpy.lib.format import dtype_to_descr, write_array_header_1_0
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from segkit.augment import paste_person, recolour_person
from segkit.files import (
    IGNORE,
    UNNAMED,
    UserError,
    atomic_path,
    cache_folder,
    check_choice,
    in_utf8,
    list_images,
    name_some,
    open_picture,
    orientation,
    read_image,
    read_labels,
    read_mask,
)

SPLITS = ("train", "val", "test")

SPLIT_SHARES = (0.7, 0.15, 0.15)


@dataclass(frozen=True)
class Sample:
    """One photograph and its mask on disk."""

    name: str
    image: Path
    mask: Path
    split: str
    source: str = ""
    """Where it comes from: the column source of splits.csv, else the folder's name."""
    group: str = ""
    """What it belongs to, such as a film or a patient: the column group (or scene), else its own name."""
    unasked: Path | None = None
    """ignore/NAME.png, if there is one."""

    @property
    def folder(self) -> Path:
        """The data set that it belongs to: what holds images/."""
        return self.image.parents[len(Path(self.name).parents)]


def find_samples(
    folder: str | Path, seed: int = 0, labels: str = "masks", splits: str | Path | None = None
) -> list[Sample]:
    """Pair every picture in images/ with its mask, and say which split each belongs to.

    labels: "masks", or "parts" to take parts/NAME.png as the mask.
    seed: changes how names fall into splits; without effect where a table decides.
    splits: a table in place of the folder's own splits.csv.
    Returns: samples sorted by name.
    Raises: UserError when the folder is not a data set, or with the names of pictures without a mask.
    """
    folder = Path(folder)
    images, masks = pictures_by_name(folder / "images"), pictures_by_name(folder / labels)
    unasked = pictures_by_name(folder / "ignore")
    if not images:
        raise UserError(f"'{folder}' holds no pictures in images/. Try segkit data import {folder} -o NEW")
    if missing := sorted(images.keys() - masks.keys()):
        ids = "--labels parts takes those of parts/. " * (labels == "masks" and (folder / "parts").is_dir())
        raise UserError(
            f"{len(missing)} of {len(images)} pictures in '{folder}' have no mask: {name_some(missing)}. "
            f"{ids}Add {labels}/NAME.png for each, all black where nobody is, or take the picture out. "
            f"Masks of other names and kinds are read by segkit data import {folder} -o NEW."
        )
    table = Path(splits) if splits else folder / "splits.csv"
    rows = read_table(table, names=images) if splits or table.exists() else {}
    dealt = splits_of(table, rows, images) if rows else assign_splits(list(images), seed)
    about = {name: rows.get(name, {}) for name in images}
    return [
        Sample(name, images[name], masks[name], dealt[name],
               about[name].get("source") or folder.name, about[name].get("group") or name, unasked.get(name))
        for name in sorted(images)
    ]  # fmt: skip


def read_class_names(folder: str | Path) -> tuple[str, ...]:
    """The names of the part classes of a data set, from its parts.json: {"0": "background", "1": "head"}.

    Raises: UserError when there is none, or its ids do not count up from 0.   Introduced in notebook 14.
    """
    path = Path(folder) / "parts.json"
    try:
        pairs = json.loads(path.read_text("utf-8-sig"), object_pairs_hook=list)
        ids, names = [int(key) for key, _ in pairs], [name for _, name in pairs]
    except FileNotFoundError:
        such = '{"0": "background", "1": "head"}'
        raise UserError(f"'{path}' is missing: it names the classes of parts/, as in {such}.") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"'{path}' is not a list of class names by number ({error}).") from None
    if sorted(ids) != list(range(len(ids))) or len(ids) < 2:
        raise UserError(f"the classes in '{path}' must be numbered 0, 1, 2, ...; found {sorted(ids)}.")
    if odd := [name for name in names if not isinstance(name, str) or names.count(name) > 1]:
        raise UserError(f"'{path}' calls a class {odd[0]!r}: each has a text of its own as its name.")
    return tuple(names[i] for i in np.argsort(ids))


def read_class_name(folder: str | Path) -> str:
    """What the masks of a data set show: `class: ear` in its dataset.yaml; without one, person.

    Raises: UserError when the file gives no such name.   Introduced in notebook 15.
    """
    path = Path(folder) / "dataset.yaml"
    try:
        # BaseLoader knows text alone, and no merging, by which a few lines would fill the memory.
        name = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)["class"]
    except FileNotFoundError:
        return "person"
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError):
        name = None
    if not isinstance(name, str) or not re.fullmatch(r"(?!\d+$)\S(.{0,38}\S)?", name):
        raise UserError(f"'{path}' names no class: expected one line such as `class: ear`.")
    return name


def pictures_by_name(folder: Path) -> dict[str, Path]:
    """The pictures of a part of a data set by their names without suffix; none where there is no such part.

    Raises: UserError if two share a name.
    """
    found, place = {}, folder if folder.parent.is_dir() else folder.parent  # which is what was given
    for path in list_images(place) if folder.is_dir() or place != folder else ():
        # Accents come in one piece (NFC) or two (NFD), depending on the system that wrote the name.
        name = in_utf8(path.relative_to(folder).with_suffix("").as_posix())
        if name in found:
            raise UserError(f"'{found[name]}' and '{path}' share a name: which one is meant? Rename one.")
        found[name] = path
    return found


def read_table(
    path: Path, needed: Sequence[str] = ("name", "split"), names: Container[str] = ()
) -> dict[str, dict[str, str]]:
    """The lines of a splits.csv by name, each with a group: its own column, else scene, else the name.

    names: those of the pictures, which the file may give as images/NAME.jpg too.
    Raises: UserError when it is none, or contradicts itself.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)  # some spreadsheets write semicolons
        read = csv.DictReader(StringIO(text, newline=""), delimiter=separator, restval="")
        rows = [{k.strip(): v if "name" in k else v.strip() for k, v in row.items() if k} for row in read]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"'{path}' is not a table in UTF-8 that can be read ({error}).") from None
    if not rows or not {*needed} <= rows[0].keys():
        raise UserError(f"'{path}' needs the columns {' and '.join(needed)}, and a line per picture.")
    table = {}
    for row in rows:
        name = in_utf8(row["name"])
        bare = splitext(name.strip().removeprefix("images/"))[0]
        name = bare if name not in names and bare in names else name
        row["group"] = row.get("group") or row.get("scene") or name
        first = table.setdefault(name, row)
        for column in (c for c in ("split", "group") if first.get(c) != row.get(c)):
            raise UserError(f"'{path}' puts '{name}' into {first[column]} and {row[column]}: which one?")
    return table


def splits_of(path: Path, table: dict[str, dict[str, str]], names: Iterable[str]) -> dict[str, str]:
    """The split of every name in a table.   Raises: UserError when it lacks one, or names an odd split."""
    if unknown := sorted({repr(row["split"]) for row in table.values() if row["split"] not in SPLITS}):
        raise UserError(f"'{path}' names the split {name_some(unknown)}: the splits are {', '.join(SPLITS)}.")
    if missing := sorted(set(names) - table.keys()):
        raise UserError(f"'{path}' has no line for {len(missing)} pictures: {name_some(missing)}.")
    return {name: table[name]["split"] for name in names}


def assign_splits(names: list[str], seed: int = 0) -> dict[str, str]:
    """Deal names into train, val and test (70, 15 and 15 in 100).

    Each name's place depends on that name and the seed alone, so adding pictures moves none of the
    others. In a set so small that a split stays empty, the names nearest to it move over.
    """
    places = {name: _place(name, seed) for name in names}
    train_end, val_end = SPLIT_SHARES[0], SPLIT_SHARES[0] + SPLIT_SHARES[1]
    # How many of the two ends a place has passed says which split is its own.
    splits = {name: SPLITS[(place >= train_end) + (place >= val_end)] for name, place in places.items()}
    by_place = sorted(names, key=places.get)
    if len(names) >= 3 and len(set(splits.values())) < 3:
        splits |= {by_place[0]: "train", by_place[-2]: "val", by_place[-1]: "test"}
    return splits


def _place(name: str, seed: int) -> float:
    """A number in [0, 1) that looks random and is always the same for the same name and seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8]) / 2**64


@dataclass(frozen=True)
class Preprocessing:
    """How a photograph becomes the network's input. It travels inside the checkpoint. Notebook 08."""

    size: int = 256
    """The photograph is resized to size x size, and the answer is resized back."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Mean and spread of ImageNet's colours in [0, 1], which pretrained networks expect."""

    def __post_init__(self):
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))
        if not (isinstance(self.size, int) and 8 <= self.size <= 4096):
            raise UserError(f"the input size must be a whole number from 8 to 4096, found {self.size!r}.")
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(numbers) != 6 or not all(isinstance(n, int | float) for n in numbers):
            raise UserError(f"mean and std must be three numbers each: {self.mean}, {self.std}.")
        if not (np.abs(numbers) < 1e6).all() or min(self.std) < 1e-6:  # or float32 has no such colours
            raise UserError(f"mean and std are below a million, std 1e-6 or more: {self.mean}, {self.std}.")

    def resize(self, image: np.ndarray, size: int | None = None) -> np.ndarray:
        """uint8 RGB (H, W, 3) -> uint8 (size, size, 3). Shrinking averages, so thin things do not flicker."""
        return resize_smoothly(image, size or self.size, size or self.size)

    def resize_mask(self, mask: np.ndarray) -> np.ndarray:
        """Labels (H, W) -> (size, size). Nearest neighbour, so that no label appears that was not there."""
        # NEAREST_EXACT: plain NEAREST shifts the mask by up to half a pixel against the image.
        return cv2.resize(mask, (self.size, self.size), interpolation=cv2.INTER_NEAREST_EXACT)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) -> float32 (N, 3, H, W): each colour minus its mean, over its spread."""
        mean, std = (torch.tensor(c, device=images.device).view(1, 3, 1, 1) for c in (self.mean, self.std))
        return (images.float() / 255 - mean) / std


def resize_smoothly(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) or (H, W, C), uint8 or float32, to another size: averaged along a side that shrinks,
    interpolated along one that grows.
    """
    if image.ndim == 3 and image.shape[2] > 4:  # OpenCV averages four channels at most
        layers = np.split(image, range(4, image.shape[2], 4), axis=2)
        return np.dstack([resize_smoothly(np.ascontiguousarray(layer), height, width) for layer in layers])
    smaller = min(width, image.shape[1]), min(height, image.shape[0])
    if smaller != image.shape[1::-1]:
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    if smaller == (width, height):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def shrink(image: np.ndarray, longest: float) -> np.ndarray:
    """(H, W) or (H, W, C), the longer side at most so many pixels: the same array where it is already."""
    scale = min(1.0, longest / max(image.shape[:2]))
    return resize_smoothly(image, *(max(1, round(side * scale)) for side in image.shape[:2]))


class SegmentationDataset(Dataset):
    """Pairs at the network's size. dataset[i] -> image uint8 (3, S, S), mask uint8 {0, 1} (1, S, S),
    or 255 where ignore/ asks for nothing.

    samples: what to load.
    preprocessing: gives the size S.
    transform: called as transform(image=..., mask=..., seed=...) on uint8 arrays; see segkit.augment.
        The seed depends on (seed, epoch, i) alone, so an epoch looks the same whatever the number of
        workers or processes, and after a resume.
    cache: "memory" decodes every picture once and keeps the small arrays; "disk" keeps them in a
        memory-mapped file that later runs find again; "none" decodes every time. Decoding a
        photograph takes longer than all the rest of the loading.
    paste: share of the pictures that get the person of another one pasted on.
    recolour: share of the pictures whose person gets clothes of other colours.
    zoom: keep the pictures at zoom x S, for a transform that cuts S x S out of them.
    classes: more than one name makes the masks hold class ids instead of {0, 1}; 255 means "do not ask".
    """

    def __init__(
        self,
        samples: list[Sample],
        preprocessing: Preprocessing | None = None,
        transform: Callable | None = None,
        cache: str = "memory",
        seed: int = 0,
        paste: float = 0.0,
        classes: tuple[str, ...] = ("person",),
        zoom: float = 1.0,
        recolour: float = 0.0,
    ):
        check_choice("cache", cache, ("memory", "disk", "none"))
        self.weights: Tensor | None = None  # (N,): how often training draws each; None takes them in turn
        self.samples, self.transform, self.seed, self.epoch = samples, transform, seed, 0
        self.paste, self.recolour, self.classes = paste, recolour, classes
        self.preprocessing = preprocessing or Preprocessing()
        self._kept = replace(self.preprocessing, size=round(self.preprocessing.size * zoom))
        self.arrays = None if cache == "none" else self._fill_cache(on_disk=cache == "disk")

    def __len__(self) -> int:
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Tell the augmentation which epoch this is."""
        self.epoch = epoch

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (S, S, 3) and mask uint8 {0, 1} (S, S), not augmented; with zoom, that much larger.

        Raises: IndexError, which is also how a loop over the set finds its end.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index}: there are {len(self)} pictures here, 0 to {len(self) - 1}.")
        if self.arrays is None:
            return load_pair(self.samples[index], self._kept, self.classes)
        return self.arrays[0][index], self.arrays[1][index]

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(index, again): the same picture once more in this epoch, by another draw."""
        index, again = index if isinstance(index, tuple) else (index, 0)
        random = np.random.default_rng((self.seed, self.epoch, index, again))
        image, mask = self._transformed(index, random)
        if self.recolour and random.random() < self.recolour:
            image = recolour_person(image, self._person(mask), random)
        if self.paste and random.random() < self.paste:
            other, other_mask = self._transformed(int(random.integers(len(self))), random)
            image, mask = paste_person(image, mask, other, self._person(other_mask))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1), torch.from_numpy(np.array(mask))[None]

    def _person(self, mask: np.ndarray) -> np.ndarray:
        """Without the pixels that nobody asks for; among parts these are the person's as well."""
        return mask if len(self.classes) > 1 else mask * (mask != IGNORE)

    def _transformed(self, index: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        image, mask = self.pair(index)
        if self.transform is None:
            return image, mask
        return self.transform(image=image, mask=mask, seed=int(random.integers(2**32)))

    def _fill_cache(self, on_disk: bool) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, S, S, 3) and masks (N, S, S): two columns of one table, in memory or in a file."""
        size = self._kept.size
        row = np.dtype([("image", np.uint8, (size, size, 3)), ("mask", np.uint8, (size, size))])
        if on_disk:
            path = cache_folder() / "arrays" / f"{self._fingerprint()}.npy"
            if not path.exists():
                # Written, not mapped: a mapped file on a full disk ends the process without a word.
                header = {"descr": dtype_to_descr(row), "fortran_order": False, "shape": (len(self),)}
                with atomic_path(path) as temporary, temporary.open("wb") as file:
                    write_array_header_1_0(file, header)
                    for pair in self._decoded():
                        file.write(np.array(pair, row).tobytes())
            pairs = np.load(path, mmap_mode="r")
        else:
            pairs = np.fromiter(self._decoded(), row)  # told how many, it would not ask for the bar's end
        return pairs["image"], pairs["mask"]

    def _fingerprint(self) -> str:
        """Changes when a file changes, so that an old cache is never taken for a new set."""
        files = [p for s in self.samples for p in (s.image, s.mask, s.unasked) if p]
        stats = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        return hashlib.sha256(json.dumps([self._kept.size, self.classes, stats]).encode()).hexdigest()[:24]

    def _decoded(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        # Threads are enough: Pillow and OpenCV let go of Python's lock while they decode.
        with ThreadPoolExecutor() as pool:
            jobs = pool.map(lambda sample: load_pair(sample, self._kept, self.classes), self.samples)
            # Short sets decode before anyone could read the bar.
            yield from tqdm(jobs, total=len(self), desc="decoding", unit="img", leave=False, delay=1)


def load_pair(
    sample: Sample, preprocessing: Preprocessing, classes: tuple[str, ...] = ("person",)
) -> tuple[np.ndarray, np.ndarray]:
    """Read one pair at the network's size: image uint8 (S, S, 3), mask as load_pair_full gives it (S, S).

    Raises: UserError when a file is unreadable or the sizes of image and mask differ.
    """
    image, mask = load_pair_full(sample, preprocessing.size, classes)
    return preprocessing.resize(image), preprocessing.resize_mask(mask)


def load_pair_full(
    sample: Sample, at_least: int | None = None, classes: tuple[str, ...] = ("person",)
) -> tuple[np.ndarray, np.ndarray]:
    """Read one pair at its own size: image uint8 (H, W, 3), mask uint8 {0, 1} or class ids (H, W).

    Where nothing is asked (ignore/NAME.png is white, or the class id says so) the mask is 255.
    at_least: lets the image (not the mask) come smaller, see segkit.files.read_image.
    Raises: UserError when a file is unreadable or the sizes of image and mask differ.
    """
    mask = read_mask(sample.mask) if len(classes) == 1 else read_classes(sample.mask, classes)
    aside = read_mask(sample.unasked) if len(classes) == 1 and sample.unasked else np.zeros(mask.shape, bool)
    height, width = displayed_size(sample.image)
    for what, found in (("mask", mask.shape), ("ignore/", aside.shape)):
        if found != (height, width):
            raise UserError(
                f"image '{sample.image}' is {width}x{height} but its {what} is {found[1]}x{found[0]}: "
                "they must be of one size."
            )
    mask[aside > 0] = IGNORE
    return read_image(sample.image, at_least), mask


def read_classes(path: Path, classes: tuple[str, ...]) -> np.ndarray:
    """Class ids uint8 (H, W), each below the number of classes, UNNAMED or IGNORE.   Raises: UserError."""
    labels = read_labels(path, bits=False)
    if unknown := sorted(set(np.unique(labels).tolist()) - {*range(len(classes)), IGNORE, UNNAMED}):
        raise UserError(
            f"'{path}' holds the class ids {name_some([str(u) for u in unknown])}: "
            f"expected 0 to {len(classes) - 1} ({', '.join(classes)}), "
            f"{UNNAMED} for any but the first, or {IGNORE} for pixels to leave out."
        )
    return labels


def displayed_size(path: str | Path | bytes) -> tuple[int, int]:
    """(height, width) after the EXIF rotation, read from the header alone.   Raises: UserError."""
    with open_picture(path) as picture:
        width, height = picture.size
        return (width, height) if orientation(picture) >= 5 else (height, width)


def load_dataset(
    *folders: str | Path,
    split: str,
    size: int = 256,
    transform: Callable | None = None,
    seed: int = 0,
    limit: int | None = None,
    preprocessing: Preprocessing | None = None,
    labels: str = "masks",
    splits: str | Path | None = None,
    **settings,
) -> SegmentationDataset:
    """One split of one or several folders as a data set for training.

    limit: take only the first `limit` samples in a fixed random order, to try something out.
    labels: "masks" for one class, "parts" for the classes that parts.json names (notebook 14).
    splits: a table in place of each folder's splits.csv.
    preprocessing: in place of size, where the colours are normalised in another way than ImageNet's.
    settings: as in SegmentationDataset.   Raises: UserError.   Introduced in notebook 02.
    """
    check_choice("split", split, SPLITS)
    check_choice("labels", labels, ("masks", "parts"))
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise UserError(f"one data set is given more than once: {name_some([str(f) for f in folders])}.")
    named = {f: read_class_names(f) if labels == "parts" else (read_class_name(f),) for f in folders}
    if len(set(named.values())) > 1:
        words = "; ".join(f"'{folder}' {', '.join(names)}" for folder, names in named.items())
        raise UserError(f"the data sets hold different classes ({words}): train on one of them.")
    classes = next(iter(named.values()))
    found = [sample for folder in folders for sample in find_samples(folder, labels=labels, splits=splits)]
    samples = [sample for sample in found if sample.split == split]
    if not samples:
        raise UserError(
            f"the {split} split of {name_some([repr(str(f)) for f in folders])} is empty "
            f"({len(found)} pictures in all): add pictures, or say in splits.csv which belong to it."
        )
    if limit is not None:
        samples = sorted(samples, key=lambda sample: _place(sample.name, seed))[:limit]
    preprocessing = preprocessing or Preprocessing(size=size)
    return SegmentationDataset(samples, preprocessing, transform, seed=seed, classes=classes, **settings)

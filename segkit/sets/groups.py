"""What belongs together stays together: groups, copies, leaks across splits. Introduced in notebook 02."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, permutations, takewhile
from pathlib import Path

import cv2
import numpy as np

from segkit.data import SPLIT_SHARES, SPLITS, assign_splits, find_samples, pictures_by_name, read_table
from segkit.files import UserError, counted, mask_values, name_some, read_image, write_table

ALIKE = 0.985
"""Pictures whose grey thumbnails correlate by more are nearly one picture."""

MOST_PAIRS = 50
"""Of one picture, with pictures before it that are nearly the same."""

MOST_COMPARED = 20_000
"""Pictures: above this, comparing each with each takes minutes, and only the doctor does it."""


def deal_folder(folder: str | Path, seed: int = 0, group: str | None = None, overwrite: bool = False) -> str:
    """Write the splits.csv of a data set so that what belongs together lies in one split.

    group: a pattern on the names, whose first bracket names the group, such as (.+)_\\d+; "folder" for the
        sub-folder of each picture; or a CSV with the columns name and group. None deals by name, or by the
        groups that splits.csv has. Pictures whose pixels are (nearly) the same are of one group in any case.
    Returns: what was done, in sentences.   Raises: UserError.
    """
    folder = Path(folder)
    images = pictures_by_name(folder / "images")
    if not images:
        raise UserError(f"'{folder}' holds no pictures in images/. Try segkit data import {folder} -o NEW")
    names = list(images)
    known, table = {}, folder / "splits.csv"
    if overwrite and not group and table.exists():
        with contextlib.suppress(UserError):  # a table that contradicts itself is what is to be replaced
            known = read_table(table, names=images)
    groups = {name: known[name]["group"] if name in known else name for name in names}
    groups = read_groups(folder, names, group) if group else groups
    groups = join_groups(groups, near_duplicates(thumbnails(images)))
    sizes = Counter(groups.values())
    if group:
        splits = deal_groups(groups, person_shares(folder, names), seed)
    else:  # by the name of each group's first picture alone, so that more pictures move no other
        dealt = assign_splits(sorted(sizes), seed)
        splits = {name: dealt[group_of] for name, group_of in groups.items()}
    grouped = bool(group) or len(sizes) < len(names)
    path = write_splits(folder, splits, groups if grouped else None, overwrite)
    pictures, whole = Counter(splits.values()), Counter({groups[n]: s for n, s in splits.items()}.values())
    of = {split: f" ({counted(whole[split], 'group')})" * grouped for split in SPLITS}
    counts = [f"{pictures[split]} {split}{of[split]}" for split in SPLITS]
    parts = [f"{path}: {', '.join(counts)}"]
    if group and (alone := [name for name in names if sizes[groups[name]] == 1]):
        stand = f"{counted(len(alone), 'picture')} stand{'s' * (len(alone) == 1)}"
        parts.append(f"{stand} alone by '{group}': {name_some(alone, 5)}")
    if not group and (said := series_leak(splits, f"segkit data split {folder} --overwrite")):
        parts.append(said)
    return "\n".join(parts)


def read_groups(folder: Path, names: list[str], group: str) -> dict[str, str]:
    """What each name belongs to, by a pattern, "folder" or a CSV; see deal_folder.   Raises: UserError."""
    if group.lower().endswith(".csv"):
        table = read_table(Path(group), ("name", "group"), names)
        if missing := sorted(set(names) - table.keys()):
            lost = counted(len(missing), "picture")
            raise UserError(f"'{group}' has no line for {lost}, such as {missing[0]}.")
        groups = {name: table[name]["group"] for name in names}
    else:
        try:
            groups = group_by_pattern(names, "(.+)/" if group == "folder" else group)
        except re.error as error:
            raise UserError(f"'{group}' is no pattern ({error}): write one such as (.+)_\\d+") from None
    if len(set(groups.values())) == len(names):
        raise UserError(f"by '{group}' every picture of '{folder}' stands alone, such as {names[0]}.")
    return groups


def group_by_pattern(names: Iterable[str], pattern: str) -> dict[str, str]:
    """What the pattern's first bracket, or all of it, finds in each name; else the name."""
    found = {name: re.search(pattern, name) for name in names}
    return {name: m[1 if m.re.groups else 0] or name if m else name for name, m in found.items()}


def join_groups(groups: dict[str, str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Groups that a pair of names connects become one, called after the first of them."""
    heads = {group: group for group in groups.values()}

    def head(group: str) -> str:
        while heads[group] != group:
            group = heads[group]
        return group

    for pair in pairs:
        first, second = sorted(head(groups[name]) for name in pair)
        heads[second] = first
    return {name: head(group) for name, group in groups.items()}


def deal_groups(groups: dict[str, str], shares: dict[str, float], seed: int = 0) -> dict[str, str]:
    """Whole groups into train, val and test, as near to 70, 15 and 15 in 100 as they allow.

    shares: of person, by name: each split gets small and large people alike.
    Raises: UserError with fewer than three groups.
    """
    count = max(3, min(7, len(set(groups.values()))))
    folds = deal_folds(groups, shares, count, seed)
    sizes, wanted = Counter(folds.values()), [share * len(groups) for share in SPLIT_SHARES[1:]]
    # The two parts that come nearest to what val and test should hold; train is the rest.
    best = min(permutations(range(count), 2), key=lambda two: _misfit([sizes[i] for i in two], wanted))
    places = dict(zip(best, ("val", "test"), strict=True))
    return {name: places.get(fold, "train") for name, fold in folds.items()}


def _misfit(sizes: list[int], wanted: list[float]) -> float:
    return sum(abs(a - b) for a, b in zip(sizes, wanted, strict=True)) + abs(sum(sizes) - sum(wanted))


def deal_folds(groups: dict[str, str], shares: dict[str, float], count: int, seed: int = 0) -> dict[str, int]:
    """A number from 0 to count - 1 for every name: parts of like size, each group whole.

    Raises: UserError where there are fewer groups than parts, or fewer than three parts.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to load

    names, held = list(groups), len(set(groups.values()))
    if count < 3:
        raise UserError(f"cross-validation needs three folds or more, found {count}: try --folds 5.")
    if count > held:
        cure = "add pictures, or give smaller groups" + ", or take fewer folds" * (count > 3)
        raise UserError(f"{count} parts need as many groups, found {held}: {cure}.")
    share = np.array([shares.get(name, 0.0) for name in names])
    kind = np.digitize(share, np.quantile(share, [1 / 3, 2 / 3]))  # small, middling and large people
    if held < 10 * count or np.unique(kind, return_counts=True)[1].min() < count:
        kind[:] = 0  # of few groups, parts of like size are all that can be had
    dealer, folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed), {}
    for fold, (_, chosen) in enumerate(dealer.split(names, kind, list(groups.values()))):
        folds |= {names[i]: fold for i in chosen}
    return folds


def person_shares(folder: Path, names: list[str]) -> dict[str, float]:
    """Share of marked pixels in the mask of each name; names without one are left out."""
    masks = pictures_by_name(folder / "masks")
    return {name: float((mask_values(masks[name], False) > 127).mean()) for name in names if name in masks}


def find_leaks(*folders: str | Path, splits: str | Path | None = None, labels: str = "masks") -> list[str]:
    """What lies in one split of data sets and, as good as the same, in another: a sentence for each kind.

    Looked for are groups that were dealt apart, pictures whose pixels are (nearly) the same, and, where no
    groups are given, names that look like a film or a series.   splits, labels: as in find_samples.
    """
    sets = {folder: find_samples(folder, labels=labels, splits=splits) for folder in folders}
    found, cures = [], {}
    for folder, samples in sets.items():
        split, groups = {s.name: s.split for s in samples}, {s.name: s.group for s in samples}
        table = Path(splits or Path(folder) / "splits.csv")
        cures[Path(folder)] = cure = f"segkit data split {folder}" + " --overwrite" * table.exists()
        if torn := torn_groups(groups, split):
            found.append(
                f"leak: {len(torn)} groups lie in more than one split, such as {torn[0]}. "
                f"The cure: correct '{table}', or {cure} --group ..."
            )
        if all(group == name for name, group in groups.items()) and (said := series_leak(split, cure)):
            found.append(f"leak: {said}")
    of = {str(s.image): s for samples in sets.values() for s in samples}
    if len(of) > MOST_COMPARED:
        return [*found, f"{len(of)} pictures are too many to look for copies here: segkit doctor FOLDER"]
    alike = near_duplicates(thumbnails({path: s.image for path, s in of.items()}))
    alike = [(a, b) for a, b in alike if of[a].split != of[b].split]
    for inside in (True, False):
        pairs = [(a, b) for a, b in alike if (of[a].folder == of[b].folder) == inside]
        for a, b in pairs[:1]:
            cure = cures[of[a].folder] if inside else "take them out of one of the two data sets"
            found.append(
                f"leak: {len({*chain(*pairs)})} pictures are nearly the same picture as one in another "
                f"split, such as '{a}' ({of[a].split}) and '{b}' ({of[b].split}). The cure: {cure}"
            )
    return found


def series_leak(splits: dict[str, str], command: str) -> str | None:
    """What to say where names look like a series that lies in more than one split.

    command: the one that deals the set anew, without its group.
    """
    pattern = series_pattern(list(splits))
    groups = group_by_pattern(splits, pattern) if pattern else {}
    if not torn_groups(groups, splits):
        return None
    cure = f"One command cures it: {command} --group '{pattern}'"
    if (count := len(set(groups.values()))) < len(SPLITS):
        cure = f"{count} of them fill{'s' * (count == 1)} no {len(SPLITS)} splits: add pictures of other ones"
    return f"the names look like a film or a series, whose pictures lie in more than one split. {cure}"


def torn_groups(groups: dict[str, str], split: dict[str, str]) -> list[str]:
    """The groups that lie in more than one split; both arguments by name."""
    places = Counter(group for group, _ in {(group, split[name]) for name, group in groups.items()})
    return sorted(group for group, count in places.items() if count > 1)


FILM = r"(?i)(frame|frm|slice|film|video|clip|scan|_mp4-|_mov-|_avi-|image-|im-\d+-|(^|[\W_])[fzt])[\W_]*$"


def series_pattern(names: list[str]) -> str | None:
    """A pattern for names such as film_0001, scan12/slice-7 or 1.2.840.3; None for other names.

    A series is three names or more that differ in their last number alone. One series alone is a film where
    it is called frame, slice or the like: numbered photographs are no film. One or two make no three splits,
    so they are cut into stretches. What Roboflow makes of one picture, by turning and brightening, ends in
    .rf. and signs.
    """
    # What all names end in does not count; Roboflow adds another ending to each.
    letters = zip(*(name[::-1] for name in names), strict=False)
    shared = "".join(some[0] for some in takewhile(lambda some: len({*some}) == 1, letters))[::-1]
    shared = re.escape(re.search(r"\D.*|$", shared)[0])
    ending = r"_[a-z]+\.rf\.\w+" if names and all(".rf." in name for name in names) else shared
    found = [m[1] for name in names if (m := re.fullmatch(rf"(.*\D)\d+{ending}", name))]
    counts = Counter(found)
    long = [start for start, count in counts.items() if count >= 3]
    photographs = len(long) == 1 and not re.search(FILM, long[0])
    if photographs or 2 * sum(counts[start] for start in long) < len(names):
        pictures = {name.partition(".rf.")[0] for name in names}
        return r"(.+)\.rf\." if len(pictures) < len(names) else None
    films, stretches = r"(.*\D)\d+" + ending, r"(.*)\d" + r"\d" * (len(found) >= 300) + ending
    enough = len(SPLITS) <= len(set(group_by_pattern(names, stretches).values())) < len(names)
    return stretches if len(long) < 3 and enough else films


def thumbnails(images: dict[str, Path]) -> dict[str, np.ndarray]:
    """Grey 32x32 pictures by name; those that cannot be read are left out."""

    def small(path: Path) -> np.ndarray | None:
        with contextlib.suppress(UserError):  # whoever needs the picture says what is wrong with it
            return thumbnail(read_image(path, at_least=64))

    with ThreadPoolExecutor() as pool:
        made = zip(images, pool.map(small, images.values()), strict=True)
        return {name: picture for name, picture in made if picture is not None}


def thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 RGB (H, W, 3) -> grey float32 (32, 32): enough to tell two photographs apart."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)


def near_duplicates(thumbnails: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """Pairs of names whose grey 32x32 thumbnails are nearly one picture or its mirror image.

    Brightness and contrast do not count. A copy that was saved again, resized or brightened keeps a
    correlation above 0.99; two photographs of one person on one street stay below. Each picture is paired
    with the first few like it that stand before it, for a still camera's frames would make millions of pairs.
    """
    names = list(thumbnails)
    flat = np.stack([t.ravel() for t in thumbnails.values()]) if names else np.zeros((0, 1024), np.float32)
    flat = flat - flat.mean(1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1)
    uniform = lengths < 32  # a plain surface is like every other plain surface: no evidence
    flat = flat / np.maximum(lengths, 1e-6)[:, None]
    flat[uniform] = 0
    mirrored = flat.reshape(len(flat), 32, 32)[:, :, ::-1].reshape(flat.shape)
    pairs = []
    for start in range(0, len(names), 1024):  # in strips, so that large sets fit the memory
        strip = flat[start : start + 1024]
        alike = np.maximum(strip @ flat.T, strip @ mirrored.T) > ALIKE
        for at, row in enumerate(alike, start):
            pairs += [(i, at) for i in np.flatnonzero(row[:at])[:MOST_PAIRS]]
    return [(names[i], names[j]) for i, j in sorted(pairs)]


def write_splits(
    folder: str | Path, splits: dict[str, str], groups: dict[str, str] | None = None, overwrite: bool = False
) -> Path:
    """Write splits.csv, to look at or change by hand.

    splits: by name.   groups: by name, what it belongs to.   Returns: its path.
    Raises: UserError rather than replace a splits.csv, unless overwrite is true.
    """
    path = Path(folder) / "splits.csv"
    if path.exists() and not overwrite:
        raise UserError(f"'{path}' exists already and may be hand-made: --overwrite deals anew.")
    table = read_table(path, names=splits) if path.exists() else {}  # its other columns stay
    rows = [
        table.get(name, {}) | {"name": name, "split": split} | ({"group": groups[name]} if groups else {})
        for name, split in sorted(splits.items())
    ]
    return write_table(path, rows)

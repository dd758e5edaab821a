"""A reader's own folder as a data set with three splits. Introduced in notebook 15."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from segkit.data import SPLITS, assign_splits, displayed_size, find_samples
from segkit.files import UserError, read_mask
from segkit.sets.groups import deal_folder, deal_groups, group_by_pattern, series_pattern, write_splits
from segkit.sets.importers import import_folder

FEWEST = 3
"""Pictures: one to train on, one to choose by, one to score."""


# --- your own folder ------------------------------------------------------------------------------------


def open_folder(
    data_dir: str | Path,
    work: str | Path,
    classes: str | None = None,
    class_name: str | None = None,
    group: str | None = None,
) -> Path:
    """A folder of pictures and masks in (nearly) any layout, as a data set with three splits.

    A folder that already is one is taken as it is. Any other goes through segkit.sets.importers into
    work/data, and what was understood is printed. Nothing is written into data_dir.

    classes: which class names or mask values are meant, as in `segkit data import --classes`.
    class_name: what they are called, such as ear.
    group: what belongs together, as in `segkit data split --group`; None finds names that look like a series.
    Returns: the folder to train on.   Raises: UserError in one sentence.   Introduced in notebook 15.
    """
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise UserError(f"'{data_dir}' is not a folder: data_dir names one that holds pictures and masks.")
    if not (classes or class_name or group) and _is_ready(folder):
        return folder
    out = Path(work) / "data"
    print(import_folder(folder, out, classes=classes or None, progress=False, class_name=class_name or None))
    names = [sample.name for sample in find_samples(out)]
    if not group and not (out / "splits.csv").exists() and (pattern := series_pattern(names)):
        group = pattern if len(set(group_by_pattern(names, pattern).values())) >= FEWEST else None
    if group:
        print(deal_folder(out, group=group, overwrite=True))
    else:
        complete_splits(out)
    return out


def _is_ready(folder: Path) -> bool:
    """Whether training can read every pair of a folder, and each split holds some."""
    try:
        samples = find_samples(folder)
        with ThreadPoolExecutor() as pool:
            fits = pool.map(lambda s: read_mask(s.mask).shape == displayed_size(s.image), samples)
            return all(fits) and len({sample.split for sample in samples}) == len(SPLITS)
    except UserError:
        return False


def complete_splits(folder: str | Path) -> None:
    """Give a data set the splits it lacks, taken from the training pictures, and write splits.csv.

    Many sets bring train and test and no validation split. What is named keeps its place, and what
    belongs together stays together. Where there are too few groups to spare one, pictures are given by name;
    where there are too few training pictures as well, all are dealt anew.
    Raises: UserError where there are fewer than 3 pictures.
    """
    folder = Path(folder)
    samples = find_samples(folder)
    if len(samples) < FEWEST:
        raise UserError(
            f"'{folder}' holds {len(samples)} usable pictures: one to train on, one to choose by and one to "
            "score are the least. Twenty are a start."
        )
    splits = {sample.name: sample.split for sample in samples}
    missing = [split for split in SPLITS if split not in splits.values()]
    givers = [sample for sample in samples if sample.split == "train"] or samples
    groups = {sample.name: sample.group for sample in givers}
    if len(set(groups.values())) <= len(missing):
        groups = dict(zip(groups, groups, strict=True))
    sizes = Counter(groups.values())
    if len(sizes) >= FEWEST:
        dealt = deal_groups(groups, {})
    else:  # the smallest is given, the largest stays
        given = dict(zip(sorted(sizes, key=sizes.get)[:-1], missing, strict=False))
        dealt = {name: given.get(group) for name, group in groups.items()}
    splits |= {name: split for name, split in dealt.items() if split in missing}
    if len(set(splits.values())) < len(SPLITS):
        splits = assign_splits(sorted(splits))
    write_splits(folder, splits, overwrite=True)

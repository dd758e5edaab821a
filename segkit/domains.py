"""The same network for something else than people: ears, organs, cells, your own folder. Notebook 15."""

import csv
import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch import nn

from segkit.augment import Augmentation
from segkit.checkpoint import load_checkpoint
from segkit.data import (
    SPLIT_SHARES,
    Preprocessing,
    SegmentationDataset,
    assign_splits,
    displayed_size,
    find_samples,
    load_dataset,
)
from segkit.files import UserError, read_mask, write_image
from segkit.importers import import_folder
from segkit.metrics import count_pixels
from segkit.models import build_model
from segkit.predict import Segmenter, find_checkpoint
from segkit.train import Run, TrainConfig, fit

FEWEST = 3
"""Pictures: one to train on, one to choose by, one to score."""


# --- your own folder ------------------------------------------------------------------------------------


def open_folder(data_dir: str | Path, work: str | Path, classes: str | None = None) -> Path:
    """A folder of pictures and masks in (nearly) any layout, as a data set with three splits.

    A folder that already is one is taken as it is. Any other goes through segkit.importers into
    work/data, and what was understood is printed. Nothing is written into data_dir.

    classes: which class names or mask values are meant, as in `segkit data import --classes`.
    Returns: the folder to train on.   Raises: UserError in one sentence.   Introduced in notebook 15.
    """
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise UserError(f"'{data_dir}' is not a folder: data_dir names one that holds pictures and masks.")
    if not classes and _is_ready(folder):
        return folder
    out = Path(work) / "data"
    print(import_folder(folder, out, classes=classes or None, progress=False))
    complete_splits(out)
    return out


def _is_ready(folder: Path) -> bool:
    """Whether training can read every pair of a folder, and each split holds some."""
    try:
        samples = find_samples(folder)
        with ThreadPoolExecutor() as pool:
            fits = pool.map(lambda s: read_mask(s.mask).shape == displayed_size(s.image), samples)
            return all(fits) and len({sample.split for sample in samples}) == len(SPLIT_SHARES)
    except UserError:
        return False


def complete_splits(folder: str | Path, seed: int = 0) -> dict[str, int]:
    """Give a data set the splits it lacks, taken from the training pictures, and write splits.csv.

    Many sets bring train and test and no validation split. What is named keeps its place.
    Returns: the count of each split.   Raises: UserError where there are fewer than 3 pictures.
    """
    folder = Path(folder)
    samples = find_samples(folder, seed)
    if len(samples) < FEWEST:
        raise UserError(
            f"'{folder}' holds {len(samples)} usable pictures: one to train on, one to choose by and one to "
            "score are the least. Twenty are a start."
        )
    splits = {sample.name: sample.split for sample in samples}
    for missing, share in (("val", SPLIT_SHARES[1]), ("test", SPLIT_SHARES[2]), ("train", SPLIT_SHARES[0])):
        if missing in splits.values():
            continue
        givers = [name for name, split in splits.items() if split == "train"] or list(splits)
        dealt = assign_splits(givers, seed)  # which names move depends on the names alone
        order = sorted(givers, key=lambda name: (dealt[name] == "train", name))
        splits |= dict.fromkeys(order[: max(1, round(share * len(givers)))], missing)
    if len(set(splits.values())) < len(SPLIT_SHARES):
        splits = assign_splits(sorted(splits), seed)
    with (folder / "splits.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("name", "split"), *splits.items()])
    return dict(Counter(splits.values()))


# --- training on few pictures ---------------------------------------------------------------------------


class Excerpt(SegmentationDataset):
    """Some pictures of a loaded data set, repeated until an epoch is `length` long.

    With eight pictures an epoch is over at once; repeated, each round shows them in other augmentations.
    """

    def __init__(self, base: SegmentationDataset, indexes: Sequence[int], length: int):
        self.__dict__.update(base.__dict__)
        self.base, self.indexes, self.length = base, list(indexes), length
        self.samples = [base.samples[index] for index in self.indexes]

    def __len__(self) -> int:
        return self.length

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.base.pair(self.indexes[index % len(self.indexes)])


def starting_network(start_from: str, size: int, fresh: bool = False) -> tuple[nn.Module, Preprocessing]:
    """A trained network to go on with, and its preprocessing at another size.

    fresh: the same network with random weights, to see what the training before was worth.
    Raises: UserError.   Introduced in notebook 15.
    """
    model, info = load_checkpoint(find_checkpoint(start_from))
    if fresh:
        model = build_model(**info.model)
    return model.requires_grad_(True), replace(info.preprocessing, size=size)


def fine_tune(
    model: nn.Module,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset,
    run: str | Path,
    num_steps: int = 60,
    batch_size: int = 8,
    pictures: int | None = None,
    rounds: int = 4,
    seed: int = 0,
    **settings,
) -> Run:
    """Train for a number of steps, however few pictures there are; after each round, validate.

    pictures: train on so many of them, drawn by the seed; None takes all.
    settings: other fields of TrainConfig.
    Returns: Run, as from segkit.train.fit.   Raises: UserError.   Introduced in notebook 15.
    """
    count = len(train_set) if pictures is None else min(pictures, len(train_set))
    chosen = np.random.default_rng(seed).permutation(len(train_set))[:count]
    rounds = min(rounds, num_steps)
    excerpt = Excerpt(train_set, chosen.tolist(), -(-num_steps // rounds) * batch_size)
    config = TrainConfig(
        **{
            "size": train_set.preprocessing.size,
            "num_epochs": rounds,
            "batch_size": batch_size,
            "optimizer": "adamw",
            "weight_decay": 1e-4,
            "schedule": "cosine",
            # Choosing a precision costs more than a short training on a CPU would gain.
            "precision": "auto" if torch.cuda.is_available() else "fp32",
            "seed": seed,
        }
        | settings
    )
    if config.augment > 0:
        excerpt.transform = Augmentation(config.augment)
    excerpt.seed = seed
    return fit(model, excerpt, val_set, run, config)


def dice_of(checkpoint: str | Path, data: SegmentationDataset) -> np.ndarray:
    """Dice of each picture of a loaded data set, at the size it was loaded in: float (N,)."""
    network = Segmenter.load(checkpoint)
    pairs = [data.pair(index) for index in range(len(data))]
    probs = [network(image) for image, _ in pairs]
    pred, true = np.stack(probs) > network.threshold, np.stack([mask for _, mask in pairs])
    return count_pixels(pred, true).dice().numpy()


STARTS = {
    "person-base": {"start_from": "person-base", "lr": 1e-3},
    "small, from nothing": {"start_from": "person-small", "fresh": True, "lr": 3e-3},
}
"""Two ways to begin: trained weights, or a U-Net a quarter as large with random ones."""


def learning_curve(
    folder: str | Path,
    run: str | Path,
    counts: Sequence[int],
    starts: dict[str, dict] = STARTS,
    num_seeds: int = 2,
    num_steps: int = 40,
    size: int = 64,
    batch_size: int = 8,
    augment: float = 0.0,
) -> list[dict]:
    """Train on ever more pictures, from each start, and score on the test split.

    counts: of pictures; more than there are means all.   starts: by name, what starting_network takes, and
        lr.   Every point is trained num_seeds times; the seed decides which pictures are drawn as well.
    All trainings take the same number of steps.
    augment: strength of the augmentation; without it few pictures show as few.
    Returns: rows with start, pictures, seed and dice (mean over the test pictures).   Notebook 15.
    """
    rows = []
    for name, settings in starts.items():
        settings = dict(settings)
        lr = settings.pop("lr")
        _, preprocessing = starting_network(size=size, **settings)
        sets = {
            split: load_dataset(folder, split=split, preprocessing=preprocessing)
            for split in ("train", "val", "test")
        }
        for pictures in sorted({min(count, len(sets["train"])) for count in counts}):
            for seed in range(num_seeds):
                torch.manual_seed(seed)  # random weights are drawn here
                model, _ = starting_network(size=size, **settings)
                place = Path(run) / f"{name}-{pictures}-{seed}"
                done = fine_tune(
                    model,
                    sets["train"],
                    sets["val"],
                    place,
                    num_steps,
                    batch_size,
                    pictures,
                    rounds=2,
                    seed=seed,
                    lr=lr,
                    augment=augment,
                )
                dice = float(dice_of(done.checkpoint, sets["test"]).mean())
                rows.append({"start": name, "pictures": pictures, "seed": seed, "dice": dice})
                shutil.rmtree(place, ignore_errors=True)  # the score is what is wanted
    return rows


def baselines(train_set: SegmentationDataset, test_set: SegmentationDataset) -> dict[str, float]:
    """Mean Dice of answers that took no network: what a score has to beat.

    "all of it"; "where it usually is": the mean training mask, cut at one half; "the bright part" and "the
    dark part": each picture cut by Otsu's method (1979); "the brightest": as many pixels as in the mean mask.
    """
    images = np.stack([test_set.pair(i)[0] for i in range(len(test_set))])
    masks = np.stack([test_set.pair(i)[1] for i in range(len(test_set))])
    mean_mask = np.mean([train_set.pair(i)[1] for i in range(len(train_set))], axis=0)
    grey = images.astype(float).mean(-1)
    cuts = np.quantile(grey, 1 - mean_mask.mean(), axis=(1, 2), keepdims=True)
    bright = np.stack([_otsu(image) for image in images])
    answers = {
        "all of it": np.ones_like(masks),
        "where it usually is": np.broadcast_to(mean_mask > 0.5, masks.shape).copy(),
        "the bright part": bright,
        "the dark part": ~bright,
        "the brightest": grey > cuts,
    }
    return {name: count_pixels(pred, masks).dice().mean().item() for name, pred in answers.items()}


def _otsu(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1] > 0


# --- a medical set --------------------------------------------------------------------------------------

SLICES = range(18, 78, 3)
"""Of the template, from the base of the brain to near its top; every third one."""
SPACING = (6.0, 2.0, 2.0)
"""Millimetres from slice to slice, row to row, column to column."""


def load_brain() -> tuple[np.ndarray, np.ndarray]:
    """The MNI brain template that ships with nilearn: T1 and white matter, float32 (Z, Y, X) in [0, 1].

    Slices lie one above the other, 2 mm apart, front of the head at the top of each. It is the average of 152
    healthy young adults (ICBM 2009a, symmetric; Fonov et al., 2009), so it is nobody's.
    Raises: UserError when nilearn is missing.
    """
    try:
        from nilearn.datasets import load_mni152_template, load_mni152_wm_template
    except ImportError:
        raise UserError(
            "the brain template comes with nilearn: pip install 'segkit[domains]', "
            "or set data_dir to a folder of your own."
        ) from None
    volumes = (load(resolution=2).get_fdata() for load in (load_mni152_template, load_mni152_wm_template))
    t1, white = (np.ascontiguousarray(v.transpose(2, 1, 0)[:, ::-1].astype(np.float32)) for v in volumes)
    return t1, white


def make_patient(
    t1: np.ndarray, white: np.ndarray, seed: int, slices: Sequence[int] = SLICES
) -> tuple[np.ndarray, np.ndarray]:
    """A made-up patient: the template bent smoothly, in the shading and noise of another scanner.

    Patients of an odd seed come in another contrast, in which white matter is the darker tissue, as in a T2
    scan: no rule of brightness finds it in both.

    t1, white: from load_brain.   slices: which ones to return.
    Returns: images uint8 (D, H, W) and white matter bool (D, H, W).
    """
    rng, slices = np.random.default_rng((seed, 15)), np.asarray(slices)

    def smooth(strength: float) -> np.ndarray:
        """A random field that changes slowly, at the wanted slices."""
        coarse = ndimage.zoom(rng.normal(0, strength, (4, 5, 4)), (len(t1) / 4, 1, 1), order=3)[slices]
        size = t1.shape[2], t1.shape[1]
        return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_CUBIC) for one in coarse])

    grid = np.stack(np.meshgrid(slices, *map(np.arange, t1.shape[1:]), indexing="ij")).astype(np.float32)
    centre = np.array(t1.shape).reshape(3, 1, 1, 1) / 2
    scale = rng.uniform(0.94, 1.06, (3, 1, 1, 1))
    places = centre + (grid - centre) / scale + np.stack([smooth(2.2) for _ in range(3)])
    image, mask = (ndimage.map_coordinates(volume, places, order=1) for volume in (t1, white))
    image = image.clip(0, 1) ** rng.uniform(0.7, 1.5)
    if seed % 2:
        image = (1.1 - image) * (6 * image).clip(0, 1)  # the air around the head stays dark
    image = image * (1 + smooth(0.12)) * rng.uniform(0.7, 1.0)  # coils that are nearer shine brighter
    image = image + rng.normal(0, rng.uniform(0.02, 0.06), image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8), mask > 0.5


def make_brain_set(
    out: str | Path, brain: tuple[np.ndarray, np.ndarray], patients: int = 10, seed: int = 0
) -> Path:
    """Write slices of made-up patients as a data set. All slices of a patient go to one split.

    brain: from load_brain.   Returns: out, with images/pPP_zZZ.png, masks/, and splits.csv, which also
    names the patient.   Raises: UserError for fewer than 3 patients.
    """
    if patients < FEWEST:
        raise UserError(f"three splits need three patients or more, found {patients}.")
    out, rows = Path(out), [("name", "split", "patient")]
    held_out = max(1, round(0.2 * patients))
    for patient in range(patients):
        split = "test" if patient < held_out else "val" if patient < 2 * held_out else "train"
        images, masks = make_patient(*brain, seed=1000 * seed + patient)
        for z, image, mask in zip(SLICES, images, masks, strict=True):
            name = f"p{patient:02}_z{z:02}"
            write_image(out / "images" / f"{name}.png", image)
            write_image(out / "masks" / f"{name}.png", mask.astype(np.uint8) * 255)
            rows.append((name, split, f"p{patient:02}"))
    with (out / "splits.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return out


# --- a set of small things ------------------------------------------------------------------------------


def make_spots(out: str | Path, count: int = 160, size: int = 64, seed: int = 0) -> Path:
    """Write pictures with one spot each, from 2 to 30 pixels wide, on noisy ground: a data set.

    Half of the spots are less than 8 pixels wide.   Returns: out.
    """
    out, rng = Path(out), np.random.default_rng((seed, 16))
    for i in range(count):
        radius = np.exp(rng.uniform(np.log(1), np.log(15)))
        y, x = rng.uniform(radius, size - radius, 2)
        rows, columns = np.mgrid[:size, :size]
        stretch, turn = rng.uniform(1, 1.5), rng.uniform(0, np.pi)
        along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
        across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
        mask = np.hypot(along / stretch, across * stretch) <= radius
        ground = ndimage.gaussian_filter(rng.normal(0, 1, (size, size)), 4) * 1.2
        image = 0.45 + ground * 0.12 + 0.16 * ndimage.gaussian_filter(mask.astype(float), 0.8)
        image = image + rng.normal(0, 0.07, image.shape)
        write_image(out / "images" / f"{i:03}.png", (image.clip(0, 1) * 255).astype(np.uint8))
        write_image(out / "masks" / f"{i:03}.png", mask.astype(np.uint8) * 255)
    return out


def drop_specks(mask: np.ndarray, least: int) -> np.ndarray:
    """Take out every connected piece of fewer than `least` pixels: bool (H, W) -> bool (H, W)."""
    _, pieces, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = boxes[:, cv2.CC_STAT_AREA] >= least
    large[0] = False  # the ground
    return large[pieces]

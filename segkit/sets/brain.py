"""The same network for something else than people: ears, organs, cells, your own folder. Notebook 15."""

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from segkit.files import UserError, require, write_image
from segkit.sets.own_folder import FEWEST

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
    require("nilearn", extra="domains", otherwise="or set data_dir to a folder of your own")
    from nilearn.datasets import load_mni152_template, load_mni152_wm_template

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

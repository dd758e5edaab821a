"""The same network for something else than people: ears, organs, cells, your own folder. Notebook 15."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from segkit.files import UserError, require, write_image
from segkit.sets.groups import deal_folder
from segkit.sets.importers import write_class_name
from segkit.sets.own_folder import FEWEST

# --- a medical set --------------------------------------------------------------------------------------

SLICES = range(18, 78, 3)
"""Of the template, from the base of the brain to near its top; every third one."""

SPACING = (6.0, 2.0, 2.0)
"""Millimetres from slice to slice, row to row, column to column."""


PATIENT = r"(p\d+)"
"""The pattern on the names of slices that says whose they are: what belongs together."""


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
    """Write slices of made-up patients as a data set, dealt so that a patient lies in one split.

    brain: from load_brain.   Returns: out, with images/pPP_zZZ.png, masks/, dataset.yaml and splits.csv,
    whose groups are the patients.   Raises: UserError for fewer than 3 patients.
    """
    if patients < FEWEST:
        raise UserError(f"three splits need three patients or more, found {patients}.")
    out = Path(out)
    for patient in range(patients):
        images, masks = make_patient(*brain, seed=1000 * seed + patient)
        for z, image, mask in zip(SLICES, images, masks, strict=True):
            write_image(out / "images" / f"p{patient:02}_z{z:02}.png", image)
            write_image(out / "masks" / f"p{patient:02}_z{z:02}.png", mask.astype(np.uint8) * 255)
    write_class_name(out, "white matter")
    deal_folder(out, seed, group=PATIENT, overwrite=True)
    return out


# --- a set of ears --------------------------------------------------------------------------------------


def make_ears(out: str | Path, heads: int = 20, size: int = 96, seed: int = 0) -> Path:
    """Draw heads from the side, two pictures of each, in which the class is ear: a data set.

    Names are h03_0 and h03_1: the two pictures of one head differ in side, place and light.
    Returns: out, with images/, masks/ and dataset.yaml.
    """
    out = Path(out)
    for head in range(heads):
        for view in range(2):
            image, mask = draw_head((seed, 17, head), view, size)
            write_image(out / "images" / f"h{head:02}_{view}.png", image)
            write_image(out / "masks" / f"h{head:02}_{view}.png", mask.astype(np.uint8) * 255)
    write_class_name(out, "ear")
    return out


def draw_head(head: Sequence[int], view: int, size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A head from the side: image uint8 (size, size, 3), and its ear bool (size, size).

    head: a seed that decides who it is.   view: decides side, place and light.
    """
    who, rng, side = np.random.default_rng(head), np.random.default_rng((*head, view)), 4 * size
    skin = np.array([226, 172, 140]) * who.uniform(0.45, 1.05) + who.uniform(-12, 12, 3)
    hair = np.array([150, 110, 70]) * who.uniform(0.15, 1.3)
    length, width = who.uniform(0.13, 0.2), who.uniform(0.5, 0.65)
    lean, lobe = who.uniform(-15, 25), who.uniform(0.3, 0.5)
    fringe, scale = who.uniform(-60, 20), rng.uniform(0.7, 1.15) * side
    x, y = (rng.uniform(0.25, 0.75, 2) * side).astype(int)
    picture = np.empty((side, side, 3), np.float32)
    picture[:] = rng.uniform(60, 200, 3) + np.linspace(-30, 30, side)[:, None] * rng.uniform(-1, 1)
    mask = np.zeros((side, side), np.uint8)

    def oval(canvas, at, axes, colour, turn=0.0, start=0, end=360, thick=-1):
        """Place and axes in shares of the head, from its ear hole; to the left is the face."""
        centre = int(x + at[0] * scale), int(y + at[1] * scale)
        axes = tuple(max(1, int(a * scale)) for a in axes)
        colour = colour if np.isscalar(colour) else tuple(map(float, colour))
        thick = max(1, int(thick * scale)) if thick > 0 else -1
        cv2.ellipse(canvas, centre, axes, turn, start, end, colour, thick)

    oval(picture, (0.06, 0.55), (0.17, 0.4), skin * 0.85)  # neck
    oval(picture, (-0.03, -0.08), (0.4, 0.46), skin)
    oval(picture, (-0.41, 0.03), (0.09, 0.05), skin * 0.97, 20)  # nose
    oval(picture, (-0.29, -0.1), (0.05, 0.025), (240, 240, 235))
    oval(picture, (-0.31, -0.1), (0.02, 0.024), (40, 30, 25))
    oval(picture, (-0.32, 0.2), (0.07, 0.018), skin * [0.8, 0.55, 0.55])  # lips
    oval(picture, (0.03, -0.15), (0.43, 0.43), hair, 0, 180 - fringe, 410)
    oval(picture, (-0.02, -0.02), (0.26, 0.3), skin, 0, 60, 260)
    for _ in range(60):  # strands
        turn = rng.uniform(0, 150)
        axes, tint = rng.uniform(0.3, 0.43, 2), hair * rng.uniform(0.7, 1.3)
        oval(picture, (0.03, -0.15), axes, tint, turn, 200, rng.uniform(210, 260), 0.006)
    low = np.array([-np.sin(np.radians(lean)), np.cos(np.radians(lean))]) * length
    for canvas, colours in ((picture, (skin * 1.06, skin * 1.06)), (mask, (1, 1))):
        oval(canvas, (0, 0), (length * width, length), colours[0], lean)
        oval(canvas, low * 0.8, (length * lobe, length * 0.36), colours[1], lean)
    oval(picture, (0, 0), (length * width * 0.95, length * 0.95), skin * 0.72, lean, 150, 390, 0.012)  # helix
    oval(picture, low * 0.05, (length * width * 0.55, length * 0.6), skin * 0.82, lean)
    oval(picture, low * 0.15, (length * width * 0.32, length * 0.33), skin * 0.5, lean)  # the hole
    if who.random() < 0.3:
        oval(picture, low * 1.05, (0.015, 0.015), (235, 215, 120))  # an ear-ring is not ear
    light = 1 + rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, side)[None, :, None] + rng.uniform(-0.15, 0.15)
    picture = cv2.resize(picture * light.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    mask = mask[2::4, 2::4]
    picture += 14 * ndimage.gaussian_filter(rng.normal(0, 1, picture.shape), (1, 1, 0))
    step = -1 if view % 2 else 1  # the other side of the head
    return picture.clip(0, 255).astype(np.uint8)[:, ::step].copy(), mask[:, ::step] > 0

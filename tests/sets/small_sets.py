"""Small sets in a temporary folder, and what the import of one gave."""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from segkit.sets.importers import import_folder

ELSEWHERE = Path(__file__).parent / "written_elsewhere"
RNG = np.random.default_rng(0)
H, W = 36, 48
RING, BLOCK = (np.asarray(Image.open(ELSEWHERE / f"{name}.png")) > 0 for name in ("ring", "block"))
SQUARE = np.zeros((H, W), bool)
SQUARE[4:12, 6:20] = True
OUTLINE = [[6, 4], [19, 4], [19, 11], [6, 11]]  # of the square; Pillow paints the corners too


def save(path: Path, pixels: np.ndarray | None = None, **options) -> Path:
    """Write a picture, 255 where a mask is true; without pixels, a photo of H x W."""
    pixels = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8) if pixels is None else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels * np.uint8(255) if pixels.dtype == bool else pixels).save(path, **options)
    return path


def pair(src: Path, mask: np.ndarray = SQUARE, name: str = "a") -> Path:
    """Write images/NAME.jpg, which is returned, and masks/NAME.png."""
    save(src / "masks" / f"{name}.png", mask)
    return save(src / "images" / f"{name}.jpg")


def write(src: Path, files: dict) -> None:
    """Write files by name: texts as they are, anything else as JSON."""
    for name, content in files.items():
        (src / name).parent.mkdir(parents=True, exist_ok=True)
        (src / name).write_text(content if isinstance(content, str) else json.dumps(content))


def take(src: Path, out: str = "out", **options):
    """Import a folder to one beside it; out: the name of that."""
    return import_folder(src, src.parent / out, progress=False, **options)


def masks(report) -> dict[str, np.ndarray]:
    """Read the result back, checking that it is the folder format."""
    images = {path.stem: path for path in (report.out / "images").iterdir()}
    found = {path.stem: np.asarray(Image.open(path)) for path in (report.out / "masks").iterdir()}
    assert images.keys() == found.keys() == set(report.written)
    for name, mask in found.items():
        assert images[name].suffix in (".jpg", ".png")
        assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255}
        assert ImageOps.exif_transpose(Image.open(images[name])).size == mask.shape[::-1]
    return {name: mask > 0 for name, mask in found.items()}


def people(report, name: str) -> list[np.ndarray]:
    numbers = np.asarray(Image.open(report.out / "instances" / f"{name}.png"))
    return [numbers == number for number in np.unique(numbers[numbers > 0])]


def within_a_pixel(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two masks differ at their outlines alone, and by no more than a pixel."""
    cross = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
    border = cv2.dilate(other.astype(np.uint8), cross) - cv2.erode(other.astype(np.uint8), cross) > 0
    return bool(one.any()) and not ((one != other) & ~border).any()

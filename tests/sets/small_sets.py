"""Small sets in a temporary folder, and what the import of one gave."""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from segkit.files import UserError
from segkit.sets.importers import Report, import_folder

ELSEWHERE = Path(__file__).parent / "written_elsewhere"
RNG = np.random.default_rng(0)
H, W = 36, 48
RING, BLOCK = (np.asarray(Image.open(ELSEWHERE / f"{name}.png")) > 0 for name in ("ring", "block"))
SQUARE, NOBODY = np.zeros((2, H, W), bool)
SQUARE[4:12, 6:20] = True
ONE = np.uint8(1)
OUTLINE = [[6, 4], [19, 4], [19, 11], [6, 11]]  # of the square; Pillow paints the corners too
ROWS, COLUMNS = np.mgrid[:H, :W] + 0.5


def save(path: Path, pixels: np.ndarray | None = None, **options) -> Path:
    """Write a picture, 255 where a mask is true; without pixels, a photo of H x W."""
    pixels = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8) if pixels is None else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels * np.uint8(255) if pixels.dtype == bool else pixels).save(path, **options)
    return path


def write(src: Path, files: dict) -> None:
    """Write files by name: pictures of arrays, photos for None, texts as they are, anything else as JSON."""
    for name, content in files.items():
        (src / name).parent.mkdir(parents=True, exist_ok=True)
        if content is None or isinstance(content, np.ndarray):
            save(src / name, content)
        elif isinstance(content, bytes):
            (src / name).write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            (src / name).write_text(text, encoding="utf-8")


def pairs(*names: str, mask: np.ndarray = SQUARE) -> dict:
    """The files images/NAME.jpg and masks/NAME.png, for write."""
    return {f"images/{name}.jpg": None for name in names} | {f"masks/{name}.png": mask for name in names}


def take(src: Path, files: dict | None = None, **options) -> Report:
    """Import a folder, to which files are added before, to a new one beside it."""
    write(src, files or {})
    new = next(at for i in itertools.count() if not (at := src.parent / f"out{i}").exists())
    return import_folder(src, new, progress=False, **options)


def check(
    src: Path,
    files: dict | None = None,
    expected: dict[str, np.ndarray | Callable] | None = None,
    said: Sequence[str] = (),
    failed: Sequence[str] = (),
    **options,
) -> Report:
    """Import a folder and compare: the masks by name, words of the report, and of each failure in turn."""
    report = take(src, files, **options)
    found = masks(report)
    assert found.keys() == (found if expected is None else expected).keys()
    for name, mask in (expected or {}).items():
        assert mask(found[name]) if callable(mask) else np.array_equal(found[name], mask), name
    assert len(report.failed) == len(failed), report.failed
    for words, text in [*zip(failed, report.failed, strict=True), *((words, str(report)) for words in said)]:
        assert words in text, (words, text)
    return report


def refuse(src: Path, files: dict, words: str, **options) -> None:
    """The import of a folder is refused by a sentence with these words."""
    with pytest.raises(UserError, match=words):
        take(src, files, **options)


def masks(report: Report) -> dict[str, np.ndarray]:
    """Read the result back, checking that it is the folder format."""
    images = {path.stem: path for path in (report.out / "images").iterdir()}
    found = {path.stem: np.asarray(Image.open(path)) for path in (report.out / "masks").iterdir()}
    assert images.keys() == found.keys() == set(report.written)
    for name, mask in found.items():
        assert images[name].suffix in (".jpg", ".png")
        assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255}
        assert ImageOps.exif_transpose(Image.open(images[name])).size == mask.shape[::-1]
    return {name: mask > 0 for name, mask in found.items()}


def people(report: Report, name: str) -> list[np.ndarray]:
    """The people of a picture, each a mask; none where they are not told apart."""
    path = report.out / "instances" / f"{name}.png"
    numbers = np.asarray(Image.open(path)) if path.exists() else NOBODY
    return [numbers == number for number in np.unique(numbers[numbers > 0])]


def rows(report: Report, table: str = "splits.csv") -> list[str]:
    """The lines of a table without its head."""
    return (report.out / table).read_text(encoding="utf-8").splitlines()[1:]


def near(other: np.ndarray) -> Callable[[np.ndarray], bool]:
    """Whether a mask differs from another at its outlines alone, and by no more than a pixel."""
    cross = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
    border = cv2.dilate(other.astype(np.uint8), cross) - cv2.erode(other.astype(np.uint8), cross) > 0
    return lambda one: bool(one.any()) and not ((one != other) & ~border).any()

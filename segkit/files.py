"""Reading pictures of every kind, writing files whole or not at all, and saying clearly what is wrong."""

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from platformdirs import user_cache_path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

MAX_PIXELS = 250_000_000
"""Pictures above this many pixels are refused: they would fill the memory of a laptop."""

IGNORE = 255
"""In a mask of class ids: pixels that neither loss nor metrics look at."""


class UserError(Exception):
    """Something a user can put right. Its one sentence says what was found, where, and what to do."""


def read_image(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """Read any picture as the person who took it sees it.

    The EXIF rotation is applied. Grey, palette, CMYK and 16-bit pictures become RGB, transparent
    pixels become white, and only the first frame of an animation is read.

    at_least: decode at a reduced size whose sides are still at least this long (JPEG only,
    several times faster); None keeps the full size.
    Returns: uint8 RGB (H, W, 3).   Raises: UserError.   Introduced in notebook 08.
    """
    with _opened(path) as picture:
        if at_least is not None:
            picture.draft("RGB", (at_least, at_least))
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16-bit grey: PIL would clip instead of scaling
            grey = np.asarray(picture).astype(np.float32) / 65535
            picture = Image.fromarray((grey.clip(0, 1) * 255).astype(np.uint8))
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        return np.array(picture.convert("RGB"))  # a copy: np.asarray of a Pillow picture is read-only


IGNORE = 255  # the label of pixels that neither loss nor metrics look at


def read_labels(path: str | Path) -> np.ndarray:
    """Read a mask file exactly as stored: uint8 (H, W), no interpretation of the values.

    Raises: UserError when the file is unreadable or is a colour picture.
    """
    with _opened(path) as picture:
        if picture.mode == "1":
            picture = picture.convert("L")
        elif picture.mode in ("RGB", "RGBA", "LA"):
            channels = np.array(picture.convert("RGB"))
            if (channels != channels[..., :1]).any():
                raise UserError(
                    f"mask '{path}' is a colour picture: a mask holds one number per pixel. "
                    "Save it as 8-bit grey PNG."
                )
            return channels[..., 0]
        labels = np.array(picture)
    if labels.dtype != np.uint8:
        raise UserError(f"mask '{path}' holds {labels.dtype} values: save it as 8-bit grey PNG.")
    return labels


def read_mask(path: str | Path) -> np.ndarray:
    """Read a person mask: 0 is background, anything over 127 is person.

    Returns: uint8 {0, 1} (H, W).
    Raises: UserError when every value is at most 127 but not all are 0; such a mask (often saved
    as 0/1) would silently read as empty.   Introduced in notebook 02.
    """
    labels = read_labels(path)
    if 0 < labels.max(initial=0) <= 127:
        raise UserError(
            f"mask '{path}' holds no value over {labels.max()}: a person pixel is over 127 (usually 255). "
            "Multiply the mask by 255 and save it again as PNG."
        )
    return (labels > 127).astype(np.uint8)


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture; turn every way this can fail into one sentence that names the file."""
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns at 90 megapixels; MAX_PIXELS is the limit here, and it is an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise UserError(
                        f"'{path}' is {width}x{height} pixels: at most {MAX_PIXELS:,} are read. "
                        "Make it smaller."
                    )
                yield picture
    except FileNotFoundError:
        raise UserError(f"'{path}' does not exist.") from None
    except IsADirectoryError:
        raise UserError(f"'{path}' is a folder, not a picture.") from None
    except PermissionError:
        raise UserError(f"'{path}' may not be read: check its permissions.") from None
    except Image.DecompressionBombError:
        raise UserError(f"'{path}' has more than {MAX_PIXELS:,} pixels. Make it smaller.") from None
    except UnidentifiedImageError:
        raise UserError(
            f"'{path}' is not a picture that can be read ({_what_it_looks_like(path)})."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on broken files
        raise UserError(f"'{path}' is damaged and cannot be read ({error}).") from None


def _what_it_looks_like(path: Path) -> str:
    start = path.read_bytes()[:64]
    if not start:
        return "the file is empty"
    return "it holds text" if start.isascii() and start.decode("ascii").isprintable() else "unknown format"


def write_image(path: str | Path, pixels: np.ndarray, quality: int = 92) -> Path:
    """Write uint8 (H, W), (H, W, 3) or (H, W, 4) to PNG or JPEG, whole or not at all. Returns the path."""
    path = Path(path)
    options = {"quality": quality} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, **options)
    return path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it replaces `path`, on failure it vanishes.

    A reader therefore never meets half a file, whatever interrupts the writer. Parent folders are made.
    Raises: UserError when the place cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays last, because many writers choose the format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o644)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"'{path}' could not be written ({error.strerror or error}).") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def list_images(folder: str | Path) -> list[Path]:
    """All pictures below a folder, sorted by path, hidden files left out.

    Raises: UserError when the folder does not exist or may not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"'{folder}' is not a folder.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UserError(f"folder '{folder}' may not be read: check its permissions.")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def cache_folder() -> Path:
    """Where downloads and caches go: $SEGKIT_DATA, or the usual cache folder of this system."""
    return Path(os.environ.get("SEGKIT_DATA") or user_cache_path("segkit"))


def embedded_path(name: str) -> Path:
    """Path of something that ships with segkit, such as "people".

    It is found in a clone (data/NAME) and in an installed package alike.   Raises: UserError.
    """
    for place in (Path(__file__).parent / "_embedded" / name, Path(__file__).parents[1] / "data" / name):
        if place.exists():
            return place
    raise UserError(
        f"'{name}' does not ship with this installation of segkit. Clone the repository to have it."
    )


def name_some(names: Sequence[str], most: int = 10) -> str:
    """The first names and how many more there are, for a sentence."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")

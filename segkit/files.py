"""Reading pictures of every kind, writing files whole or not at all, and saying clearly what is wrong."""

import contextlib
import csv
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin, UnidentifiedImageError
from platformdirs import user_cache_path

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"),
    *(".heic", ".heif"),  # need the package pillow-heif
)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
"""What a file may hold, whatever its name says. Pillow knows more, and some of it starts other programs."""

LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535, "AVIF": 65_536}
"""Pixels a side that these formats can hold."""

MAX_PIXELS = 150_000_000
"""Pictures above this many pixels are refused: they would fill the memory of a laptop."""

_LIMIT, _LIMITS = Lock(), []
"""Of the words in a PNG: what it was before each of our reads that runs now raised it; see open_picture."""

IGNORE = 255
"""In a mask of class ids: pixels that neither loss nor metrics look at."""

UNNAMED = 254
"""In a mask of class ids: some class, but not the background. Only the loss looks there."""

Picture = str | Path | bytes | BinaryIO | Image.Image
"""Where a picture comes from: a path, the bytes of a file, an open file, or a Pillow image."""

COLOUR = 1 << 24
"""Added to 0xRRGGBB, so that the blue #0000ff of a colour mask is not taken for the grey value 255."""


class UserError(Exception):
    """Something a user can put right. Its one sentence says what was found, where, and what to do."""


def read_image(source: Picture, at_least: int | None = None) -> np.ndarray:
    """Read any picture as the person who took it sees it.

    The EXIF rotation is applied, and colours of another profile become sRGB. Grey, palette, CMYK, 16-bit
    and float pictures become RGB, transparent pixels white unless all are; of an animation the first frame
    is read.

    at_least: decode at a reduced size whose sides are still at least this long (JPEG only,
    several times faster); None keeps the full size.
    Returns: uint8 RGB (H, W, 3).   Raises: UserError.   Introduced in notebook 08.
    """
    with open_picture(source) as picture:
        if at_least is not None:
            picture.draft("RGB", (at_least, at_least))
        profile, picture = picture.info.get("icc_profile"), _upright(picture)
        if picture.mode[0] in "IF":  # more than 8 bits: Pillow would clip instead of scaling
            picture = Image.fromarray(_eight_bits(np.asarray(picture), _named(source)))
        pixels = np.empty((picture.height, picture.width, 3), np.uint8)
        # In a BMP, an alpha of 0 everywhere may be no alpha at all.
        transparent = picture.has_transparency_data
        shown = transparent and any(band.convert("RGBA").getextrema()[3][1] for _, band in _bands(picture))
        for rows, band in _bands(picture):
            band = to_srgb(band, profile)
            if shown:
                band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band)
            pixels[rows] = np.asarray(band.convert("RGB"))
        return pixels


def _bands(whole: Image.Image, height: int = 1024) -> Iterator[tuple[slice, Image.Image]]:
    """A picture in pieces: converted as a whole, the largest would be in memory three times."""
    for top in range(0, whole.height, height):
        yield slice(top, top + height), whole.crop((0, top, whole.width, min(top + height, whole.height)))


def mask_values(path: str | Path, colours: bool = True) -> np.ndarray:
    """What every pixel of a mask says, however the file says it. Every reader of person masks uses this one.

    Greys are 0 to 255, in 16 bits and in floats from 0 to 1 as well; black alone may be called transparent.
    The numbers of a palette mean nothing: its colours are looked up. An alpha channel that is the same
    everywhere means nothing; where all that can be seen is of one colour, the alpha is the mask; otherwise
    what is transparent is 0.

    Returns: uint8 (H, W), or, where a colour is no grey, int32 (H, W): COLOUR + 0xRRGGBB, and 0 for black.
    Raises: UserError when the file is unreadable or ambiguous, or holds colours and `colours` is False.
    """
    two = (
        f"mask '{path}' says one thing in its greys and another in its alpha channel: which one is "
        "the mask? Save that one as 8-bit grey PNG."
    )
    with _opened_mask(path) as picture:
        if picture.mode in ("1", "L") or picture.mode[0] in "IF":
            values = np.array(picture.convert("L") if picture.mode == "1" else picture)
            key = picture.info.get("transparency")  # the grey that is called transparent
            if key and 0 < (values == key).mean() < 1:
                raise UserError(two)
            if 255 < values.max(initial=0) < 32_768:  # scaled to 8 bits, the first of them would be nobody
                raise UserError(f"mask '{path}' holds {_span(values)}: save it in 8 bits, marked as 255.")
            return _eight_bits(values, _named(path))
        low, high, shades, key, grey, grey_seen = 255, 0, set(), picture.mode in ("P", "RGB"), True, True
        for _, code, alpha, is_grey in _colours(picture):
            low, high = min(low, alpha.min()), max(high, alpha.max())
            shades |= {*np.unique(code[alpha > 0])[:33].tolist()}  # over 32 are many
            # Black on a white that is called transparent: a black figure, or a white one.
            key = key and (code == np.where(alpha, 0, 0xFFFFFF)).all()
            grey, grey_seen = grey and is_grey.all(), grey_seen and is_grey[alpha > 127].all()
        hidden = low != high
        if hidden and ((key and len(shades) == 1) or (grey and len(shades) > 32)):
            raise UserError(two)
        # One colour says nothing; very many are a cut-out photograph.
        alone = hidden and not 1 < len(shades) <= 32
        grey = grey_seen if hidden else grey
        if not (alone or grey or colours):
            said = "is a colour picture: a mask holds one number per pixel"
            raise UserError(f"mask '{path}' {said}. Save it as 8-bit grey PNG.")
        values = np.empty((picture.height, picture.width), np.uint8 if alone or grey else np.int32)
        for rows, code, alpha, _ in _colours(picture):
            code[hidden & (alpha <= 127)] = 0
            values[rows] = alpha if alone else code & 255 if grey else np.where(code == 0, 0, code + COLOUR)
        return values


def _colours(picture: Image.Image) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Of some rows after the other: which, 0xRRGGBB int32 (H, W), alpha uint8 (H, W), what is grey (H, W)."""
    for rows, band in _bands(picture):
        rgba = np.array(band.convert("RGBA"))
        code = (rgba.view(">u4")[..., 0] >> 8).astype(np.int32)
        yield rows, code, rgba[..., 3], code == (code & 255) * 0x010101


def read_labels(path: str | Path, bits: bool = True) -> np.ndarray:
    """Read a mask of class ids: the numbers as stored, also those of a palette; single bits are 0 and 255.

    bits: False refuses a picture of single bits, unless all are 0.
    Returns: uint8 (H, W).
    Raises: UserError when the file is unreadable, is a colour picture, holds other numbers, or is of a format
    that changes them.
    """
    with _opened_mask(path) as picture:
        if picture.format in ("JPEG", "WEBP", "AVIF"):  # each pixel is only about what it was
            raise UserError(f"'{path}' holds class ids as {picture.format}, which changes them: take PNG.")
        if picture.mode == "1" and not bits and picture.getbbox():
            said = f"'{path}' is a 1-bit picture, which reads as 0 and 255, and class ids are wanted"
            raise UserError(f"{said}: save them as numbers, in 8-bit grey or palette PNG.")
        if picture.mode not in ("P", "L") and picture.mode[0] not in "IF":
            return mask_values(path, colours=False)
        numbers = np.array(picture)
    if not np.isin(np.unique(numbers), np.arange(256)).all():
        raise UserError(f"mask '{path}' holds {_span(numbers)}: class ids are whole numbers from 0 to 255.")
    return numbers.astype(np.uint8)


def read_mask(path: str | Path) -> np.ndarray:
    """Read a person mask: 0 is background, anything over 127 is person (see mask_values).

    Returns: uint8 {0, 1} (H, W).
    Raises: UserError when every value is at most 127 but not all are 0; such a mask (often saved
    as 0/1) would silently read as empty.   Introduced in notebook 02.
    """
    values = mask_values(path, colours=False)
    if 0 < values.max(initial=0) <= 127:
        raise UserError(
            f"mask '{path}' holds no value over {values.max()}: a marked pixel is over 127 (usually 255). "
            "Multiply the mask by 255 and save it again as PNG."
        )
    return (values > 127).astype(np.uint8)


def orientation(picture: Image.Image) -> int:
    """How it is still to be turned, as EXIF says it: 1 is upright, 5 to 8 exchange width and height.

    1 where the EXIF is odd, and for a TIFF: Pillow turns those itself.
    """
    with contextlib.suppress(Exception):  # damaged EXIF breaks Pillow in many ways, and the pixels are fine
        found = 1 if picture.format == "TIFF" else picture.getexif().get(0x0112, 1)
        return int(found) if found in range(1, 9) else 1
    return 1


def _upright(picture: Image.Image) -> Image.Image:
    """The pixels turned. ImageOps.exif_transpose would write the EXIF anew, which fails where it is odd."""
    if picture.mode.startswith("I;16") and getattr(picture, "tag_v2", {}).get(262) == 0:
        # 0 is white, which Pillow knows in 8 bits only.
        picture = Image.fromarray(65535 - np.asarray(picture))
    turn, found = Image.Transpose, orientation(picture)
    turns = (turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE)
    turns += (turn.ROTATE_270, turn.TRANSVERSE, turn.ROTATE_90)
    return picture.transpose(turns[found - 2]) if found > 1 else picture


def _eight_bits(values: np.ndarray, name: str) -> np.ndarray:
    """12 to 32 bits or float (H, W) -> uint8 (H, W).   Raises: UserError when the range says nothing.

    Many cameras put 12 bits into 16. Taken as 16, they would be nearly black.
    """
    low, high, real = values.min(), values.max(), values.dtype.kind == "f"
    if not 0 <= low <= high <= (255 if real else 65535):
        raise UserError(f"{name} holds {_span(values)}: expected 0 to 1, 0 to 255, or 16 bits.")
    scale = 255 if real and high <= 1 else 1 if high <= 255 else 255 / (4095 if high < 4096 else 65535)
    pieces = np.array_split(values, 1 + len(values) // 1024)
    return np.concatenate([(piece * scale).round().astype(np.uint8) for piece in pieces])


def _span(values: np.ndarray) -> str:
    return f"{values.dtype} values from {values.min():g} to {values.max():g}"


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours as they were meant, on a common screen; as they are where the profile cannot be used.

    Returns: L, CMYK or RGB; RGBA where anything is transparent.
    """
    rgba = picture.convert("RGBA") if picture.has_transparency_data else None
    if rgba:  # a profile of greys converts greys
        picture = rgba.convert("L" if picture.mode in ("L", "LA") else "RGB")
    elif picture.mode not in ("L", "CMYK", "RGB"):
        picture = picture.convert("RGB")
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
        source = ImageCms.ImageCmsProfile(BytesIO(profile or b""))
        if picture.mode == "L" and source.profile.xcolor_space != "GRAY":
            picture = picture.convert("RGB")  # greys of a profile of colours
        if "sRGB" not in ImageCms.getProfileDescription(source):
            standard = ImageCms.createProfile("sRGB")
            picture = ImageCms.profileToProfile(picture, source, standard, outputMode="RGB")
    return Image.merge("RGBA", (*picture.convert("RGB").split(), rgba.getchannel("A"))) if rgba else picture


@contextmanager
def _opened_mask(path: str | Path) -> Iterator[Image.Image]:
    with open_picture(path) as picture:
        if getattr(picture, "n_frames", 1) > 1:
            raise UserError(f"mask '{path}' holds {picture.n_frames} pictures: save one per file.")
        yield _upright(picture)


@contextmanager
def open_picture(source: Picture) -> Iterator[Image.Image]:
    """Open a picture; every way this can fail becomes one sentence that names the file (UserError)."""
    name, source = _named(source), BytesIO(source) if isinstance(source, bytes) else source
    if not isinstance(source, str | Path | Image.Image) and not hasattr(source, "read"):
        raise UserError(f"a picture is a path, bytes, a Pillow image or an array, found {type(source)}.")
    with _LIMIT:  # some programs write megabytes of words; for others the limit stays what it is
        _LIMITS.append(PngImagePlugin.MAX_TEXT_CHUNK)
        PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
    try:
        if isinstance(source, str | Path) and (Path(source).is_fifo() or Path(source).is_char_device()):
            raise UserError(f"{name} is a pipe, not a file: segkit predict - reads a picture from a pipe.")
        given = isinstance(source, Image.Image)
        with nullcontext(source) if given else Image.open(source, formats=_formats()) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if picture.format == "TIFF":
                # Or Pillow maps the file into memory, and what is turned comes out wrong.
                picture.filename = ""
            yield picture
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{name} does not exist.") from None
    except IsADirectoryError:
        raise UserError(f"{name} is a folder, not a picture.") from None
    except PermissionError:
        raise UserError(f"{name} may not be read: check its permissions.") from None
    except (Image.DecompressionBombError, MemoryError):  # Pillow raises the second for very long rows
        most = f"more than {MAX_PIXELS:,} pixels, or more than memory holds"
        raise UserError(f"{name} has {most}. Make it smaller.") from None
    except UnidentifiedImageError:
        raise UserError(f"{name} is not a picture that can be read ({_guess_at(source)}).") from None
    except Exception as error:  # a broken file may break Pillow in any way
        raise UserError(f"{name} is damaged and cannot be read ({str(error) or repr(error)}).") from None
    finally:
        with _LIMIT:  # the last to leave takes the first's, whoever that was
            PngImagePlugin.MAX_TEXT_CHUNK = _LIMITS.pop()


def _named(source: Picture) -> str:
    return f"'{source}'" if isinstance(source, str | Path) else "the file"


@cache
def _formats() -> tuple[str, ...]:
    """Pillow made ready, at the first picture and not at an import, for what it would not read by itself."""
    # In blocks of over 32 MB, what it frees goes back to the system: of smaller ones, the C library keeps it.
    Image.core.set_block_size(64 << 20)
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return FORMATS
    register_heif_opener()
    return (*FORMATS, "HEIF")


def _guess_at(source: str | Path | BinaryIO) -> str:
    with nullcontext(source) if hasattr(source, "read") else open(source, "rb") as file:
        file.seek(0)
        start = file.read(64)
    if not start:
        return "the file is empty"
    if start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1") and "HEIF" not in _formats():
        return "if it is HEIC: pip install 'segkit-course[heic]'"
    if start[4:8] == b"ftyp" or start.startswith(b"\x1aE\xdf\xa3"):
        return "unknown format; for videos there is segkit video"
    words = b"".join(start.split())
    return "it holds text" if words.isascii() and words.decode("ascii").isprintable() else "unknown format"


def require(*packages: str, extra: str, otherwise: str = "") -> None:
    """Raises: UserError when a package is missing; it says what to install, or what to do otherwise."""
    if missing := [package for package in packages if find_spec(package) is None]:
        command = f"pip install 'segkit-course[{extra}]'"
        raise UserError(f"{missing[0]} is not installed. Run: {command}{otherwise and ', ' + otherwise}")


def write_image(path: str | Path, pixels: np.ndarray, quality: int = 92, **metadata) -> Path:
    """Write uint8 (H, W), (H, W, 3) or (H, W, 4) to PNG or JPEG, whole or not at all. Returns the path.

    metadata: of Pillow's save, such as exif, dpi or icc_profile.   Raises: UserError.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if max(pixels.shape) > (most := LONGEST.get(kind, math.inf)):
        raise UserError(f"'{path}': {kind} holds {most:,} pixels a side at most. Take PNG, or shrink it.")
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, quality=quality, **metadata)  # PNG needs none
    return path


def check_outputs(outputs: Sequence[Path], inputs: Iterable[Path] = (), overwrite: bool = False) -> None:
    """Before work begins: nothing that will be written may be an input, or be there already.

    overwrite: what is there already may be replaced; an input never.   Raises: UserError.
    """
    sources = {(s.st_dev, s.st_ino) for s in (path.stat() for path in map(Path, inputs) if path.exists())}
    if blocked := [place for path in outputs for place in path.parents if os.path.isfile(place)]:
        raise UserError(f"'{blocked[0]}' is a file: results go into a folder, choose another name.")
    there = [path for path in outputs if os.path.exists(path)]  # not of Path: that fails for a long name
    for path in there:
        if (path.stat().st_dev, path.stat().st_ino) in sources:
            raise UserError(f"'{path}' is to be read, and its result would replace it: choose another place.")
    if there and not overwrite:
        raise UserError(
            f"{name_some([repr(str(path)) for path in there], 3)} exist{'s' * (len(there) == 1)} already: "
            "choose another place, or replace with --overwrite (in Python: overwrite=True)."
        )


def same_name(name: str) -> str:
    """One text for names that are one file on some disk: any case, accents in one piece (NFC) or two."""
    return in_utf8(name).casefold()


def in_utf8(name: str) -> str:
    """A file's name with accents in one piece (NFC), and � for what is not UTF-8, as in some old zips."""
    return unicodedata.normalize("NFC", name.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def unique_names(wanted: Sequence[str]) -> list[str]:
    """The same names, where one occurs again with -2, -3 and so on; never one that another was to have."""
    taken, count, names = {same_name(name) for name in wanted}, Counter(), []
    for name in wanted:
        first, new = same_name(name), name
        count[first] += 1
        while count[first] > 1 and same_name(new := f"{name}-{count[first]}") in taken:
            count[first] += 1
        taken.add(same_name(new))
        names.append(new)
    return names


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
        made = path.parent / f".{path.stem[:40]}-{token_hex(4)}{path.suffix}"
        made.touch(exist_ok=False)
        temporary, mode = made, made.stat().st_mode  # what the user's umask leaves
        yield temporary
        temporary.chmod(mode)  # last, because some writers make the file anew
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"'{path}' could not be written ({error.strerror or error}).") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.   Raises: UserError."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: str | Path, rows: Sequence[dict]) -> Path:
    """Write rows as CSV, whole or not at all; every key is a column. Returns the path."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, dict.fromkeys(key for row in rows for key in row))
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)


def list_images(folder: str | Path) -> list[Path]:
    """All pictures below a folder, sorted by path: see find_images.   Raises: UserError."""
    return find_images(folder)[0]


def find_images(folder: str | Path, suffixes: Container[str] = IMAGE_SUFFIXES) -> tuple[list[Path], str]:
    """All pictures below a folder, sorted by path, and in words what else there is: "3 .txt, 1 .raw" or "".

    Hidden files and folders are left out; linked folders are followed, but not in a circle.
    suffixes: the endings to take, where others than those of pictures are wanted.
    Raises: UserError when the folder does not exist, or it or one below may not be read.
    """
    if not Path(folder).is_dir():
        raise UserError(f"'{folder}' is not a folder.")
    taken, others = [], Counter()

    def look(place: Path, above: frozenset[str]) -> None:
        here = os.path.realpath(place)
        if here in above:
            return
        for path in place.iterdir():
            if path.name.startswith((".", "@eaDir", "__MACOSX")):  # thumbnails, and the rest of a zip
                continue
            if path.is_dir():
                look(path, above | {here})
            elif path.suffix.lower() in suffixes and path.is_file():
                taken.append(path)
            else:
                others[path.suffix.lower() or "without ending"] += 1

    try:
        look(Path(folder), frozenset())
    except FileNotFoundError:  # one below went away meanwhile
        return find_images(folder, suffixes)
    except OSError as error:
        raise UserError(f"folder '{error.filename}' may not be read: check its permissions.") from None
    return sorted(taken), ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())


def cache_folder() -> Path:
    """Where downloads and caches go: $SEGKIT_DATA, or the usual cache folder of this system."""
    return Path(os.environ.get("SEGKIT_DATA") or user_cache_path("segkit"))


def embedded_path(name: str) -> Path:
    """Path of something that ships with segkit: "people", "weights", "studies", "sweeps".

    It is found in a clone (data/NAME, notebooks/NAME) and in an installed package alike.   Raises: UserError.
    """
    clone = Path(__file__).parents[1]
    for place in (Path(__file__).parent / "_embedded", clone / "data", clone / "notebooks"):
        if (place / name).exists():
            return place / name
    raise UserError(f"'{name}' does not ship with this installation of segkit. Clone the repository.")


def check_choice(name: str, found: object, choices: Iterable) -> None:
    """Raises: UserError when what was found is none of the choices."""
    if found not in (choices := tuple(choices)):
        raise UserError(f"{name} is one of {', '.join(map(str, filter(None, choices)))}; found {found!r}.")


def name_some(names: Sequence[str], most: int = 10) -> str:
    """The first names and how many more there are, for a sentence."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """1 picture, 2 pictures: a number and what it counts, for a sentence."""
    return f"{number:,} {noun}{'s' * (number != 1)}"

"""The person on nothing, or on another background. Introduced in notebooks 08 and 16."""

import io
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageColor

from segkit.data import shrink
from segkit.files import Picture, UserError, read_image
from segkit.matting.edges import clean_colours, refine_alpha
from segkit.matting.effects import background_alone, portrait, put_before
from segkit.predict import Segmenter


def soft_alpha(prob: np.ndarray, threshold: float = 0.5, softness: float = 0.4) -> np.ndarray:
    """Opacity with a soft edge: probabilities within softness / 2 of the threshold become a ramp.

    prob: float (H, W) in [0, 1].   softness: 0 is a hard mask, 1 keeps the most haze.
    Returns: float32 (H, W) in [0, 1].
    """
    if softness < 1e-6:
        return (prob > threshold).astype(np.float32)
    return ((prob - threshold) / softness + 0.5).clip(0, 1).astype(np.float32)


def on_its_own(image: np.ndarray, prob: np.ndarray, threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """The person ready for another background: cleaned colours uint8 (H, W, 3), alpha float32 (H, W).

    prob: float in [0, 1], as a Segmenter returns it, (H, W) or smaller.   Introduced in notebook 16.
    """
    if prob.max() <= threshold:  # nobody: all of the photograph is hidden, and nothing is to be cleaned
        return image, np.zeros(image.shape[:2], np.float32)
    alpha = refine_alpha(image, prob, threshold)
    return clean_colours(image, alpha), alpha


def cutout(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The person on nothing: uint8 (H, W, 3), alpha (H, W) in [0, 1] -> uint8 RGBA (H, W, 4).

    Where nothing is seen the colours are black: the old room is not in the file.
    """
    opacity = cv2.convertScaleAbs(alpha, alpha=255)
    alone = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    alone[..., 3] = opacity
    return cv2.subtract(alone, alone, alone, mask=np.equal(opacity, 0, out=opacity))


def replace_background(
    image: np.ndarray,
    alpha: np.ndarray,
    background: np.ndarray | Sequence[int] | str,
    photo: np.ndarray | None = None,
) -> np.ndarray:
    """The person on another background.

    image: uint8 (H, W, 3), with the person's colours as on_its_own cleans them.   alpha: (H, W) in [0, 1].
    background: an RGB colour, a picture uint8 (h, w, 3) that is scaled to cover, "blur", or "portrait"
        for a blur that grows with the distance from the person.
    photo: what "portrait" blurs, uint8 (H, W, 3): the photograph as it is; None takes the image.
    Returns: uint8 (H, W, 3).
    """
    if isinstance(background, str):
        if background == "portrait":
            return portrait(image if photo is None else photo, alpha, colours=image)
        if background != "blur":
            raise UserError(f"background is a colour, a picture, 'blur' or 'portrait', found '{background}'.")
        behind = blurred_background(image, alpha)
    else:
        behind = np.asarray(background, np.uint8)
        behind = np.full_like(image, behind) if behind.ndim == 1 else cover(behind, *alpha.shape)
    return put_before(image, alpha, np.ascontiguousarray(behind))


def blurred_background(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The background alone, strongly blurred: uint8 (H, W, 3).   image: uint8 (H, W, 3).   alpha: (H, W).

    The person is taken out first: blurred along, they would glow. A small copy is blurred, which cannot be
    told from the full size here and is many times faster.
    """
    small, hole = shrink(image, 480), shrink(alpha.astype(np.float32, copy=False), 480)
    behind = cv2.GaussianBlur(background_alone(small, hole), (0, 0), max(hole.shape) / 60)
    return cv2.resize(behind.round().astype(np.uint8), alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)


def parse_colour(text: str) -> tuple[int, int, int]:
    """Red, green, blue of "#00aa55" or of a name of CSS, such as "red".   Raises: UserError."""
    try:
        named = text.lower() in ImageColor.colormap
        red, green, blue = ImageColor.getrgb(text) if named else bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        raise UserError(f"'{text}' is not a colour: write #RRGGBB, such as #00aa55, or a name.") from None
    return red, green, blue


def cover(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale a picture until it covers (height, width) and cut off what hangs over, evenly on both sides."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    size = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    return scaled[top : top + height, left : left + width]


@cache
def _loaded(model: str) -> Segmenter:
    return Segmenter.load(model)


def remove(picture: np.ndarray | Picture, model: str = "person-base") -> np.ndarray | Image.Image | bytes:
    """The people of a photograph on nothing, in one call.

    picture: uint8 RGB (H, W, 3), a Pillow image, the bytes of a file, or a path.
    model: shipped weights by name, a checkpoint or a run folder; loaded once and kept.
    Returns: uint8 RGBA (H, W, 4); a Pillow image for one, and the bytes of a PNG file for bytes.
    Raises: UserError.   Introduced in notebook 16.
    """
    image = picture if isinstance(picture, np.ndarray) else read_image(picture)
    person = _loaded(model)
    alone = cutout(*on_its_own(image, person.foreground(person(image)), person.threshold))
    if isinstance(picture, Image.Image):
        return Image.fromarray(alone)
    return as_png(alone) if isinstance(picture, bytes) else alone


def as_png(pixels: np.ndarray) -> bytes:
    """The content of a file: uint8 (H, W), (H, W, 3) or (H, W, 4)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

"""What the page keeps of a photograph, and every picture that it makes of it. Introduced in notebook 16.

The network runs once per photograph; every control after that only composes again what it answered.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath

import cv2
import numpy as np

from segkit.app.store import Thing
from segkit.app.uploads import read_upload
from segkit.data import resize_smoothly, shrink
from segkit.files import UserError, check_choice
from segkit.matting.compose import cutout, parse_colour, replace_background, soft_alpha
from segkit.matting.edges import clean_colours, refine_alpha
from segkit.matting.effects import portrait
from segkit.matting.photos import kind_of
from segkit.plots import overlay
from segkit.predict import Segmenter

QUICK, SHARP = 480, 1600
"""Longer side of what is shown while a control moves, and once it rests. A download has the photograph's."""

VIEWS = ("result", "mask", "overlay")

BACKGROUNDS = ("transparent", "colour", "blur", "portrait", "picture")

FULL_SIZE = threading.Lock()
"""One picture at full size at a time, so that twenty people fit into the memory of a laptop."""


@dataclass(frozen=True)
class Look:
    """What the controls say.   softness: 0 follows the photograph's edges; above, a ramp of probabilities."""

    view: str = "result"
    background: str = "transparent"
    colour: tuple[int, int, int] = (0, 158, 115)
    threshold: float = 0.5
    softness: float = 0.0
    blur: float = 0.5

    @classmethod
    def read(cls, said: Mapping[str, str]) -> "Look":
        """From the fields of an address, such as threshold=0.4&colour=%2300aa55.   Raises: UserError."""
        found = {}
        for name, choices in (("view", VIEWS), ("background", BACKGROUNDS)):
            found[name] = said.get(name, getattr(cls, name))
            check_choice(name, found[name], choices)
        for name in ("threshold", "softness", "blur"):
            found[name] = _share(name, said.get(name, getattr(cls, name)))
        return cls(colour=parse_colour(said["colour"]) if "colour" in said else cls.colour, **found)


def _share(name: str, text: str | float) -> float:
    with suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise UserError(f"{name} goes from 0 to 1, found '{text}'.")


@dataclass
class Photo(Thing):
    """A photograph that was sent, and what the network said of it.

    data: the file.   image: uint8 (H, W, 3), at most SHARP long.   prob: float32 (H, W).
    size: (height, width) of the photograph itself.   seconds: what the network took.
    kind: what the network finds, such as "person".
    """

    name: str
    data: bytes = field(repr=False)
    image: np.ndarray
    prob: np.ndarray
    size: tuple[int, int]
    seconds: float = 0.0
    kind: str = "person"

    @classmethod
    def ask(cls, name: str, data: bytes, person: Segmenter) -> "Photo":
        """Read a photograph, whatever its kind, and ask the network once.   Raises: UserError."""
        with FULL_SIZE:
            image = read_upload(data)
        size = image.shape[:2]
        image = shrink(image, SHARP)
        started = time.perf_counter()
        prob = person.foreground(person(image))
        return cls(name, data, image, prob, size, time.perf_counter() - started, kind_of(person))

    def __post_init__(self):
        self.bytes = len(self.data) + self.image.nbytes + self.prob.nbytes
        self.quick = shrink(self.image, QUICK), shrink(self.prob, QUICK)

    def shown(self, look: Look, picture: np.ndarray | None = None, sharp: bool = False) -> np.ndarray:
        """The look at a size for the screen: uint8 (h, w), (h, w, 3) or (h, w, 4)."""
        image, prob = (self.image, self.prob) if sharp else self.quick
        return compose(image, prob, look, picture)

    def full(self, look: Look, picture: np.ndarray | None = None) -> tuple[str, bytes]:
        """The same at the photograph's own size: suffix and content of a file.   Raises: UserError."""
        with FULL_SIZE:
            image = read_upload(self.data)
            prob = resize_smoothly(self.prob, *image.shape[:2])
            return encode(compose(image, prob, look, picture), 95)

    def name_of(self, look: Look) -> str:
        """What the file of a look is called, without its suffix."""
        what = look.view if look.view != "result" else look.background
        return f"{PurePath(self.name).stem}_{what.replace('transparent', 'cutout')}"


def compose(image: np.ndarray, prob: np.ndarray, look: Look, picture: np.ndarray | None = None) -> np.ndarray:
    """image: uint8 (H, W, 3).   prob: float32 (H, W).   picture: for the background "picture", any size.

    Returns: uint8 (H, W) for a mask, (H, W, 4) for a cut-out, otherwise (H, W, 3).
    """
    mask = prob > look.threshold
    if look.view == "mask":
        return mask * np.uint8(255)
    if look.view == "overlay":
        return overlay(image, mask)
    if look.softness:
        alpha = soft_alpha(prob, look.threshold, look.softness)
    else:
        alpha = refine_alpha(image, prob, look.threshold)
    if look.background == "portrait":
        return portrait(image, alpha, look.blur)
    colours = clean_colours(image, alpha)
    if look.background == "transparent":
        return cutout(colours, alpha)
    behind = {"colour": look.colour, "blur": "blur", "picture": picture}[look.background]
    return replace_background(colours, alpha, behind)


def encode(pixels: np.ndarray, quality: int = 88) -> tuple[str, bytes]:
    """JPEG of what has three channels, else PNG, which keeps alpha and hard edges: (suffix, content)."""
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, order[pixels.shape[2]])
    jpeg = pixels.ndim == 3 and pixels.shape[2] == 3
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if jpeg else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    suffix = ".jpg" if jpeg else ".png"
    return suffix, cv2.imencode(suffix, pixels, options)[1].tobytes()

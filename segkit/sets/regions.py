"""What annotation tools draw, painted as masks: outlines, ellipses, run lengths.

Introduced in notebook 02.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from segkit.data import displayed_size
from segkit.files import MAX_PIXELS, UserError, require

STRAY = "outline without an area"

NO_AREA = {"point", "points", "line", "linestrip", "polyline", "keypoint", "keypointlabels", "skeleton"}

NO_AREA |= {"tag", "choices", "graph", "point_3d", "text", "extreme point", STRAY}


@dataclass(frozen=True)
class Region:
    """What was drawn at once: its class, what the tool calls its shape, and how to paint it.

    paint: takes shape=(H, W), returns bool (H, W); None for what has no outline here, such as a box.
    """

    label: str
    kind: str
    paint: Callable[..., np.ndarray] | None = None
    group: Any = None
    """Regions of one class and one group are parts of one object."""
    crowd: bool = False

    @property
    def object(self) -> tuple:
        """What it is a part of: equal for the parts of one object."""
        return (self.label, id(self)) if self.group is None else (self.label, "group", self.group)


def is_background(label: str) -> bool:
    """Whether regions of this class are holes in what was drawn before."""
    return re.sub(r"[\W_]+", "", label.lower()) in ("background", "bg", "hole")


def check_size(image: Path | str, shape: tuple[int, int], mask: tuple[int, int]) -> None:
    """Raises: UserError where a picture and its mask, both (H, W), differ in size."""
    if shape != mask:
        (h, w), (mask_h, mask_w) = shape, mask
        raise UserError(f"'{image}' is {w}x{h}, its mask {mask_w}x{mask_h}: they must agree.")


def paint_regions(
    image: Path, size: tuple[int, int] | None, regions: Iterable[Region], wanted: set[str]
) -> np.ndarray:
    """Number the wanted objects of a picture in the order of drawing: uint16 (H, W), 0 for nobody.

    size: (H, W) as the annotation states it, which may be that before an EXIF rotation; None for the
        picture's as displayed.
    Raises: UserError when the picture has another size, a wanted object no outline, or not one a pixel.
    """
    shape = displayed_size(image)
    if size and size != shape[::-1]:
        check_size(image, shape, size)
    people, numbers = np.zeros(size or shape, np.uint16), {}
    for region in regions:
        number = 0  # a hole
        if region.label in wanted:
            number = numbers.setdefault(region.object, len(numbers) + 1)
        elif not is_background(region.label):
            continue
        if region.kind in NO_AREA:
            continue
        if region.paint is None:
            raise UserError(f"'{image}': one of class {region.label} has a {region.kind} but no outline.")
        try:
            people[region.paint(shape=people.shape)] = number
        except UserError as error:
            raise UserError(f"'{image}': {error}") from None
    if numbers and not people.any():
        raise UserError(f"'{image}': {len(numbers)} annotated, and not one has an area inside the picture.")
    return people


# Shapes: each takes the (H, W) of the picture by name and returns bool (H, W)


def _bounded(points: Any, shape: tuple[int, int], of: float = 0) -> np.ndarray:
    """Points as float (N, 2) in pixels.   Raises: UserError for what no tool draws, and no memory holds.

    of: the picture's width, and its height, in the units of the points, such as 100; 0 for pixels.
    """
    points = np.asarray(points, float).ravel()
    if points.size % 2:
        raise UserError(f"an outline has {points.size} numbers: expected pairs of x and y.")
    points = points.reshape(-1, 2) * (np.array(shape[::-1]) / of if of else 1)
    if not of and len(points) > 2 and points.min() >= 0 and points.max() <= 1:
        raise UserError("an outline has corners from 0 to 1: expected pixels.")
    if not (np.isfinite(points).all() and (np.abs(points) <= 4 * max(shape) + 100).all()):
        raise UserError(f"an outline has points far outside its picture of {shape[1]}x{shape[0]}.")
    return points


def polygon(ring: Any, of: float = 0, *, shape: tuple[int, int]) -> np.ndarray:
    """What lies in a ring of corners, by the rule that COCO uses; of: see _bounded."""
    flat = _bounded(ring, shape, of).ravel().tolist()
    return codec().decode(codec().frPyObjects([flat], *shape))[..., 0] > 0


def drawn(points: Any, kind: str = "polygon", holes: Sequence = (), *, shape: tuple[int, int]) -> np.ndarray:
    """A polygon or a rectangle whose corners are pixels, as labelme and Supervisely draw it with Pillow."""
    picture = Image.new("1", shape[::-1])
    draw, corners = ImageDraw.Draw(picture), _bounded(points, shape)
    if kind == "rectangle":  # the two corners come in any order
        corners = np.stack([corners.min(0), corners.max(0)])
    getattr(draw, kind)([tuple(point) for point in corners], fill=1, outline=1)
    for hole in holes:
        draw.polygon([tuple(point) for point in _bounded(hole, shape)], fill=0, outline=0)
    return np.array(picture)


def outlined(label: str, ring: Any, paint: Callable = polygon, **how: Any) -> Region:
    """A region of one ring of corners, (N, 2) or flat; fewer than three make no area.

    paint: polygon or drawn, and how: what it takes besides the ring.
    """
    ring = np.asarray(ring, float)
    return Region(label, "polygon", partial(paint, ring, **how)) if ring.size >= 6 else Region(label, STRAY)


def ellipse(
    x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0, of: float = 0, *, shape: tuple
) -> np.ndarray:
    """The pixels whose middle lies in an ellipse; it is turned clockwise.   of: see _bounded."""
    (cx, cy), (rx, ry) = _bounded([x, y, radius_x, radius_y], shape, of)
    turn = np.deg2rad(degrees)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    dx, dy = columns + 0.5 - cx, rows + 0.5 - cy
    along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    return (along / max(rx, 1e-6)) ** 2 + (across / max(ry, 1e-6)) ** 2 <= 1


def pasted(patch: Callable[[], np.ndarray], x: float, y: float, *, shape: tuple[int, int]) -> np.ndarray:
    """A small mask, decoded when it is wanted, with its top left corner at (x, y); cut off at the edges."""
    left, top = _bounded([x, y], shape)[0].round().astype(int)
    mask = np.zeros(shape, bool)
    inside = patch()[max(0, -top) :, max(0, -left) :]
    target = mask[max(0, top) :, max(0, left) :][: inside.shape[0], : inside.shape[1]]
    target |= inside[: target.shape[0], : target.shape[1]]
    return mask


# Run lengths


def runs(counts: Sequence[int] | str, order: str = "F", stated: Any = None, *, shape: tuple) -> np.ndarray:
    """Run lengths, nobody first, as a mask: bool (H, W).

    counts: numbers, or COCO's compressed text.   order: "F" for column by column, "C" for row by row.
    Raises: UserError when they do not fill the picture exactly, or the stated (H, W) is another.
    """
    if stated and tuple(stated) != shape:
        raise UserError(f"run lengths of {stated} belong to a picture of {list(shape)} (height, width).")
    if shape[0] * shape[1] > MAX_PIXELS:  # CVAT's masks state their own size
        raise UserError(f"run lengths of {shape[1]}x{shape[0]} are more than {MAX_PIXELS:,} pixels.")
    lengths = np.array(_counts_from_text(counts) if isinstance(counts, str) else counts, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or (lengths > MAX_PIXELS).any():  # the sum would overflow
        raise UserError("a run length is below 0, or longer than any picture.")
    if lengths.sum() != shape[0] * shape[1]:
        raise UserError(f"run lengths cover {lengths.sum()} pixels, expected {shape[1]}x{shape[0]}.")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(shape, order=order)


def _counts_from_text(text: str) -> list[int]:
    """COCO's text: five bits a character, lowest first, and from the third number on a difference."""
    counts, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if shift > 30:
            raise UserError("a run length is longer than any picture.")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    return counts


def brush_decode(rle: Sequence[int], *, shape: tuple[int, int]) -> np.ndarray:
    """Label Studio's run lengths of RGBA bytes as a mask, where alpha is over 0: bool (H, W).

    A head says how many values there are, how wide they are, and four widths of lengths. Each run then is a
    bit (repeat, or list values), which width, the length, and the values.   Raises: UserError.
    """
    bits, at = np.unpackbits(np.array(rle, np.uint8)), 0

    def read(width: int, count: int = 1) -> np.ndarray:
        nonlocal at
        found, at = bits[at : at + width * count], at + width * count
        return found.reshape(count, width) @ (1 << np.arange(width)[::-1])

    try:
        total, width = int(read(32)[0]), int(read(5)[0]) + 1
        if total != 4 * shape[0] * shape[1]:
            raise UserError(f"brush strokes cover {total // 4} pixels, expected {shape[1]}x{shape[0]}.")
        widths, values, done = [int(size) + 1 for size in read(4, 4)], np.zeros(total, np.uint8), 0
        while done < total:
            repeat = read(1)[0]
            end = done + int(read(widths[int(read(2)[0])])[0]) + 1
            values[done:end] = read(width) if repeat else read(width, end - done)
            done = end
    except ValueError:
        raise UserError("brush strokes end before the picture does.") from None
    return values.reshape(*shape, 4)[..., 3] > 0


def brush_encode(mask: np.ndarray) -> list[int]:
    """A mask, bool (H, W), as Label Studio's run lengths: the inverse of brush_decode."""
    flat = np.repeat(mask.ravel(), 4)
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts, widths = np.concatenate([[0], edges, [len(flat)]]), (3, 4, 8, 16)
    bits = [f"{len(flat):032b}{7:05b}", *(f"{width - 1:04b}" for width in widths)]
    for start, end in itertools.pairwise(starts):
        for first in range(start, end, 1 << 16):
            length = min(end - first, 1 << 16) - 1
            which = next(i for i in range(4) if length < 1 << widths[i])
            bits.append(f"1{which:02b}{length:0{widths[which]}b}{255 * int(flat[start]):08b}")
    text = "".join(bits)
    return list(int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8)))


def codec() -> Any:
    """pycocotools.mask, which knows COCO's polygons and run lengths.   Raises: UserError."""
    require("pycocotools", extra="data")
    from pycocotools import mask

    return mask

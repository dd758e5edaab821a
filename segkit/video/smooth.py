"""Masks that hold still: smoothing over time, and how much a mask flickers. Introduced in notebook 13."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from segkit.files import UserError, embedded_path, list_images, read_image, read_mask
from segkit.metrics import iou_score
from segkit.predict import Segmenter


class Smoother:
    """Mix each frame's probability with what was believed before, wherever the picture held still.

    smoothed[t] = w * smoothed[t-1] + (1 - w) * prob[t],   w = strength * stillness, for every pixel.

    smooth = Smoother(0.7)
    for image in frames:
        prob = smooth(person(image), image)

    strength: share of the past where nothing moves, 0 (off) to below 1. 0.7 makes the memory about
        three frames long, 0.9 ten.
    gate: a change of colour this large, in [0, 1], counts as motion, and the past is forgotten there.
        None never forgets: moving people leave ghosts.
    flow: first move the past along with the motion in the picture (dense inverse search optical flow,
        Kroeger et al. 2016), then mix. Costs a few milliseconds per frame at the network's size.
    Introduced in notebook 13.
    """

    def __init__(self, strength: float = 0.7, gate: float | None = 0.06, flow: bool = False):
        if not 0 <= strength < 1:
            raise UserError(f"the smoothing strength goes from 0 (off) to below 1, found {strength}.")
        if gate is not None and gate <= 0:
            raise UserError(f"the gate is a change of colour above 0, or None for no gate, found {gate}.")
        self.strength, self.gate, self.flow = strength, gate, flow
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM) if flow else None
        self.past: tuple[np.ndarray, np.ndarray] | None = None
        """The frame before: its smoothed probability and its picture. Put it back to go on elsewhere."""

    def __call__(self, prob: np.ndarray, image: np.ndarray) -> np.ndarray:
        """prob: float32 (H, W) in [0, 1].   image: uint8 (h, w, 3), the frame it belongs to.

        Returns: float32 (H, W), smoothed. Frames must come in order; a change of size starts afresh.
        """
        if self.strength == 0:
            return prob
        if image.shape[:2] != prob.shape:
            image = cv2.resize(image, prob.shape[::-1], interpolation=cv2.INTER_AREA)
        if self.past is None or self.past[0].shape != prob.shape:
            self.past = prob, image
            return prob
        before, picture = self.past
        if self.flow:
            before, picture = self._moved(before, picture, image)
        weight = self.strength if self.gate is None else self.strength * stillness(image, picture, self.gate)
        smoothed = (weight * before + (1 - weight) * prob).astype(np.float32)
        self.past = smoothed, image
        return smoothed

    def _moved(self, prob: np.ndarray, picture: np.ndarray, image: np.ndarray):
        """The past, carried to where its pixels are in `image`."""
        grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (image, picture)]
        where = self._flow.calc(*grey, None)
        rows, columns = np.indices(prob.shape, np.float32)
        where += np.dstack([columns, rows])
        return [cv2.remap(p, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                for p in (prob, picture)]  # fmt: skip


def stillness(image: np.ndarray, before: np.ndarray, gate: float = 0.06) -> np.ndarray:
    """1 where two pictures agree, falling to 0 where they differ by more than the gate.

    image, before: uint8 (H, W, 3).   gate: a difference of colour in [0, 1]; stillness is 0.37 there.
    Returns: float32 (H, W) in [0, 1].   Introduced in notebook 13.
    """
    # Blurred first and subtracted then: the noise of a dark room cancels out, motion does not.
    change = cv2.absdiff(cv2.blur(image, (5, 5)), cv2.blur(before, (5, 5))).max(axis=2)
    change = change.astype(np.float32) / 255
    return np.exp(-((change / gate) ** 2))


def temporal_iou(masks: Sequence[np.ndarray]) -> float:
    """Mean IoU of each mask with the one before: 1 when nothing changes.

    masks: bool (H, W), in order, at least two. True masks of moving people score below 1 too, so compare
    with theirs.   Introduced in notebook 13.
    """
    return _mean_iou(pairwise(masks))


def flicker(masks: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    """Pixels that switch without reason, per frame, as a share of the person.

    A pixel flickers when the mask changes there from one frame to the next and the true mask does not.
    A mask that is wrong and stays so does not flicker: look at the IoU with the truth as well.

    masks, truth: bool (H, W), in order, at least two.
    Returns: 0 for no flicker; 0.05 when in each frame a twentieth of the person's area switches.
    Introduced in notebook 13.
    """
    unexplained = [
        ((masks[t] ^ masks[t - 1]) & ~(truth[t] ^ truth[t - 1])).sum() for t in range(1, len(masks))
    ]
    return float(np.mean(unexplained) / max(1.0, np.mean([mask.sum() for mask in truth])))


def restless_row(masks: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> int:
    """The row of the picture that flickers most: a good one for a time slice.   Introduced in notebook 13."""
    pairs = zip(pairwise(masks), pairwise(truth), strict=True)
    changes = sum((after ^ before) & ~(true_after ^ true) for (before, after), (true, true_after) in pairs)
    return int(np.argmax(np.convolve(changes.sum(axis=1), np.ones(5), mode="same")))


def score_masks(masks: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> dict[str, float]:
    """All three figures: "iou" with the truth, "temporal_iou", "flicker".   Introduced in notebook 13."""
    masks, truth = [mask.astype(bool) for mask in masks], [mask.astype(bool) for mask in truth]
    return {
        "iou": _mean_iou(zip(masks, truth, strict=True)),
        "temporal_iou": temporal_iou(masks),
        "flicker": flicker(masks, truth),
    }


def _mean_iou(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    return float(np.mean([iou_score(one[None], other[None]).item() for one, other in pairs]))


@dataclass(frozen=True)
class Clip:
    """Consecutive frames with their true masks."""

    name: str
    images: list[np.ndarray]
    masks: list[np.ndarray]
    fps: float


def load_clip(name: str | Path, limit: int | None = None) -> Clip:
    """A clip with true masks.

    name: "walk" or "wave", which ship with segkit, or a folder with images/, masks/ and clip.json.
    limit: only the first frames.   Returns: Clip of uint8 (H, W, 3) and bool (H, W).   Raises: UserError.
    """
    folder = Path(name)
    if not folder.is_dir() and len(folder.parts) == 1:
        clips = embedded_path("people") / "clips"
        folder = clips / folder
        if not folder.is_dir():
            names = ", ".join(sorted(p.name for p in clips.iterdir()))
            raise UserError(f"there is no folder '{name}', and no clip of that name ships: {names} do.")
    pictures = list_images(folder / "images")[:limit]
    if len(pictures) < 2:
        raise UserError(f"'{folder}' holds fewer than two frames in images/: a clip has at least two.")
    masks = [read_mask(folder / "masks" / f"{picture.stem}.png").astype(bool) for picture in pictures]
    try:
        fps = float(json.loads((folder / "clip.json").read_text())["fps"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"'{folder / 'clip.json'}' should hold the frames per second, such as {{\"fps\": 12}}."
        ) from None
    return Clip(folder.name, [read_image(picture) for picture in pictures], masks, fps)


def segment_clip(person: Segmenter, clip: Clip) -> list[np.ndarray]:
    """Probability of person for each frame, at the network's size: float32 (S, S)."""
    small = [person.preprocessing.resize(image) for image in clip.images]
    return [person.foreground(prob) for image in small for prob in person.look_once([image])]


def smooth_clip(smoother: Smoother, probs: Sequence[np.ndarray], clip: Clip) -> list[np.ndarray]:
    """Smooth at the network's size, as `segkit video` does, then bring every frame to the clip's size.

    probs: from segment_clip.   Returns: float32 (H, W) per frame.   Introduced in notebook 13.
    """
    size = clip.images[0].shape[1::-1]
    return [cv2.resize(smoother(prob, image), size) for prob, image in zip(probs, clip.images, strict=True)]


def compare_smoothing(
    person: Segmenter, clip: Clip, smoothers: dict[str, Smoother]
) -> dict[str, dict[str, float]]:
    """score_masks for each way of smoothing, and for the true masks themselves.

    smoothers: fresh ones by name.
    Returns: name -> figures, "truth" last.   Introduced in notebook 13.
    """
    probs = segment_clip(person, clip)
    table = {}
    for name, smoother in smoothers.items():
        smoothed = smooth_clip(smoother, probs, clip)
        table[name] = score_masks([prob > person.threshold for prob in smoothed], clip.masks)
    return {**table, "truth": score_masks(clip.masks, clip.masks)}


def smoothing_table(table: dict[str, dict[str, float]]) -> str:
    """What compare_smoothing returned, as text."""
    lines = [f"{'':<22}{'IoU':>8}{'temporal IoU':>15}{'flicker':>10}"]
    for name, row in table.items():
        lines.append(f"{name:<22}{row['iou']:>8.3f}{row['temporal_iou']:>15.3f}{row['flicker']:>10.4f}")
    return "\n".join(lines)

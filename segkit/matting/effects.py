"""What people do with a cut-out: portrait blur, new backgrounds, clothes in another colour. Notebook 16."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from segkit.data import shrink
from segkit.files import UserError
from segkit.matting.edges import clean_colours, refine_alpha

LEVELS = 5


def portrait(
    image: np.ndarray, alpha: np.ndarray, strength: float = 0.5, colours: np.ndarray | None = None
) -> np.ndarray:
    """Blur that grows with the distance from the person, as behind a fast lens.

    image: uint8 RGB (H, W, 3).   alpha: float (H, W) in [0, 1].   strength: 0 none to 1 strongest.
    colours: the person's own, where clean_colours has found them already: cleaned again, they are wrong.
    Returns: uint8 (H, W, 3).   Raises: UserError.

    The person must not bleed into the blur, so the hole the person leaves is filled from the background
    around it before anything is blurred.
    """
    if not 0 <= strength <= 1:
        raise UserError(f"the strength of the blur goes from 0 to 1, found {strength}.")
    if strength == 0:
        return image.copy()
    # A small copy, in which the narrowest blur is still two pixels wide, gives the same blur sooner.
    side = 320 / strength
    small, alpha_small = shrink(image, side), shrink(alpha.astype(np.float32, copy=False), side)
    longest, behind = max(alpha_small.shape), background_alone(small, alpha_small)
    # The distance to the person decides between a few blurs of growing width.
    away = cv2.distanceTransform(np.uint8(alpha_small < 0.5), cv2.DIST_L2, 5) / max(1, 0.35 * longest)
    level = (0.35 + away).clip(0, 1) * (LEVELS - 1)
    blurred = np.zeros(small.shape, np.float32)
    for i in range(LEVELS):
        share = (1 - np.abs(level - i)).clip(0, 1)[..., None]
        sigma = strength * longest / 40 * i / (LEVELS - 1)
        layer = cv2.GaussianBlur(behind, (0, 0), sigma) if sigma > 0.3 else behind
        blurred += share * layer
    blurred = blurred.round().astype(np.uint8)  # a quarter of the memory at full size
    behind = cv2.resize(blurred, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return put_before(clean_colours(image, alpha) if colours is None else colours, alpha, behind)


def put_before(colours: np.ndarray, alpha: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """The person, as much as alpha says, before another picture, which is painted over.

    colours, behind: uint8 (H, W, 3).   alpha: float (H, W) in [0, 1].   Returns: behind.
    """
    for top in range(0, len(alpha), 256):  # all at once would take twice the memory
        rows = slice(top, top + 256)
        here = alpha[rows].astype(np.float32)
        cv2.blendLinear(colours[rows], behind[rows], here, 1 - here, behind[rows])
    return behind


def background_alone(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The photograph with the person's place filled from the colours around it: float32 (H, W, 3).

    image: uint8 (H, W, 3).   alpha: float (H, W) in [0, 1]. The filling is smooth, good enough to be blurred.
    """
    weight = (alpha < 0.01).astype(np.float32)
    # Average ever larger neighbourhoods (a pyramid), then let the coarse ones fill what the finer left open.
    layers = [(image.astype(np.float32) * weight[..., None], weight)]
    while min(layers[-1][1].shape) > 2:
        size = [max(1, side // 2) for side in layers[-1][1].shape[::-1]]
        layers.append([cv2.resize(layer, size, interpolation=cv2.INTER_AREA) for layer in layers[-1]])
    colours, w = layers[-1]
    filled = colours / np.maximum(w, 1e-6)[..., None]
    for colours, w in reversed(layers[:-1]):
        filled = cv2.resize(filled, w.shape[::-1], interpolation=cv2.INTER_LINEAR)
        seen = np.minimum(w * 4, 1)[..., None]
        filled = seen * colours / np.maximum(w, 1e-6)[..., None] + (1 - seen) * filled
    return filled.clip(0, 255)


def recolour(image: np.ndarray, share: np.ndarray, colour: Sequence[int]) -> np.ndarray:
    """Give one region, such as a shirt, another colour and leave its folds and shadows as they are.

    image: uint8 RGB (H, W, 3).   share: float (H, W) in [0, 1], how much each pixel belongs to the region.
    colour: RGB, 0 to 255.   Returns: uint8 (H, W, 3).

    Works in Lab, where brightness is a channel of its own: hue and saturation are replaced, and the
    brightness is only shifted, so that its middle becomes the new colour's.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    target = cv2.cvtColor(np.float32([[colour]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    region = share > 0.5
    if not region.any():
        return image.copy()
    middle = np.median(lab[region], axis=0)
    new = lab.copy()
    # A dark shirt made light must not lose its folds: contrast is scaled along with the brightness.
    contrast = np.clip((target[0] + 20) / (middle[0] + 20), 0.5, 2.0)
    new[..., 0] = (target[0] + (lab[..., 0] - middle[0]) * contrast).clip(0, 100)
    new[..., 1:] = target[1:] + 0.3 * (lab[..., 1:] - middle[1:])
    painted = cv2.cvtColor(new, cv2.COLOR_LAB2RGB).clip(0, 1) * 255
    here = share[..., None].astype(np.float32)
    return (painted * here + image * (1 - here)).round().astype(np.uint8)


def recolour_classes(
    image: np.ndarray, prob: np.ndarray, classes: Sequence[str], colours: Mapping[str, Sequence[int]]
) -> np.ndarray:
    """Recolour by the answer of a network of clothes, such as {"upper": (200, 30, 30)}.

    prob: float (C, H, W), as a Segmenter with classes returns it.   Returns: uint8 (H, W, 3).
    """
    painted = image
    for name, colour in colours.items():
        painted = recolour(painted, class_share(image, prob, list(classes).index(name)), colour)
    return painted


def class_share(image: np.ndarray, prob: np.ndarray, index: int) -> np.ndarray:
    """How much each pixel belongs to one class: 0 or 1 but for an edge that follows the photograph.

    image: uint8 (H, W, 3).   prob: float (C, H, W).   Returns: float32 (H, W) in [0, 1].
    Taken as they are, probabilities of 0.6 would mix the old colour and the new one all over the shirt.
    """
    others = np.delete(prob, index, axis=0).max(0)
    return refine_alpha(image, prob[index] / np.maximum(prob[index] + others, 1e-6))

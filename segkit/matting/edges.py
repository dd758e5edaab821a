"""From a probability to an edge worth keeping: soft alpha that follows the photograph, and clean colours.

A network works at a few hundred pixels and its edges are a blur or a stair at full size. The photograph
itself knows better where hair ends. Introduced in notebook 16.
"""

import cv2
import numpy as np

WORK_SIDE = 640  # the filter's coefficients are smooth, so they are found on a smaller picture


def guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Redraw `values` so that they change where `guide` changes.

    In every window, values are explained as a linear function of the guide's colour, a . colour + b; what
    the windows say of a pixel is averaged. He, Sun and Tang, "Guided Image Filtering" (2013).
    guide: float (H, W, 3) in [0, 1].   values: float (H, W).   radius: of the window, in pixels.
    eps: how much colour contrast counts as an edge; larger is smoother.   Returns: float32 (H, W).
    """
    a, b = _explain(guide, values, radius, eps)
    return (a * guide).sum(2) + b


def _explain(guide, values, radius, eps) -> tuple[np.ndarray, np.ndarray]:
    """The averaged coefficients of guided_filter: a (H, W, 3) and b (H, W)."""

    def mean(x):
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    guide, values = guide.astype(np.float32), values.astype(np.float32)
    mean_guide, mean_values = mean(guide), mean(values)
    with_values = mean(guide * values[..., None]) - mean_guide * mean_values[..., None]
    # How the three colours vary together in each window: (H, W, 3, 3).
    pairs = mean((guide[..., :, None] * guide[..., None, :]).reshape(*values.shape, 9))
    spread = pairs.reshape(*values.shape, 3, 3) - mean_guide[..., :, None] * mean_guide[..., None, :]
    a = np.linalg.solve(spread + eps * np.eye(3, dtype=np.float32), with_values[..., None])[..., 0]
    b = mean_values - (a * mean_guide).sum(2)
    return mean(a), mean(b)


def refine_alpha(
    image: np.ndarray, prob: np.ndarray, threshold: float = 0.5, radius: float = 0.01, eps: float = 1e-4
) -> np.ndarray:
    """Opacity of the person at full size, with edges that follow the photograph.

    image: uint8 RGB (H, W, 3).   prob: float (H, W) in [0, 1], as a Segmenter returns it.
    radius: how far from the network's edge the true one may lie, as a share of the longer side.
    Returns: float32 (H, W) in [0, 1]; far from the edge it is 0 or 1.
    The coefficients are found on a small picture and used on the full one: He and Sun, "Fast Guided
    Filter" (2015).
    """
    height, width = prob.shape
    scale = min(1.0, WORK_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    small_prob = cv2.resize(prob.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    window = max(2, round(radius * max(size)))
    sure = _sharpen(small_prob, threshold)
    a, b = _explain(small, sure, window, eps)
    a, b = (cv2.resize(x, (width, height), interpolation=cv2.INTER_LINEAR) for x in (a, b))
    alpha = (a * (image.astype(np.float32) / 255)).sum(2) + b
    # The window mixes in a little of everything: stretch what is nearly 0 or 1 all the way.
    alpha = ((alpha - 0.25) / 0.5).clip(0, 1)
    # Far from any edge of the mask the photograph has no say: a white shirt is not a hole.
    mask = (prob > threshold).astype(np.uint8)
    reach = 2 * max(2, round(radius * max(height, width)))
    near = cv2.distanceTransform(mask, cv2.DIST_L2, 5) + cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    trust = (2 - near / reach * 2).clip(0, 1)
    return (trust * alpha + (1 - trust) * mask).astype(np.float32)


def _sharpen(prob: np.ndarray, threshold: float, softness: float = 0.6) -> np.ndarray:
    return ((prob - threshold) / softness + 0.5).clip(0, 1)


def clean_colours(image: np.ndarray, alpha: np.ndarray, radius: float = 0.02) -> np.ndarray:
    """The person's own colours, with what shone in from the old background taken out.

    An edge pixel shows alpha * person + (1 - alpha) * background. Both are guessed from their neighbours,
    then the person's is moved until the sum is what the photograph shows. Left in, the old background
    is a halo on every new one. Forte, "Approximate Fast Foreground Colour Estimation" (2021).
    image: uint8 RGB (H, W, 3).   alpha: float (H, W) in [0, 1].   radius: share of the longer side.
    Returns: uint8 (H, W, 3); where alpha is 0 or 1 nothing changes.
    """
    photo, alpha = image.astype(np.float32), alpha.astype(np.float32)
    person = photo
    for share in (radius, radius / 4):  # from afar first, then close by
        side = 2 * max(1, round(share * max(alpha.shape))) + 1
        blurred = cv2.blur(alpha, (side, side))[..., None]
        near_person = cv2.blur(person * alpha[..., None], (side, side)) / (blurred + 1e-5)
        near_back = cv2.blur(photo * (1 - alpha[..., None]), (side, side)) / (1 - blurred + 1e-5)
        here = alpha[..., None]
        person = near_person + here * (photo - here * near_person - (1 - here) * near_back)
        person = person.clip(0, 255)
    mixed = (alpha > 0) & (alpha < 1)
    return np.where(mixed[..., None], person, photo).round().astype(np.uint8)


def halo(image: np.ndarray, colours: np.ndarray, alpha: np.ndarray, reach: float = 0.02) -> float:
    """How much of the old background still shines from the rim of a cut-out: 0 nothing to 1 all of it.

    Each pixel of the rim is placed on the line between the person's colour and the background's close by,
    both taken from where the cut-out is sure; it counts by its alpha, since that much of it will be seen.
    Only places where the two colours can be told apart count.
    image: the photograph, uint8 (H, W, 3).   colours, alpha: the cut-out, uint8 (H, W, 3) and float (H, W).
    reach: how far "close by" goes, as a share of the longer side.
    Returns: float; NaN where there is no such place.   Introduced in notebook 16.
    """
    photo = image.astype(np.float32)
    far = max(3, round(reach * max(alpha.shape)))
    inside = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    outside = cv2.distanceTransform((alpha <= 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    side = 4 * far + 1

    def mean_where(sure):
        weight = sure.astype(np.float32)
        total = cv2.blur(weight, (side, side))
        return cv2.blur(photo * weight[..., None], (side, side)) / np.maximum(total, 1e-6)[..., None], total

    person, some_person = mean_where((alpha > 0.95) & (inside > far / 2))
    behind, some_behind = mean_where((alpha < 0.05) & (outside > far / 2))
    line = behind - person
    length = np.square(line).sum(2)
    share = (((colours - person) * line).sum(2) / np.maximum(length, 1)).clip(0, 1)
    rim = (inside <= 3) & (outside <= far / 2) & (alpha > 0.02)
    rim &= (length > 50**2) & (some_person > 0.01) & (some_behind > 0.01)
    weight = alpha * rim
    return float((share * weight).sum() / weight.sum()) if weight.any() else float("nan")


def alpha_errors(alpha: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    """How far an alpha is from the exact one: mean absolute error and gradient error, in 1/1000.

    alpha, exact: float (H, W) in [0, 1]. Both are taken over the band around the exact edge, where it is
    decided (Rhemann et al., 2009, introduced the gradient error).   Raises: ValueError without an edge.
    """
    inside = (exact > 0.5).astype(np.uint8)
    reach = max(3, round(0.03 * max(exact.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    band = cv2.dilate(inside, kernel) > cv2.erode(inside, kernel)
    if not band.any():
        raise ValueError("the exact alpha has no edge.")

    def steepness(x):
        x = cv2.GaussianBlur(x.astype(np.float32), (0, 0), 1.0)
        return np.hypot(cv2.Sobel(x, cv2.CV_32F, 1, 0), cv2.Sobel(x, cv2.CV_32F, 0, 1))

    return {
        "mean_error": float(np.abs(alpha - exact)[band].mean() * 1000),
        "gradient_error": float(np.square(steepness(alpha) - steepness(exact))[band].mean() * 1000),
    }

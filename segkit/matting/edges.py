"""From a probability to an edge worth keeping: soft alpha that follows the photograph, and clean colours.

A network works at a few hundred pixels and its edges are a blur or a stair at full size. The photograph
itself knows better where hair ends. Introduced in notebook 16.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from segkit.data import resize_smoothly, shrink

WORK_SIDE = 480  # the filter's coefficients are smooth, so they are found on a smaller picture


def guided_filter(guide: np.ndarray, values: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Redraw `values` so that they change where `guide` changes.

    In every window, values are explained as a linear function of the guide's colour, a . colour + b; what
    the windows say of a pixel is averaged. He, Sun and Tang, "Guided Image Filtering" (2013).
    guide: float (H, W, 3) in [0, 1].   values: float (H, W).   radius: of the window, in pixels.
    eps: how much colour contrast counts as an edge; larger is smoother.   Returns: float32 (H, W).
    """
    a = _explain(cv2.split(guide.astype(np.float32)), values.astype(np.float32), radius, eps)
    return (a[..., :3] * guide).sum(2) + a[..., 3]


def _explain(guide: Sequence[np.ndarray], values: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """The averaged coefficients of guided_filter: float32 (H, W, 4), a for the three colours, then b.

    guide: the colours as three float32 (H, W).   values: float32 (H, W).
    """

    def mean(x):
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    means, mean_values = [mean(colour) for colour in guide], mean(values)
    with_values = [mean(guide[i] * values) - means[i] * mean_values for i in range(3)]
    # How the three colours vary together in each window: six different numbers.
    spread = {(i, j): mean(guide[i] * guide[j]) - means[i] * means[j] for i in range(3) for j in range(i + 1)}
    diagonal, below = [spread[i, i] + eps for i in range(3)], [spread[1, 0], spread[2, 0], spread[2, 1]]
    a = _solve(*diagonal, *below, *with_values)
    b = mean_values - a[0] * means[0] - a[1] * means[1] - a[2] * means[2]
    return mean(cv2.merge([*a, b]))


def _solve(m00, m11, m22, m10, m20, m21, y0, y1, y2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x of M x = y in every pixel, for a symmetric positive 3x3 matrix M: Cholesky's L D L^T written out."""
    l10, l20 = m10 / m00, m20 / m00
    d1 = m11 - l10 * m10
    l21 = (m21 - l20 * m10) / d1
    d2 = m22 - l20 * m20 - l21 * l21 * d1
    y1 = y1 - l10 * y0
    x2 = (y2 - l20 * y0 - l21 * y1) / d2
    x1 = y1 / d1 - l21 * x2
    return y0 / m00 - l10 * x1 - l20 * x2, x1, x2


def refine_alpha(
    image: np.ndarray, prob: np.ndarray, threshold: float = 0.5, radius: float = 0.01, eps: float = 1e-4
) -> np.ndarray:
    """Opacity of the person at full size, with edges that follow the photograph.

    image: uint8 RGB (H, W, 3).   prob: float in [0, 1], as a Segmenter returns it, (H, W) or smaller.
    radius: how far from the network's edge the true one may lie, as a share of the longer side.
    Returns: float32 (H, W) in [0, 1]; far from the edge it is 0 or 1.
    The coefficients are found on a small picture and used on the full one: He and Sun, "Fast Guided
    Filter" (2015).
    """
    height, width = image.shape[:2]
    small = shrink(image, WORK_SIDE)
    small_prob = resize_smoothly(prob.astype(np.float32, copy=False), *small.shape[:2])
    size = small_prob.shape[::-1]
    window = max(2, round(radius * max(size)))
    colours = [colour.astype(np.float32) / 255 for colour in cv2.split(small)]
    a = _explain(colours, ((small_prob - threshold) / 0.6 + 0.5).clip(0, 1), window, eps)
    a[..., :3] /= 255  # the photograph itself stays in bytes
    # Far from any edge of the mask the photograph has no say: a white shirt is not a hole.
    mask = (small_prob > threshold).astype(np.uint8)
    near = cv2.distanceTransform(mask, cv2.DIST_L2, 5) + cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    trust = (2 - near / window).clip(0, 1)
    alpha = (resize_smoothly(prob, height, width) > threshold).astype(np.float32)
    for rows, columns in _tiles(trust > 0, height, width):
        # The coefficients at the middle of every pixel of this piece.
        right, down = size[0] / width, size[1] / height
        left, top = (columns.start + 0.5) * right - 0.5, (rows.start + 0.5) * down - 0.5
        place = np.float32([[right, 0, left], [0, down, top]])
        piece = columns.stop - columns.start, rows.stop - rows.start
        how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
        here, trusted = (cv2.warpAffine(x, place, piece, **how) for x in (a, trust))
        # Plane by plane, which is much faster than a sum over colours.
        *weights, found = cv2.split(here)
        for weight, colour in zip(weights, cv2.split(image[rows, columns]), strict=True):
            found += weight * colour
        # The window mixes in a little of everything: stretch what is nearly 0 or 1 all the way.
        found = ((found - 0.25) / 0.5).clip(0, 1)
        alpha[rows, columns] += trusted * (found - alpha[rows, columns])
    return alpha


def _tiles(where: np.ndarray, height: int, width: int, least: int = 1) -> Iterator[tuple[slice, slice]]:
    """Pieces of a picture of (height, width), one after the other: less to calculate, and little memory.

    least: how long the side of a piece must be.
    where: bool (h, w), perhaps smaller than the picture; pieces in which it is nowhere true are left out.
    """
    side = max(least, min(512, max(height, width) // 5), 1)
    down, right = where.shape[0] / height, where.shape[1] / width
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, end = min(top + side, height), min(left + side, width)
            # One pixel more on each side, because the values between two pixels belong to both.
            rows = slice(max(0, int(top * down) - 1), int(bottom * down) + 2)
            if where[rows, max(0, int(left * right) - 1) : int(end * right) + 2].any():
                yield slice(top, bottom), slice(left, end)


def clean_colours(image: np.ndarray, alpha: np.ndarray, radius: float = 0.02) -> np.ndarray:
    """The person's own colours, with what shone in from the old background taken out.

    An edge pixel shows alpha * person + (1 - alpha) * background. Both are guessed from their neighbours,
    then the person's is moved until the sum is what the photograph shows. Left in, the old background
    is a halo on every new one. Forte, "Approximate Fast Foreground Colour Estimation" (2021).
    image: uint8 RGB (H, W, 3).   alpha: float (H, W) in [0, 1].   radius: share of the longer side.
    Returns: uint8 (H, W, 3); where alpha is 0 or 1 nothing changes.
    """
    height, width = alpha.shape
    # From afar first, then close by; a window wider than the picture would hold nothing new.
    sides = [
        tuple(2 * min(max(1, round(share * max(alpha.shape))), length) + 1 for length in (width, height))
        for share in (radius, radius / 4)
    ]
    margins = [sum(side[axis] // 2 for side in sides) for axis in (0, 1)]
    cleaned = image.copy()
    for rows, columns in _tiles((alpha > 0) & (alpha < 1), height, width, 2 * max(margins)):
        top, left = max(0, rows.start - margins[1]), max(0, columns.start - margins[0])
        around = slice(top, rows.stop + margins[1]), slice(left, columns.stop + margins[0])
        here = alpha[around][..., None].astype(np.float32)
        photo = person = image[around].astype(np.float32)
        for side in sides:
            blurred = cv2.blur(here, side)[..., None]
            near_person = cv2.blur(person * here, side) / (blurred + 1e-5)
            near_back = cv2.blur(photo * (1 - here), side) / (1 - blurred + 1e-5)
            person = near_person + here * (photo - here * near_person - (1 - here) * near_back)
            person = person.clip(0, 255)
        inner = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        mixed = (here[inner] > 0) & (here[inner] < 1)
        cleaned[rows, columns] = np.where(mixed, person[inner].round(), photo[inner])
    return cleaned


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

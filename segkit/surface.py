"""How far apart are two surfaces? Distances in millimetres, in two and in three dimensions. Notebook 15.

Dice counts what overlaps; a surgeon asks how far the cut is off. All functions take one pair of masks of
any number of dimensions, and the spacing of their pixels, since in a scan a step to the next slice is often
longer than a step to the next pixel.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def surface(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask that touch what is not the mask, across an edge or a face: bool, the same shape.

    What lies outside the picture is not the mask: an organ cut off by the scan has a surface there.
    """
    mask = np.asarray(mask) > 0
    return mask & ~ndimage.binary_erosion(mask)


def surface_distances(
    pred: np.ndarray, target: np.ndarray, spacing: float | Sequence[float] = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """From each surface pixel of one mask to the nearest surface pixel of the other, and the reverse.

    pred, target: bool or {0, 1}, of one shape, (H, W) or (D, H, W).
    spacing: how far it is from one pixel to the next, one number or one for each axis, such as (6, 2, 2) mm.
    Returns: two arrays, as long as pred's and target's surfaces. Where the other mask is empty, all are inf.
    Raises: ValueError when the shapes or the spacing do not fit.
    """
    pred, target = np.asarray(pred), np.asarray(target)
    if pred.shape != target.shape:
        raise ValueError(f"pred {pred.shape} and target {target.shape} differ in shape.")
    spacing = np.broadcast_to(np.asarray(spacing, float), pred.ndim) if np.size(spacing) == 1 else spacing
    if len(spacing) != pred.ndim or min(spacing) <= 0:
        raise ValueError(f"spacing needs {pred.ndim} numbers above 0, found {tuple(spacing)}.")
    ours, theirs = surface(pred), surface(target)
    return _distance_to(theirs, spacing)[ours], _distance_to(ours, spacing)[theirs]


def _distance_to(points: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The distance of every pixel to the nearest True."""
    if not points.any():
        return np.full(points.shape, np.inf)
    return ndimage.distance_transform_edt(~points, sampling=tuple(spacing))


def hausdorff(
    pred: np.ndarray,
    target: np.ndarray,
    percentile: float = 100,
    spacing: float | Sequence[float] = 1.0,
) -> float:
    """Hausdorff distance: the farthest that either surface is from the other.

    percentile: 95 leaves out the farthest twentieth ("HD95"), so that one stray pixel does not decide.
    Others: as in surface_distances.   Returns: 0 for two empty masks, inf when one of them is empty.
    Huttenlocher, Klanderman and Rucklidge (1993).
    """
    there, back = surface_distances(pred, target, spacing)
    if not len(there) and not len(back):
        return 0.0
    if not len(there) or not len(back):
        return float("inf")
    return float(max(np.percentile(there, percentile), np.percentile(back, percentile)))


def mean_surface_distance(
    pred: np.ndarray, target: np.ndarray, spacing: float | Sequence[float] = 1.0
) -> float:
    """Average symmetric surface distance: the mean of all distances, there and back.

    Returns: 0 for two empty masks, inf when one of them is empty.
    """
    there, back = surface_distances(pred, target, spacing)
    if not len(there) and not len(back):
        return 0.0
    if not len(there) or not len(back):
        return float("inf")
    return float(np.concatenate([there, back]).mean())

"""How good is a mask? First count pixels per image, then turn counts into scores.

Metrics take masks, never logits: threshold first. Introduced in notebook 04.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from segkit.files import IGNORE, UNNAMED


@dataclass(frozen=True)
class Counts:
    """Pixels of each image by what was said and what is true; four tensors (N,), int64.

    With several classes (N, C): each class against all others, see count_classes.

    Scores are per image, in [0, 1]. `counts.dice().mean()` is the mean over images, in which a small
    person weighs as much as a large one; `counts.pooled().dice()` counts all pixels as one image.
    Two empty masks agree and score 1 everywhere. Among several classes, one that neither mask holds has no
    score: nan. Nor has an image of which nothing is asked.
    """

    tp: Tensor
    fp: Tensor
    fn: Tensor
    tn: Tensor

    def dice(self) -> Tensor:
        """2 TP / (2 TP + FP + FN), also called F1. Dice (1945)."""
        return self._share(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def iou(self) -> Tensor:
        """TP / (TP + FP + FN), intersection over union. Jaccard (1901)."""
        return self._share(self.tp, self.tp + self.fp + self.fn)

    def precision(self) -> Tensor:
        """TP / (TP + FP): how much of what was called person is person. 0 if only the target holds one."""
        return self._share(self.tp, self.tp + self.fp)

    def recall(self) -> Tensor:
        """TP / (TP + FN): how much of the person was found. 0 if only the prediction holds one."""
        return self._share(self.tp, self.tp + self.fn)

    def pixel_accuracy(self) -> Tensor:
        """(TP + TN) / all. Flatters: all background scores 0.9 where a person fills a tenth."""
        return (self.tp + self.tn).double() / (self.tp + self.fp + self.fn + self.tn)

    def pooled(self) -> "Counts":
        """The counts of all images added up, as those of one image (1,)."""
        return Counts(*(count.sum(0, keepdim=True) for count in (self.tp, self.fp, self.fn, self.tn)))

    def _share(self, part: Tensor, whole: Tensor) -> Tensor:
        both_empty = (self.tp + self.fp + self.fn) == 0
        of_nothing = torch.where(self.tn > 0, 1.0, math.nan) if self.tp.ndim == 1 else math.nan
        return torch.where(both_empty, of_nothing, part.double() / whole.clamp(min=1))

    def per_image(self, score: str) -> Tensor:
        """A score by the name of its method: (N,). With several classes it is the mean over the classes that
        either mask of an image holds, background (class 0) left out. An image of background alone, rightly
        found, scores 1.
        """
        scores = getattr(self, score)()
        if scores.ndim == 1:
            return scores
        held = ((self.tp + self.fp + self.fn) > 0)[:, 1:]
        mean = scores[:, 1:].where(held, 0).sum(1) / held.sum(1).clamp(min=1)
        return torch.where(held.any(1), mean, torch.where(self.tp[:, 0] > 0, 1.0, math.nan))

    @staticmethod
    def cat(batches: "list[Counts]") -> "Counts":
        """Counts of several batches, one after the other."""
        return Counts(*(torch.cat([getattr(c, name) for c in batches]) for name in ("tp", "fp", "fn", "tn")))


def count_pixels(
    pred: Tensor | np.ndarray, target: Tensor | np.ndarray, asked: Tensor | np.ndarray | None = None
) -> Counts:
    """Compare masks pixel by pixel, image by image.

    pred, target: (N, 1, H, W) or (N, H, W), boolean or {0, 1}.   Returns: Counts of (N,).
    asked: the same, true where a pixel counts; None counts all.
    Raises: ValueError for other shapes or values, such as logits or probabilities.
    """
    pred, target, asked = _alike(pred, target, asked)
    pairs = (pred & target, pred & ~target, ~pred & target, ~pred & ~target)
    return Counts(*((pair & asked).flatten(1).sum(1) for pair in pairs))


def count_labels(pred: Tensor | np.ndarray, target: Tensor | np.ndarray, num_classes: int) -> Counts:
    """Compare masks as a data set gives them: {0, 1} or class ids, and IGNORE where nothing is asked.

    Returns: Counts of (N,), as count_pixels, or of (N, C), as count_classes.
    """
    if num_classes > 1:
        return count_classes(pred, target, num_classes)
    asked = target != IGNORE
    return count_pixels(pred, (target > 0) & asked, asked)


def count_classes(pred: Tensor | np.ndarray, target: Tensor | np.ndarray, num_classes: int) -> Counts:
    """Compare class ids pixel by pixel, image by image, each class against all others.

    pred, target: (N, 1, H, W) or (N, H, W), ids below num_classes; where target is IGNORE or UNNAMED,
    nothing counts.
    Returns: Counts of (N, C).   Introduced in notebook 14.
    """
    matrix = confusion_matrix(pred, target, num_classes)
    tp = matrix.diagonal(dim1=1, dim2=2)
    fp, fn = matrix.sum(1) - tp, matrix.sum(2) - tp
    return Counts(tp, fp, fn, matrix.sum((1, 2))[:, None] - tp - fp - fn)


def confusion_matrix(pred: Tensor | np.ndarray, target: Tensor | np.ndarray, num_classes: int) -> Tensor:
    """How many pixels of true class i (row) were called class j (column): int64 (N, C, C).

    pred, target: as in count_classes.   Raises: ValueError.   Introduced in notebook 14.
    """
    pred, target = _tensor(pred), _tensor(target)
    if pred.shape != target.shape or pred.ndim not in (3, 4):
        raise ValueError(
            f"pred {tuple(pred.shape)} and target {tuple(target.shape)}: expected one shape, "
            "(N, 1, H, W) or (N, H, W)."
        )
    whole = all((ids % 1 == 0).all() for ids in (pred, target) if ids.is_floating_point())
    pred, target = pred.long(), target.long()
    asked = (target != IGNORE) & (target != UNNAMED)
    ids = torch.cat([pred.flatten(), target[asked]])
    if not whole or (len(ids) and not 0 <= ids.min() <= ids.max() < num_classes):
        raise ValueError(f"class ids go from 0 to {num_classes - 1}: take the argmax of the logits first.")
    # One number per (image, true class, called class), then one histogram over all of them.
    image = torch.arange(len(pred), device=pred.device).view(-1, *[1] * (pred.ndim - 1))
    cell = ((image * num_classes + target) * num_classes + pred)[asked]
    counts = torch.bincount(cell, minlength=len(pred) * num_classes**2)
    return counts.view(len(pred), num_classes, num_classes)


def _tensor(values: Tensor | np.ndarray) -> Tensor:
    # torch takes no mirrored array as it is.
    return torch.as_tensor(np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values)


def _alike(pred, target, asked) -> tuple[Tensor, Tensor, Tensor]:
    """The three as boolean masks of one shape.   Raises: ValueError."""
    pred, target = _as_masks(pred, "pred"), _as_masks(target, "target")
    asked = torch.ones_like(pred) if asked is None else _as_masks(asked, "asked")
    for name, other in (("target", target), ("asked", asked)):
        if pred.shape != other.shape:
            raise ValueError(f"pred {tuple(pred.shape)} and {name} {tuple(other.shape)} differ in shape.")
    return pred, target, asked


def _as_masks(masks: Tensor | np.ndarray, name: str) -> Tensor:
    masks = _tensor(masks)
    if masks.ndim not in (3, 4) or (masks.ndim == 4 and masks.shape[1] != 1):
        raise ValueError(f"{name} has shape {tuple(masks.shape)}: expected (N, 1, H, W) or (N, H, W).")
    if masks.dtype != torch.bool and ((masks != 0) & (masks != 1)).any():
        raise ValueError(
            f"{name} holds values other than 0 and 1: metrics take masks. Logits: use logits > 0. "
            "Probabilities: use probs > threshold. A 0/255 mask: use mask > 127."
        )
    return masks.bool()


def dice_score(pred: Tensor, target: Tensor) -> Tensor:
    """Dice coefficient of each image: 2|A∩B| / (|A| + |B|).

    pred, target: (N, 1, H, W), boolean or {0, 1}.   Returns: (N,) in [0, 1].
    """
    return count_pixels(pred, target).dice()


def iou_score(pred: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of each image: |A∩B| / |A∪B|.

    pred, target: (N, 1, H, W), boolean or {0, 1}.   Returns: (N,) in [0, 1].
    """
    return count_pixels(pred, target).iou()


def boundary_f(
    pred: Tensor | np.ndarray,
    target: Tensor | np.ndarray,
    tolerance: float = 2.0,
    asked: Tensor | np.ndarray | None = None,
) -> Tensor:
    """Boundary F-score of each image: do the outlines lie on each other?

    Precision is the share of the predicted outline that lies within `tolerance` pixels (Euclidean) of
    the true outline, recall the reverse, F their harmonic mean. An outline is the outermost ring of
    person pixels; the picture's own edge is no outline. Two masks without outline score 1.

    pred, target: (N, 1, H, W) or (N, H, W), boolean or {0, 1}.   Returns: (N,) in [0, 1].
    asked: the same, true where a pixel counts; the edge of what does not is no outline either; where none
        does, the score is nan.
    Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?" (2013).
    """
    pred, target, asked = _alike(pred, target, asked)
    if not tolerance >= 0:
        raise ValueError(f"the tolerance is a number of pixels from 0 on, found {tolerance}.")
    images = zip(*(m.reshape(-1, *m.shape[-2:]).cpu().numpy() for m in (pred, target, asked)), strict=True)
    return torch.tensor([_boundary_f(p, t, a, tolerance) for p, t, a in images], dtype=torch.float64)


def _boundary_f(pred: np.ndarray, target: np.ndarray, asked: np.ndarray, tolerance: float) -> float:
    # As beyond the picture's edge: what is not asked counts as person, so no outline runs along it.
    lines = ours, theirs = [outline(mask | ~asked) & asked for mask in (pred, target)]
    if not ours.any() and not theirs.any():
        return 1.0 if asked.any() else math.nan
    if not ours.any() or not theirs.any():
        return 0.0
    # A round brush along the other outline: all distances of a large picture would fill the memory.
    reach = int(min(tolerance, max(pred.shape)))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    brush = np.uint8(np.sqrt(x * x + y * y) <= tolerance)
    precision, recall = (cv2.dilate(b.view(np.uint8), brush)[a].mean() for a, b in (lines, lines[::-1]))
    return float(2 * precision * recall / max(precision + recall, 1e-12))


def outline(mask: np.ndarray) -> np.ndarray:
    """The outermost ring of person pixels (4-neighbours): (H, W) {0, 1} -> bool (H, W)."""
    mask = mask.astype(bool, copy=False).view(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    # OpenCV treats what lies outside the picture as person here, so a cropped person has no outline there.
    inner = cv2.erode(mask, cross)
    return np.subtract(mask, inner, out=inner).view(bool)


def _distance_to(points: np.ndarray, spacing: Sequence[float] = (1.0, 1.0)) -> np.ndarray:
    """Distance of every pixel to the nearest True, in the unit of spacing (pixels)."""
    if not points.any():
        return np.full(points.shape, np.inf)
    return ndimage.distance_transform_edt(~points, sampling=tuple(spacing))


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
    if len(spacing) != pred.ndim or not all(0 < step < math.inf for step in spacing):
        raise ValueError(f"spacing needs {pred.ndim} numbers above 0, found {tuple(spacing)}.")
    ours, theirs = surface(pred), surface(target)
    return _distance_to(theirs, spacing)[ours], _distance_to(ours, spacing)[theirs]


def hausdorff(
    pred: np.ndarray, target: np.ndarray, percentile: float = 100, spacing: float | Sequence[float] = 1.0
) -> float:
    """Hausdorff distance: the farthest that either surface is from the other.

    percentile: 95 leaves out the farthest twentieth ("HD95"), so that one stray pixel does not decide.
    Others: as in surface_distances.   Returns: 0 for two empty masks, inf when one of them is empty.
    Huttenlocher, Klanderman and Rucklidge (1993).
    """
    there, back = surface_distances(pred, target, spacing)
    if not len(there) or not len(back):
        return math.inf if len(there) or len(back) else 0.0
    return float(max(np.percentile(there, percentile), np.percentile(back, percentile)))


def mean_surface_distance(
    pred: np.ndarray, target: np.ndarray, spacing: float | Sequence[float] = 1.0
) -> float:
    """Average symmetric surface distance: the mean of all distances, there and back.

    Returns: 0 for two empty masks, inf when one of them is empty.
    """
    distances = np.concatenate(surface_distances(pred, target, spacing))
    return float(distances.mean()) if len(distances) else 0.0


def resampled_means(
    scores: np.ndarray, groups: Sequence | None = None, resamples: int = 2000, seed: int = 0
) -> np.ndarray:
    """The bootstrap: means of sets of the same size, drawn from the scores with replacement.

    scores: (N,).   groups: what belongs together, such as the scene of each picture; whole groups are then
        drawn, since two views of one scene are not two independent pictures. None: each stands alone.
    Returns: (resamples,).   Raises: ValueError without scores.   Efron (1979); introduced in notebook 09.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or len(scores) == 0 or not np.isfinite(scores).all():
        raise ValueError(f"scores must be one row of numbers, found {str(scores)[:99]}.")
    _, member = np.unique(range(len(scores)) if groups is None else groups, return_inverse=True)
    sums, counts = np.bincount(member, scores), np.bincount(member)
    # How often each group is drawn is all that matters, so one product makes all the means.
    draws = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), resamples)
    return (draws @ sums) / (draws @ counts)


def interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """The middle of many values: (2.5 %, 97.5 %) at 0.95.   Introduced in notebook 09."""
    return tuple(np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist())

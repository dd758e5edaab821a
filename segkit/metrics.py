"""How good is a mask? First count pixels per image, then turn counts into scores.

Metrics take masks, never logits: threshold first. Introduced in notebook 04.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Counts:
    """Pixels of each image by what was said and what is true; four tensors (N,), int64.

    With several classes (N, C): each class against all others, see count_classes.

    Scores are per image, in [0, 1]. `counts.dice().mean()` is the mean over images, in which a small
    person weighs as much as a large one; `counts.pooled().dice()` counts all pixels as one image.
    Two empty masks agree and score 1 everywhere.
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
        return torch.where(both_empty, 1.0, part.double() / whole.clamp(min=1))

    def over_classes(self, scores: Tensor) -> Tensor:
        """Scores (N, C) of these counts -> (N,): the mean over the classes that either mask of an image
        holds, background (class 0) left out. An image of background alone, rightly found, scores 1.
        """
        held = ((self.tp + self.fp + self.fn) > 0)[:, 1:]
        mean = (scores[:, 1:] * held).sum(1) / held.sum(1).clamp(min=1)
        return torch.where(held.any(1), mean, 1.0)

    @staticmethod
    def cat(batches: "list[Counts]") -> "Counts":
        """Counts of several batches, one after the other."""
        columns = zip(*((c.tp, c.fp, c.fn, c.tn) for c in batches), strict=True)
        return Counts(*(torch.cat(column) for column in columns))


def count_pixels(pred: Tensor | np.ndarray, target: Tensor | np.ndarray) -> Counts:
    """Compare masks pixel by pixel, image by image.

    pred, target: (N, 1, H, W) or (N, H, W), boolean or {0, 1}.   Returns: Counts of (N,).
    Raises: ValueError for other shapes or values, such as logits or probabilities.
    """
    pred, target = _as_masks(pred, "pred"), _as_masks(target, "target")
    if pred.shape != target.shape:
        raise ValueError(f"pred {tuple(pred.shape)} and target {tuple(target.shape)} differ in shape.")
    pred, target = pred.flatten(1), target.flatten(1)
    tp = (pred & target).sum(1)
    fp = pred.sum(1) - tp
    fn = target.sum(1) - tp
    return Counts(tp, fp, fn, pred.shape[1] - tp - fp - fn)


def count_classes(
    pred: Tensor | np.ndarray, target: Tensor | np.ndarray, num_classes: int, ignore: int = 255
) -> Counts:
    """Compare class ids pixel by pixel, image by image, each class against all others.

    pred, target: (N, 1, H, W) or (N, H, W), ids below num_classes; where target is `ignore`, nothing counts.
    Returns: Counts of (N, C).   Introduced in notebook 14.
    """
    matrix = confusion_matrix(pred, target, num_classes, ignore)
    tp = matrix.diagonal(dim1=1, dim2=2)
    fp, fn = matrix.sum(1) - tp, matrix.sum(2) - tp
    return Counts(tp, fp, fn, matrix.sum((1, 2))[:, None] - tp - fp - fn)


def confusion_matrix(
    pred: Tensor | np.ndarray, target: Tensor | np.ndarray, num_classes: int, ignore: int = 255
) -> Tensor:
    """How many pixels of true class i (row) were called class j (column): int64 (N, C, C).

    pred, target: as in count_classes.   Raises: ValueError.   Introduced in notebook 14.
    """
    pred, target = torch.as_tensor(pred).long(), torch.as_tensor(target).long()
    if pred.shape != target.shape or pred.ndim not in (3, 4):
        raise ValueError(
            f"pred {tuple(pred.shape)} and target {tuple(target.shape)}: expected one shape, "
            "(N, 1, H, W) or (N, H, W)."
        )
    asked = target != ignore
    if (
        pred.min() < 0
        or pred.max() >= num_classes
        or (asked & (target >= num_classes)).any()
        or target.min() < 0
    ):
        raise ValueError(f"class ids go from 0 to {num_classes - 1}: take the argmax of the logits first.")
    # One number per (image, true class, called class), then one histogram over all of them.
    image = torch.arange(len(pred), device=pred.device).view(-1, *[1] * (pred.ndim - 1))
    cell = ((image * num_classes + target) * num_classes + pred)[asked]
    counts = torch.bincount(cell, minlength=len(pred) * num_classes**2)
    return counts.view(len(pred), num_classes, num_classes)


def _as_masks(masks: Tensor | np.ndarray, name: str) -> Tensor:
    masks = torch.as_tensor(masks)
    if masks.ndim not in (3, 4):
        raise ValueError(f"{name} has shape {tuple(masks.shape)}: expected (N, 1, H, W) or (N, H, W).")
    if masks.dtype != torch.bool:
        if ((masks != 0) & (masks != 1)).any():
            raise ValueError(
                f"{name} holds values other than 0 and 1: metrics take masks. Logits: use logits > 0. "
                "Probabilities: use probs > threshold. A 0/255 mask: use mask > 127."
            )
        masks = masks.bool()
    return masks


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


def boundary_f(pred: Tensor | np.ndarray, target: Tensor | np.ndarray, tolerance: float = 2.0) -> Tensor:
    """Boundary F-score of each image: do the outlines lie on each other?

    Precision is the share of the predicted outline that lies within `tolerance` pixels (Euclidean) of
    the true outline, recall the reverse, F their harmonic mean. An outline is the outermost ring of
    person pixels; the picture's own edge is no outline. Two masks without outline score 1.

    pred, target: (N, 1, H, W) or (N, H, W), boolean or {0, 1}.   Returns: (N,) in [0, 1].
    Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?" (2013).
    """
    pred, target = _as_masks(pred, "pred"), _as_masks(target, "target")
    if pred.shape != target.shape:
        raise ValueError(f"pred {tuple(pred.shape)} and target {tuple(target.shape)} differ in shape.")
    height, width = pred.shape[-2:]
    pairs = zip(
        *(m.reshape(-1, height, width).cpu().numpy().astype(np.uint8) for m in (pred, target)), strict=True
    )
    return torch.tensor([_boundary_f(p, t, tolerance) for p, t in pairs], dtype=torch.float64)


def _boundary_f(pred: np.ndarray, target: np.ndarray, tolerance: float) -> float:
    ours, theirs = outline(pred), outline(target)
    if not ours.any() and not theirs.any():
        return 1.0
    if not ours.any() or not theirs.any():
        return 0.0
    precision = (_distance_to(theirs)[ours] <= tolerance).mean()
    recall = (_distance_to(ours)[theirs] <= tolerance).mean()
    return float(2 * precision * recall / max(precision + recall, 1e-12))


def outline(mask: np.ndarray) -> np.ndarray:
    """The outermost ring of person pixels (4-neighbours): (H, W) {0, 1} -> bool (H, W)."""
    mask = mask.astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    # OpenCV treats what lies outside the picture as person here, so a cropped person has no outline there.
    return (mask - cv2.erode(mask, cross)).astype(bool)


def _distance_to(points: np.ndarray) -> np.ndarray:
    """Distance in pixels of every pixel to the nearest True."""
    return cv2.distanceTransform((~points).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)

"""Several classes: the exercises of notebook 14."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.course.check.core import Wrong, exercise, from_start
from segkit.course.check.lesson05 import name_mistake
from segkit.files import IGNORE
from segkit.metrics import confusion_matrix


def one_number(value, given) -> float:
    """One number out of what an answer returned.   Raises: Wrong."""
    if isinstance(value, bool) or not isinstance(value, int | float | Tensor | np.ndarray | np.generic):
        raise Wrong("return one number.", given, type(value).__name__, "one number")
    if (value.numel() if isinstance(value, Tensor) else np.size(value)) != 1:
        raise Wrong("return one number: take the mean.", given, value, "one number")
    return float(value)


def _as_array(value, shape: tuple[int, ...], given, what: str) -> np.ndarray:
    """An answer as float64 of a wanted shape.   Raises: Wrong."""
    if not isinstance(value, Tensor | np.ndarray | list | tuple):
        raise Wrong(f"return {what}.", given, type(value).__name__, f"shape {shape}")
    array = np.asarray(torch.as_tensor(value).detach().cpu(), np.float64)
    if array.shape != shape:
        raise Wrong(f"return {what}.", given, f"shape {array.shape}", f"shape {shape}")
    return array


def _name_array(got: np.ndarray, expected: np.ndarray, mistakes: dict, given, otherwise: str) -> None:
    """Raise Wrong for a wrong array, with the hint of the mistake that gives this very array."""
    if np.allclose(got, expected, atol=1e-5, rtol=1e-4):
        return
    for hint, value in mistakes.items():
        value = np.asarray(torch.as_tensor(value), np.float64)
        if value.shape == got.shape and np.allclose(got, value, atol=1e-5, rtol=1e-4, equal_nan=True):
            raise Wrong(hint, given, got, expected)
    raise Wrong(otherwise, given, got, expected)


@exercise
def softmax_by_hand(answer) -> None:
    """Probabilities from the logits of one picture, answer(logits): (C, H, W) -> (C, H, W)."""
    for seed in range(3):
        generator = torch.Generator().manual_seed(from_start(seed))
        logits = 2 * torch.randn(3 + seed, 2, 2, generator=generator)
        given = f"logits {tuple(logits.shape)}"
        got = _as_array(answer(logits.clone()), tuple(logits.shape), given, "one probability per logit")
        exp = logits.exp()
        _name_array(
            got,
            logits.softmax(0).numpy(),
            {
                "these are sigmoids: every class for itself. A pixel's classes must share one whole.": (
                    logits.sigmoid()
                ),
                "these sum to 1 over all pixels and classes. Sum over the classes alone, dim=0.": (
                    exp / exp.sum()
                ),
                "these sum to 1 over the pixels of each class. Sum over the classes, dim=0.": (
                    exp / exp.sum((1, 2), keepdim=True)
                ),
                "these do not sum to 1 yet: divide by the sum over the classes.": exp,
                "this divides the logits, and some are negative: take exp of each first.": (
                    logits / logits.sum(0)
                ),
            },
            given,
            "exp of every logit, divided by the sum of exp over the classes of that pixel.",
        )
    large = torch.tensor([1000.0, 999.0, -1000.0]).view(3, 1, 1)
    got = _as_array(answer(large), (3, 1, 1), "logits 1000, 999, -1000", "one probability per logit")
    if not np.isfinite(got).all():
        raise Wrong(
            "exp(1000) is too large for a computer. Subtract the pixel's largest logit first: "
            "the shares stay the same.",
            "logits 1000, 999, -1000",
            got.ravel(),
            large.softmax(0).ravel(),
        )
    if not np.allclose(got, large.softmax(0).numpy(), atol=1e-3):
        raise Wrong(
            "right for small logits, wrong for large ones: subtract the largest, do not cut them off.",
            "logits 1000, 999, -1000",
            got.ravel(),
            large.softmax(0).ravel(),
        )


def _matrix(seed: int, classes: int = 4) -> np.ndarray:
    """A confusion matrix as of a fair network: rows are true, columns called; every class occurs."""
    rng = np.random.default_rng(from_start(seed))
    return rng.integers(1, 12, (classes, classes)) + np.diag(rng.integers(20, 90, classes))


@exercise
def class_dice(answer) -> None:
    """Dice of every class from a confusion matrix, answer(matrix): (C, C) -> (C,)."""
    for seed in range(3):
        matrix = _matrix(seed, 3 + seed)
        tp, true, called = np.diag(matrix).astype(float), matrix.sum(1), matrix.sum(0)
        got = _as_array(answer(matrix.copy()), tp.shape, matrix, "one number per class")
        _name_array(
            got,
            2 * tp / (true + called),
            {
                "this is recall: right pixels over true ones. Dice also looks at what was called.": tp / true,
                "this is precision: right pixels over called ones. Dice also looks at what is true.": (
                    tp / called
                ),
                "this is IoU. Dice counts the right pixels twice, above and below.": tp
                / (true + called - tp),
                "the 2 in front of the right pixels is missing.": tp / (true + called),
            },
            matrix,
            "2 * the diagonal, over the sum of the row plus the sum of the column.",
        )


@exercise
def cross_entropy_without(answer) -> None:
    """Cross-entropy that leaves out pixels of id 255, answer(logits, ids): (N, C, H, W), (N, H, W)."""
    for seed in range(4):
        generator = torch.Generator().manual_seed(from_start(seed))
        logits = torch.randn(2, 4, 3, 3, generator=generator)
        ids = torch.randint(0, 4, (2, 3, 3), generator=generator)
        if seed:
            ids[torch.rand(ids.shape, generator=generator) < 0.2 * seed] = IGNORE
            ids[0, 0, 0], ids[1, 1, 1] = 2, IGNORE
        given = f"logits {tuple(logits.shape)}, {int((ids == IGNORE).sum())} of {ids.numel()} pixels are 255"
        asked = ids != IGNORE
        as_ground = torch.where(asked, ids, 0)
        each = F.cross_entropy(logits, ids, ignore_index=IGNORE, reduction="none")
        name_mistake(
            one_number(answer(logits.clone(), ids.clone()), given),
            (each.sum() / asked.sum()).item(),
            {
                "pixels of 255 are taken for background: they must not count at all.": (
                    F.cross_entropy(logits, as_ground)
                ),
                "pixels of 255 are taken for the last class: they must not count at all.": (
                    F.cross_entropy(logits, ids.clamp(max=3))
                ),
                "the sum is right, but it is shared among all pixels: divide by the number of those asked.": (
                    each.mean()
                ),
                "this is the sum: divide by the number of pixels asked.": each.sum(),
                "the sign is turned: a loss is never below zero.": -(each.sum() / asked.sum()),
                "log of a sigmoid: with several classes, take log_softmax over dim 1.": (
                    -F.logsigmoid(logits).gather(1, as_ground[:, None])[:, 0][asked].mean()
                ),
            },
            "-log_softmax of the true class, at the pixels whose id is not 255, and their mean.",
        )
    logits, ids = torch.tensor([500.0, -500.0]).view(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.long)
    given = "one pixel of class 1, logits 500 and -500"
    if not np.isclose(got := one_number(answer(logits, ids), given), 1000):
        hint = "the log of a softmax that has become 0: log_softmax does both at once, and stays finite."
        raise Wrong(hint, given, got, 1000.0)


@exercise
def merge_classes(answer) -> None:
    """Fewer classes, answer(ids, groups): ids (H, W) uint8; pixels of an id in groups[i] become i."""
    cases = [((0,), (1, 2), (3,), (4, 5), (6, 7)), ((0,), (3, 4, 5, 6, 7), (1, 2)), ((0, 2), (1,), (7, 3))]
    for seed, groups in enumerate(cases):
        used = sorted(sum(groups, ()))
        ids = np.random.default_rng(from_start(seed)).choice(np.array([*used, IGNORE], np.uint8), (4, 6))
        ids[0, 0], ids[3, 5] = IGNORE, groups[-1][-1]
        expected, chained, lost = ids.copy(), ids.copy(), np.zeros_like(ids)
        for new, group in enumerate(groups):
            expected[np.isin(ids, group)] = new
            lost[np.isin(ids, group)] = new
            chained[np.isin(chained, group)] = new
        given, before = f"ids {np.unique(ids).tolist()}, groups {groups}", ids.copy()
        result = answer(ids, groups)
        got = _as_array(result, ids.shape, given, "ids of the same shape")
        if not np.array_equal(ids, before):
            raise Wrong("the ids that came in were changed: write into a copy.", given)
        if (kind := np.asarray(result).dtype).kind not in "iu":
            raise Wrong("ids are names: whole numbers, such as uint8.", given, kind, "whole numbers")
        _name_array(
            got,
            expected,
            {
                "pixels of 255 became background: they must stay 255.": lost,
                "ids that were already new were merged again: compare with the ids as they came in.": chained,
                "nothing was merged yet.": ids,
            },
            given,
            "every pixel whose id is in groups[i] gets i; 255 stays 255.",
        )


@exercise
def mean_iou(answer) -> None:
    """Mean IoU over classes, all pictures pooled, answer(preds, targets, num_classes): (N, H, W) ids.

    Pixels whose target is 255 do not count; a class that nobody names is left out of the mean.
    """
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        classes = 7
        targets = rng.integers(0, 4, (3, 8, 8))  # classes 4 to 6 do not occur
        preds = np.where(rng.random(targets.shape) < 0.6, targets, rng.integers(0, 4, targets.shape))
        targets[0], preds[0] = targets[0] % 2, preds[0] % 2
        if seed:
            targets[rng.random(targets.shape) < 0.1 * seed] = IGNORE
        if seed % 2:
            preds[1, 2, :3], targets[1, 2, :3] = 4, 0  # called, and nowhere true
        if seed > 1:
            preds[2, 5, 2:4], targets[2, 5, 2:4] = 0, classes - 1  # true, and never called
        given = f"preds {np.unique(preds).tolist()}, targets {np.unique(targets).tolist()}, {classes} classes"
        each = confusion_matrix(preds, targets, classes)
        pooled, counts = _ious(each.sum(0)), each.sum(0).double()
        as_ground = _ious(confusion_matrix(preds, np.where(targets == IGNORE, 0, targets), classes).sum(0))
        tp, sizes = counts.diagonal(), counts.sum(1) + counts.sum(0)
        both = (counts.sum(1) > 0) & (counts.sum(0) > 0)
        got = one_number(answer(preds.copy(), targets.copy(), classes), given)
        wanted = pooled.nanmean().item()
        if np.isnan(got):
            hint = "0 / 0 is not a number: leave out the classes that nobody names."
            raise Wrong(hint, given, got, wanted)
        mistakes = {
            "classes that nobody names count as 0: leave them out of the mean.": pooled.nan_to_num(0).mean(),
            "classes that nobody names count as 1: leave them out of the mean.": pooled.nan_to_num(1).mean(),
            "a class that only one of the two names was left out: that is a mistake and scores 0.": (
                pooled[both].mean()
            ),
            "this is the mean over pictures: add up the counts of all pictures first.": (
                _ious(each).nanmean(1).mean()
            ),
            "pixels of 255 are taken for background: leave them out.": as_ground.nanmean(),
            "this is one IoU over all classes together. Each class has its own; then the mean.": (
                tp.sum() / (sizes - tp).sum()
            ),
            "this is mean Dice: for IoU the right pixels count once.": (2 * tp / sizes).nanmean(),
            "background is left out. Here it is a class like the others.": pooled[1:].nanmean(),
        }
        otherwise = "for every class: pixels where both name it, over pixels where either does, 255 left out."
        name_mistake(got, wanted, mistakes, otherwise)


def _ious(matrix: Tensor) -> Tensor:
    """(..., C, C) -> the IoU of every class, (..., C); nan where nobody names it."""
    matrix = matrix.double()
    tp = matrix.diagonal(dim1=-2, dim2=-1)
    return tp / (matrix.sum(-1) + matrix.sum(-2) - tp)

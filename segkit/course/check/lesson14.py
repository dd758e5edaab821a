"""Several classes: the exercises of notebook 14."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segkit.course.check.core import cases, draws, either, torch_generator
from segkit.files import IGNORE
from segkit.metrics import confusion_matrix


@cases("exp of every logit, divided by the sum of exp over the classes.", atol=1e-4)
def softmax_by_hand():
    """Probabilities from the logits of one picture, answer(logits): (C, H, W) -> (C, H, W)."""
    for seed in range(3):
        logits = 2 * torch.randn(3 + seed, 2, 2, generator=torch_generator(seed))
        exp = logits.exp()
        over_pixels = exp / exp.sum((1, 2), keepdim=True)
        mistakes = {
            "these are sigmoids: the classes of a pixel must share one whole.": logits.sigmoid(),
            "these sum to 1 over all pixels and classes. Sum over the classes alone, dim=0.": exp / exp.sum(),
            "these sum to 1 over the pixels of each class. Sum over the classes, dim=0.": over_pixels,
            "these do not sum to 1 yet: divide by the sum over the classes.": exp,
            "this divides the logits, and some are negative: take exp of each first.": logits / logits.sum(0),
        }
        yield (logits,), logits.softmax(0), mistakes
    large = torch.tensor([[1000.0, -999.0], [999.0, -1000.0], [-1000.0, -999.5]]).view(3, 1, 2)
    too_large = "exp(1000) is too large for a computer. Subtract the pixel's largest logit: the shares stay."
    mistakes = {
        too_large: lambda got: not np.isfinite(got).all(),
        "right for small logits, wrong for large ones: subtract the largest, do not cut them off.": True,
    }
    yield (large,), large.softmax(0), mistakes


@cases("2 * the diagonal, over row sum plus column sum.", "one number per class", atol=1e-5)
def class_dice():
    """Dice of every class from a confusion matrix, answer(matrix): (C, C) -> (C,)."""
    for classes, (_, rng) in enumerate(draws(3), start=3):
        # As of a fair network: rows are true, columns called; every class occurs.
        matrix = rng.integers(1, 12, (classes, classes)) + np.diag(rng.integers(20, 90, classes))
        tp, true, called = np.diag(matrix).astype(float), matrix.sum(1), matrix.sum(0)
        mistakes = {
            "this is recall: right pixels over true ones. Dice also looks at what was called.": tp / true,
            "this is precision: right pixels over called ones. Dice also looks at what is true.": tp / called,
            "this is IoU. Dice counts the right pixels twice, above and below.": tp / (true + called - tp),
            "the 2 in front of the right pixels is missing.": tp / (true + called),
        }
        yield (matrix,), 2 * tp / (true + called), mistakes


@cases("-log_softmax of the true class, at the pixels whose id is not 255, and their mean.", atol=1e-5)
def cross_entropy_without():
    """Cross-entropy that leaves out pixels of id 255, answer(logits, ids): (N, C, H, W), (N, H, W)."""
    for seed in range(4):
        generator = torch_generator(seed)
        logits = torch.randn(2, 4, 3, 3, generator=generator)
        ids = torch.randint(0, 4, (2, 3, 3), generator=generator)
        if seed:
            ids[torch.rand(ids.shape, generator=generator) < 0.2 * seed] = IGNORE
        ids[0, 0, 0], ids[1, 1, 1] = 2, IGNORE
        asked = ids != IGNORE
        as_ground = torch.where(asked, ids, 0)
        each = F.cross_entropy(logits, ids, ignore_index=IGNORE, reduction="none")
        right = each.sum() / asked.sum()
        of_sigmoid = F.logsigmoid(logits).gather(1, as_ground[:, None])[:, 0]
        background, last = F.cross_entropy(logits, as_ground), F.cross_entropy(logits, ids.clamp(max=3))
        mistakes = {
            "pixels of 255 are taken for a class: they must not count at all.": either(background, last),
            "the sum is shared among all pixels: divide by the number of those asked.": each.mean(),
            "this is the sum: divide by the number of pixels asked.": each.sum(),
            "the sign is turned: a loss is never below zero.": -right,
            "log of a sigmoid: with several classes, take log_softmax over dim 1.": -of_sigmoid[asked].mean(),
        }
        yield (logits, ids), right, mistakes
    logits, ids = torch.tensor([500.0, -500.0]).view(1, 2, 1, 1), torch.ones(1, 1, 1, dtype=torch.long)
    too_large = "log of a softmax that is 0: log_softmax does both, and stays finite."
    yield (logits, ids), 1000.0, {too_large: True}


@cases("every pixel whose id is in groups[i] gets i; 255 stays 255.", dtype="integer")
def merge_classes():
    """Fewer classes, answer(ids, groups): ids (H, W) uint8; pixels of an id in groups[i] become i."""
    tried = [((0,), (1, 2), (3,), (4, 5), (6, 7)), ((0,), (3, 4, 5, 6, 7), (1, 2)), ((0, 2), (1,), (7, 3))]
    for (_, rng), groups in zip(draws(3), tried, strict=True):
        used = sorted(sum(groups, ()))
        ids = rng.choice(np.array([*used, IGNORE], np.uint8), (4, 6))
        ids[0, 0], ids[3, 5] = IGNORE, groups[-1][-1]
        right, chained, lost = ids.copy(), ids.copy(), np.zeros_like(ids)
        for new, group in enumerate(groups):
            right[np.isin(ids, group)] = new
            lost[np.isin(ids, group)] = new
            chained[np.isin(chained, group)] = new
        mistakes = {
            "pixels of 255 became background: they must stay 255.": lost,
            "ids that were already new were merged again: compare with the ids as they came in.": chained,
            "nothing was merged yet.": ids,
        }
        yield (ids, groups), right, mistakes


@cases("for every class: pixels where both name it, over pixels where either does, 255 left out.", atol=1e-5)
def mean_iou():
    """Mean IoU over classes, all pictures pooled, answer(preds, targets, num_classes): (N, H, W) ids.

    Pixels whose target is 255 do not count; a class that nobody names is left out of the mean.
    """
    for seed, rng in draws(4):
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
        each = confusion_matrix(preds, targets, classes)
        pooled, counts = _ious(each.sum(0)), each.sum(0).double()
        kept = [np.where(targets == IGNORE, other, targets) for other in (0, classes)]
        of_255 = [_ious(confusion_matrix(preds, ids, classes + 1).sum(0))[:classes].nanmean() for ids in kept]
        tp, true, called = counts.diagonal(), counts.sum(1), counts.sum(0)
        of_both, of_pictures = pooled[(true > 0) & (called > 0)].mean(), _ious(each).nanmean(1).mean()
        counted = [pooled.nan_to_num(score).mean() for score in (0, 1)]
        together = tp.sum() / (true + called - tp).sum()
        mistakes = {
            "0 / 0 is not a number: leave out the classes that nobody names.": np.isnan,
            "classes that nobody names count as 0 or 1: leave them out of the mean.": either(*counted),
            "a class that only one of the two names was left out: it scores 0.": of_both,
            "this is the mean over pictures: add up the counts of all pictures first.": of_pictures,
            "pixels of 255 are taken for background, or counted as wrong: leave them out.": either(*of_255),
            "this is one IoU over all classes together. Each class has its own; then the mean.": together,
            "this is mean Dice: for IoU the right pixels count once.": (2 * tp / (true + called)).nanmean(),
            "background is left out. Here it is a class like the others.": pooled[1:].nanmean(),
        }
        given = f"preds {np.unique(preds).tolist()}, targets {np.unique(targets).tolist()}, {classes} classes"
        yield (preds, targets, classes), pooled.nanmean().item(), mistakes, given


def _ious(matrix: Tensor) -> Tensor:
    """(..., C, C) -> the IoU of every class, (..., C); nan where nobody names it."""
    matrix = matrix.double()
    tp = matrix.diagonal(dim1=-2, dim2=-1)
    return tp / (matrix.sum(-1) + matrix.sum(-2) - tp)

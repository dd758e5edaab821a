"""Right and common wrong answers to the exercises of notebook 14; test_answers.py asks the checks."""

import numpy as np
import torch
import torch.nn.functional as F


def entropy(logits, ids, log_of=lambda logits: logits.log_softmax(1)):
    asked = ids != 255
    picked = log_of(logits).gather(1, torch.where(asked, ids, 0)[:, None])[:, 0]
    return -picked[asked].mean()


def merged(ids, groups):
    out = ids.copy()
    for new, group in enumerate(groups):
        out[np.isin(ids, group)] = new
    return out


def ious(preds, targets, classes):
    asked = targets != 255
    preds, targets = preds[asked], targets[asked]
    both = np.array([((preds == c) & (targets == c)).sum() for c in range(classes)], float)
    either = np.array([((preds == c) | (targets == c)).sum() for c in range(classes)], float)
    return both, either


def miou(preds, targets, classes):
    both, either = ious(preds, targets, classes)
    return (both[either > 0] / either[either > 0]).mean()


def by_table(ids, groups):
    table = np.arange(256, dtype=np.uint8)
    for new, group in enumerate(groups):
        table[list(group)] = new
    return table[ids]


def by_matrix(preds, targets, classes):
    """Written otherwise: a confusion matrix, and nan for a class that nobody names."""
    asked = targets != 255
    matrix = np.bincount(targets[asked] * classes + preds[asked], minlength=classes**2)
    matrix = matrix.reshape(classes, classes)
    tp = np.diag(matrix)
    return np.nanmean(tp / (matrix.sum(0) + matrix.sum(1) - tp))


RIGHT = {
    "softmax_by_hand": [lambda x: x.softmax(0), lambda x: (x - torch.logsumexp(x, 0)).exp().numpy()],
    "class_dice": [
        lambda m: [2 * m[c, c] / (m[c].sum() + m[:, c].sum()) for c in range(len(m))],
        lambda m: torch.as_tensor(2 * m.diagonal() / (m.sum(0) + m.sum(1))),
    ],
    "cross_entropy_without": [lambda x, y: F.cross_entropy(x, y, ignore_index=255), entropy],
    "merge_classes": [by_table, lambda ids, groups: by_table(ids, groups).astype(int)],
    "mean_iou": [lambda p, t, c: np.float32(miou(p, t, c)), by_matrix],
}


def in_place(ids, groups):
    for new, group in enumerate(groups):
        ids[np.isin(ids, group)] = new
    return ids


def chained(ids, groups):
    return in_place(ids.copy(), groups)


def without_255(ids, groups):
    return merged(np.where(ids == 255, 0, ids), groups)


def of_images(preds, targets, classes):
    return np.mean([miou(p, t, classes) for p, t in zip(preds, targets, strict=True)])


def with_value(value):
    def answer(*given):
        both, either = ious(*given)
        return np.where(either > 0, both / np.maximum(either, 1), value).mean()

    return answer


def one_sided(preds, targets, classes):
    there = np.intersect1d(preds[targets != 255], targets)
    both, either = ious(preds, targets, classes)
    return (both[there] / either[there]).mean()


WRONG = {
    "softmax_by_hand": [
        (torch.sigmoid, "share one whole"),
        (lambda x: x.exp() / x.exp().sum(), "over all pixels"),
        (lambda x: x.exp() / x.exp().sum((1, 2), keepdim=True), "pixels of each class"),
        (torch.exp, "do not sum to 1"),
        (lambda x: x / x.sum(0), "negative"),
        (lambda x: x.exp() / x.exp().sum(0), "too large"),
        (lambda x: x.clamp(-20, 20).softmax(0), "do not cut them off"),
        (lambda x: x.argmax(0), "one probability per logit"),
        (lambda x: x.softmax(0) / 2, "exp of every logit"),
    ],
    "class_dice": [
        (lambda m: np.diag(m) / m.sum(1), "recall"),
        (lambda m: np.diag(m) / m.sum(0), "precision"),
        (lambda m: np.diag(m) / (m.sum(0) + m.sum(1) - np.diag(m)), "IoU"),
        (lambda m: np.diag(m) / (m.sum(0) + m.sum(1)), "the 2"),
        (lambda m: (2 * np.diag(m) / (m.sum(0) + m.sum(1))).mean(), "one number per class"),
        (lambda m: np.diag(m) / m.sum(), "the diagonal"),
    ],
    "cross_entropy_without": [
        (lambda x, y: F.cross_entropy(x, torch.where(y == 255, 0, y)), "taken for background"),
        (lambda x, y: F.cross_entropy(x, y.clamp(max=3)), "the last class"),
        (lambda x, y: F.cross_entropy(x, y, ignore_index=255, reduction="none").mean(), "those asked"),
        (lambda x, y: F.cross_entropy(x, y, ignore_index=255, reduction="sum"), "the sum"),
        (lambda x, y: -F.cross_entropy(x, y, ignore_index=255), "sign"),
        (lambda x, y: entropy(x, y, F.logsigmoid), "sigmoid"),
        (lambda x, y: x.mean(), "log_softmax of the true class"),
        (lambda x, y: F.cross_entropy(x, y), "stopped with"),
        (lambda x, y: F.nll_loss(x.softmax(1).log(), y, ignore_index=255), "stays finite"),
        (lambda x, y: entropy(x, y)[None, None].expand(2, 2), "one number"),
    ],
    "merge_classes": [
        (in_place, "copy"),
        (chained, "merged again"),
        (without_255, "must stay 255"),
        (lambda ids, groups: ids.copy(), "nothing was merged"),
        (lambda ids, groups: np.ones_like(ids), "gets i"),
        (lambda ids, groups: merged(ids, groups).astype(float), "whole numbers"),
        (lambda ids, groups: ids.ravel(), "same shape"),
    ],
    "mean_iou": [
        (with_value(0), "count as 0"),
        (with_value(1), "count as 1"),
        (with_value(np.nan), "not a number"),
        (of_images, "mean over pictures"),
        (lambda p, t, c: miou(p, np.where(t == 255, 0, t), c), "taken for background"),
        (lambda *given: (lambda b, e: b.sum() / e.sum())(*ious(*given)), "all classes together"),
        (lambda *given: (lambda b, e: np.nanmean(2 * b[:4] / (b + e)[:4]))(*ious(*given)), "mean Dice"),
        (lambda *given: (lambda b, e: (b[1:4] / e[1:4]).mean())(*ious(*given)), "background is left out"),
        (one_sided, "only one of the two"),
        (lambda *given: 0.123, "both name it"),
    ],
}

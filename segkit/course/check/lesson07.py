"""Checks of lesson 07: the training loop and its parts."""

import copy
import itertools
import math

import numpy as np
import torch
from torch import nn

from segkit.course.check.core import Wrong, exercise, from_start
from segkit.losses import BCEDiceLoss


@exercise
def training_step(answer):
    """answer(model, optimizer, images, masks, loss_fn): one step; returns the loss as a number."""
    loss_fn = BCEDiceLoss()
    for seed in range(3):
        torch.manual_seed(from_start(seed))
        images, masks = torch.randn(2, 4, 3, 6, 6), torch.randint(0, 2, (2, 4, 1, 6, 6)).float()
        start = nn.Conv2d(3, 1, 3, padding=1)
        model, calls = copy.deepcopy(start), []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        step = optimizer.step
        optimizer.step = lambda *a, calls=calls, step=step, **k: calls.append(1) or step(*a, **k)
        backward = []
        model.weight.register_hook(lambda grad, backward=backward: backward.append(1))
        given = f"a 3x3 convolution, {len(images)} batches of shape {tuple(images[0].shape)}"
        right, losses = _steps(start, images, masks, loss_fn)
        for i, (batch, truth) in enumerate(zip(images, masks, strict=True)):
            got = answer(model, optimizer, batch, truth, loss_fn)
            if not backward:
                raise Wrong("no weight has a gradient: loss.backward() is missing.", given, got, losses[0])
            if not calls:
                raise Wrong("the gradients are there, the weights stood still: optimizer.step().", given)
            if not _moved(start, model):
                raise Wrong(
                    "the weights stood still: step() before backward(), or zero_grad() between the two.",
                    given,
                )
            if isinstance(got, torch.Tensor):
                raise Wrong(
                    "return loss.item(), a plain number: a tensor keeps the whole step in memory.",
                    given,
                    f"a tensor of shape {tuple(got.shape)}",
                    f"{losses[i]:.4f}",
                )
            if got is None:
                raise Wrong("return the loss: return loss.item().", given, got, f"{losses[i]:.4f}")
        for wrong, hint in (
            ({"clear": False}, "gradients add up from step to step: optimizer.zero_grad() is missing."),
            ({"squash": True}, "the loss takes logits and has a sigmoid inside: leave yours out."),
        ):
            other, _ = _steps(start, images, masks, loss_fn, **wrong)
            if _same_weights(model, other) and not _same_weights(right, other):
                raise Wrong(hint, given)
        if not _same_weights(model, right):
            raise Wrong("five lines: logits, loss, zero_grad, backward, step, once each.", given)
        if abs(float(got) - losses[-1]) > 1e-4:
            raise Wrong("the loss of this batch before the step.", given, float(got), losses[-1])


def _steps(start, images, masks, loss_fn, clear=True, squash=False):
    model = copy.deepcopy(start)
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.5), []
    for batch, truth in zip(images, masks, strict=True):
        logits = model(batch)
        loss = loss_fn(logits.sigmoid() if squash else logits, truth)
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def _moved(a, b):
    return not _same_weights(a, b, 1e-12)


def _same_weights(a, b, atol=1e-5):
    return all(torch.allclose(p, q, atol=atol) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@exercise
def best_checkpoint(answer):
    """answer(history): the epoch whose weights to keep."""
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
        count = 9
        best, lowest = (int(i) for i in rng.choice(np.arange(2, 7), 2, replace=False))
        dice = rng.uniform(0.3, 0.7, count).round(3)
        loss = rng.uniform(0.4, 0.9, count).round(3)
        train = np.sort(rng.uniform(0.1, 0.8, count))[::-1].round(3)
        dice[best], loss[lowest] = 0.8, 0.2
        if seed >= 3:
            dice[7] = 0.8  # a tie: the earlier epoch stays, as nothing better came
        rows = zip(range(1, count + 1), train, loss, dice, strict=True)
        history = [
            {"epoch": e, "train_loss": float(t), "val_loss": float(v), "val_dice": float(d)}
            for e, t, v, d in rows
        ]
        right = best + 1
        given = "val_dice " + ", ".join(f"{d:.3f}" for d in dice)
        got = answer(copy.deepcopy(history))
        if isinstance(got, dict):
            got = got.get("epoch")
        if got == right:
            continue
        hints = {
            lowest + 1: "this is the epoch of the lowest validation loss: keep the best Dice.",
            best: "one too low: rows count from 0, epochs from 1. Return row['epoch'].",
            count: "this is the last epoch, not the best.",
            int(dice.argmin()) + 1: "this is the worst Dice.",
            8: "two epochs tie: keep the first, as training does, which saves only what is better.",
            0.8: "this is the Dice itself: return the epoch it belongs to.",
        }
        raise Wrong(hints.get(got, "the epoch of the highest val_dice."), given, got, right)


@exercise
def halve_on_plateau(answer):
    """answer(scores, lr, patience): the learning rate that each epoch was trained with."""
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        patience, lr = int(rng.integers(1, 3)), float(rng.choice([0.001, 0.01, 0.1]))
        climb = np.sort(rng.uniform(0.2, 0.6, 4).round(3))
        # Far from the best, single epochs are better than the one before, but not better than the best.
        slope = climb[-1] - 0.02 - np.array([0, 3, 6, 9, 5, 8, 11, 14, 9]) / 100 - rng.uniform(0, 0.02)
        scores = [float(s.round(3)) for s in (*climb, *slope, climb[-1] + 0.05, *slope[:6])]
        right = _plateau(scores, lr, patience)
        given = f"patience {patience}, lr {lr}, scores {', '.join(f'{s:g}' for s in scores[:9])}, ..."
        got = answer(list(scores), lr, patience)
        got = [float(x) for x in got]
        if len(got) != len(right):
            raise Wrong(
                "one learning rate for each epoch.", given, f"{len(got)} rates", f"{len(right)} rates"
            )
        if np.allclose(got, right):
            continue
        shown = " ".join(f"{x / lr:g}" for x in got) + "  (times lr)", " ".join(f"{x / lr:g}" for x in right)
        if len(set(got)) == 1:
            raise Wrong("the rate never falls: count the epochs without a new best.", given, *shown)
        for hint, settings in {
            "halved an epoch too early: wait until more than `patience` epochs brought nothing.": {
                "early": 1
            },
            "compared with the epoch before: compare with the best so far.": {"against": "last"},
            "after halving, the count of bad epochs starts again at 0.": {"reset": False},
            "a better score resets the count of bad epochs to 0.": {"forgive": False},
            "this waits for a lower score: of Dice, higher is better.": {"sign": -1},
            "shifted by one: note the rate that an epoch was trained with, then look at its score.": {
                "after": True
            },
        }.items():
            if np.allclose(got, _plateau(scores, lr, patience, **settings)):
                raise Wrong(hint, given, *shown)
        raise Wrong("note lr; new best: count = 0, else count + 1; count > patience: halve.", given, *shown)


def _plateau(
    scores, lr, patience, early=0, against="best", reset=True, forgive=True, sign=1, after=False
) -> list[float]:
    rates, best, bad = [], -math.inf, 0
    for score in (sign * s for s in scores):
        rates.append(lr)
        if score > best:
            bad = 0 if forgive else bad
        else:
            bad += 1
        best = score if against == "last" else max(best, score)
        if bad > patience - early:
            lr, bad = lr / 2, 0 if reset else bad
    return [*rates[1:], lr] if after else rates


@exercise
def batch_norm(answer):
    """answer(x, running_mean, running_var, training): normalised, (N, C, H, W)."""
    for seed, training in itertools.product(range(2), (True, False)):
        torch.manual_seed(from_start(seed))
        x = torch.randn(3, 2, 4, 4) * torch.tensor([2.0, 0.5]).view(1, 2, 1, 1) + 1
        x = x + torch.arange(3).view(3, 1, 1, 1)
        mean, var = torch.randn(2), torch.rand(2) + 0.5
        given = f"x of shape {tuple(x.shape)}, training={training}"
        got = answer(x.clone(), mean.clone(), var.clone(), training)
        right = _normalised(
            x, *((x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)) if training else (mean, var))
        )
        if not isinstance(got, torch.Tensor) or got.shape != x.shape:
            raise Wrong("a tensor of the shape of x.", given, got, f"shape {tuple(x.shape)}")
        pixel = f"first number {got.flatten()[0]:.4f}", f"first number {right.flatten()[0]:.4f}"
        if torch.allclose(got, right, atol=1e-3):
            continue
        batch_mean, batch_var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
        tries = {
            "in eval mode use the running mean and variance: the batch at hand has no say.": (
                not training,
                _normalised(x, batch_mean, batch_var),
            ),
            "in training mode use the batch's own mean and variance.": (training, _normalised(x, mean, var)),
            "each picture by itself: that is instance norm. Average over pictures too: dims (0, 2, 3).": (
                training,
                (x - x.mean((2, 3), keepdim=True))
                / (x.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt(),
            ),
            "all channels together: each channel has a mean of its own, dims (0, 2, 3).": (
                training,
                (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt(),
            ),
            "divided by n - 1: batch norm divides by n here, so x.var(..., correction=0).": (
                training,
                _normalised(x, batch_mean, x.var((0, 2, 3))),
            ),
            "divided by the variance: take its square root.": (
                True,
                (x - (batch_mean if training else mean).view(1, 2, 1, 1))
                / ((batch_var if training else var).view(1, 2, 1, 1) + 1e-5),
            ),
        }
        for hint, (applies, wrong) in tries.items():
            if applies and torch.allclose(got, wrong, atol=1e-3):
                raise Wrong(hint, given, *pixel)
        raise Wrong("(x - mean) / sqrt(var + 1e-5), one mean and variance for each channel.", given, *pixel)


def _normalised(x, mean, var):
    return (x - mean.view(1, -1, 1, 1)) / (var.view(1, -1, 1, 1) + 1e-5).sqrt()


@exercise
def adam_step(answer):
    """answer(w, grad, m, v, step, lr): one step of Adam; returns the new (w, m, v)."""
    for seed in range(3):
        rng = np.random.default_rng(from_start(seed))
        start, grads = rng.normal(size=4), rng.normal(size=(3, 4))
        lr, given = 0.1, f"four weights, steps 1 to 3, lr {0.1}"
        state = (start.copy(), np.zeros(4), np.zeros(4))
        for i, grad in enumerate(grads, start=1):
            got = answer(*(a.copy() for a in (state[0], grad, *state[1:])), i, lr)
            if not isinstance(got, tuple | list) or len(got) != 3:
                raise Wrong("return three things: w, m, v.", given, type(got).__name__, "(w, m, v)")
            state = tuple(np.asarray(a, float) for a in got)
        right = _adam(start, grads, lr)
        if all(np.allclose(a, b, atol=1e-6) for a, b in zip(state, right, strict=True)):
            continue
        shown = np.round(state[0], 4), np.round(right[0], 4)
        for hint, settings in {
            "the sign: go down the slope, w - lr * ...": {"sign": -1},
            "m and v start at 0 and are too small at first: divide by 1 - beta ** step.": {"correct": False},
            "v is the mean of the squared gradients: take its square root.": {"root": False},
            "v takes grad ** 2, not grad.": {"square": False},
            "the betas have changed places: 0.9 for m, 0.999 for v.": {"betas": (0.999, 0.9)},
            "plain momentum: divide by the square root of v.": {"scale": False},
            "this is plain gradient descent: m and v have no say.": {"plain": True},
        }.items():
            if np.allclose(state[0], _adam(start, grads, lr, **settings)[0], atol=1e-5, equal_nan=True):
                raise Wrong(hint, given, *shown)
        if np.allclose(state[0], right[0], atol=1e-6):
            raise Wrong(
                "w is right. Hand back m and v without the correction: it is for this step only.", given
            )
        raise Wrong("m, v, their corrections, then w - lr * m / (sqrt(v) + 1e-8).", given, *shown)


def _adam(
    w, grads, lr, sign=1, correct=True, root=True, square=True, betas=(0.9, 0.999), scale=True, plain=False
):
    m, v = np.zeros_like(w), np.zeros_like(w)
    with np.errstate(invalid="ignore"):
        for step, grad in enumerate(grads, start=1):
            m = betas[0] * m + (1 - betas[0]) * grad
            v = betas[1] * v + (1 - betas[1]) * (grad**2 if square else grad)
            m_hat, v_hat = (m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)) if correct else (m, v)
            below = (np.sqrt(v_hat) if root else v_hat) + 1e-8
            move = grad if plain else m_hat / below if scale else m_hat
            w = w - sign * lr * move
    return w, m, v

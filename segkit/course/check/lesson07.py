"""Checks of lesson 07: the training loop and its parts."""

import collections
import copy
import itertools
import math

import numpy as np
import torch
from torch import nn

from segkit.course.check.core import Wrong, as_number, as_numbers, exercise, from_start
from segkit.losses import BCEDiceLoss, BCELoss
from segkit.metrics import dice_score

FAST = 1.5
"""A learning rate at which Dice goes up and down."""


@exercise
def training_step(answer):
    """answer(model, optimizer, images, masks, loss_fn): one step; returns the loss as a number."""
    loss_fn = BCEDiceLoss()
    for seed, training in enumerate((True, False, True)):
        images, masks = _draw(seed, 2, 4)
        start = _small_network(seed, norm="none").train(training)
        model = copy.deepcopy(start)
        optimizer, calls = _watched_sgd(model)
        mode = "train" if training else "eval"
        given = f"a 3x3 convolution in {mode} mode, {len(images)} batches of shape {tuple(images[0].shape)}"
        right, losses = _steps(start, images, masks, loss_fn)
        for i, (batch, truth) in enumerate(zip(images, masks, strict=True)):
            got = answer(model, optimizer, batch.clone(), truth.clone(), loss_fn)
            _has_stepped(start, model, calls, given)
            _is_plain(got, losses[i], given)
        for wrong, hint in (
            ({"clear": False}, "gradients add up from step to step: optimizer.zero_grad() is missing."),
            ({"squash": True}, "the loss takes logits and has a sigmoid inside: leave yours out."),
        ):
            other, _ = _steps(start, images, masks, loss_fn, **wrong)
            if _same_weights(model, other) and not _same_weights(right, other):
                raise Wrong(hint, given)
        if not _same_weights(model, right):
            raise Wrong("five lines: logits, loss, zero_grad, backward, step, once each.", given)
        if abs(as_number(got) - losses[-1]) > 1e-4:
            raise Wrong("the loss of this batch before the step.", given, as_number(got), losses[-1])
        if model.training != training:
            raise Wrong("the step leaves the model in the mode it was in: no train() or eval() here.", given)


@exercise
def step_in_pieces(answer):
    """answer(model, optimizer, images, masks, loss_fn, pieces): one step; returns the loss as a number."""
    loss_fn = BCEDiceLoss()
    for seed, (pieces, each) in enumerate([(4, 2), (2, 3), (3, 1)]):
        images, masks = _draw(seed, 2, pieces * each)
        start = _small_network(seed, norm="group")
        model, sizes = copy.deepcopy(start), []
        model.register_forward_pre_hook(lambda _, inputs, sizes=sizes: sizes.append(len(inputs[0])))
        optimizer, calls = _watched_sgd(model)
        given = f"two batches of {pieces * each} images, pieces {pieces}"
        right, losses = _steps(start, images, masks, loss_fn)
        for i, (batch, truth) in enumerate(zip(images, masks, strict=True)):
            before = calls["step"], len(sizes)
            got = answer(model, optimizer, batch.clone(), truth.clone(), loss_fn, pieces)
            _has_stepped(start, model, calls, given)
            steps, went = calls["step"] - before[0], sizes[before[1] :]
            if went != [each] * pieces:
                raise Wrong(
                    "cut the batch: every piece goes through the model once.", given, went, [each] * pieces
                )
            if steps != 1:
                raise Wrong(
                    "one step for the whole batch, after its last piece.", given, f"{steps} steps", "1 step"
                )
            _is_plain(got, losses[i], given)
        for wrong, hint in (
            (
                {"scale": pieces},
                "the slopes are those of a sum of means: divide each piece's loss by pieces.",
            ),
            ({"scale": 1 / pieces}, "divided by pieces twice."),
            ({"only": "last"}, "only the last piece counts: zero_grad() once, before the first piece."),
            ({"only": "first"}, "only the first piece counts: backward() for every piece."),
            ({"clear": False}, "gradients of the batch before are still there: zero_grad() at the start."),
        ):
            other, _ = _steps(start, images, masks, loss_fn, pieces=pieces, **wrong)
            if _same_weights(model, other) and not _same_weights(right, other):
                raise Wrong(hint, given)
        if not _same_weights(model, right):
            raise Wrong("zero_grad; loss / pieces and backward for each piece; step.", given)
        if abs(as_number(got) - losses[-1]) > 1e-4:
            hint = "the loss of the whole batch: the mean over its pieces, before the step."
            raise Wrong(hint, given, as_number(got), losses[-1])


def _draw(seed: int, batches: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """images (batches, count, 3, 6, 6) and masks (batches, count, 1, 6, 6) that go with them."""
    generator = torch.Generator().manual_seed(from_start(seed))
    images = torch.randn(batches, count, 3, 6, 6, generator=generator)
    noise = torch.randn(batches, count, 1, 6, 6, generator=generator)
    return images, (images.mean(2, keepdim=True) + 0.7 * noise > 0.2).float()


def _small_network(seed: int, norm: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(from_start(seed))
        layers = {"none": [], "group": [nn.GroupNorm(1, 3)], "batch": [nn.BatchNorm2d(3)]}[norm]
        return nn.Sequential(*layers, nn.Conv2d(3, 1, 3, padding=1))


def _watched_sgd(model: nn.Module, lr: float = 0.5) -> tuple[torch.optim.Optimizer, collections.Counter]:
    """An optimiser, and how often it was asked for a step, and gradients reached the last layer."""
    optimizer, calls = torch.optim.SGD(model.parameters(), lr=lr), collections.Counter()
    step = optimizer.step

    def counted(*args, **kwargs):
        calls["step"] += 1
        return step(*args, **kwargs)

    optimizer.step = counted
    model[-1].weight.register_hook(lambda grad: calls.update(["backward"]))
    return optimizer, calls


def _has_stepped(start: nn.Module, model: nn.Module, calls: collections.Counter, given: str) -> None:
    if not calls["backward"]:
        raise Wrong("no weight has a gradient: loss.backward() is missing.", given)
    if not calls["step"]:
        raise Wrong("the gradients are there, the weights stood still: optimizer.step().", given)
    if _same_weights(start, model, 1e-12):
        hint = "the weights stood still: step() before backward(), or zero_grad() between the two."
        raise Wrong(hint, given)


def _is_plain(got, loss: float, given: str) -> None:
    """A number; a tensor that still holds its history keeps the whole step in memory."""
    expected = f"{loss:.4f}"
    if got is None:
        raise Wrong("return the loss.", given, "None", expected)
    if isinstance(got, torch.Tensor) and got.requires_grad:
        hint = "return loss.item(), a plain number: a tensor keeps the whole step in memory."
        raise Wrong(hint, given, f"a tensor of shape {tuple(got.shape)}", expected)
    if as_number(got) is None:
        raise Wrong("return the loss as a number, such as loss.item().", given, repr(got), expected)


def _steps(start, images, masks, loss_fn, clear=True, squash=False, pieces=1, scale=1.0, only=""):
    """Steps, right or wrong in one way.   Returns: the network, the loss of each batch before its step."""
    model = copy.deepcopy(start)
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.5), []
    for batch, truth in zip(images, masks, strict=True):
        if clear:
            optimizer.zero_grad()
        parts = list(zip(batch.chunk(pieces), truth.chunk(pieces), strict=True))
        with torch.no_grad():
            losses.append(loss_fn(model(batch), truth).item() if pieces > 1 else 0)
        for some, mask in {"": parts, "first": parts[:1], "last": parts[-1:]}[only]:
            logits = model(some)
            loss = loss_fn(logits.sigmoid() if squash else logits, mask)
            (loss * scale / pieces).backward()
        losses[-1] = losses[-1] if pieces > 1 else loss.item()
        optimizer.step()
    return model, losses


def _same_weights(a, b, atol=1e-5):
    return all(torch.allclose(p, q, atol=atol) for p, q in zip(a.parameters(), b.parameters(), strict=True))


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
        scores[5] = scores[3]  # a tie with the best, which is no new best
        right = _plateau(scores, lr, patience)
        given = f"patience {patience}, lr {lr}, scores {', '.join(f'{s:g}' for s in scores[:9])}, ..."
        got = answer(list(scores), lr, patience)
        got = as_numbers(got)
        if got is None:
            raise Wrong("a list of learning rates, one for each epoch.", given, "no list of numbers")
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
            "a tie with the best is no new best.": {"tie": True},
            "this waits for a lower score: of Dice, higher is better.": {"sign": -1},
            "shifted by one: note the rate that an epoch was trained with, then look at its score.": {
                "after": True
            },
        }.items():
            if np.allclose(got, _plateau(scores, lr, patience, **settings)):
                raise Wrong(hint, given, *shown)
        raise Wrong("note lr; new best: count = 0, else count + 1; count > patience: halve.", given, *shown)


def _plateau(
    scores, lr, patience, early=0, against="best", reset=True, forgive=True, sign=1, after=False, tie=False
) -> list[float]:
    rates, best, bad = [], -math.inf, 0
    for score in (sign * s for s in scores):
        rates.append(lr)
        if score > best or (tie and score == best):
            bad = 0 if forgive else bad
        else:
            bad += 1
        best = score if against == "last" else max(best, score)
        if bad > patience - early:
            lr, bad = lr / 2, 0 if reset else bad
    return [*rates[1:], lr] if after else rates


@exercise
def training_loop(answer):
    """answer(model, optimizer, train_batches, val_batches, loss_fn, num_epochs, pieces): history, weights."""
    loss_fn, tried = BCELoss(), 0
    for seed in itertools.count():
        num_epochs, pieces = 5, (1, 2, 4)[tried]
        train, val = (list(zip(*_draw(10 * seed + part, 3, 4), strict=True)) for part in (0, 1))
        val[-1] = tuple(tensor[:3] for tensor in val[-1])  # a last batch that is smaller
        start = _small_network(seed, norm="batch")
        right = _loop(start, train, val, loss_fn, num_epochs, pieces)
        scores = [row["val_dice"] for row in right[0]]
        best = int(np.argmax(scores))
        # Only where the choices differ, and clearly, can they be told apart.
        lowest = int(np.argmin([row["val_loss"] for row in right[0]]))
        last, (second, first) = num_epochs - 1, sorted(scores)[-2:]
        if best in (0, lowest, last) or lowest == last or first - second < 1e-3:
            continue
        _try_loop(answer, start, train, val, loss_fn, num_epochs, pieces, right)
        tried += 1
        if tried == 3:
            return


def _try_loop(answer, start, train, val, loss_fn, num_epochs, pieces, right):
    given = f"3 training batches and 3 validation batches, num_epochs {num_epochs}, pieces {pieces}"
    model, seen = copy.deepcopy(start), []
    model.register_forward_pre_hook(
        lambda module, inputs: seen.append((module.training, torch.is_grad_enabled(), len(inputs[0])))
    )
    optimizer, calls = _watched_sgd(model, FAST)
    got = answer(model, optimizer, list(train), list(val), loss_fn, num_epochs, pieces)
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong(
            "return two things: history, best_weights.", given, type(got).__name__, "(history, best_weights)"
        )
    history, weights = got
    if len(history) != num_epochs or not all(isinstance(row, dict) for row in history):
        raise Wrong("history holds one row, a dict, for each epoch.", given, history, f"{num_epochs} rows")
    if missing := {"train_loss", "val_dice"} - history[0].keys():
        raise Wrong(f"a row of history has no {' and no '.join(sorted(missing))}.", given, history[0])
    wanted, steps = {4 // pieces}, num_epochs * len(train)
    trained = [size for _, grad, size in seen if grad]
    asked = [training for training, grad, _ in seen if not grad]
    if len(trained) > steps * pieces:
        hint = "validation needs no slopes: ask under torch.inference_mode()."
        raise Wrong(hint, given, f"{len(trained)} passes with slopes", f"{steps * pieces}")
    if set(trained) != wanted:
        raise Wrong("each batch goes through in pieces.", given, f"pieces of {trained[:4]}", f"of {wanted}")
    if calls["step"] != steps:
        raise Wrong("one step for each training batch.", given, f"{calls['step']} steps", f"{steps} steps")
    if any(asked):
        raise Wrong("validate in eval mode: model.eval() before the first validation batch.", given)
    if not all(training for training, grad, _ in seen if grad):
        raise Wrong("train in train mode: model.train() at the start of every epoch.", given)
    shown = [round(row["val_dice"], 4) for row in right[0]]
    scores = as_numbers([as_number(row["val_dice"]) for row in history])
    losses = as_numbers([as_number(row["train_loss"]) for row in history])
    if scores is None or losses is None:
        raise Wrong("train_loss and val_dice are numbers.", given, history[0])
    if not _same_weights(model, right[2]):
        hint = "the last weights differ: train_batches in their order, loss / pieces, one step each."
        raise Wrong(hint, given, "other weights")
    for hint, values in {
        "the mean of the batches' means: the last batch is smaller, so take the mean over all pictures.": [
            row["by_batch"] for row in right[0]
        ],
        "this cuts the logits at 0.5: a probability of one half is a logit of 0.": [
            row["at_half"] for row in right[0]
        ],
    }.items():
        if np.allclose(scores, values, atol=1e-4) and not np.allclose(values, shown, atol=1e-3):
            raise Wrong(hint, given, np.round(scores, 4), shown)
    if not np.allclose(scores, shown, atol=1e-3):
        hint = (
            "val_dice: the mean dice_score(logits > 0, masks) over all validation pictures, after the epoch."
        )
        raise Wrong(hint, given, np.round(scores, 4), shown)
    expected = [round(row["train_loss"], 4) for row in right[0]]
    if not np.allclose(losses, expected, atol=1e-3):
        hint = "train_loss: the mean over the epoch's batches, each loss taken before its step."
        raise Wrong(hint, given, np.round(losses, 4), expected)
    _check_best_weights(weights, right, shown, given)


def _check_best_weights(weights, right, scores, given):
    best = int(np.argmax(scores))
    if not isinstance(weights, dict) or weights.keys() != right[1][best].keys():
        raise Wrong("best_weights is a copy of model.state_dict().", given, type(weights).__name__)
    same = [
        i
        for i, state in enumerate(right[1])
        if all(torch.allclose(weights[k], state[k], atol=1e-5) for k in state)
    ]
    if best in same:
        return
    last = len(scores) - 1
    hints = {last: "these are the last weights: state_dict() is a window, keep copy.deepcopy of it."}
    hints[int(np.argmin(scores))] = "these are the weights of the worst Dice."
    hints[int(np.argmin([row["val_loss"] for row in right[0]]))] = "the lowest loss: keep the best val_dice."
    found = f"the weights after epoch {same[0] + 1}" if same else "weights of no epoch"
    hint = hints.get(same[0] if same else None, "the weights after the epoch of the best val_dice.")
    raise Wrong(hint, given, found, f"those after epoch {best + 1}; val_dice {scores}")


def _loop(start, train, val, loss_fn, num_epochs, pieces):
    """The right loop.   Returns: history with more columns, the weights after each epoch, the network."""
    model, history, weights = copy.deepcopy(start), [], []
    optimizer = torch.optim.SGD(model.parameters(), lr=FAST)
    for _ in range(num_epochs):
        model.train()
        losses = []
        for images, masks in train:
            optimizer.zero_grad()
            total = 0
            for some, mask in zip(images.chunk(pieces), masks.chunk(pieces), strict=True):
                loss = loss_fn(model(some), mask) / pieces
                loss.backward()
                total += loss.item()
            optimizer.step()
            losses.append(total)
        model.eval()
        with torch.inference_mode():
            asked = [(model(images), masks) for images, masks in val]
            dice = [dice_score(logits > 0, masks) for logits, masks in asked]
            half = [dice_score(logits > 0.5, masks) for logits, masks in asked]
            val_loss = float(np.mean([loss_fn(logits, masks).item() for logits, masks in asked]))
        row = {
            "train_loss": float(np.mean(losses)),
            "val_dice": torch.cat(dice).mean().item(),
            "val_loss": val_loss,
        }
        row |= {
            "by_batch": float(np.mean([d.mean() for d in dice])),
            "at_half": torch.cat(half).mean().item(),
        }
        history.append(row)
        weights.append(copy.deepcopy(model.state_dict()))
    return history, weights, model


@exercise
def batch_norm(answer):
    """answer(x, running_mean, running_var, training): normalised, (N, C, H, W)."""
    for seed, training in itertools.product(range(2), (True, False)):
        torch.manual_seed(from_start(seed))
        x = torch.randn(3, 3, 4, 4) + torch.arange(3).view(3, 1, 1, 1)
        # The last channel hardly varies: without the 1e-5, noise would be blown up.
        x = x * torch.tensor([2.0, 0.5, 0.002]).view(1, 3, 1, 1) + 1
        mean, var = torch.randn(3), (torch.rand(3) + 0.5) * torch.tensor([1, 1, 1e-5])
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
                (x - (batch_mean if training else mean).view(1, 3, 1, 1))
                / ((batch_var if training else var).view(1, 3, 1, 1) + 1e-5),
            ),
            "the 1e-5 is missing: a channel that hardly varies is blown up.": (
                True,
                _normalised(x, *((batch_mean, batch_var) if training else (mean, var)), epsilon=0),
            ),
        }
        for hint, (applies, wrong) in tries.items():
            if applies and torch.allclose(got, wrong, atol=1e-3):
                raise Wrong(hint, given, *pixel)
        raise Wrong("(x - mean) / sqrt(var + 1e-5), one mean and variance for each channel.", given, *pixel)


def _normalised(x, mean, var, epsilon=1e-5):
    return (x - mean.view(1, -1, 1, 1)) / (var.view(1, -1, 1, 1) + epsilon).sqrt()


@exercise
def adam_step(answer):
    """answer(w, grad, m, v, step, lr): one step of Adam; returns the new (w, m, v)."""
    for seed in range(3):
        rng = np.random.default_rng(from_start(seed))
        # The last weight has hardly any slope: without the 1e-8 it would move like the others.
        start, grads = rng.normal(size=4), rng.normal(size=(3, 4)) * [1, 1, 1, 1e-8]
        lr, given = 0.1, f"four weights, steps 1 to 3, lr {0.1}"
        state = (start.copy(), np.zeros(4), np.zeros(4))
        for i, grad in enumerate(grads, start=1):
            got = answer(*(a.copy() for a in (state[0], grad, *state[1:])), i, lr)
            if not isinstance(got, tuple | list | np.ndarray) or len(got) != 3:
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
            "the 1e-8 is missing: a weight without a slope would leap, or become NaN.": {"epsilon": 0},
        }.items():
            if np.allclose(state[0], _adam(start, grads, lr, **settings)[0], atol=1e-5, equal_nan=True):
                raise Wrong(hint, given, *shown)
        if np.allclose(state[0], right[0], atol=1e-6):
            raise Wrong(
                "w is right. Hand back m and v without the correction: it is for this step only.", given
            )
        raise Wrong("m, v, their corrections, then w - lr * m / (sqrt(v) + 1e-8).", given, *shown)


def _adam(
    w,
    grads,
    lr,
    sign=1,
    correct=True,
    root=True,
    square=True,
    betas=(0.9, 0.999),
    scale=True,
    plain=False,
    epsilon=1e-8,
):
    m, v = np.zeros_like(w), np.zeros_like(w)
    with np.errstate(invalid="ignore"):
        for step, grad in enumerate(grads, start=1):
            m = betas[0] * m + (1 - betas[0]) * grad
            v = betas[1] * v + (1 - betas[1]) * (grad**2 if square else grad)
            m_hat, v_hat = (m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)) if correct else (m, v)
            below = (np.sqrt(v_hat) if root else v_hat) + epsilon
            move = grad if plain else m_hat / below if scale else m_hat
            w = w - sign * lr * move
    return w, m, v

"""Checks of lesson 07: the training loop and its parts."""

import collections
import copy
import itertools
import math

import numpy as np
import torch
from torch import nn

from segkit.course.check.core import Case, as_numbers, cases, draws, exercise, part, same, torch_generator
from segkit.losses import BCELoss
from segkit.metrics import dice_score

LR = 1.5
"""A learning rate at which Dice goes up and down."""

LOSS = BCELoss()


@exercise
def training_step(answer):
    """answer(model, optimizer, images, masks, loss_fn): one step; returns the loss as a number."""
    ways = {
        "gradients add up from step to step: optimizer.zero_grad() is missing.": {"clear": "never"},
        "the loss takes logits and has a sigmoid inside: leave yours out.": {"squash": True},
    }
    for seed, training in enumerate((True, False, True)):
        start = _small_network(seed).train(training)
        mode = "train" if training else "eval"
        case = Case(given=f"a 3x3 convolution in {mode} mode, 2 batches of 4 images")
        otherwise = "five lines: logits, loss, zero_grad, backward, step, once each."
        model, _ = _try_steps(answer, start, _draw(seed, 2, 4), case, ways, otherwise)
        if model.training != training:
            case.wrong("leave the model in the mode it was in: no train() or eval() here.")


@exercise
def step_in_pieces(answer):
    """answer(model, optimizer, images, masks, loss_fn, pieces): one step; returns the loss as a number."""
    for seed, (pieces, each) in enumerate([(4, 2), (2, 3), (3, 1)]):
        ways = {
            "the slopes are those of a sum of means: divide each piece's loss by pieces.": {"scale": pieces},
            "only the last piece counts: zero_grad() once, before the first piece.": {"clear": "each"},
            "gradients of the batch before are still there: zero_grad() at the start.": {"clear": "never"},
        }
        case = Case(given=f"two batches of {pieces * each} images, pieces {pieces}")
        otherwise = "zero_grad; loss / pieces and backward for each piece; one step."
        start, batches = _small_network(seed, nn.GroupNorm(1, 3)), _draw(seed, 2, pieces * each)
        _, sizes = _try_steps(answer, start, batches, case, ways, otherwise, pieces)
        if sizes != [each] * pieces * len(batches):
            case.wrong("cut the batch: every piece goes through the model once.", sizes, [each] * 2 * pieces)


def _try_steps(answer, start, batches, case, ways, otherwise, *pieces) -> tuple[nn.Module, list[int]]:
    """The network after a step with each batch, and the sizes of what went through.   ways: of `_step`."""
    model, sizes = copy.deepcopy(start), []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    optimizer, calls = _watched_sgd(model)
    right, losses = _steps(start, batches, pieces)
    for (images, masks), case.expected in zip(batches, losses, strict=True):
        result = answer(model, optimizer, images, masks, LOSS, *pieces)
        if not calls["backward"]:
            case.wrong("no weight has a gradient: loss.backward() is missing.")
        if not calls["step"]:
            case.wrong("the gradients are there, the weights stood still: optimizer.step().")
        if same(_weights(start), _weights(model), atol=1e-12):
            case.wrong("the weights stood still: step() before backward(), or zero_grad() between the two.")
        if isinstance(result, torch.Tensor) and result.requires_grad:
            case.wrong("return loss.item(), a plain number: a tensor keeps the whole step in memory.", result)
        got = case.number(result, "the loss as a number, such as loss.item()")
    made = {hint: _weights(_steps(start, batches, pieces, **way)[0]) for hint, way in ways.items()}
    Case(_weights(right), case.given).compare(_weights(model), made, otherwise, shown=(), atol=1e-5)
    case.compare(got, {}, f"the loss before the step{': the mean over pieces' * len(pieces)}.", atol=1e-4)
    return model, sizes


def _weights(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def _draw(seed: int, batches: int, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of images (count, 3, 6, 6) and of masks (count, 1, 6, 6) that go with them."""
    generator = torch_generator(seed)
    images = torch.randn(batches, count, 3, 6, 6, generator=generator)
    noise = torch.randn(batches, count, 1, 6, 6, generator=generator)
    masks = (images.mean(2, keepdim=True) + 0.7 * noise > 0.2).float()
    return list(zip(images, masks, strict=True))


def _small_network(seed: int, *norm: nn.Module) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_generator(seed).initial_seed())
        return nn.Sequential(*norm, nn.Conv2d(3, 1, 3, padding=1))


def _watched_sgd(model: nn.Module) -> tuple[torch.optim.Optimizer, collections.Counter]:
    """An optimiser, and how often it was asked for a step, and gradients reached the last layer."""
    optimizer, calls = torch.optim.SGD(model.parameters(), LR), collections.Counter()
    optimizer.register_step_post_hook(lambda *_: calls.update(["step"]))
    model[-1].weight.register_hook(lambda grad: calls.update(["backward"]))
    return optimizer, calls


def _step(model, optimizer, images, masks, pieces=1, clear="first", squash=False, scale=1.0) -> float:
    """One step, right or wrong in one way.   Returns: the loss before it."""
    losses = []
    for i, (some, mask) in enumerate(zip(images.chunk(pieces), masks.chunk(pieces), strict=True)):
        if clear == "each" or (clear == "first" and i == 0):
            optimizer.zero_grad()
        logits = model(some)
        loss = LOSS(logits.sigmoid() if squash else logits, mask)
        (loss * scale / pieces).backward()
        losses.append(loss.item())
    optimizer.step()
    return float(np.mean(losses))


def _steps(start, batches, pieces, **way) -> tuple[nn.Module, list[float]]:
    """The network after a step with each batch, and the losses."""
    model = copy.deepcopy(start)
    optimizer = torch.optim.SGD(model.parameters(), LR)
    return model, [_step(model, optimizer, *batch, *pieces, **way) for batch in batches]


@cases("note lr; new best: count = 0, else count + 1; count > patience: halve.", "one rate for each epoch")
def halve_on_plateau():
    """answer(scores, lr, patience): the learning rate that each epoch was trained with."""
    ways = {
        "halved an epoch too early: wait until more than `patience` epochs brought nothing.": {"early": 1},
        "compared with the epoch before: compare with the best so far.": {"against": "last"},
        "after halving, the count of bad epochs starts again at 0.": {"reset": False},
        "a better score resets the count of bad epochs to 0.": {"forgive": False},
        "a tie with the best is no new best.": {"tie": True},
        "this waits for a lower score: of Dice, higher is better.": {"sign": -1},
        "shifted by one: note the rate of an epoch, then look at its score.": {"after": True},
    }
    for seed, rng in draws(6):
        patience, lr = int(rng.integers(1, 3)), float(rng.choice([0.001, 0.01, 0.1]))
        climb = np.sort(rng.uniform(0.2, 0.6, 4).round(3))[3 * (seed % 2) :]  # or the first is the best
        # Far from the best, single epochs are better than the one before, but not better than the best.
        slope = climb[-1] - 0.02 - np.array([0, 3, 6, 9, 5, 8, 11, 14, 9]) / 100 - rng.uniform(0, 0.02)
        scores = [float(s.round(3)) for s in (*climb, *slope, climb[-1] + 0.05, *slope[:6])]
        scores[len(climb) + 1] = scores[len(climb) - 1]  # a tie with the best, which is no new best
        scores = [0.0] * (patience + 1) * (seed > 3) + scores  # a network that finds nobody at first
        mistakes = {hint: _plateau(scores, lr, patience, **settings) for hint, settings in ways.items()}
        from_first = _plateau([scores[0], *scores], lr, patience)[1:]
        mistakes["the first epoch is a new best too: start below all scores."] = from_first
        mistakes["the rate never falls: count the epochs without a new best."] = (lr,) * len(scores)
        yield (scores, lr, patience), _plateau(scores, lr, patience), mistakes


def _plateau(
    scores, lr, patience, early=0, against="best", reset=True, forgive=True, sign=1, after=False, tie=False
) -> tuple[float, ...]:
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
    return (*rates[1:], lr) if after else tuple(rates)


@exercise
def training_loop(answer):
    """answer(model, optimizer, train_batches, val_batches, loss_fn, num_epochs, pieces): history, weights."""
    tried, num_epochs = 0, 5
    for seed in itertools.count():
        train, val = _draw(10 * seed, 3, 4), _draw(10 * seed + 1, 2, 6)
        val[-1] = tuple(tensor[:4] for tensor in val[-1])  # a last batch that is smaller
        start, pieces = _small_network(seed, nn.BatchNorm2d(3)), (1, 2, 4)[tried]
        right = _loop(start, train, val, num_epochs, pieces)
        scores, last = right[0]["val_dice"], num_epochs - 1
        # Only where the choices differ, and clearly, can they be told apart.
        best, lowest, (second, first) = scores.argmax(), right[0]["val_loss"].argmin(), sorted(scores)[-2:]
        if best in (0, lowest) or (best == last) != (tried == 2) or lowest == last or first - second < 1e-3:
            continue
        _try_loop(answer, start, train, val, num_epochs, pieces, right)
        tried += 1
        if tried == 3:
            return


def _try_loop(answer, start, train, val, num_epochs, pieces, right):
    case = Case(given=f"3 training and 2 validation batches, num_epochs {num_epochs}, pieces {pieces}")
    model, seen = copy.deepcopy(start), []

    def note(module, inputs):
        seen.append((module.training, torch.is_grad_enabled(), len(inputs[0])))

    model.register_forward_pre_hook(note)
    optimizer, calls = _watched_sgd(model)
    got = answer(model, optimizer, train, val, LOSS, num_epochs, pieces)
    history, weights = case.items(got, 2, "two things: history, best_weights")
    names = "train_loss", "val_dice"
    history = case.listed(history, "two things, in this order: history, best_weights")
    found = [[row.get(name) for name in names] if isinstance(row, dict) else None for row in history]
    rows = list(map(as_numbers, found))
    if len(rows) != num_epochs or None in rows:
        case.wrong("history holds, for each epoch, a dict with the numbers train_loss and val_dice.", history)
    steps, passes = num_epochs * len(train), num_epochs * len(train) * pieces
    trained = [size for _, grad, size in seen if grad]
    if len(trained) > passes:
        case.wrong("validation asks without slopes: torch.inference_mode().", len(trained), passes)
    if set(trained) != {4 // pieces}:
        case.wrong("each batch goes through in pieces.", f"pieces of {trained[:4]}", f"of {4 // pieces}")
    if calls["step"] != steps:
        case.wrong("one step for each training batch.", f"{calls['step']} steps", f"{steps} steps")
    if any(training for training, grad, _ in seen if not grad):
        case.wrong("validate in eval mode: model.eval() before the first validation batch.")
    if not all(training for training, grad, _ in seen if grad):
        case.wrong("train in train mode: model.train() at the start of every epoch.")
    wanted, states, trained_right = right
    best, lowest_loss = wanted["val_dice"].argmax(), wanted["val_loss"].argmin()
    restored = torch.cat([states[best][name].flatten() for name, _ in model.named_parameters()])
    if not any(same(_weights(model), one, atol=1e-5) for one in (_weights(trained_right), restored)):
        case.wrong("the last weights differ: train_batches in their order, loss / pieces, one step each.")
    loss, dice = np.round(rows, 4).T
    case.expected = np.round(wanted["val_dice"], 4)
    otherwise = "val_dice: dice_score(logits > 0, masks), its mean over pictures, not over batches."
    case.compare(dice, {}, otherwise, atol=2e-4)
    case.expected = np.round(wanted["train_loss"], 4)
    case.compare(loss, {}, "train_loss: the mean over the batches, each loss before its step.", atol=1e-3)
    if not isinstance(weights, dict) or weights.keys() != states[best].keys():
        case.wrong("best_weights is a copy of model.state_dict().", type(weights).__name__, "a dict")
    case.expected = tuple(states[best].values())
    mistakes = {
        "these are the last weights: state_dict() is a window, keep copy.deepcopy of it.": states[-1],
        "the lowest loss: keep the best val_dice.": states[lowest_loss],
    }
    mistakes = {hint: tuple(state.values()) for hint, state in mistakes.items()}
    shown = "weights of another epoch", f"of {best + 1}; val_dice {wanted['val_dice'].round(4).tolist()}"
    kept = tuple(weights[name] for name in states[best])
    case.compare(kept, mistakes, "the weights after the epoch of the best val_dice.", shown, atol=1e-5)


def _loop(start, train, val, num_epochs, pieces):
    """The right loop.   Returns: columns with a value for each epoch, the weights after each, the network."""
    model, history, weights = copy.deepcopy(start), [], []
    optimizer = torch.optim.SGD(model.parameters(), LR)
    for _ in range(num_epochs):
        model.train()
        losses = [_step(model, optimizer, *batch, pieces) for batch in train]
        model.eval()
        with torch.inference_mode():
            asked = [(model(images), masks) for images, masks in val]
            dice = [dice_score(logits > 0, masks) for logits, masks in asked]
            val_losses = [LOSS(logits, masks).item() for logits, masks in asked]
        row = {"train_loss": np.mean(losses), "val_loss": np.mean(val_losses)}
        history.append(row | {"val_dice": torch.cat(dice).mean().item()})
        weights.append(copy.deepcopy(model.state_dict()))
    return {name: np.array([row[name] for row in history]) for name in history[0]}, weights, model


@cases("(x - mean) / sqrt(var + 1e-5), each channel by its own.", keeps=False, atol=1e-3)
def batch_norm():
    """answer(x, running_mean, running_var, training): normalised, (N, C, H, W)."""
    for seed, training in itertools.product(range(2), (True, False)):
        generator = torch_generator(seed)
        x = torch.randn(3, 3, 4, 4, generator=generator) + torch.arange(3).view(3, 1, 1)
        # The last channel hardly varies: without the 1e-5, noise would be blown up.
        x = x * torch.tensor([2.0, 0.5, 0.002]).view(3, 1, 1) + 1
        mean, var = torch.randn(3, generator=generator), torch.rand(3, generator=generator) + 0.5
        var[2] *= 1e-5
        used = () if training else (mean, var)
        mistakes = {
            "divided by the variance: take its square root.": _normalised(x, *used, power=1),
            "the 1e-5 is missing: what hardly varies is blown up.": _normalised(x, *used, epsilon=0),
            "in training mode use the batch's own mean and variance.": _normalised(x, mean, var),
            "in eval mode use the running mean and variance, not the batch's.": _normalised(x),
            "each picture by itself is instance norm: dims (0, 2, 3).": _normalised(x, dims=(2, 3)),
            "each channel has a mean of its own, dims (0, 2, 3).": _normalised(x, dims=(0, 1, 2, 3)),
            "batch norm divides by n, not n - 1: x.var(..., correction=0).": _normalised(x, correction=1),
        }
        yield (x, mean, var, training), _normalised(x, *used), mistakes


def _normalised(x, mean=None, var=None, dims=(0, 2, 3), correction=0, epsilon=1e-5, power=0.5):
    """By a mean and a variance per channel, or by those of x itself over some dims."""
    if mean is None:
        mean, var = x.mean(dims, keepdim=True), x.var(dims, keepdim=True, correction=correction)
    else:
        mean, var = mean.view(-1, 1, 1), var.view(-1, 1, 1)
    return (x - mean) / (var + epsilon) ** power


@cases("m, v, their corrections, then w - lr * m / (sqrt(v) + 1e-8).", "three things: w, m, v", keeps=False)
def adam_step():
    """answer(w, grad, m, v, step, lr): one step of Adam; returns the new (w, m, v)."""
    ways = {
        "the sign: go down the slope, w - lr * ...": {"sign": -1},
        "m and v start at 0 and are too small at first: divide by 1 - beta ** step.": {"correct": False},
        "v is the mean of the squared gradients: take its square root.": {"root": False},
        "v takes grad ** 2, not grad.": {"square": False},
        "the betas have changed places: 0.9 for m, 0.999 for v.": {"betas": (0.999, 0.9)},
        "plain momentum: divide by the square root of v.": {"scale": False},
        "this is plain gradient descent: m and v have no say.": {"plain": True},
        "the 1e-8 is missing: a weight without a slope would leap, or become NaN.": {"epsilon": 0},
    }
    for (_, rng), step in zip(draws(3), (3, 1, 20), strict=True):
        # The last weight has hardly any slope: without the 1e-8 it would move like the others.
        w, grad, m = rng.normal(size=(3, 4)) * [1, 1, 1, 1e-8]
        inputs = w, grad, m, rng.random(4) * [1, 1, 1, 1e-16], step, 0.1
        right = _adam(*inputs)
        mistakes = {hint: _adam(*inputs, **way) for hint, way in ways.items()}
        mistakes["w is right. Hand m and v back uncorrected: that is for this step only."] = part(0, right[0])
        yield inputs, right, mistakes


def _adam(
    w, grad, m, v, step, lr, sign=1, correct=True, root=True, square=True, betas=(0.9, 0.999), scale=True,
    plain=False, epsilon=1e-8,
):  # fmt: skip
    m = betas[0] * m + (1 - betas[0]) * grad
    v = betas[1] * v + (1 - betas[1]) * (grad**2 if square else grad)
    m_hat, v_hat = (m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)) if correct else (m, v)
    below = (np.sqrt(v_hat) if root else v_hat) + epsilon
    move = grad if plain else m_hat / below if scale else m_hat
    return w - sign * lr * move, m, v

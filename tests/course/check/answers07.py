"""Right and common wrong answers to the exercises of notebook 07; test_answers.py asks the checks."""

import copy

import numpy as np
import torch
from solutions import solutions
from torch import nn

from segkit.metrics import dice_score

solution = solutions("07")


def step_with(*lines):
    def step(model, optimizer, images, masks, loss_fn):
        logits = model(images)
        loss = loss_fn(logits.sigmoid() if "squash" in lines else logits, masks)
        for line in lines:
            if line == "zero":
                optimizer.zero_grad()
            if line == "backward":
                loss.backward()
            if line == "step":
                optimizer.step()
        return loss if "tensor" in lines else None if "none" in lines else loss.item()

    return step


def keeps_the_correction(w, grad, m, v, step, lr):
    new_w, new_m, new_v = solution.adam_step(w, grad, m, v, step, lr)
    return new_w, new_m / (1 - 0.9**step), new_v


def clear_last(model, optimizer, images, masks, loss_fn):
    loss = loss_fn(model(images), masks)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def forget_in_the_model(model, optimizer, images, masks, loss_fn):
    model.zero_grad()
    loss = loss_fn(model(images), masks)
    loss.backward()
    optimizer.step()
    return np.float32(loss.item())


def then(change):
    """A right step, after which the model is changed."""

    def step(model, *args):
        loss = solution.training_step(model, *args)
        change(model)
        return loss

    return step


def pieces_by_slices(model, optimizer, images, masks, loss_fn, pieces):
    """Written otherwise: slopes of a sum, divided at the end."""
    count, losses = len(images) // pieces, []
    model.zero_grad()
    for i in range(0, len(images), count):
        loss = loss_fn(model(images[i : i + count]), masks[i : i + count])
        loss.backward()
        losses.append(loss.detach())
    for parameter in model.parameters():
        parameter.grad /= pieces
    optimizer.step()
    return torch.stack(losses).mean()


def pieces_cleared_after(model, optimizer, images, masks, loss_fn, pieces):
    total = 0
    count = len(images) // pieces
    for some, truth in zip(images.split(count), masks.split(count), strict=True):
        loss = loss_fn(model(some), truth)
        (loss / pieces).backward()
        total += loss.item() / pieces
    optimizer.step()
    optimizer.zero_grad()
    return np.float64(total)


def pieces_with(divide=True, clear="first", step="last", total=True, use=slice(None)):
    def answer(model, optimizer, images, masks, loss_fn, pieces):
        losses = []
        if clear == "first":
            optimizer.zero_grad()
        for some, truth in list(zip(images.chunk(pieces), masks.chunk(pieces), strict=True))[use]:
            if clear == "each":
                optimizer.zero_grad()
            loss = loss_fn(model(some), truth) / (pieces if divide else 1)
            loss.backward()
            losses.append(loss.item())
            if step == "each":
                optimizer.step()
        if step == "last":
            optimizer.step()
        return sum(losses) if total else losses[-1]

    return answer


def loop_by_hand(model, optimizer, train_batches, val_batches, loss_fn, num_epochs, pieces):
    """Written otherwise: no list of scores, a state kept as clones, numpy numbers."""
    history, best, kept = [], -1.0, {}
    for _ in range(num_epochs):
        model = model.train()
        total = 0.0
        for images, masks in train_batches:
            total += pieces_by_slices(model, optimizer, images, masks, loss_fn, pieces)
        model.train(False)
        count = dice = 0
        for images, masks in val_batches:
            with torch.no_grad():
                logits = model(images)
            dice += dice_score(logits.sigmoid() > 0.5, masks).sum()
            count += len(images)
        dice = np.float32(dice / count)
        if dice > best:
            best, kept = dice, {name: tensor.clone() for name, tensor in model.state_dict().items()}
        history.append({"train_loss": total / len(train_batches), "val_dice": dice, "lr": 1})
    return [history, kept]


def loop_keeping_all(*args):
    """Written otherwise: every state is kept, the best is looked up at the end."""
    *before, num_epochs, pieces = args
    history, states = [], []
    for _ in range(num_epochs):
        rows, state = solution.training_loop(*before, 1, pieces)
        history += rows
        states.append(state)
    return history, states[int(np.argmax([row["val_dice"] for row in history]))]


def loop_with(
    train=True, evaluate=True, slopes=False, keep=copy.deepcopy, by="val_dice", cut=0.0, one_step=True,
    pool=torch.cat,
):  # fmt: skip
    def answer(model, optimizer, train_batches, val_batches, loss_fn, num_epochs, pieces):
        history, best, kept = [], -9, None
        for epoch in range(num_epochs):
            if train or epoch == 0:
                model.train()
            step = solution.step_in_pieces if one_step else pieces_with(step="each")
            losses = [step(model, optimizer, *batch, loss_fn, pieces) for batch in train_batches]
            if evaluate:
                model.eval()
            with torch.set_grad_enabled(slopes):
                asked = [(model(images), masks) for images, masks in val_batches]
            scores = pool([dice_score(logits > cut, masks) for logits, masks in asked])
            loss = float(np.mean([loss_fn(logits, masks).item() for logits, masks in asked]))
            row = {"train_loss": float(np.mean(losses)), "val_dice": scores.mean().item(), "val_loss": -loss}
            if row[by] > best:
                best, kept = row[by], keep(model.state_dict())
            history.append(row)
        return history, kept

    return answer


def mean_of_means(scores):
    return torch.stack([some.mean() for some in scores])


def plateau_as_an_array(scores, lr, patience):
    return np.array(solution.halve_on_plateau(scores, lr, patience), dtype=np.float32)


def plateau_of_torch(scores, lr, patience):
    optimizer, rates = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr), []
    way = {"mode": "max", "factor": 0.5, "threshold": 0}
    plan = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=patience, **way)
    for score in scores:
        rates.append(optimizer.param_groups[0]["lr"])
        plan.step(score)
    return tuple(rates)


def norm_of_torch(x, running_mean, running_var, training):
    return nn.functional.batch_norm(x, running_mean, running_var, training=training, eps=1e-5)


def norm_by_variance(x, running_mean, running_var, training):
    mean = x.mean((0, 2, 3), keepdim=True) if training else running_mean[None, :, None, None]
    var = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True) if training else running_var[None, :, None, None]
    return (x - mean) * torch.rsqrt(var + 1e-5)


def adam_in_torch(w, grad, m, v, step, lr):
    weight = torch.tensor(w, requires_grad=True)
    weight.grad = torch.tensor(grad)
    optimizer = torch.optim.Adam([weight], lr)
    state = {"exp_avg": torch.tensor(m), "exp_avg_sq": torch.tensor(v), "step": torch.tensor(step - 1.0)}
    optimizer.state[weight] = state
    optimizer.step()
    return weight, state["exp_avg"], state["exp_avg_sq"]


def adam_as_an_array(*args):
    return np.stack(solution.adam_step(*args))


RIGHT = {
    "training_step": [clear_last, forget_in_the_model],
    "step_in_pieces": [pieces_by_slices, pieces_cleared_after],
    "training_loop": [loop_by_hand, loop_keeping_all],
    "halve_on_plateau": [plateau_as_an_array, plateau_of_torch],
    "batch_norm": [norm_of_torch, norm_by_variance],
    "adam_step": [adam_in_torch, adam_as_an_array],
}


WRONG = {
    "training_step": [
        (step_with("zero", "step"), "loss.backward() is missing"),
        (step_with("zero", "backward"), "stood still: optimizer.step()"),
        (step_with("backward", "zero", "step"), "zero_grad() between"),
        (step_with("backward", "step"), "zero_grad() is missing"),
        (step_with("zero", "backward", "step", "tensor"), "return loss.item(), a plain number"),
        (step_with("zero", "backward", "step", "none"), "return the loss"),
        (step_with("zero", "backward", "step", "squash"), "takes logits"),
        (step_with("zero", "backward", "step", "step"), "once each"),
        (lambda *a: solution.training_step(*a) + 1, "before the step"),
        (lambda *a: f"{solution.training_step(*a):.4f}", "as a number"),
        (then(lambda model: model.eval()), "in the mode it was in"),
        (then(lambda model: model.train()), "in the mode it was in"),
    ],
    "step_in_pieces": [
        (lambda m, o, i, t, f, p: solution.training_step(m, o, i, t, f), "cut the batch"),
        (pieces_with(divide=False), "divide each piece's loss by pieces"),
        (pieces_with(clear="each"), "only the last piece counts"),
        (pieces_with(clear="never"), "the batch before are still there"),
        (pieces_with(step="each"), "one step"),
        (pieces_with(step="never"), "optimizer.step()"),
        (pieces_with(total=False), "the mean over pieces"),
        (pieces_with(use=slice(-1)), "backward for each piece"),
        (lambda *a: str(solution.step_in_pieces(*a)), "as a number"),
        (lambda *a: solution.step_in_pieces(*a) and None, "return the loss"),
    ],
    "training_loop": [
        (lambda *a: solution.training_loop(*a)[0], "history, best_weights"),
        (lambda *a: (solution.training_loop(*a)[0][:-1], {}), "for each epoch, a dict"),
        (lambda *a: ([{"train_loss": 1}] * a[5], {}), "for each epoch, a dict"),
        (loop_with(train=False), "train in train mode"),
        (loop_with(evaluate=False), "validate in eval mode"),
        (loop_with(slopes=True), "inference_mode"),
        (loop_with(keep=lambda state: state), "a window"),
        (loop_with(by="val_loss"), "keep the best val_dice"),
        (loop_with(cut=0.5), "cuts the logits at 0.5"),
        (lambda *a: solution.training_loop(*a[:-1], 1), "in pieces"),
        (loop_with(one_step=False), "one step for each training batch"),
        (loop_with(pool=mean_of_means), "average over pictures"),
        (lambda *a: (solution.training_loop(*a)[0], "best.safetensors"), "a copy of model.state_dict()"),
        (lambda m, o, t, *rest: solution.training_loop(m, o, t[::-1], *rest), "in their order"),
    ],
    "halve_on_plateau": [
        (lambda s, lr, p: [lr / 2**i for i in range(len(s))], "count > patience"),
    ],
    "batch_norm": [
        (lambda x, m, v, t: x, "sqrt(var + 1e-5)"),
    ],
    "adam_step": [
        (keeps_the_correction, "for this step only"),
        (lambda w, g, m, v, s, lr: (w, m, v), "sqrt(v)"),
    ],
}

"""Right and common wrong answers to the exercises of notebook 07; test_answers.py asks the checks."""

import numpy as np
import torch
from solutions import solutions
from torch import nn

from segkit.metrics import dice_score

solution = solutions("07")
changed = solution.changed


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


def loop_keeping_all(*args, last=None):
    """Written otherwise: every state is kept, the best is looked up at the end."""
    *before, num_epochs, pieces = args
    history, states = [], []
    for _ in range(num_epochs):
        rows, state = solution.training_loop(*before, 1, pieces)
        history += rows
        states.append(state)
    return history, states[int(np.argmax([row["val_dice"] for row in history[:last]]))]


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


STEP = "optimizer.step()"
NOT_FIRST = "    optimizer.zero_grad()\n", ""
CLEARED_AFTER = *NOT_FIRST, STEP, "optimizer.step(); optimizer.zero_grad()"
CLEARED_BETWEEN = *NOT_FIRST, STEP, "optimizer.zero_grad(); optimizer.step()"
step_each = changed("step_in_pieces", "    optimizer.step()", "        optimizer.step()")
LOSSES = "[loss_fn(model(images), masks).item() for images, masks in val_batches]"
BY_LOWEST_LOSS = (
    *("scores =", f"low = -sum({LOSSES}); scores ="),
    *("-1", "-99"),
    *("val_dice > ", "low > "),
    *("best_weights = val_dice", "best_weights = low"),
)

RIGHT = {
    "training_step": [
        changed("training_step", *CLEARED_AFTER, "loss.item()", "loss.detach()"),
        changed("training_step", "optimizer.zero", "model.zero", "loss.item()", "torch.tensor(loss.item())"),
    ],
    "step_in_pieces": [
        pieces_by_slices,
        changed("step_in_pieces", *CLEARED_AFTER, "return total", "return torch.tensor(total)"),
    ],
    "training_loop": [
        loop_by_hand,
        loop_keeping_all,
        changed("training_loop", "return history", "model.load_state_dict(best_weights); return history"),
    ],
    "halve_on_plateau": [
        lambda *given: np.float32(solution.halve_on_plateau(*given)),
        plateau_of_torch,
        lambda *given: iter(solution.halve_on_plateau(*given)),
    ],
    "batch_norm": [norm_of_torch, norm_by_variance],
    "adam_step": [adam_in_torch, lambda *given: np.stack(solution.adam_step(*given))],
}


WRONG = {
    "training_step": [
        ("loss.backward()", "pass", "loss.backward() is missing"),
        ("optimizer.step()", "pass", "stood still: optimizer.step()"),
        (*CLEARED_BETWEEN, "zero_grad() between"),
        ("optimizer.zero_grad()", "pass", "zero_grad() is missing"),
        ("loss.item()", "loss", "return loss.item(), a plain number"),
        ("return loss", "loss", "return the loss"),
        ("model(images)", "model(images).sigmoid()", "takes logits"),
        ("optimizer.step()", "optimizer.step(); optimizer.step()", "once each"),
        ("loss.item()", "loss.item() + 1", "before the step."),
        ("loss.item()", "str(loss.item())", "as a number"),
        ("optimizer.step()", "optimizer.step(); model.eval()", "mode it was in"),
        ("optimizer.step()", "optimizer.step(); model.train()", "mode it was in"),
    ],
    "step_in_pieces": [
        (lambda m, o, i, t, f, p: solution.training_step(m, o, i, t, f), "cut the batch"),
        (" / pieces", "", "divide each piece's loss by pieces"),
        ("loss = ", "optimizer.zero_grad(); loss = ", "only the last piece counts"),
        ("optimizer.zero_grad()", "pass", "the batch before are still there"),
        (step_each, "one step"),
        ("optimizer.step()", "pass", "optimizer.step()"),
        ("total +=", "total =", "the mean over pieces"),
        ("in zip", "in [*zip", "=True)", "=True)][:-1]", "backward for each piece"),
        ("return total", "return str(total)", "as a number"),
        ("return total", "total", "return the loss"),
    ],
    "training_loop": [
        ("len(losses)", "len(val_batches)", "mean over the batches"),
        ("len(losses)", "len(val_batches[-1][0])", "mean over the batches"),
        (lambda *a: loop_keeping_all(*a, last=-1), "weights of another epoch"),
        (lambda *a: solution.training_loop(*a)[::-1], "for each epoch, a dict"),
        ("return history, best_weights", "return history", "history, best_weights"),
        (lambda *a: (solution.training_loop(*a)[0][:-1], {}), "for each epoch, a dict"),
        (lambda *a: ([{"train_loss": 1}] * a[5], {}), "for each epoch, a dict"),
        ("model.train()", "pass", "train in train mode"),
        ("model.eval()", "pass", "validate in eval mode"),
        ("inference_mode", "enable_grad", "inference_mode"),
        ("copy.deepcopy", "", "a window"),
        (*BY_LOWEST_LOSS, "keep the best val_dice"),
        ("> 0,", "> 0.5,", "dice_score(logits > 0, masks)"),
        (lambda *a: solution.training_loop(*a[:-1], 1), "in pieces"),
        (
            changed("training_loop", step_in_pieces=step_each),
            "one step for each training batch",
        ),
        ("torch.cat(scores)", "torch.stack([some.mean() for some in scores])", "not over batches"),
        (lambda *a: (solution.training_loop(*a)[0], "best.safetensors"), "a copy of model.state_dict()"),
        (lambda m, o, t, *rest: solution.training_loop(m, o, t[::-1], *rest), "in their order"),
    ],
    "halve_on_plateau": [
        ("-1, 0", "scores[0], 0", "start below all scores"),
        ("-1, 0", "0, 0", "start below all scores"),
        (lambda s, lr, p: [lr / 2**i for i in range(len(s))], "count > patience"),
    ],
    "batch_norm": [
        (lambda x, m, v, t: x, "sqrt(var + 1e-5)"),
    ],
    "adam_step": [
        (changed("adam_step", "1e-8), m, v", "1e-8), m_hat, v_hat"), "for this step only"),
        (lambda w, g, m, v, s, lr: (w, m, v), "sqrt(v)"),
    ],
}

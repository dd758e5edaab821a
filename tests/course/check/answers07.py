"""Right and common wrong answers to the exercises of notebook 07; test_answers.py asks the checks."""

import numpy as np


def training_step(model, optimizer, images, masks, loss_fn):
    loss = loss_fn(model(images), masks)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def best_checkpoint(history):
    return max(history, key=lambda row: row["val_dice"])["epoch"]


def halve_on_plateau(scores, lr, patience):
    rates, best, bad = [], -1, 0
    for score in scores:
        rates.append(lr)
        if score > best:
            best, bad = score, 0
        else:
            bad += 1
        if bad > patience:
            lr, bad = lr / 2, 0
    return rates


def batch_norm(x, running_mean, running_var, training):
    if training:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    else:
        mean, var = running_mean, running_var
    return (x - mean.view(1, -1, 1, 1)) / (var.view(1, -1, 1, 1) + 1e-5).sqrt()


def adam_step(w, grad, m, v, step, lr):
    m = 0.9 * m + 0.1 * grad
    v = 0.999 * v + 0.001 * grad**2
    m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
    return w - lr * m_hat / (v_hat**0.5 + 1e-8), m, v


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


def plateau_with(**settings):
    from segkit.course.check.lesson07 import _plateau

    return lambda scores, lr, patience: _plateau(scores, lr, patience, **settings)


def norm_with(dims, correction=0, root=True, when=None):
    def norm(x, running_mean, running_var, training):
        use_batch = training if when is None else when
        mean = x.mean(dims, keepdim=True) if use_batch else running_mean.view(1, -1, 1, 1)
        var = x.var(dims, keepdim=True, correction=correction) if use_batch else running_var.view(1, -1, 1, 1)
        return (x - mean) / ((var + 1e-5).sqrt() if root else var + 1e-5)

    return norm


def adam_with(**settings):
    """The check's own variants, one step at a time from its state."""

    def step(w, grad, m, v, step, lr):
        b1, b2 = settings.get("betas", (0.9, 0.999))
        m = b1 * m + (1 - b1) * grad
        v = b2 * v + (1 - b2) * (grad**2 if settings.get("square", True) else grad)
        correct = settings.get("correct", True)
        m_hat, v_hat = (m / (1 - b1**step), v / (1 - b2**step)) if correct else (m, v)
        with np.errstate(invalid="ignore"):
            below = (np.sqrt(v_hat) if settings.get("root", True) else v_hat) + 1e-8
        move = grad if settings.get("plain") else m_hat / below if settings.get("scale", True) else m_hat
        return w - settings.get("sign", 1) * lr * move, m, v

    return step


def keeps_the_correction(w, grad, m, v, step, lr):
    new_w, new_m, new_v = adam_step(w, grad, m, v, step, lr)
    return (new_w, new_m / (1 - 0.9**step), new_v) if step == 3 else (new_w, new_m, new_v)


def clear_last(model, optimizer, images, masks, loss_fn):
    loss = loss_fn(model(images), masks)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


RIGHT = [
    ("training_step", training_step),
    ("best_checkpoint", best_checkpoint),
    ("halve_on_plateau", halve_on_plateau),
    ("batch_norm", batch_norm),
    ("adam_step", adam_step),
    ("training_step", clear_last),
]


WRONG = [
    ("training_step", step_with("zero", "step"), "loss.backward() is missing"),
    ("training_step", step_with("zero", "backward"), "stood still: optimizer.step()"),
    ("training_step", step_with("backward", "zero", "step"), "zero_grad() between"),
    ("training_step", step_with("backward", "step"), "zero_grad() is missing"),
    ("training_step", step_with("zero", "backward", "step", "tensor"), "return loss.item(), a plain number"),
    ("training_step", step_with("zero", "backward", "step", "none"), "return the loss"),
    ("training_step", step_with("zero", "backward", "step", "squash"), "takes logits"),
    ("training_step", step_with("zero", "backward", "step", "step"), "once each"),
    ("training_step", lambda *a: training_step(*a) + 1, "before the step"),
    ("best_checkpoint", lambda h: min(h, key=lambda r: r["val_loss"])["epoch"], "lowest validation loss"),
    ("best_checkpoint", lambda h: best_checkpoint(h) - 1, "rows count from 0"),
    ("best_checkpoint", lambda h: h[-1]["epoch"], "last epoch"),
    ("best_checkpoint", lambda h: min(h, key=lambda r: r["val_dice"])["epoch"], "worst Dice"),
    ("best_checkpoint", lambda h: max(r["val_dice"] for r in h), "Dice itself"),
    ("best_checkpoint", lambda h: max(reversed(h), key=lambda r: r["val_dice"])["epoch"], "keep the first"),
    ("best_checkpoint", lambda h: -5, "highest val_dice"),
    ("halve_on_plateau", plateau_with(early=1), "too early"),
    ("halve_on_plateau", plateau_with(against="last"), "best so far"),
    ("halve_on_plateau", plateau_with(reset=False), "starts again at 0"),
    ("halve_on_plateau", plateau_with(forgive=False), "a better score resets"),
    ("halve_on_plateau", plateau_with(sign=-1), "higher is better"),
    ("halve_on_plateau", plateau_with(after=True), "shifted by one"),
    ("halve_on_plateau", lambda s, lr, p: [lr], "one learning rate for each epoch"),
    ("halve_on_plateau", lambda s, lr, p: [lr] * len(s), "never falls"),
    ("halve_on_plateau", lambda s, lr, p: [lr / 2**i for i in range(len(s))], "count > patience"),
    ("batch_norm", norm_with((0, 2, 3), when=True), "in eval mode"),
    ("batch_norm", norm_with((0, 2, 3), when=False), "in training mode"),
    ("batch_norm", norm_with((2, 3)), "instance norm"),
    ("batch_norm", norm_with((0, 1, 2, 3)), "all channels together"),
    ("batch_norm", norm_with((0, 2, 3), correction=1), "divided by n - 1"),
    ("batch_norm", norm_with((0, 2, 3), root=False), "square root"),
    ("batch_norm", lambda x, m, v, t: x, "sqrt(var + 1e-5)"),
    ("batch_norm", lambda x, m, v, t: x.mean(), "shape of x"),
    ("adam_step", adam_with(sign=-1), "down the slope"),
    ("adam_step", adam_with(correct=False), "too small at first"),
    ("adam_step", adam_with(root=False), "take its square root"),
    ("adam_step", adam_with(square=False), "not grad"),
    ("adam_step", adam_with(betas=(0.999, 0.9)), "changed places"),
    ("adam_step", adam_with(scale=False), "plain momentum"),
    ("adam_step", adam_with(plain=True), "plain gradient descent"),
    ("adam_step", lambda w, *_: w, "three things"),
    ("adam_step", lambda w, g, m, v, s, lr: (w, m, v), "sqrt(v)"),
    ("adam_step", keeps_the_correction, "for this step only"),
]

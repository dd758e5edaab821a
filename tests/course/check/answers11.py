"""Right and common wrong answers to the exercises of notebook 11; test_answers.py asks the checks."""

import numpy as np
import torch
import torch.nn.functional as F

bce = F.binary_cross_entropy_with_logits


def choose_in_a_loop(rows, most_ms, noise):
    found, reach = None, max((row["dice"] for row in rows if row["ms"] <= most_ms), default=0) - noise
    for row in rows:
        if row["ms"] <= most_ms and row["dice"] >= reach and (found is None or row["ms"] < found["ms"]):
            found = row
    return found and found["name"]


def choose_sorted(rows, most_ms, noise):
    rows = sorted((row["ms"], row["dice"], row["name"]) for row in rows if row["ms"] <= most_ms)
    return next((name for _, dice, name in rows if dice + noise >= max(r[1] for r in rows)), None)


def attend_in_steps(skip, a, b, weigh):
    scores = weigh(torch.clamp(a + b, min=0))
    return torch.mul(skip, 1 / (1 + torch.exp(-scores)))


def softplus_loss(z, y, t, share):
    target = (1 - share) * y + share * t
    return (F.softplus(z) - z * target).mean()


def naive_log(z, y, t, share):
    def cross_entropy(target):
        p = z.sigmoid()
        return -(target * p.log() + (1 - target) * (1 - p).log()).mean()

    return (1 - share) * cross_entropy(y) + share * cross_entropy(t)


RIGHT = {
    "atrous_width": [
        lambda kernel, rate: np.int64(kernel + (kernel - 1) * (rate - 1)),
        lambda kernel, rate: torch.tensor(len(range(0, kernel * rate, rate)) * rate - rate + 1),
    ],
    "attend": [attend_in_steps, lambda s, a, b, w: s - s * torch.sigmoid(-w((a + b).relu()))],
    "distillation_loss": [lambda z, y, t, share: bce(z, torch.lerp(y, t, share)).reshape(1), softplus_loss],
    "choose_network": [choose_in_a_loop, choose_sorted],
}

WRONG = {
    "atrous_width": [
        (lambda kernel, rate: 0, "gaps between"),
    ],
    "attend": [
        ("skip * torch", "skip.mul_(torch", "+ b)))", "+ b))))", "in-place"),
        ("a + b", "a - b", "sigmoid(weigh"),
        ("+ b)))", "+ b))).detach()", "no gradient flows"),
    ],
    "distillation_loss": [
        ("+ share * soft", "+ share * soft.item()", "its slope is not"),
        (lambda *args: softplus_loss(*args).item(), "no gradient flows"),
        (naive_log, "two cross-entropies"),
    ],
    "choose_network": [
        (
            "for row in affordable)",
            'for row in [{"dice": 0}, *affordable] if row.get("ms") != most_ms)',
            "exactly most_ms",
        ),
        ("return None", 'return rows[0]["name"]', "return None"),
        (
            "return min(good",
            "return None if not good else min(good",
            "<= noise",
            "< noise",
            "within its own noise",
        ),
        (lambda rows, ms, noise: "unet", "of what is fast enough"),
    ],
}

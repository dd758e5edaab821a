"""The right answers of notebook 07 are what torch computes."""

import numpy as np
import pytest
import torch
from solutions import solutions

solution = solutions("07")


def test_the_plateau_rule_is_the_one_of_torch():
    for seed in range(5):
        scores = np.random.default_rng(seed).uniform(0, 1, 40).round(2).tolist()
        weights = [torch.zeros(1, requires_grad=True)]
        optimizer = torch.optim.SGD(weights, lr=0.1)
        plan = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=2)
        rates = []
        for score in scores:
            rates.append(optimizer.param_groups[0]["lr"])
            plan.step(score)
        assert rates == pytest.approx(solution.halve_on_plateau(scores, 0.1, 2))


def test_the_answers_to_adam_and_batch_norm_are_those_of_torch():
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = torch.optim.Adam([w], lr=0.1)
    ours, m, v = w.detach().double(), torch.zeros(2).double(), torch.zeros(2).double()
    for step in (1, 2, 3):
        w.grad = torch.tensor([0.3, -0.1]) * step
        optimizer.step()
        ours, m, v = solution.adam_step(ours, w.grad.double(), m, v, step, 0.1)
    assert torch.allclose(w.detach(), ours.float(), atol=1e-5)
    layer, x = torch.nn.BatchNorm2d(2, affine=False), torch.randn(3, 2, 4, 4)
    assert torch.allclose(layer(x), solution.batch_norm(x, None, None, True), atol=1e-5)
    layer.eval()
    assert torch.allclose(
        layer(x), solution.batch_norm(x, layer.running_mean, layer.running_var, False), atol=1e-5
    )

"""The right answer about Adam is what torch computes."""

import torch
from solutions import solutions


def test_the_answer_to_adam_is_that_of_torch():
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = torch.optim.Adam([w], lr=0.1)
    ours, m, v = w.detach().double(), torch.zeros(2).double(), torch.zeros(2).double()
    for step in (1, 2, 3):
        w.grad = torch.tensor([0.3, -0.1]) * step
        optimizer.step()
        ours, m, v = solutions("07").adam_step(ours, w.grad.double(), m, v, step, 0.1)
    assert torch.allclose(w.detach(), ours.float(), atol=1e-5)

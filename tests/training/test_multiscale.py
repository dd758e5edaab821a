import pytest
import torch
from torch import nn

from segkit.files import UserError
from segkit.training.multiscale import multi_scale


class Watched(nn.Module):
    """Keeps the sizes it was called at."""

    def __init__(self):
        super().__init__()
        self.conv, self.sizes = nn.Conv2d(3, 1, 1), []

    def forward(self, images):
        self.sizes.append(tuple(images.shape[-2:]))
        return self.conv(images)


def test_training_batches_come_at_several_sizes_and_answers_at_their_own():
    torch.manual_seed(0)
    model = Watched().train()
    with multi_scale(model, (0.5, 1.0, 1.5)):
        shapes = {tuple(model(torch.rand(2, 3, 64, 96)).shape) for _ in range(30)}
    assert shapes == {(2, 1, 64, 96)}
    assert set(model.sizes) == {(32, 64), (64, 96), (96, 128)}  # whole multiples of 32


def test_in_eval_mode_and_after_an_error_nothing_changes():
    model = Watched().eval()
    images = torch.rand(1, 3, 64, 64)
    with pytest.raises(ZeroDivisionError), multi_scale(model, (0.5,)):
        model(images)
        raise ZeroDivisionError
    model.train()(images)
    assert model.sizes == [(64, 64)] * 2


@pytest.mark.parametrize("scales", [(), (0.0,), (-1, 1)])
def test_scales_that_cannot_be_are_refused(scales):
    with pytest.raises(UserError, match="scales"), multi_scale(Watched(), scales):
        pass

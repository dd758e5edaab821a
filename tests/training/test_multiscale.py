import pytest
import torch
from torch import nn

from segkit.files import UserError
from segkit.training.multiscale import multi_scale


def watched() -> tuple[nn.Module, list]:
    """A network, and the sizes that it will be called at."""
    model, sizes = nn.Conv2d(3, 1, 1), []
    model.register_forward_hook(lambda _, given, __: sizes.append(tuple(given[0].shape[-2:])))
    return model, sizes


def test_training_batches_come_at_several_sizes_and_answers_at_their_own():
    torch.manual_seed(0)
    model, sizes = watched()
    with multi_scale(model, (0.5, 1.0, 1.5)):
        shapes = {tuple(model(torch.rand(2, 3, 64, 96)).shape) for _ in range(30)}
    assert shapes == {(2, 1, 64, 96)}
    assert set(sizes) == {(32, 64), (64, 96), (96, 128)}  # whole multiples of 32


def test_in_eval_mode_and_after_an_error_nothing_changes():
    model, sizes = watched()
    images = torch.rand(1, 3, 64, 64)
    with pytest.raises(ZeroDivisionError), multi_scale(model, (0.5,)):
        model.eval()(images)
        raise ZeroDivisionError
    model.train()(images)
    assert sizes == [(64, 64)] * 2


@pytest.mark.parametrize("scales", [(), (0.0,), (-1, 1)])
def test_scales_that_cannot_be_are_refused(scales):
    with pytest.raises(UserError, match="scales"), multi_scale(nn.Conv2d(3, 1, 1), scales):
        pass

"""A quick backward pass of depthwise convolutions in bfloat16, for training on a processor with AVX-512.

PyTorch's own takes two thirds of a training step of EfficientNet-Lite: its 5x5 and strided forms are not
vectorised. `install()` gives segkit's encoder the one of depthwise.cpp: the same sums, in float32. Needs g++
and ninja.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.cpp_extension import load_inline

from segkit.networks import lite

_native = load_inline(
    "segkit_depthwise",
    Path(__file__).with_suffix(".cpp").read_text(),
    functions=["grad_weight", "grad_input"],
    extra_cflags=["-O3", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512bf16", "-fopenmp"],
)
LAYOUT = torch.channels_last


class Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        x = x.to(torch.bfloat16).contiguous(memory_format=LAYOUT)
        ctx.save_for_backward(x, weight)
        ctx.settings = stride, padding
        with torch.autocast("cpu", enabled=False):
            return F.conv2d(x, weight.to(torch.bfloat16), None, stride, padding, 1, x.shape[1])

    @staticmethod
    def backward(ctx, grad: Tensor):
        (x, weight), (stride, padding) = ctx.saved_tensors, ctx.settings
        grad, k = grad.to(torch.bfloat16).contiguous(memory_format=LAYOUT), weight.shape[-1]
        grad_weight = _native.grad_weight(x, grad, k, stride, padding).to(weight.dtype)
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            if stride == 1:
                turned = weight.flip(2, 3).to(torch.bfloat16)
                grad_x = F.conv2d(grad, turned, None, 1, k - 1 - padding, 1, x.shape[1])
            else:
                taps = weight.float().view(len(weight), -1).t().contiguous()
                grad_x = _native.grad_input(grad, taps, x, k, stride, padding)
        return grad_x, grad_weight, None, None


def install() -> None:
    plain = lite.SameConv.forward

    def forward(self, x: Tensor) -> Tensor:
        quick = self.training and torch.is_autocast_enabled("cpu") and self.groups == self.in_channels > 1
        if not quick or self.in_channels % 16:
            return plain(self, x)
        padding = self.before
        if self.before != self.after:
            x, padding = F.pad(x, (self.before, self.after, self.before, self.after)), 0
        return Depthwise.apply(x, self.weight, self.stride[0], padding)

    lite.SameConv.forward = forward

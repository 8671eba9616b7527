"""Mixed precision: a network computes in bfloat16 while it is trained, where that is faster.

That is on a GPU, and on a CPU with matrix units for bfloat16 (AMX). Weights, losses and the optimizer stay in float32.

    quick(model, device)
    with autocast(device):
        raw = model(images)
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NO_SHIFT = [0, 0]


def faster(device: torch.device) -> bool:
    """Whether bfloat16 is."""
    return device.type == "cuda" or bool(torch.cpu._is_amx_tile_supported())


def autocast(device: torch.device) -> torch.autocast:
    """In its block, networks compute in bfloat16 if that is faster on the device."""
    return torch.autocast(device.type, torch.bfloat16, enabled=faster(device))


def quick(model: nn.Module, device: torch.device) -> None:
    """Give the depthwise convolutions gradients that are quick in bfloat16 on a CPU; the model is changed."""
    if device.type != "cpu" or not faster(device):
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1 and module.bias is None:
            module.__class__ = Depthwise


class Depthwise(nn.Conv2d):
    """A depthwise convolution without bias."""

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, C, H, W). Returns: as Conv2d."""
        result: Tensor = _Depthwise.apply(x, self.weight, self.stride, self.padding, self.dilation)  # type: ignore[no-untyped-call]
        return result


class _Depthwise(torch.autograd.Function):
    """Of oneDNN 3, the gradients in bfloat16 of kernels of 5x5 or with a stride take up to 100 times as long as the
    convolution, and in float32 12 times. So here they are computed in float32; and that of the input, without a
    stride, is the convolution of the output's with the turned kernel, which is as quick as the first.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.bfloat16)
        ctx.save_for_backward(x, weight)
        ctx.settings = stride, padding, dilation
        return F.conv2d(x, weight.to(x.dtype), None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.settings
        of_input = of_weight = None
        wanted = [ctx.needs_input_grad[0] and stride != (1, 1), ctx.needs_input_grad[1], False]
        if any(wanted):
            of_input, of_weight, _ = torch.ops.aten.convolution_backward(
                grad.float(), x.float(), weight, None, stride, padding, dilation, False, NO_SHIFT, len(weight), wanted
            )
        if ctx.needs_input_grad[0] and stride == (1, 1):
            extents = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
            around = [extent - p for extent, p in zip(extents, padding, strict=True)]
            of_input = F.conv2d(grad, weight.to(grad.dtype).flip(2, 3), None, 1, around, dilation, len(weight))
        return None if of_input is None else of_input.to(x.dtype), of_weight, None, None, None

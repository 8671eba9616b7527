"""Upsampling inside a network: transposed convolution from bilinear weights, and max unpooling.

The lecture's two ways back from a small map to a large one.

- **Transposed convolution** ("deconvolution", a bad name; fractionally strided convolution): every input pixel writes
  its value times the kernel into the output, `stride` pixels from its neighbour's, and overlaps add up. It is the
  gradient of the convolution of that stride. With `bilinear_kernel` it interpolates, and learning goes on from there.
- **Max unpooling**: each value returns to the position at which its max pooling found the maximum, and the rest is 0.
  Only comparisons, products and a rearrangement: runtimes have no operator for torch's `max_unpool2d`.

    layer = bilinear(classes, factor=2)  # (B, C, H, W) -> (B, C, 2H, 2W)
    smaller, positions = max_pool(x)  # (B, C, 2H, 2W) -> (B, C, H, W)
    larger = max_unpool(smaller, positions)  # (B, C, H, W) -> (B, C, 2H, 2W)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def bilinear_kernel(factor: int) -> Tensor:
    """(2f, 2f): the weights with which a transposed convolution of stride f interpolates, f even.

    Along an axis, an output pixel whose centre is d input pixels away from an input's has 1 - |d| of it.
    """
    places = (torch.arange(2 * factor) + 0.5) / factor - 1  # of the kernel's taps, in input pixels
    line = 1 - places.abs()
    return line[:, None] * line


def bilinear(channels: int, factor: int, learned: bool = True) -> nn.ConvTranspose2d:
    """A transposed convolution that enlarges by an even factor, each channel by itself to begin with.

    Args:
        channels: of the input and the output.
        learned: whether training may change the kernel, also across channels. If not, the layer keeps its channels
            apart and interpolates for ever.
    """
    groups = 1 if learned else channels
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, stride=factor, padding=factor // 2, groups=groups, bias=False
    )
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(channels):
            layer.weight[channel, channel if learned else 0] = bilinear_kernel(factor)
    return layer.requires_grad_(learned)


def max_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Max pooling of 2 x 2 cells that keeps the positions.

    Args:
        x: (B, C, 2H, 2W).

    Returns:
        maxima: (B, C, H, W).
        positions: (B, C, 4, H, W), in the order top left, top right, bottom left, bottom right: 1 where the maximum
            was, the first of equal ones; else 0.
    """
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    upper, lower = torch.maximum(a, b), torch.maximum(c, d)
    top = (upper >= lower).to(x.dtype)
    left_above, left_below = (a >= b).to(x.dtype), (c >= d).to(x.dtype)
    positions = (top * left_above, top * (1 - left_above), (1 - top) * left_below, (1 - top) * (1 - left_below))
    return torch.maximum(upper, lower), torch.stack(positions, dim=2)


def max_unpool(x: Tensor, positions: Tensor) -> Tensor:
    """Each value back at the position of its pooling: x (B, C, H, W), positions of `max_pool` -> (B, C, 2H, 2W)."""
    return F.pixel_shuffle((x[:, :, None] * positions).flatten(1, 2), 2)

"""MobileNetV3-Large without its classifier.

Howard et al., "Searching for MobileNetV3" (2019), table 1: inverted bottlenecks (1 x 1 expand, k x k depthwise, 1 x 1
project), some with squeeze-and-excitation, the later ones with hard-swish. Module names are torchvision's.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

Norm = Callable[[int], nn.Module]


class BlockRow(NamedTuple):
    """A row of the paper's table. squeeze: whether the block has squeeze-and-excitation."""

    kernel: int
    expanded: int
    outputs: int
    squeeze: bool
    activation: type[nn.Module]
    stride: int


RE, HS = nn.ReLU, nn.Hardswish
STEM = 16
ROWS = (
    BlockRow(3, 16, 16, False, RE, 1),
    BlockRow(3, 64, 24, False, RE, 2),
    BlockRow(3, 72, 24, False, RE, 1),
    BlockRow(5, 72, 40, True, RE, 2),
    BlockRow(5, 120, 40, True, RE, 1),
    BlockRow(5, 120, 40, True, RE, 1),
    BlockRow(3, 240, 80, False, HS, 2),
    BlockRow(3, 200, 80, False, HS, 1),
    BlockRow(3, 184, 80, False, HS, 1),
    BlockRow(3, 184, 80, False, HS, 1),
    BlockRow(3, 480, 112, True, HS, 1),
    BlockRow(3, 672, 112, True, HS, 1),
    BlockRow(5, 672, 160, True, HS, 2),
    BlockRow(5, 960, 160, True, HS, 1),
    BlockRow(5, 960, 160, True, HS, 1),
)
LAST_WIDER = 6  # factor of the output's channels on those of the last row
LAST = len(ROWS) - 3  # the row from which on the reduced tail (the paper's section 6.3) has half the channels
C4 = LAST + 1  # index in `features` of the first block at stride 32


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int,
    activation: type[nn.Module] | None,
    norm: Norm = nn.BatchNorm2d,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """A convolution without bias, its normalisation, and an activation if there is one."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, norm(outputs), *([activation(inplace=True)] if activation else []))


class SqueezeExcite(nn.Module):
    """Hu et al., "Squeeze-and-Excitation" (2018): each channel times a factor, computed from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = _whole(channels // 4)
        self.fc1, self.fc2 = nn.Conv2d(channels, middle, 1), nn.Conv2d(middle, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        return x * nn.functional.hardsigmoid(self.fc2(self.fc1(means).relu()))


class InvertedResidual(nn.Module):
    """Expand (if the width changes), depthwise, squeeze, project. The input is added if the shape stays the same."""

    def __init__(self, inputs: int, row: BlockRow, norm: Norm) -> None:
        super().__init__()
        self.shortcut = row.stride == 1 and inputs == row.outputs
        layers: list[nn.Module] = []
        if row.expanded != inputs:
            layers.append(conv_norm(inputs, row.expanded, 1, row.activation, norm))
        layers.append(conv_norm(row.expanded, row.expanded, row.kernel, row.activation, norm, row.stride, row.expanded))
        if row.squeeze:
            layers.append(SqueezeExcite(row.expanded))
        layers.append(conv_norm(row.expanded, row.outputs, 1, None, norm))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y if self.shortcut else y


def features(norm: Norm = nn.BatchNorm2d, reduced: bool = False) -> nn.Sequential:
    """The network from (B, 3, H, W) to (B, 960, H/32, W/32).

    Args:
        norm: makes a normalisation for a number of channels.
        reduced: whether channels are halved from the first block at stride 32 on.
    """
    rows = list(ROWS)
    if reduced:
        rows[LAST:] = [row._replace(outputs=row.outputs // 2) for row in rows[LAST:]]
        rows[LAST + 1 :] = [row._replace(expanded=row.expanded // 2) for row in rows[LAST + 1 :]]
    layers: list[nn.Module] = [conv_norm(3, STEM, 3, HS, norm, stride=2)]
    inputs = STEM
    for row in rows:
        layers.append(InvertedResidual(inputs, row, norm))
        inputs = row.outputs
    return nn.Sequential(*layers, conv_norm(inputs, inputs * LAST_WIDER, 1, HS, norm))


CHANNELS = (ROWS[LAST].outputs, ROWS[-1].outputs * LAST_WIDER)  # of the two maps of `TwoMaps`


class TwoMaps(nn.Sequential):
    """The network as a backbone of two maps, both of stride 32: after the first block of that stride, and the last."""

    def __init__(self) -> None:
        super().__init__(*features())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Args: x (B, 3, H, W). Returns: (B, 160, H/32, W/32), (B, 960, H/32, W/32)."""
        maps = []
        for number, layer in enumerate(self):
            x = layer(x)
            if number in (C4, len(self) - 1):
                maps.append(x)
        return maps


NORM_TENSORFLOW = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)  # as in the training of SSDlite


def _whole(channels: int) -> int:
    """Round to the nearest multiple of 8, but not below nine tenths of the number."""
    rounded = max(8, (channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded

"""Feature Pyramid Network: maps of every scale, all with the same channels and with the semantics of the coarsest.

Lin et al., "Feature Pyramid Networks for Object Detection" (2017), section 3: from the top down, each map is doubled
and added to the backbone's next finer one, after a 1 x 1 convolution. A 3 x 3 convolution smooths each sum. One more,
coarser map has every second cell of the last (their footnote 2).
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 256


class PyramidNetwork(nn.Module):
    """Args: channels of the backbone's maps, the finest first."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(n, CHANNELS, 1)) for n in channels)
        self.layer_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)) for _ in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Args: maps (B, n, h, w), each as large as the next or twice as large. Returns: one more, (B, 256, h, w)."""
        sides = [inner(x) for inner, x in zip(self.inner_blocks, maps, strict=True)]
        sums = [sides[-1]]
        for side in reversed(sides[:-1]):
            above = sums[0]
            if int(side.shape[-1]) != int(above.shape[-1]):
                above = F.interpolate(above, scale_factor=2.0, mode="nearest")
            sums.insert(0, side + above)
        pyramid = [layer(x) for layer, x in zip(self.layer_blocks, sums, strict=True)]
        return [*pyramid, F.max_pool2d(pyramid[-1], 1, stride=2)]


class PyramidBackbone(nn.Module):
    """A backbone and the pyramid on some of its maps.

    Args:
        body: returns a list of maps.
        channels: of these maps.
    """

    def __init__(self, body: nn.Module, channels: Sequence[int]) -> None:
        super().__init__()
        self.body = body
        self.fpn = PyramidNetwork(channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Args: x (B, 3, H, W). Returns: the pyramid, the finest first, (B, 256, h, w) each."""
        pyramid: list[Tensor] = self.fpn(self.body(x))
        return pyramid

"""FCN-Lite: a small fully convolutional network for street scenes, on the backbone that this project's models share.

Its idea is that of Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation" (2015): a
1x1 convolution on the maps of strides 16, 8 and 4 scores the classes, and coarse scores are enlarged and added to
finer ones. The rest is what came later:

- stride 16 at the end instead of 32: the last stage keeps the resolution and has holes in its kernels instead
  (dilated convolutions; Chen et al., "DeepLab", 2016);
- context: dilated branches (ASPP, from the same paper), and a gate that has seen the whole picture (LR-ASPP; Howard et
  al., "MobileNetV3", 2019);
- the features, not only the scores, of a coarse map are passed down to the finer one (Lin et al., "FPN", 2017);
- a map of stride 2, in which poles are still wider than a cell.

    model = FCNLite.pretrained(classes=11)
    logits = model(normalise(images))  # (B, 3, H, W) RGB in 0..255 -> (B, 11, H, W)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.efficientnet_lite import STAGES, WHOLE, EfficientNetLite0, InvertedBottleneck

STRIDE = 16
STRIDE_4, STRIDE_8, STRIDE_16 = 3, 5, 11  # number of blocks up to the last map of that stride
KEPT = 13  # blocks of the backbone: half of the wide stage is left out, and the stage after it
CONTEXT = 128  # channels of the map of stride 16
FINE, FINEST, EDGES = 64, 48, 16  # of the maps of stride 8, 4 and 2
RATES = (2, 4, 8)  # distances between the taps of the dilated branches, in cells of 16 pixels


def conv_relu(inputs: int, outputs: int, kernel: int = 1, groups: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, batch normalisation, ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, 1, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(True),
    )


def separable(channels: int, outputs: int) -> nn.Sequential:
    """3x3 depthwise, then 1x1."""
    return nn.Sequential(*conv_relu(channels, channels, 3, groups=channels), *conv_relu(channels, outputs))


class Context(nn.Module):
    """What surrounds a cell: (B, inputs, h, w) -> (B, CONTEXT, h, w)."""

    def __init__(self, inputs: int, outputs: int = CONTEXT) -> None:
        super().__init__()
        self.reduce = conv_relu(inputs, outputs)
        self.branches = nn.ModuleList(conv_relu(outputs, outputs, 3, outputs, rate) for rate in RATES)
        self.join = conv_relu(outputs * (1 + len(RATES)), outputs)
        self.gate = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        near = self.reduce(x)
        around: Tensor = self.join(torch.cat([near, *(branch(near) for branch in self.branches)], dim=1))
        gate: Tensor = self.gate(x.mean((2, 3), keepdim=True))  # (B, outputs, 1, 1)
        return around * gate


class FCNLite(nn.Module):
    """The network.

    Args:
        classes: their number; void is none of them.
        blocks: how many of the backbone's blocks are kept, more than STRIDE_16.
        backbone: whose first blocks are used; they are changed. By default, a whole one with random weights.
    """

    def __init__(self, classes: int, blocks: int = KEPT, backbone: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        backbone = backbone or EfficientNetLite0(WHOLE)
        self.classes = classes
        self.stem = backbone.stem
        self.blocks = backbone.blocks[:blocks]
        _keep_stride(self.blocks)
        outputs = [stage[0] for stage in STAGES]
        self.context = Context(outputs[5])
        self.middle = conv_relu(outputs[4], CONTEXT)
        self.fine, self.finest = conv_relu(outputs[2], FINE), conv_relu(outputs[1], FINEST)
        self.edges = separable(backbone.widths[0][0], EDGES)
        self.to_fine, self.to_finest, self.to_edges = (
            conv_relu(CONTEXT, FINE),
            conv_relu(FINE, FINEST),
            conv_relu(FINEST, EDGES),
        )
        self.mix_fine, self.mix_finest, self.mix_edges = (
            separable(channels, channels) for channels in (FINE, FINEST, EDGES)
        )
        self.scores = nn.ModuleList(nn.Conv2d(channels, classes, 1) for channels in (CONTEXT, FINE, FINEST, EDGES))

    def early(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Edges and textures, of (B, 3, H, W) normalised, sides multiples of 16.

        Returns:
            the map of stride 2, (B, 32, H/2, W/2), and that of stride 4, (B, 24, H/4, W/4).
        """
        edges = x = self.stem(x)
        for block in self.blocks[:STRIDE_4]:
            x = block(x)
        return edges, x

    def scored(self, edges: Tensor, finest: Tensor) -> Tensor:
        """Args: edges, finest: the maps of `early`. Returns: logits (B, classes, H/2, W/2)."""
        x, found = finest, []
        for i, block in enumerate(self.blocks[STRIDE_4:], STRIDE_4 + 1):
            x = block(x)
            if i in (STRIDE_8, STRIDE_16):
                found.append(x)
        fine, middle = found  # (B, 40, H/8, W/8), (B, 112, H/16, W/16)
        coarse = self.context(x) + self.middle(middle)  # (B, 128, H/16, W/16)
        fine = self.mix_fine(self.fine(fine) + twice(self.to_fine(coarse)))  # (B, 64, H/8, W/8)
        finest = self.mix_finest(self.finest(finest) + twice(self.to_finest(fine)))  # (B, 48, H/4, W/4)
        edges = self.mix_edges(self.edges(edges) + twice(self.to_edges(finest)))  # (B, 16, H/2, W/2)
        scored = [score(m) for score, m in zip(self.scores, (coarse, fine, finest, edges), strict=True)]
        total: Tensor = scored[0]
        for finer in scored[1:]:
            total = twice(total) + finer
        return total

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised, sides multiples of 16. Returns: logits (B, classes, H, W)."""
        return twice(self.scored(*self.early(x)))

    @classmethod
    def pretrained(cls, classes: int) -> "FCNLite":
        """The network with the backbone's ImageNet weights. Raises the errors of EfficientNetLite0.pretrained."""
        return cls(classes, backbone=EfficientNetLite0.pretrained())


def twice(x: Tensor) -> Tensor:
    """Enlarged by two, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _keep_stride(blocks: nn.ModuleList) -> None:
    """The last stage keeps stride 16: its first block does not shrink, and the kernels after it have holes."""
    for i, block in enumerate(blocks[STRIDE_16:]):
        assert isinstance(block, InvertedBottleneck), "the backbone's blocks"
        depthwise = block.depthwise[0]
        assert isinstance(depthwise, nn.Conv2d), "a block's depthwise part begins with a convolution"
        depthwise.stride = (1, 1)
        if i:
            depthwise.dilation = (2, 2)
            depthwise.padding = (2 * (depthwise.kernel_size[0] // 2), 2 * (depthwise.kernel_size[1] // 2))

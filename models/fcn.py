"""FCN: a classifier made convolutional, with skips: FCN-32s, FCN-16s and FCN-8s on VGG-16.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation" (2015), sections 3 and 4; the
lecture's "design a network as a bunch of convolutional layers, make predictions for all pixels all at once", with
"downsampling and upsampling inside the network":

1. The fully connected layers become convolutions: fc6 has kernels of 7 x 7, fc7 of 1 x 1, with the same weights
   (`convolutional`). So a larger picture gives a map of predictions at the cost of one pass.
2. A 1 x 1 convolution scores the classes on this map, which has stride 32; a transposed convolution enlarges the
   scores to the picture: FCN-32s.
3. Skips: pool4 (stride 16) is scored by its own 1 x 1 convolution and added to the scores enlarged by two: FCN-16s.
   The same once more with pool3 (stride 8): FCN-8s.

Scoring layers begin with zeros, so a finer net begins with the predictions of the coarser one that it goes on from
(`from_coarser`). Transposed convolutions begin with bilinear weights; the last one keeps them (section 4.3). The
paper pads the picture by 100 pixels, so that fc6 fits; here fc6 pads its map by 3, which gives the same size.

    model = FCN(classes=21, stride=8)
    logits = model(model.normalise(images))  # (B, 3, H, W) RGB in 0..255 -> (B, 21, H, W)
"""

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.upsampling import bilinear
from watchline.models.vgg import PATCH, VGG16

MULTIPLE = 32  # the sides of pictures must be multiples of it
STRIDES = (32, 16, 8)
POOLS = (17, 24)  # number of VGG-16's layers up to pool3 and pool4


def convolutional(layer: nn.Linear, side: int) -> nn.Conv2d:
    """The convolution that computes at every position what a fully connected layer does with a map of that size.

    Args:
        layer: whose inputs are a map (C, side, side), flattened.
        side: of its kernel; odd. The convolution pads, so its output has the size of its input.
    """
    channels = layer.in_features // side**2
    convolution = nn.Conv2d(channels, layer.out_features, side, padding=side // 2)
    convolution.weight = nn.Parameter(layer.weight.detach().reshape(layer.out_features, channels, side, side))
    convolution.bias = nn.Parameter(layer.bias.detach())
    return convolution


class FCN(nn.Module):
    """The network.

    Args:
        classes: their number, including a background if there is one.
        stride: of the finest map that is scored: 32, 16 or 8.
        trunk: VGG-16, whose layers are used; by default, one with random weights.
    """

    def __init__(self, classes: int, stride: int = 8, trunk: VGG16 | None = None) -> None:
        super().__init__()
        if stride not in STRIDES:
            raise ValueError(f"stride {stride}: expected one of {STRIDES}")
        trunk = trunk or VGG16()
        self.classes, self.stride = classes, stride
        self.normalise = trunk.normalise
        self.parts = nn.ModuleList(trunk.features[a:b] for a, b in pairwise((0, *POOLS, len(trunk.features))))
        fc6, _, _, fc7, *_ = trunk.classifier
        assert isinstance(fc6, nn.Linear), "VGG-16's classifier begins with fc6"
        assert isinstance(fc7, nn.Linear), "after ReLU and dropout comes fc7"
        self.fc6, self.fc7 = convolutional(fc6, PATCH), convolutional(fc7, 1)
        self.score = _score(trunk.width, classes)
        self.skips, self.twice = nn.ModuleList(), nn.ModuleList()  # of pool4, then of pool3
        self.last = bilinear(classes, stride, learned=False)
        for _ in range(STRIDES.index(stride)):
            self._add_skip()

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised, sides multiples of 32. Returns: logits (B, classes, H, W)."""
        pool3, pool4, pool5 = self.pools(x)
        fc6 = F.dropout(self.fc6(pool5).relu(), 0.5, self.training)
        fc7 = F.dropout(self.fc7(fc6).relu(), 0.5, self.training)
        scores = self.score(fc7)  # (B, classes, H/32, W/32)
        for skip, finer, enlarge in zip(self.skips, (pool4, pool3), self.twice, strict=False):
            scores = enlarge(scores) + skip(finer)  # (B, classes, H/16, W/16), then of H/8, W/8
        logits: Tensor = self.last(scores)
        return logits

    def pools(self, x: Tensor) -> Sequence[Tensor]:
        """The maps pool3 (B, 256, H/8, W/8), pool4 (B, 512, H/16, W/16) and pool5 (B, 512, H/32, W/32)."""
        found = []
        for part in self.parts:
            x = part(x)
            found.append(x)
        return *found[:-1], F.max_pool2d(found[-1], 2)  # the trunk of detectors leaves pool5 out

    @classmethod
    def from_coarser(cls, coarser: "FCN") -> "FCN":
        """The next finer network, which goes on from a trained one: FCN-16s from FCN-32s, FCN-8s from FCN-16s.

        Raises:
            ValueError: it is FCN-8s, beyond which the paper saw no gain.
        """
        if coarser.stride == STRIDES[-1]:
            raise ValueError(f"FCN-{coarser.stride}s is the finest; expected FCN-32s or FCN-16s")
        finer = copy.deepcopy(coarser)
        finer.stride //= 2
        finer._add_skip()
        return finer

    def _add_skip(self) -> None:
        """Score the next finer map, and enlarge less at the end."""
        part = cast(nn.Sequential, self.parts[1 - len(self.skips)])  # the layers before pool4, then those before pool3
        channels = [layer.out_channels for layer in part if isinstance(layer, nn.Conv2d)][-1]
        self.skips.append(_score(channels, self.classes))
        self.twice.append(bilinear(self.classes, 2))
        self.last = bilinear(self.classes, self.stride, learned=False)


def _score(channels: int, classes: int) -> nn.Conv2d:
    """A 1 x 1 convolution that scores classes, zero to begin with."""
    layer = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None, "it has one by default"
    nn.init.zeros_(layer.bias)
    return layer

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

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.models.upsampling import bilinear
from watchline.models.vgg import PATCH, VGG16

MULTIPLE = 32  # the sides of pictures must be multiples of it
STRIDES = (32, 16, 8)
POOLS = (17, 24)  # number of VGG-16's layers up to pool3 and pool4
POOL3, POOL4 = 256, 512  # their channels


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
        self.score_pool4 = _score(POOL4, classes) if stride <= 16 else None
        self.score_pool3 = _score(POOL3, classes) if stride <= 8 else None
        self.twice = nn.ModuleList(bilinear(classes, 2) for _ in range(STRIDES.index(stride)))
        self.last = bilinear(classes, stride, learned=False)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, H, W) normalised, sides multiples of 32. Returns: logits (B, classes, H, W)."""
        pool3, pool4, pool5 = self.pools(x)
        fc6 = F.dropout(self.fc6(pool5).relu(), 0.5, self.training)
        fc7 = F.dropout(self.fc7(fc6).relu(), 0.5, self.training)
        scores = self.score(fc7)  # (B, classes, H/32, W/32)
        for skip, finer, enlarge in zip((self.score_pool4, self.score_pool3), (pool4, pool3), self.twice, strict=False):
            assert skip is not None, "there is a scoring layer for each enlargement by two"
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
        """The next finer network, which shares the layers of a trained one: FCN-16s of FCN-32s, FCN-8s of FCN-16s.

        Raises:
            ValueError: it is FCN-8s, beyond which the paper saw no gain.
        """
        if coarser.stride == STRIDES[-1]:
            raise ValueError(f"FCN-{coarser.stride}s is the finest; expected FCN-32s or FCN-16s")
        with torch.device("meta"):  # VGG-16 has half a gigabyte of numbers that would be drawn for nothing
            finer = cls(coarser.classes, coarser.stride // 2, VGG16(coarser.fc7.out_channels))
        added = cls._added(coarser.classes, finer.stride)
        kept = {name: w for name, w in coarser.state_dict().items() if name != "last.weight"}
        finer.load_state_dict({**added, **kept}, assign=True)
        finer.requires_grad_(True).last.requires_grad_(False)
        return finer.train(coarser.training)

    @staticmethod
    def _added(classes: int, stride: int) -> dict[str, Tensor]:
        """What FCN-16s has beyond FCN-32s, or FCN-8s beyond FCN-16s."""
        pool, channels = ("score_pool4", POOL4) if stride == 16 else ("score_pool3", POOL3)
        score = _score(channels, classes).state_dict()
        return {
            **{f"{pool}.{name}": value for name, value in score.items()},
            f"twice.{STRIDES.index(stride) - 1}.weight": bilinear(classes, 2).weight.detach(),
            "last.weight": bilinear(classes, stride, learned=False).weight,
        }


def _score(channels: int, classes: int) -> nn.Conv2d:
    """A 1 x 1 convolution that scores classes, zero to begin with."""
    layer = nn.Conv2d(channels, classes, 1)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None, "it has one by default"
    nn.init.zeros_(layer.bias)
    return layer

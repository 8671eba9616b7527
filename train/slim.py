"""Makes a trained detector slim: fewer channels inside its blocks, fewer blocks, nearly the same outputs.

It works block by block, from the input on. The kept channels are those that reconstruct the block's original output
best, and the block's last convolution is the least-squares solution (He, Zhang and Sun, "Channel Pruning", 2017; the
choice of channels: Hassibi and Stork, "Optimal Brain Surgeon", 1993). Training continues from the slim network.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from watchline.export.pytorch.exported import calibrate, norm_of, set_conv
from watchline.models.efficientnet_lite import WHOLE, InvertedBottleneck
from watchline.models.errors import CheckpointError
from watchline.models.yolov2 import Shape, YOLOv2
from watchline.train import initial
from watchline.train.pictures import LabelledPicture
from watchline.train.views import Store

FROM = 600  # number of pictures from which the views are made
POSITIONS = 200  # positions of each view that are used, drawn at random
RIDGE = 1e-3  # ridge regression: this share of the mean diagonal is added to the diagonal
ROUND = 0.1  # share of the channels that are removed per round


def views(pictures: Sequence[LabelledPicture]) -> Tensor:
    """Normalised views of some of the pictures, to make a network slim with."""
    chosen = np.random.default_rng(0).choice(len(pictures), min(FROM, len(pictures)), replace=False)
    return initial.views(Store.of([pictures[i] for i in chosen], torch.device("cpu"), 1))


@torch.no_grad()
def slim(full: YOLOv2, shape: Shape, x: Tensor) -> YOLOv2:
    """The network of a shape whose outputs are like those of `full` on the normalised views `x`, with their batch
    statistics.

    Raises CheckpointError: `full` is not a complete network.
    """
    if full.backbone.widths != WHOLE:
        raise CheckpointError(f"blocks of {full.backbone.widths} channels: expected a complete EfficientNet-Lite0")
    small = YOLOv2(full.priors, full.classes, shape.backbone(), shape.hidden).eval()
    wanted = _stages(full, x)
    y = _stem(full, small, x, wanted[0])
    old, new = 1, 1
    maps = []
    for stage in range(1, len(shape.widths)):
        count = len(shape.widths[stage])
        for i in range(count):
            last = i == count - 1
            y = _block(full, small, old + i, new + i, y, wanted[stage][-1 if last else i])
        old, new = old + len(WHOLE[stage]), new + count
        maps.append(y)
    _head(full, small, maps[1], maps[3], y)
    calibrate(small, x)
    return small


def _stages(full: YOLOv2, x: Tensor) -> list[list[Tensor]]:
    """The outputs of the blocks of each stage; for the last stage, the output of the coarse branch before its ReLU."""
    x = full.backbone.stem(x)
    outputs, n = [], 0
    for stage in WHOLE:
        outputs.append([x := full.backbone.blocks[n + i](x) for i in range(len(stage))])
        n += len(stage)
    outputs[-1] = [full.coarse[1](full.coarse[0](x))]
    return outputs


def _stem(full: YOLOv2, small: YOLOv2, x: Tensor, wanted: list[Tensor]) -> Tensor:
    """The stem and the first block, which has no expansion: its channels are the stem's."""
    block = cast(InvertedBottleneck, full.backbone.blocks[0])
    keep, weight, bias = rebuild(block.depthwise(full.backbone.stem(x)), wanted[0], small.backbone.widths[0][0])
    _copy(full, small, "backbone.stem.0", "backbone.stem.0", keep)
    _copy(full, small, "backbone.blocks.0.depthwise.0", "backbone.blocks.0.depthwise.0", keep)
    set_conv(small, "backbone.blocks.0.project.0", weight[..., None, None], bias)
    return cast(Tensor, small.backbone.blocks[0](small.backbone.stem(x)))


def _block(full: YOLOv2, small: YOLOv2, old: int, new: int, x: Tensor, wanted: Tensor) -> Tensor:
    theirs, mine = (
        cast(InvertedBottleneck, full.backbone.blocks[old]),
        cast(InvertedBottleneck, small.backbone.blocks[new]),
    )
    inside = theirs.depthwise(theirs.expand(x))
    count = cast(nn.Conv2d, mine.depthwise[0]).in_channels
    keep, weight, bias = rebuild(inside, wanted - x if mine.shortcut else wanted, count)
    for part in ("expand.0", "depthwise.0"):
        _copy(full, small, f"backbone.blocks.{old}.{part}", f"backbone.blocks.{new}.{part}", keep)
    set_conv(small, f"backbone.blocks.{new}.project.0", weight[..., None, None], bias)
    return cast(Tensor, mine(x))


def _head(full: YOLOv2, small: YOLOv2, shallow: Tensor, fine: Tensor, coarse: Tensor) -> None:
    for name, module in full.named_modules():
        if isinstance(module, nn.Conv2d) and name.startswith(
            ("passthrough.", "fine.", "coarse.3", "coarse.6", "head.0")
        ):
            _copy(full, small, name, name, None)
    set_conv(small, "coarse.0", torch.eye(small.backbone.last)[..., None, None], torch.zeros(small.backbone.last))
    up = F.interpolate(small.coarse(coarse), scale_factor=2.0, mode="nearest")
    x = torch.cat([small.passthrough(shallow), small.fine(fine), up], dim=1)
    hidden = small.region.in_channels
    middle = full.head[:6](x)  # 384 -> 192, rectified
    wide = full.head[6:9](middle)
    keep, weight, bias = rebuild(wide, full.head[9:11](wide), hidden)
    _copy(full, small, "head.3", "head.3", keep)
    _copy(full, small, "head.6", "head.6", keep)
    last = F.conv2d(wide[:, keep], weight[..., None, None], bias).clamp(0, 6)
    kept, region, region_bias = rebuild(last, full.region(full.head[9:](wide)), hidden)
    set_conv(small, "head.9", weight[kept][..., None, None], bias[kept])
    small.region.weight.data, small.region.bias.data = region[..., None, None], region_bias  # type: ignore[union-attr]


def rebuild(inside: Tensor, wanted: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The channels from which a linear map reconstructs the wanted output best, and that map.

    Args:
        inside: (B, C, h, w). wanted: (B, D, h, w). count: number of channels to keep.

    Returns:
        indices (count,), weight (D, count), bias (D,).
    """
    positions = torch.randperm(inside[0, 0].numel(), generator=torch.Generator().manual_seed(0))[:POSITIONS]
    a, b = (t.flatten(2)[..., positions].transpose(1, 2).flatten(0, 1).double() for t in (inside, wanted))
    mean_a, mean_b = a.mean(0), b.mean(0)
    gram, cross = (a - mean_a).T @ (a - mean_a), (a - mean_a).T @ (b - mean_b)
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    keep = torch.arange(len(gram))
    while True:
        inverse = torch.linalg.inv(gram[keep][:, keep])
        weight = inverse @ cross[keep]  # (kept, D)
        surplus = len(keep) - count
        if surplus <= 0:
            bias = mean_b - mean_a[keep] @ weight
            return keep, weight.T.float(), bias.float()
        price = weight.square().sum(1) / inverse.diagonal()  # the error that removing a channel adds
        gone = price.argsort()[: min(surplus, max(1, int(ROUND * len(keep))))]
        stays = torch.ones(len(keep), dtype=torch.bool)
        stays[gone] = False
        keep = keep[stays]


def _copy(full: YOLOv2, small: YOLOv2, old: str, new: str, keep: Tensor | None) -> None:
    weight, bias = full.get_submodule(old).weight, norm_of(full, old).bias
    assert isinstance(weight, Tensor), "a convolution"
    set_conv(small, new, *((weight, bias) if keep is None else (weight[keep], bias[keep])))

"""NanoDet and NanoDet-Plus (RangiLyu), whose boxes are distributions: Generalized Focal Loss (Li et al., 2020).

The distance from a cell to each side of its box is the mean of a softmax over 8 bins, in strides. Outputs are scores
(B, n, C) and distributions (B, n, 32) of each map, or both of all maps side by side in one (B, N, C + 32). The first
NanoDet has three maps and looks from the middle of a cell; the Plus has four and looks from its corner. Pixels are
BGR with ImageNet's mean and deviation; the picture stands in the middle on black.
"""

from collections.abc import Sequence

import numpy as np

from watchline.export.detectors.family import IMAGENET_MEAN, IMAGENET_STD, Build, Family, FamilyOutputs, always
from watchline.export.detectors.grid import cells, count
from watchline.export.detectors.network import PADDLE, ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation
from watchline.export.surgery import Value

BINS = 8
SIDES = 4 * BINS
STRIDES, PLUS = (8, 16, 32), (8, 16, 32, 64)


def pairs(network: ThirdPartyNetwork, strides: Sequence[int]) -> list[tuple[int, int]] | None:
    """Places of scores and distributions of each map among the outputs; None where they are not there.

    Of two outputs with as many rows, the distributions are the one with 32 columns, or the second if both have.
    """
    shapes = network.shapes
    if len(shapes) != 2 * len(strides) or any(len(shape) != 3 for shape in shapes):
        return None
    found = []
    for rows in count(network.size, strides):
        places = [i for i, shape in enumerate(shapes) if shape[1] == rows]
        places.sort(key=lambda i: shapes[i][2] == SIDES)
        if len(places) != 2 or shapes[places[1]][2] != SIDES:
            return None
        found.append((places[0], places[1]))
    columns = {shapes[scores][2] for scores, _ in found}
    return found if len(columns) == 1 else None


def joined(build: Build, outputs: list[Value], places: list[tuple[int, int]]) -> tuple[Value, Value]:
    """Scores (B, N, C) and distributions (B, N, 32) of all maps, the finest first."""
    scores, sides = zip(*places, strict=True)
    return (
        build.graph.concat([outputs[i] for i in scores], axis=1),
        build.graph.concat([outputs[i] for i in sides], axis=1),
    )


def boxes(build: Build, distributions: Value, strides: Sequence[int], offset: float) -> Value:
    """Boxes (B, N, 4) from distributions (B, N, 32) over distances left, up, right and down.

    Args: offset, of the point that a cell looks from, in cells: 0.5 is its middle.
    """
    places, steps = cells(build, strides)
    bins = distributions.reshape(0, -1, 4, BINS).softmax()
    distances = (bins * np.arange(BINS)).sum() * steps  # (B, N, 4)
    points = (places + offset) * steps  # (N, 2)
    low, high = points - distances[..., :2], points + distances[..., 2:]
    return build.graph.concat([low, high], axis=-1)


def _strides(network: ThirdPartyNetwork) -> Sequence[int] | None:
    """Of the network's maps; None if it is none of ours."""
    if network.producer == PADDLE:  # PicoDet's outputs are those of the Plus, but decoded otherwise
        return None
    for strides in (STRIDES, PLUS):
        match list(network.tried.values()):
            case [out] if out.ndim == 3 and out.shape[1] == sum(count(network.size, strides)):
                classes = out.shape[2] - SIDES
                if classes > 0 and in_unit(out[..., :classes]) and not in_unit(out[..., classes:]):
                    return strides
        if pairs(network, strides):
            return strides
    return None


def fits(network: ThirdPartyNetwork) -> bool:
    """Scores and distributions of three or four maps, apart or in one."""
    return _strides(network) is not None


def tells(network: ThirdPartyNetwork) -> bool:
    """Three maps, or both in one output: PicoDet has neither."""
    return _strides(network) == STRIDES or len(network.tried) == 1


def decode(build: Build) -> FamilyOutputs:
    """Scores are in 0..1 already; boxes by `boxes`."""
    strides = _strides(build.network) or STRIDES
    outputs = build.run()
    places = pairs(build.network, strides)
    if places:
        scores, sides = joined(build, outputs, places)
        classes = build.network.shapes[places[0][0]][2]
    else:
        classes = build.network.shapes[0][2] - SIDES
        scores, sides = outputs[0][..., :classes], outputs[0][..., classes:]
    offset = 0.5 if len(strides) == len(STRIDES) else 0.0
    return FamilyOutputs(boxes(build, sides, strides, offset), scores, build.labels(classes))


FAMILY = Family(
    "scores (B, n, C) and distributions (B, n, 32) of strides 8, 16, 32 (and 64), or one (B, N, C + 32)",
    fits,
    tells,
    always(Preparation("letterbox-center", rgb=False, mean=IMAGENET_MEAN[::-1], std=IMAGENET_STD[::-1])),
    decode,
    pad=(0, 0, 0),
)

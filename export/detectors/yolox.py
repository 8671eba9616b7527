"""YOLOX (Ge et al., 2021) as Megvii's own exporter writes it: one output, the raw grid.

Each row is (x, y, log width, log height, objectness, classes…), places and sizes in strides of the row's cell; the
exporter's --decode_in_inference has them in pixels already, which their size tells. Pixels are BGR in 0..255.
"""

import numpy as np

from watchline.export.detectors.family import Build, Family, FamilyOutputs, corners
from watchline.export.detectors.grid import cells, count
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit

STRIDES = (8, 16, 32)
FAR = 8  # cells: raw centres lie around their own cell, those in pixels half a picture from the corner on average


def fits(network: ThirdPartyNetwork) -> bool:
    """One output (B, N, 5 + C), N the cells of three maps, all but the first four columns in 0..1."""
    match list(network.tried.values()):
        case [out] if out.ndim == 3:
            cells_of_all = sum(count(network.size, STRIDES))
            return out.shape[1] == cells_of_all and out.shape[2] > 5 and in_unit(out[..., 4:])
    return False


def decode(build: Build) -> FamilyOutputs:
    """Centre = (offset + cell) stride, size = e^s stride, score = objectness x class."""
    (out,) = build.run(rgb=False)  # (B, N, 5 + C)
    (tried,) = build.network.tried.values()
    if np.abs(tried[..., :2]).mean() > FAR:
        centre, size = out[..., :2], out[..., 2:4]
    else:
        places, strides = cells(build, STRIDES)
        centre = (out[..., :2] + places) * strides
        size = out[..., 2:4].exp() * strides
    scores = out[..., 4:5] * out[..., 5:]
    return FamilyOutputs(corners(build.graph, centre, size), scores, build.labels(tried.shape[-1] - 5))


FAMILY = Family(
    "one output (B, N, 5 + C), N the cells of strides 8, 16 and 32, scores in 0..1", fits, decode, "letterbox"
)

"""YOLOX (Ge et al., 2021) as Megvii's own exporter writes it: one output, the raw grid.

Each row is (x, y, log width, log height, objectness, classes…), places and sizes in strides of the row's cell; the
exporter's --decode_in_inference has them in pixels already, which their size tells. Pixels are BGR in 0..255.
"""

import numpy as np

from watchline.export.detectors import signs
from watchline.export.detectors.family import Build, Family, FamilyOutputs, always, corners
from watchline.export.detectors.grid import cells, count
from watchline.export.detectors.network import PADDLE, ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation

STRIDES = (8, 16, 32)
FAR = 8  # cells: raw centres lie around their own cell, those in pixels half a picture from the corner on average


def fits(network: ThirdPartyNetwork) -> bool:
    """One output (B, N, 5 + C), N the cells of three maps, all but the first four columns in 0..1."""
    match list(network.tried.values()):
        case [out] if out.ndim == 3 and out.shape[1] == sum(count(network.size, STRIDES)) and out.shape[2] > 5:
            if not in_unit(out[..., 4:]) or signs.ones(out[..., 4]):  # YOLOv6 writes ones where the objectness was
                return False
            best = out.shape[2] == 6 and signs.whole(out[..., 5])  # score and class: DeepStream-Yolo's
            return not best and network.producer != PADDLE  # PP-YOLOE's rows have corners and no objectness
    return False


def in_pixels(network: ThirdPartyNetwork) -> bool:
    """Whether centres are in pixels of the input, not around their cells."""
    return bool(np.abs(next(iter(network.tried.values()))[..., :2]).mean() > FAR)


def tells(network: ThirdPartyNetwork) -> bool:
    """The raw grid, or its exporter's name for the output."""
    return not in_pixels(network) or list(network.tried) == ["output"]


def decode(build: Build) -> FamilyOutputs:
    """Centre = (offset + cell) stride, size = e^s stride, score = objectness x class."""
    (out,) = build.run()  # (B, N, 5 + C)
    (tried,) = build.network.tried.values()
    if in_pixels(build.network):
        centre, size = out[..., :2], out[..., 2:4]
    else:
        places, strides = cells(build, STRIDES)
        centre = (out[..., :2] + places) * strides
        size = out[..., 2:4].exp() * strides
    scores = out[..., 4:5] * out[..., 5:]
    return FamilyOutputs(corners(build.graph, centre, size), scores, build.labels(tried.shape[-1] - 5))


FAMILY = Family(
    "one output (B, N, 5 + C), N the cells of strides 8, 16 and 32, objectness and scores in 0..1",
    fits,
    tells,
    always(Preparation("letterbox-floor", rgb=False, top=255)),
    decode,
)

"""PP-YOLOE and PP-YOLOE+ (Baidu) as PaddleDetection exports them: corners in pixels.

- boxes (B, N, 4) and scores (B, C, N) of all cells (`exclude_nms`).
- (B, N, 4 + C), both in one (`exclude_post_process`).
- rows (M, 6) of class, score and corners of one picture, and how many they are (with suppression, the default).

The file does not tell which of the two it is, and they differ in the pixels: PP-YOLOE takes RGB with ImageNet's mean
and deviation, PP-YOLOE+ RGB in 0..1. The picture is stretched.
"""

import numpy as np

from watchline.export.detectors.family import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Build,
    Family,
    FamilyOutputs,
    always,
    one_hot,
)
from watchline.export.detectors.grid import count
from watchline.export.detectors.network import PADDLE, ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation

STRIDES = (8, 16, 32)


def _form(network: ThirdPartyNetwork) -> str | None:
    if "scale_factor" not in network.companions and network.producer != PADDLE:
        return None
    cells = sum(count(network.size, STRIDES))
    match list(network.tried.values()):
        case [boxes, scores] if boxes.shape[1:] == (cells, 4) and scores.ndim == 3 and scores.shape[2] == cells:
            return "apart" if in_unit(scores) else None
        case [out] if out.ndim == 3 and out.shape[1] == cells and out.shape[2] > 4 and in_unit(out[..., 4:]):
            return "joined"
        case [rows, number] if rows.shape[1:] == (6,) and number.ndim == 1 and network.batch == 1:
            return "rows"
    return None


def fits(network: ThirdPartyNetwork) -> bool:
    """One of the three forms, by Paddle."""
    return _form(network) is not None


def tells(network: ThirdPartyNetwork) -> bool:
    """Nobody else writes them; but which of the two it is they do not tell."""
    return True


def decode(build: Build) -> FamilyOutputs:
    """By the form of the outputs."""
    network, outputs = build.network, build.run()
    match _form(network):
        case "apart":
            boxes, scores = outputs
            return FamilyOutputs(boxes, scores.transpose(0, 2, 1), build.labels(network.shapes[1][1]))
        case "joined":
            (out,) = outputs
            return FamilyOutputs(out[..., :4], out[..., 4:], build.labels(network.shapes[0][2] - 4))
    labels = build.names()
    rows = outputs[0].reshape(1, -1, 6)
    scores = one_hot(rows[..., 1:2], rows[..., :1], np.arange(len(labels)))
    return FamilyOutputs(rows[..., 2:], scores, labels)


def _family(preparation: Preparation) -> Family:
    return Family(
        "boxes (B, N, 4) in pixels and scores (B, C, N), both in one (B, N, 4 + C), or rows (M, 6) and their number, "
        "by PaddlePaddle",
        fits,
        tells,
        always(preparation),
        decode,
    )


FAMILY = _family(Preparation("stretch", mean=IMAGENET_MEAN, std=IMAGENET_STD))
PLUS = _family(Preparation("stretch"))

"""Ultralytics' exports: YOLOv8, YOLO11 and their like, YOLOv5, and those without suppression, YOLOv10 and YOLO26.

- (B, 4 + C, N): centre, size and scores, a column a cell (anchor-free heads).
- (B, N, 5 + C): centre, size, objectness and classes, three rows a cell (YOLOv5's own repository).
- (B, N, 6): corners, score and class of the best N (end to end).

All are in pixels of the input, scores in 0..1. Pixels are RGB in 0..1, the picture stands in the middle.
"""

import numpy as np

from watchline.export.class_names import KNOWN, own_names
from watchline.export.detectors.family import Build, Family, FamilyOutputs, corners, one_hot
from watchline.export.detectors.grid import count
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit
from watchline.export.errors import CheckpointRefused

PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))  # usual, P6, P2, YOLOv3-tiny
ANCHORS = 3  # a cell, in YOLOv5
UNIT = (255.0, 255.0, 255.0)


def _form(network: ThirdPartyNetwork) -> str | None:
    if len(network.shapes) != 1 or len(network.shapes[0]) != 3:
        return None
    (tried,) = network.tried.values()
    _, a, b = tried.shape
    totals = {sum(count(network.size, strides)) for strides in PYRAMIDS}
    if b in totals and a > 4 and in_unit(tried[:, 4:]):
        return "columns"
    if a in {ANCHORS * total for total in totals} and b > 5 and in_unit(tried[..., 4:]):
        return "rows"
    return "best" if b == 6 and a not in totals and in_unit(tried[..., 4]) else None


def fits(network: ThirdPartyNetwork) -> bool:
    """One output, in one of the three forms."""
    return _form(network) is not None


def decode(build: Build) -> FamilyOutputs:
    """By the form of the output."""
    network = build.network
    if (task := network.properties.get("task", "detect")) != "detect":
        raise CheckpointRefused(f"{network.where}: it is for {task!r}; expected a detector, one exported with detect")
    (out,) = build.run(rgb=True, std=UNIT)
    (shape,) = network.shapes
    match _form(network):
        case "columns":
            out = out.transpose(0, 2, 1)  # (B, N, 4 + C)
            scores = out[..., 4:]
            labels = build.labels(shape[1] - 4)
        case "rows":
            scores = out[..., 4:5] * out[..., 5:]
            labels = build.labels(shape[2] - 5)
        case _:
            names = build.asked or own_names(network.properties, network.where)
            labels = build.labels(len(names) if names else max(KNOWN))  # the output does not tell how many
            return FamilyOutputs(out[..., :4], one_hot(out[..., 4:5], out[..., 5:], np.arange(len(labels))), labels)
    return FamilyOutputs(corners(build.graph, out[..., :2], out[..., 2:4]), scores, labels)


FAMILY = Family(
    "one output (B, 4 + C, N), (B, 3 N, 5 + C) or (B, N, 6), N the cells of strides 8, 16 and 32, scores in 0..1",
    fits,
    decode,
    "letterbox-center",
)

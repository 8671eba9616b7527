"""Ultralytics' exports: YOLOv8, YOLO11 and their like, YOLOv5, and those without suppression, YOLOv10 and YOLO26.

- (B, 4 + C, N): centre, size and scores, a column a cell (anchor-free heads; YOLOv9 has a second one for its training).
- (B, N, 5 + C): centre, size, objectness and classes, three rows a cell (YOLOv5's own repository, YOLOv7).
- (B, N, 6): corners, score and class of the best N (end to end).

All are in pixels of the input, scores in 0..1. Pixels are RGB in 0..1, the picture stands in the middle. Raw maps of
five axes beside it, as YOLOv5 up to 6.0 and YOLOv7 have them, are passed over.
"""

import numpy as np
from numpy.typing import NDArray

from watchline.export.detectors import signs
from watchline.export.detectors.family import Build, Family, FamilyOutputs, always, corners, one_hot
from watchline.export.detectors.grid import count
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation
from watchline.export.errors import CheckpointRefused

PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))  # usual, P6, P2, YOLOv3-tiny
ANCHORS = 3  # a cell, in YOLOv5
RAW_AXES = 5  # of a map before its decoding


def _form(size: tuple[int, int], out: NDArray[np.float32]) -> str | None:
    """Of one output."""
    _, a, b = out.shape
    totals = {sum(count(size, strides)) for strides in PYRAMIDS}
    many = totals | {ANCHORS * total for total in totals}
    if b in totals and a > 4 and in_unit(out[:, 4:]):
        return "columns"
    if a in many - totals and b > 5 and in_unit(out[..., 4:]) and not signs.whole(out[..., 5]):
        return "rows"
    return "best" if b == 6 and a not in many and in_unit(out[..., 4]) and signs.whole(out[..., 5]) else None


def _place(network: ThirdPartyNetwork) -> tuple[int, str] | None:
    """Of the output that is meant, and its form. Of two of one shape the second is meant: the first is for training."""
    outputs = list(network.tried.values())
    places = [i for i, out in enumerate(outputs) if out.ndim != RAW_AXES]
    if not places or {(outputs[i].ndim, outputs[i].shape) for i in places} != {(3, outputs[places[0]].shape)}:
        return None
    forms = {_form(network.size, outputs[i]) for i in places}
    form = forms.pop()
    return (places[-1], form) if form and not forms and (form == "columns" or len(places) == 1) else None


def fits(network: ThirdPartyNetwork) -> bool:
    """One output that counts, in one of the three forms."""
    return _place(network) is not None


def tells(network: ThirdPartyNetwork) -> bool:
    """Properties that its exporter writes, and its name for the output."""
    return {"names", "stride"} <= network.properties.keys() or next(iter(network.tried)) == "output0"


def decode(build: Build) -> FamilyOutputs:
    """By the form of the output."""
    network = build.network
    if (task := network.properties.get("task", "detect")) != "detect":
        raise CheckpointRefused(f"{network.where}: it is for {task!r}; expected a detector, one exported with detect")
    found = _place(network)
    assert found, "the outputs were found to fit"
    place, form = found
    out, shape = build.run()[place], network.shapes[place]
    match form:
        case "columns":
            out = out.transpose(0, 2, 1)  # (B, N, 4 + C)
            scores = out[..., 4:]
            labels = build.labels(shape[1] - 4)
        case "rows":
            scores = out[..., 4:5] * out[..., 5:]
            labels = build.labels(shape[2] - 5)
        case _:
            labels = build.names()
            return FamilyOutputs(out[..., :4], one_hot(out[..., 4:5], out[..., 5:], np.arange(len(labels))), labels)
    return FamilyOutputs(corners(build.graph, out[..., :2], out[..., 2:4]), scores, labels)


FAMILY = Family(
    "one output (B, 4 + C, N), (B, 3 N, 5 + C) or (B, N, 6), N the cells of strides 8, 16 and 32, scores in 0..1",
    fits,
    tells,
    always(Preparation("letterbox-center")),
    decode,
)

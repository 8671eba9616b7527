"""The form that DeepStream-Yolo (Lucianops) gives to the YOLO of anybody: every cell with its best class.

- (B, N, 6): box, score and number of the class.
- (B, N, 7): the same and an objectness, in front of which the score stands alone (YOLOv5, early).
- boxes (B, N, 4), scores (B, N, 1) and classes (B, N, 1), by these names (before 2024).

Boxes are in pixels, two corners today, centre and size before, which the numbers tell. Pixels are RGB in 0..1 and the
picture stands in the middle, as in most of the networks that it is for; YOLOX's names say that it is not so there.
"""

import numpy as np

from watchline.export.detectors import signs, yolox
from watchline.export.detectors.family import Build, Family, FamilyOutputs, corners, one_hot
from watchline.export.detectors.grid import count
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation
from watchline.export.detectors.ultralytics import ANCHORS, PYRAMIDS
from watchline.export.surgery import Value

NAMES = ("boxes", "scores", "classes")
YOLOX = ("obj_preds", "backbone.backbone")  # parts of its network


def _apart(network: ThirdPartyNetwork) -> bool:
    return set(network.tried) == set(NAMES) and [network.tried[name].shape[2:] for name in NAMES] == [(4,), (1,), (1,)]


def fits(network: ThirdPartyNetwork) -> bool:
    """One of the three forms, with a row for every cell."""
    totals = {sum(count(network.size, strides)) for strides in PYRAMIDS}
    rows = {shape[1] for shape in network.shapes if len(shape) == 3}
    if len(rows) != 1 or not rows <= totals | {ANCHORS * total for total in totals}:
        return False
    if _apart(network):
        return in_unit(network.tried["scores"]) and signs.whole(network.tried["classes"])
    match list(network.tried.values()):
        case [out] if out.ndim == 3 and out.shape[2] in (6, 7):
            return (
                in_unit(out[..., 4])
                and signs.whole(out[..., 5])
                and in_unit(out[..., 6:] if out.shape[2] == 7 else out[..., 4])
            )
    return False


def tells(network: ThirdPartyNetwork) -> bool:
    """Whole numbers of classes for every cell: nobody else writes them."""
    return True


def prepare(network: ThirdPartyNetwork) -> Preparation:
    """As the network inside wants it."""
    return yolox.FAMILY.prepare(network) if signs.says(network, *YOLOX) else Preparation("letterbox-center")


def decode(build: Build) -> FamilyOutputs:
    """A column for each class."""
    network, labels = build.network, build.names()
    outputs: dict[str, Value] = dict(zip(network.tried, build.run(), strict=True))
    if _apart(network):
        boxes, scores, classes = (outputs[name] for name in NAMES)
        tried = network.tried["boxes"]
    else:
        (out,), (tried,) = outputs.values(), network.tried.values()
        boxes, scores, classes = out[..., :4], out[..., 4:5], out[..., 5:6]
        if tried.shape[2] == 7:
            scores = scores * out[..., 6:]
    if not signs.corners_of_boxes(tried[..., :4]):
        boxes = corners(build.graph, boxes[..., :2], boxes[..., 2:])
    return FamilyOutputs(boxes, one_hot(scores, classes.cast(np.float32), np.arange(len(labels))), labels)


FAMILY = Family(
    "one output (B, N, 6), box, score and class of every cell; or `boxes`, `scores` and `classes`",
    fits,
    tells,
    prepare,
    decode,
)

"""YOLO-NAS (Deci) as super-gradients exports it: corners in pixels, and scores that are independent.

- boxes (B, N, 4) and scores (B, N, C) of all cells (`convert_to_onnx`, or `export` without its post-processing).
- `…pred_boxes` (B, N, 4), `…pred_scores` (B, N) and `…pred_classes` (B, N) of the best N (`export`).

Pixels are RGB in 0..1, or bytes where pre-processing is inside; the picture stands in the middle.
"""

import numpy as np

from watchline.export.detectors import signs
from watchline.export.detectors.family import Build, Family, FamilyOutputs, always, one_hot
from watchline.export.detectors.grid import count
from watchline.export.detectors.network import ThirdPartyNetwork, in_unit
from watchline.export.detectors.preparation import Preparation

STRIDES = (8, 16, 32)
ENDS = ("pred_boxes", "pred_scores", "pred_classes")
UNIT = 2.0  # boxes in 0..1 reach over the edge, but not so far


def _best(network: ThirdPartyNetwork) -> list[int] | None:
    """Places of boxes, scores and classes of the best."""
    names = list(network.tried)
    places = [next((i for i, name in enumerate(names) if name.endswith(end)), None) for end in ENDS]
    found = [place for place in places if place is not None]
    shapes = [network.shapes[place] for place in found]
    return found if len(found) == len(ENDS) and [len(shape) for shape in shapes] == [3, 2, 2] else None


def _columns(network: ThirdPartyNetwork) -> tuple[int, int] | None:
    """Places of boxes and scores of all cells."""
    arrays, cells = list(network.tried.values()), sum(count(network.size, STRIDES))
    if [array.shape[1:2] for array in arrays] != [(cells,)] * 2 or any(array.ndim != 3 for array in arrays):
        return None
    for boxes, scores in ((0, 1), (1, 0)):
        fit = arrays[boxes].shape[2] == 4 and np.abs(arrays[boxes]).max() > UNIT and in_unit(arrays[scores])
        if fit and not signs.shares(arrays[scores]):
            return boxes, scores
    return None


def fits(network: ThirdPartyNetwork) -> bool:
    """One of the two forms."""
    return _best(network) is not None or _columns(network) is not None


def tells(network: ThirdPartyNetwork) -> bool:
    """The names of the best, or the boxes before the scores: DAMO-YOLO has them the other way round."""
    return _best(network) is not None or _columns(network) == (0, 1)


def decode(build: Build) -> FamilyOutputs:
    """By the form of the outputs. Rows that the best do not fill have no class, or no score."""
    outputs = build.run()
    if best := _best(build.network):
        boxes, scores, classes = (outputs[place] for place in best)
        labels, rows = build.names(), (0, -1, 1)
        numbers = classes.cast(np.float32).reshape(*rows)
        return FamilyOutputs(boxes, one_hot(scores.reshape(*rows), numbers, np.arange(len(labels))), labels)
    places = _columns(build.network)
    assert places, "the outputs were found to fit"
    boxes, scores = (outputs[place] for place in places)
    return FamilyOutputs(boxes, scores, build.labels(build.network.shapes[places[1]][2]))


FAMILY = Family(
    "boxes (B, N, 4) in pixels and scores (B, N, C) in 0..1, N the cells of strides 8, 16 and 32; "
    "or pred_boxes, pred_scores and pred_classes of the best",
    fits,
    tells,
    always(Preparation("letterbox-center")),
    decode,
)

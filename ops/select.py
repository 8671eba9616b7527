"""From the candidates of a network to detections: threshold, best class, suppression, boxes in the source picture."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, has_area
from watchline.ops.letterbox import Fit
from watchline.ops.nms import nms_per_class


class Selected(NamedTuple):
    """Parallel arrays, best score first: boxes (M, 4) float32 xyxy, scores (M,) float32, classes (M,) int64."""

    boxes: Boxes
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


def select(
    boxes: Boxes,
    scores: NDArray[np.float32],
    *,
    conf: float,
    iou: float,
    class_of: NDArray[np.int64] | None = None,
    wanted: NDArray[np.bool_] | None = None,
    placement: Fit | None = None,
) -> Selected:
    """The candidates of one picture that are shown. A box has one class, the one with its best score.

    Args:
        boxes: (N, 4) xyxy in pixels of the network's input.
        scores: (N, C).
        conf: boxes with a lower score are left out.
        iou: of two boxes of a class with a higher IoU, the better one stays.
        class_of: (C,), the class of each column of the scores; several columns may have the same one. None: the
            number of the column.
        wanted: by class, whether its boxes are kept. None keeps all.
        placement: of the picture in the input. Boxes come back in pixels of the picture, cut at its edges, without
            those that lie outside. With None, boxes stay as they are.
    """
    likely = np.flatnonzero(scores.max(axis=1) >= conf)
    boxes, scores = boxes[likely], scores[likely]
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), classes]
    if class_of is not None:
        classes = class_of[classes]
    keep = nms_per_class(boxes, best, classes, iou)
    if wanted is not None:
        keep = keep[wanted[classes[keep]]]
    boxes, best, classes = boxes[keep], best[keep], classes[keep]
    if placement is None:
        return Selected(boxes, best, classes)
    boxes = placement.to_source(boxes)
    visible = has_area(boxes)
    return Selected(boxes[visible], best[visible], classes[visible])

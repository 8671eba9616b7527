"""From the candidates of a network to detections: threshold, classes, suppression, boxes in the source picture."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, has_area
from watchline.ops.greedy_merge import merge_per_class
from watchline.ops.letterbox import Fit
from watchline.ops.nms import nms, nms_per_class

MOST = 1000  # candidates in the suppression, so that a picture full of noise takes a bounded time
MOST_PAIRS = 10_000  # of a box and a class, where a box has several


class Selected(NamedTuple):
    """Parallel arrays, best score first.

    Attributes:
        boxes: (M, 4) float32 xyxy.
        scores: (M,) float32.
        classes: (M,) int64.
        rows: (M,) int64, which candidate each was, or the best of those that were merged; of a candidate with several
            classes, there may be several.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    rows: NDArray[np.int64]


def select(
    boxes: Boxes,
    scores: NDArray[np.float32],
    *,
    conf: float,
    iou: float,
    class_of: NDArray[np.int64] | None = None,
    wanted: NDArray[np.bool_] | None = None,
    placement: Fit | None = None,
    several: bool = False,
    agnostic: bool = False,
    merge: bool = False,
) -> Selected:
    """The candidates of one picture that are shown.

    Args:
        boxes: (N, 4) xyxy in pixels of the network's input.
        scores: (N, C).
        conf: boxes with a lower score are left out.
        iou: of two boxes of a class with a higher IoU, the better one stays, or both are merged.
        several: a box is shown for each class with such a score, as Darknet and torchvision do; else it has one class,
            that of its best score.
        agnostic: boxes of different classes suppress each other too.
        merge: boxes of a class are merged by OverFeat's greedy strategy, in place of suppression.
        class_of: (C,), the class of each column of the scores; several columns may have the same one. None: the
            number of the column.
        wanted: by class, whether its boxes are kept. None keeps all.
        placement: of the picture in the input. Boxes come back in pixels of the picture, cut at its edges, without
            those that lie outside. With None, boxes stay as they are.
    """
    if several:
        rows, classes = np.nonzero(scores >= conf)
        boxes, best = boxes[rows], scores[rows, classes]
    else:
        rows = np.flatnonzero(scores.max(axis=1) >= conf)
        boxes, scores = boxes[rows], scores[rows]
        classes = scores.argmax(axis=1)
        best = scores[np.arange(len(scores)), classes]
    if class_of is not None:
        classes = class_of[classes]
    most = MOST_PAIRS if several else MOST
    if merge:
        boxes, best, of = merge_per_class(boxes, best, classes, iou, MOST)
        rows, classes = rows[of], classes[of]
    if agnostic:
        keep = nms(boxes, best, iou, most)
    else:
        keep = np.arange(len(boxes)) if merge else nms_per_class(boxes, best, classes, iou, most)
    if wanted is not None:
        keep = keep[wanted[classes[keep]]]
    found = Selected(boxes[keep], best[keep], classes[keep], rows[keep])
    if placement is None:
        return found
    boxes = placement.to_source(found.boxes)
    visible = has_area(boxes)
    return Selected(boxes[visible], found.scores[visible], found.classes[visible], found.rows[visible])

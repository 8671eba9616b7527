"""Non-maximum suppression: one box an object.

The lecture's greedy form (R-CNN, "Non-Maximum Suppression"): keep the box with the best score, remove those that
overlap it too much, go on with the best that remains.
"""

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, iou


def nms(boxes: Boxes, scores: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,); equal scores keep their order, so the result is the same on every machine.
        threshold: a box goes when its IoU with a kept one is greater than this.

    Returns:
        indices of the kept boxes, best score first.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = iou(boxes[order], boxes[order]) > threshold
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return order[alive]


def nms_per_class(
    boxes: Boxes, scores: NDArray[np.float32], classes: NDArray[np.integer], threshold: float
) -> NDArray[np.intp]:
    """Greedy suppression inside each class; boxes of different classes never suppress one another.

    Args:
        boxes: (N, 4) xyxy.
        scores, classes: (N,).
        threshold: as in `nms`.

    Returns:
        indices of the kept boxes, best score first over all classes.
    """
    kept = [members[nms(boxes[members], scores[members], threshold)] for members in _groups(classes)]
    if not kept:
        return np.empty(0, np.intp)
    indices = np.sort(np.concatenate(kept))
    return indices[np.argsort(-scores[indices], kind="stable")]


def _groups(classes: NDArray[np.integer]) -> list[NDArray[np.intp]]:
    return [np.flatnonzero(classes == c) for c in np.unique(classes)]

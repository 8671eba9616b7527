"""Non-maximum suppression: one box per object.

This is the lecture's greedy form (R-CNN, "Non-Maximum Suppression"): keep the box with the best score, remove the boxes
that overlap it too much, continue with the best box that remains.
"""

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, iou

CHUNK = 128  # boxes that are compared at once; more wastes work on removed boxes, fewer needs more passes


def nms(
    boxes: Boxes, scores: NDArray[np.float32], threshold: float, max_candidates: int | None = None
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,) without NaN; equal scores keep their order, so the result is the same on every machine.
        threshold: a box is removed if its IoU with a kept one is greater than this.
        max_candidates: how many boxes, best first, take part; the others are removed. None means all.

    Returns:
        indices of the kept boxes, best score first.
    """
    order = _best_first(scores, max_candidates)
    return order[_greedy(boxes[order], None, threshold)]


def nms_per_class(
    boxes: Boxes,
    scores: NDArray[np.float32],
    classes: NDArray[np.integer],
    threshold: float,
    max_candidates: int | None = 1000,
) -> NDArray[np.intp]:
    """Greedy suppression within each class; boxes of different classes never suppress each other.

    Args:
        boxes: (N, 4) xyxy.
        scores, classes: (N,).
        threshold: as in `nms`.
        max_candidates: how many boxes, best over all classes first, take part; the others are removed. So a picture
            full of noise takes a bounded time. None means all.

    Returns:
        indices of the kept boxes, best score first over all classes.
    """
    order = _best_first(scores, max_candidates)
    return order[_greedy(boxes[order], classes[order], threshold)]


def _best_first(scores: NDArray[np.float32], most: int | None) -> NDArray[np.intp]:
    return np.argsort(-scores, kind="stable")[:most]


def _greedy(boxes: Boxes, classes: NDArray[np.integer] | None, threshold: float) -> NDArray[np.intp]:
    """Indices of the kept rows of boxes sorted best first. A chunk is compared with all kept boxes, then itself."""
    kept = np.empty(0, np.intp)
    for start in range(0, len(boxes), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(boxes)))
        if len(kept):
            rows = rows[~_overlaps(boxes, classes, kept, rows, threshold).any(axis=0)]
        among = _overlaps(boxes, classes, rows, rows, threshold)
        gone = np.zeros(len(rows), bool)
        stays = []
        for i in range(len(rows)):
            if not gone[i]:
                stays.append(i)
                gone |= among[i]
        kept = np.concatenate([kept, rows[stays]])
    return kept


def _overlaps(
    boxes: Boxes, classes: NDArray[np.integer] | None, a: NDArray[np.intp], b: NDArray[np.intp], threshold: float
) -> NDArray[np.bool_]:
    """Whether rows `a` (N,) and `b` (M,) are boxes of one class with an IoU above the threshold: (N, M)."""
    close = iou(boxes[a], boxes[b]) > threshold
    if classes is not None:
        close &= classes[a][:, None] == classes[b][None]
    return close

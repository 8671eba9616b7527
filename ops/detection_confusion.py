"""Which classes a detector takes for which: the confusion matrix of detections."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from watchline.ops.average_precision import Predictions, Truth
from watchline.ops.boxes import iou


def confusion(
    found: Sequence[Predictions], truth: Sequence[Truth], classes: int, score: float, threshold: float = 0.5
) -> NDArray[np.int64]:
    """How often an object of one class was found as another: (classes + 1, classes + 1), [truth, found].

    The last row counts detections of nothing, the last column objects that were not found. Each detection, best first,
    takes the free object of the best IoU, whatever its class. One that takes a difficult object does not count.

    Args:
        found, truth: one of each per picture; detections of classes beyond `classes` are left out.
        score: that a detection has at least. threshold: IoU from which it has an object.
    """
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    for seen, real in zip(found, truth, strict=True):
        rows = np.flatnonzero((seen.classes < classes) & (seen.scores >= score))
        rows = rows[np.argsort(-seen.scores[rows], kind="stable")]
        overlaps = iou(seen.boxes[rows], real.boxes)
        free = np.ones(len(real.classes), np.bool_)
        for row, overlap in zip(rows.tolist(), overlaps, strict=True):
            able = np.where((free | real.difficult) & (overlap >= threshold), overlap, -1.0)
            if not len(able) or able.max() < 0:
                counts[classes, seen.classes[row]] += 1
                continue
            best = int(able.argmax())
            free[best] = False
            if not real.difficult[best]:
                counts[real.classes[best], seen.classes[row]] += 1
        counts[:, classes] += np.bincount(real.classes[free & ~real.difficult], minlength=classes + 1)
    return counts

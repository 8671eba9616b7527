"""OverFeat's greedy merge: boxes of one object become their average, instead of all but the best being removed.

Sermanet et al., "OverFeat" (2013), section 4.3; the lecture's "Greedy merge strategy": look for the two closest boxes,
replace them by the average of their coordinates and scores, go on until one box remains. Where a picture may have
several objects, it ends when no two boxes overlap enough.

The distance of two boxes is that "to their intersection": the distances of both centres to the centre of the
intersection, added.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, iou

FAR = np.inf  # the distance of boxes that are not merged


class Merged(NamedTuple):
    """Parallel arrays, best score first.

    Attributes:
        boxes: (M, 4) float32 xyxy.
        scores: (M,) float32.
        rows: (M,) int64, of the candidates in each box the one with the best score.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]


def distances(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance (N,) of a box (4,) to each of boxes (N, 4) xyxy, in their unit.

    Of two boxes that do not intersect, the gap between them stands for the intersection.
    """
    upper, lower = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    middle = (upper + lower) / 2
    here, there = (box[:2] + box[2:]) / 2, (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.asarray(np.hypot(*(here - middle).T) + np.hypot(*(there - middle).T), np.float64)


def greedy_merge(boxes: Boxes, scores: NDArray[np.float32], overlap: float | None = None) -> Merged:
    """Merge the two closest boxes again and again.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        overlap: only boxes whose IoU is greater than this are merged. None: all, until one remains.
    """
    places, values = boxes.astype(np.float64), scores.astype(np.float64)
    rows = np.arange(len(boxes))
    stays = np.ones(len(boxes), np.bool_)
    nearest, distance = np.zeros(len(boxes), np.int64), np.full(len(boxes), FAR)

    def to_others(row: int) -> NDArray[np.float64]:
        found = distances(places[row], places)
        if overlap is not None:
            found[iou(places[row : row + 1].astype(np.float32), places.astype(np.float32))[0] <= overlap] = FAR
        found[~stays] = found[row] = FAR
        return found

    def look(row: int) -> None:
        found = to_others(row)
        nearest[row] = found.argmin()
        distance[row] = found[nearest[row]]

    for row in range(len(boxes)):
        look(row)
    while len(boxes) and np.isfinite(distance[first := int(distance.argmin())]):
        second = int(nearest[first])
        if scores[rows[second]] > scores[rows[first]]:
            rows[first] = rows[second]
        places[first] = (places[first] + places[second]) / 2
        values[first] = (values[first] + values[second]) / 2
        stays[second], distance[second] = False, FAR
        for row in np.flatnonzero(stays & ((nearest == first) | (nearest == second))).tolist():
            look(row)
        look(first)
        found = to_others(first)
        closer = (found < distance) | ((found == distance) & (first < nearest) & np.isfinite(found))
        nearest[closer], distance[closer] = first, found[closer]
    kept = np.flatnonzero(stays)
    kept = kept[np.argsort(-values[kept], kind="stable")]
    return Merged(places[kept].astype(np.float32), values[kept].astype(np.float32), rows[kept])


def merge_per_class(
    boxes: Boxes,
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    overlap: float,
    max_candidates: int,
) -> Merged:
    """Greedy merge within each class.

    Args:
        boxes: (N, 4) xyxy.
        scores, classes: (N,).
        overlap: as in `greedy_merge`.
        max_candidates: how many boxes, best over all classes first, take part; the others are removed. So a picture
            full of noise takes a bounded time.
    """
    order = np.argsort(-scores, kind="stable")[:max_candidates]
    parts = [greedy_merge(boxes[:0], scores[:0])]
    for number in np.unique(classes[order]):
        mine = order[classes[order] == number]
        found = greedy_merge(boxes[mine], scores[mine], overlap)
        parts.append(found._replace(rows=mine[found.rows]))
    boxes, scores, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    best = np.argsort(-scores, kind="stable")
    return Merged(boxes[best], scores[best], rows[best])

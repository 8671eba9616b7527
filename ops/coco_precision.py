"""COCO's measure of how good boxes or masks are: average precision and recall over ten IoUs, and by size.

Lin et al., "Microsoft COCO: Common Objects in Context" (2014). The rules are those of COCO's code, `COCOeval`, to which
the figures are equal:

- A picture's detections of a class are judged best first, at most a hundred. Each takes the truth that it overlaps most
  among those that are free (the last of equals), if the IoU is at least the threshold.
- Only where there is none, it may take a truth that does not count: a crowd, or one of another size. Then it counts
  neither. Any number of detections may have the same crowd, whose IoU is the share of the detection that lies in it.
- By size, truths are small, medium or large by the area that the data set gives them, and a detection that took nothing
  does not count where its own area is of another size.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from watchline.ops.average_precision import Predictions, Truth, best_first
from watchline.ops.mask_overlap import intersection
from watchline.ops.precision_recall import Judged, recall, summary

IOUS = np.linspace(0.5, 0.95, 10)
SIZES = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""From the area of the smallest to that of the largest, both included, in square pixels."""
MOST = 100  # detections of a class in a picture
RIGHT, NEITHER = 1, 2  # what became of a detection; 0: it is wrong
FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""COCO's names of its twelve figures, in its order."""

BySize = Mapping[str, Judged]


def judge_by_size(
    found: Sequence[Predictions], truth: Sequence[Truth], c: int, by_masks: bool = False
) -> dict[str, Judged]:
    """The detections of class `c` at the ten IoUs of COCO, judged for each of SIZES.

    Args:
        found, truth: one of each per picture, in the same order. Equal scores keep the order of the pictures and rows.
        by_masks: compare their pixels, not their boxes; all have masks, but for pictures where nothing was found.

    Raises:
        ValueError: `found` and `truth` have different lengths.
    """
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} pictures with detections, {len(truth)} with truths: expected the same pictures")
    scores, areas = [np.empty(0, np.float32)], [np.empty(0)]
    states = [np.empty((len(SIZES), len(IOUS), 0), np.int8)]
    counted = np.zeros((len(truth), len(SIZES)), np.int64)
    for number, (seen, real) in enumerate(zip(found, truth, strict=True)):
        rows, its = np.flatnonzero(seen.classes == c), np.flatnonzero(real.classes == c)
        rows = rows[np.argsort(-seen.scores[rows], kind="stable")[:MOST]]
        scores.append(seen.scores[rows])
        areas.append(_areas(seen, rows, by_masks))
        state = np.zeros((len(SIZES), len(IOUS), len(rows)), np.int8)
        if len(its):
            own, crowd = _areas(real, its, by_masks), real.difficult[its]
            ignored = crowd | _beyond(own if real.areas is None else real.areas[its])  # (sizes, M)
            counted[number] = (~ignored).sum(axis=1)
            shared = _shared(seen, rows, real, its, by_masks)
            state = _taken(_overlaps(shared, areas[-1], own, crowd), crowd, ignored)
        states.append(state)
    order, pictures, ranks = best_first(scores[1:])
    score, area = np.concatenate(scores)[order], np.concatenate(areas)[order]
    state = np.concatenate(states, axis=2)[:, :, order]
    state[(state == 0) & _beyond(area)[:, None]] = NEITHER
    return {
        size: Judged(pictures, score, ranks, one == RIGHT, one == 0, truths)
        for size, one, truths in zip(SIZES, state, counted.T, strict=True)
    }


def figures(classes: Sequence[BySize], weights: NDArray[np.int64] | None = None) -> dict[str, NDArray[np.float64]]:
    """COCO's twelve figures over the classes, by name, () each; NaN where no truth counts.

    Args:
        classes: of `judge_by_size`.
        weights: (B, P), how often each picture is counted in each of B samples: then the figures are (B,).
    """
    precision = {size: _stack([summary(c[size], "coco", weights) for c in classes], weights) for size in SIZES}
    found = {size: _stack([recall(c[size], weights) for c in classes], weights) for size in SIZES}
    first = {most: _stack([recall(c["all"].best(most), weights) for c in classes], weights) for most in (1, 10)}
    tables = (
        precision["all"], precision["all"][:, :1], precision["all"][:, 5:6], precision["small"], precision["medium"],
        precision["large"], first[1], first[10], found["all"], found["small"], found["medium"], found["large"],
    )  # fmt: skip
    return {name: mean_of_counted(table, (0, 1)) for name, table in zip(FIGURES, tables, strict=True)}


def mean_of_counted(table: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    """The mean over what is a number; NaN where nothing is."""
    there = ~np.isnan(table)
    counts = there.sum(axis=axis)
    total = np.where(there, table, 0).sum(axis=axis)
    return np.asarray(np.where(counts > 0, total / np.maximum(counts, 1), np.nan))


def _stack(of_classes: list[NDArray[np.float64]], weights: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """(classes, T), or (classes, T, B) with weights."""
    empty = (0, len(IOUS)) if weights is None else (0, len(IOUS), len(weights))
    return np.stack(of_classes) if of_classes else np.empty(empty)


def _taken(overlaps: NDArray[np.float64], crowd: NDArray[np.bool_], ignored: NDArray[np.bool_]) -> NDArray[np.int8]:
    """What becomes of the D detections of a picture, best first: (sizes, T, D).

    Args:
        overlaps: (D, M) with the truths. crowd: (M,). ignored: (sizes, M), truths that do not count.
    """
    state = np.zeros((len(ignored), len(IOUS), len(overlaps)), np.int8)
    if not overlaps.size:
        return state
    free = np.ones((*state.shape[:2], len(crowd)), np.bool_)
    sizes, thresholds = np.ix_(range(state.shape[0]), range(state.shape[1]))
    for d, row in enumerate(overlaps):
        open_ = free & (row >= np.minimum(IOUS, 1 - 1e-10)[:, None])  # (sizes, T, M)
        if not open_.any():
            continue
        counts = open_ & ~ignored[:, None]
        is_right = counts.any(axis=2)
        candidates = np.where(is_right[..., None], counts, open_)
        best = len(row) - 1 - np.where(candidates, row, -1)[..., ::-1].argmax(axis=2)  # the last of equals
        is_some = candidates.any(axis=2)
        state[..., d] = np.where(is_right, RIGHT, np.where(is_some, NEITHER, 0))
        free[sizes, thresholds, best] &= ~is_some | crowd[best]
    return state


def _areas(of: Predictions | Truth, rows: NDArray[np.intp], by_masks: bool) -> NDArray[np.float64]:
    """Of some rows, in double precision, as COCO's code has them."""
    if not by_masks:
        boxes = of.boxes[rows].astype(np.float64)
        return np.asarray((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1))
    return np.empty(0) if of.masks is None else of.masks[rows].area.astype(np.float64)


def _shared(
    seen: Predictions, rows: NDArray[np.intp], real: Truth, its: NDArray[np.intp], by_masks: bool
) -> NDArray[np.float64]:
    """What D detections and M truths have in common, (D, M)."""
    if not by_masks:
        a, b = seen.boxes[rows].astype(np.float64)[:, None], real.boxes[its].astype(np.float64)[None]
        sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
        return np.asarray(sides.clip(0).prod(axis=2))
    assert real.masks is not None, "judged by masks"
    if seen.masks is None:
        return np.empty((0, len(its)))
    return intersection(seen.masks[rows], real.masks[its]).astype(np.float64)


def _overlaps(
    shared: NDArray[np.float64], mine: NDArray[np.float64], theirs: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU (D, M); with a crowd the share of the detection that lies in it."""
    union = mine[:, None] + np.where(crowd, 0, theirs) - np.where(crowd, 0, shared)
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), np.float64)


def _beyond(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(sizes, M): whether an area is of another size."""
    smallest, largest = np.array(list(SIZES.values())).T[:, :, None]
    return np.asarray((areas < smallest) | (areas > largest))

"""Average precision: PASCAL VOC's measure of how good a detector is.

Everingham et al., "The PASCAL Visual Object Classes Challenge: A Retrospective" (2015), section 2.4.3; the lecture's
"mAP with IoU >= .5". The rules are those of the development kit's `VOCevaldet.m`:

- The detections of a class are judged in order of their score, best first. Each is compared with the ground truth of
  its picture that it overlaps most (the first of equals).
- At the threshold or above (`ovmax >= minoverlap`, so 0.5 itself counts), it is a true positive. It is a false positive
  if a better detection has that truth already, even if another truth is still free. Below the threshold, it is a false
  positive.
- A detection whose truth is `difficult` counts as neither, and any number of detections may have that truth. Difficult
  truths need not be found.

One difference: the kit counts pixels from 1 and includes the last one, so its boxes have width xmax - xmin + 1. Our
boxes are half-open: the same box is (xmin - 1, ymin - 1, xmax, ymax), with the same IoU. Code that reads VOC's numbers
without this conversion makes every box one pixel too small.

Another one: the kit compares recalls as floating-point numbers, in which its 0.3 is 3 * 0.1, a bit more than 3 / 10,
so a recall of 3 / 10 does not reach it. Ours is exact, and gives such a class up to 1 / 11 more by the rule "11-point".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, iou

Rule = Literal["area", "11-point"]


@dataclass(frozen=True, slots=True)
class Predictions:
    """The detections of one picture, in any order: boxes (N, 4) xyxy, scores (N,), classes (N,)."""

    boxes: Boxes
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth of one picture: boxes (M, 4) xyxy, classes (M,), difficult (M,) bool."""

    boxes: Boxes
    classes: NDArray[np.int64]
    difficult: NDArray[np.bool_]


def average_precision(
    found: Sequence[Predictions], truth: Sequence[Truth], classes: int, threshold: float = 0.5, rule: Rule = "area"
) -> NDArray[np.float64]:
    """Average precision of each class.

    Args:
        found, truth: one of each per picture, in the same order. Equal scores keep the order of the pictures and of
            the rows.
        classes: number of classes.
        threshold: IoU at which a detection counts as correct, more than 0 and at most 1.
        rule: "area" under the monotonic precision-recall curve (VOC 2010 and later), or the mean of that curve at
            "11-point" recalls 0, 0.1, … 1 (VOC 2007 to 2009).

    Returns:
        (classes,) in 0..1; NaN for a class without truths that count (none, or difficult ones only).

    Raises:
        ValueError: `found` and `truth` have different lengths, or the threshold or rule is not valid.
    """
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} pictures with detections, {len(truth)} with truths: expected the same pictures")
    if not 0 < threshold <= 1:
        raise ValueError(f"IoU threshold {threshold}: expected more than 0, at most 1; VOC's is 0.5")
    if rule not in ("area", "11-point"):
        raise ValueError(f"rule {rule!r}: expected 'area' or '11-point'")
    summary = area_under if rule == "area" else eleven_points
    result = np.full(classes, np.nan)
    for c in range(classes):
        right, wrong, total = judge(found, truth, c, threshold)
        if total:
            result[c] = summary(right, wrong, total)
    return result


def mean_average_precision(average_precisions: NDArray[np.float64]) -> float:
    """Mean over the classes that have truths; NaN if no class has any."""
    counted = average_precisions[~np.isnan(average_precisions)]
    return float(counted.mean()) if len(counted) else float("nan")


def judge(
    found: Sequence[Predictions], truth: Sequence[Truth], c: int, threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], int]:
    """True and false positives of class `c`, and the number of truths that count.

    Returns:
        right, wrong: (N,) bool over the class's detections in all pictures, best score first. A detection that is
            neither overlaps a difficult truth.
        total: number of truths that are not difficult.
    """
    scores, targets, difficult = [np.empty(0, np.float32)], [np.empty(0, np.int64)], [np.empty(0, bool)]
    known = 0  # truths so far; a truth's number is its index among the truths of all pictures
    for seen, real in zip(found, truth, strict=True):
        mine, its = seen.classes == c, real.classes == c
        scores.append(seen.scores[mine])
        targets.append(_best_truth(seen.boxes[mine], real.boxes[its], threshold, known))
        difficult.append(real.difficult[its])
        known += int(its.sum())
    order = np.argsort(-np.concatenate(scores), kind="stable")
    target, ignored = np.concatenate(targets)[order], np.concatenate(difficult)
    on_truth = target >= 0
    first = np.zeros(len(target), bool)
    first[np.unique(target, return_index=True)[1]] = True
    neither = np.zeros(len(target), bool)
    neither[on_truth] = ignored[target[on_truth]]
    right = on_truth & first & ~neither
    return right, ~right & ~neither, int((~ignored).sum())


def _best_truth(boxes: Boxes, truths: Boxes, threshold: float, offset: int) -> NDArray[np.int64]:
    """Number of the truth that each box overlaps most, counted from `offset`; -1 if the IoU is below the threshold."""
    if not len(truths):
        return np.full(len(boxes), -1, np.int64)
    overlaps = iou(boxes, truths)
    return np.where(overlaps.max(axis=1) >= threshold, overlaps.argmax(axis=1) + offset, -1)


def area_under(right: NDArray[np.bool_], wrong: NDArray[np.bool_], total: int) -> float:
    """Area under the precision-recall curve, with precision made monotonic in recall (VOC 2010 and later)."""
    precision, hits = _curve(right, wrong)
    # Each true positive raises the recall by 1 / total, at the best precision of this or any higher recall.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[np.diff(hits, prepend=0) > 0].sum() / total)


def eleven_points(right: NDArray[np.bool_], wrong: NDArray[np.bool_], total: int) -> float:
    """Mean of the best precision at recalls of at least 0, 0.1, … 1 (VOC 2007 to 2009)."""
    precision, hits = _curve(right, wrong)
    # recall >= k / 10 in integers: 0.1 + 0.1 + 0.1 > 0.3 in floating point would lose a recall of 3 / 10
    return float(np.mean([precision[10 * hits >= k * total].max(initial=0.0) for k in range(11)]))


def _curve(right: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Precision, and number of truths found, after each detection, (N,) each; precision is 0 until one has counted."""
    hits, counted = np.cumsum(right, dtype=np.int64), np.cumsum(right | wrong)
    return hits / np.maximum(counted, 1), hits

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
so a recall of 3 / 10 does not reach it. Ours is exact, and gives such a class up to 1 / 11 more by the rule "voc2007".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, iou
from watchline.ops.masks import Masks
from watchline.ops.precision_recall import RULES, Judged, Rule, summary


@dataclass(frozen=True, slots=True)
class Predictions:
    """The detections of one picture, in any order.

    Attributes:
        boxes: (N, 4) xyxy.
        scores, classes: (N,).
        masks: the pixels of each, where masks are judged.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    masks: Masks | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth of one picture.

    Attributes:
        boxes: (M, 4) xyxy.
        classes: (M,).
        difficult: (M,) bool: need not be found, e.g. COCO's crowds.
        areas: (M,) square pixels, by which COCO tells small from large; None for those of the boxes or masks.
        masks: the pixels of each, where masks are judged.
    """

    boxes: Boxes
    classes: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    areas: NDArray[np.float64] | None = None
    masks: Masks | None = None


def average_precision(
    found: Sequence[Predictions], truth: Sequence[Truth], classes: int, threshold: float = 0.5, rule: Rule = "voc2010"
) -> NDArray[np.float64]:
    """Average precision of each class.

    Args:
        found, truth: one of each per picture, in the same order. Equal scores keep the order of the pictures and of
            the rows.
        classes: number of classes.
        threshold: IoU at which a detection counts as correct, more than 0 and at most 1.
        rule: how the precision-recall curve is summarised; see `ops.precision_recall`.

    Returns:
        (classes,) in 0..1; NaN for a class without truths that count (none, or difficult ones only).

    Raises:
        ValueError: `found` and `truth` have different lengths, or the threshold or rule is not valid.
    """
    if rule not in RULES:
        raise ValueError(f"rule {rule!r}: expected one of {', '.join(RULES)}")
    if not 0 < threshold <= 1:
        raise ValueError(f"IoU threshold {threshold}: expected more than 0, at most 1; VOC's is 0.5")
    judged = [judge(found, truth, c, threshold) for c in range(classes)]
    return np.array([summary(one, rule)[0] for one in judged], np.float64)


def mean_average_precision(average_precisions: NDArray[np.float64]) -> float:
    """Mean over the classes that have truths; NaN if no class has any."""
    counted = average_precisions[~np.isnan(average_precisions)]
    return float(counted.mean()) if len(counted) else float("nan")


def judge(found: Sequence[Predictions], truth: Sequence[Truth], c: int, threshold: float) -> Judged:
    """The detections of class `c` at one threshold. One that is neither right nor wrong overlaps a difficult truth.

    Raises:
        ValueError: `found` and `truth` have different lengths.
    """
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} pictures with detections, {len(truth)} with truths: expected the same pictures")
    scores, targets, difficult = [np.empty(0, np.float32)], [np.empty(0, np.int64)], [np.empty(0, bool)]
    counted = np.zeros(len(truth), np.int64)
    known = 0  # truths so far; a truth's number is its index among the truths of all pictures
    for number, (seen, real) in enumerate(zip(found, truth, strict=True)):
        mine, its = seen.classes == c, real.classes == c
        scores.append(seen.scores[mine])
        targets.append(_best_truth(seen.boxes[mine], real.boxes[its], threshold, known))
        difficult.append(real.difficult[its])
        counted[number] = (~real.difficult[its]).sum()
        known += int(its.sum())
    order, pictures, ranks = best_first(scores[1:])
    target, ignored = np.concatenate(targets)[order], np.concatenate(difficult)
    on_truth = target >= 0
    first = np.zeros(len(target), bool)
    first[np.unique(target, return_index=True)[1]] = True
    neither = np.zeros(len(target), bool)
    neither[on_truth] = ignored[target[on_truth]]
    right = on_truth & first & ~neither
    wrong = ~right & ~neither
    return Judged(pictures, np.concatenate(scores)[order], ranks, right[None], wrong[None], counted)


def best_first(
    scores: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The order of the detections of some pictures by their scores; equal ones keep the order of the pictures and rows.

    Args:
        scores: (n,) of each picture.

    Returns:
        order: (N,) rows of all pictures together, best first.
        pictures, ranks: (N,) in this order, the picture of each, and how many of its picture stand before it.
    """
    of_each = [np.argsort(np.argsort(-one, kind="stable"), kind="stable") for one in scores]
    order = np.argsort(-np.concatenate([np.empty(0, np.float32), *scores]), kind="stable")
    pictures = np.repeat(np.arange(len(scores)), [len(one) for one in scores])
    ranks = np.concatenate([np.empty(0, np.int64), *of_each])
    return order, pictures[order].astype(np.int64), ranks[order]


def _best_truth(boxes: Boxes, truths: Boxes, threshold: float, offset: int) -> NDArray[np.int64]:
    """Number of the truth that each box overlaps most, counted from `offset`; -1 if the IoU is below the threshold."""
    if not len(truths):
        return np.full(len(boxes), -1, np.int64)
    overlaps = iou(boxes, truths)
    return np.where(overlaps.max(axis=1) >= threshold, overlaps.argmax(axis=1) + offset, -1)

"""Kinds of error of a detector, and what each costs in average precision.

Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors" (2020). A detection that is wrong is of
the first of these kinds that fits; t is the threshold of IoU, 0.5, from which it would be right:

- "place": an object of its class has an IoU of 0.1 or more, and less than t ("localization" in the paper).
- "class": an object of another class has t or more.
- "double": an object of its class has t or more, and a better detection has it.
- "background": no object has more than 0.1.
- "both": what is left: an object of another class has an IoU between 0.1 and t.

An object is "missed" if no detection has it, and no error of place or class is about it.

What a kind costs is how much higher average precision would be without it. An error of class or place becomes right if
it is the best of both kinds about an object that nothing has found; else it is removed. The other wrong detections are
removed. Objects that are missed are no longer looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.ops.average_precision import Predictions, Truth
from watchline.ops.boxes import Boxes, intersection, iou
from watchline.ops.precision_recall import Rule, summarised

FALSE = ("class", "place", "both", "double", "background")  # kinds of wrong detections, by their number
MISSED = "missed"
KINDS = (*FALSE, MISSED)
RIGHT, NEITHER = -1, -2  # instead of the number of a kind
FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU


@dataclass(frozen=True, slots=True)
class Errors:
    """The detections and the objects of all pictures, each in the order of the pictures.

    Attributes:
        pictures, classes: (N,) int64, of each detection.
        boxes: (N, 4) float32 xyxy.
        scores: (N,) float32.
        kinds: (N,) int64, number in FALSE, RIGHT, or NEITHER where it does not count.
        about: (N,) int64, the object that it has, or that an error of class or place is about; else -1.
        object_pictures, object_classes: (M,) int64.
        counts: (M,) bool: need be found.
        found: (M,) bool: some detection has it.
    """

    pictures: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: Boxes
    scores: NDArray[np.float32]
    kinds: NDArray[np.int64]
    about: NDArray[np.int64]
    object_pictures: NDArray[np.int64]
    object_classes: NDArray[np.int64]
    counts: NDArray[np.bool_]
    found: NDArray[np.bool_]

    @property
    def missed(self) -> NDArray[np.bool_]:
        """(M,): the objects that are missed."""
        mistaken = np.zeros(len(self.counts), np.bool_)
        mistaken[self.about[np.isin(self.kinds, (FALSE.index("class"), FALSE.index("place")))]] = True
        return self.counts & ~self.found & ~mistaken

    def count(self, kind: str) -> int:
        """How many errors of a kind there are."""
        return int(self.missed.sum() if kind == MISSED else (self.kinds == FALSE.index(kind)).sum())


def errors_of(
    found: Sequence[Predictions], truth: Sequence[Truth], classes: int, threshold: float = FOREGROUND
) -> Errors:
    """What is wrong with each detection.

    Args:
        found, truth: one of each per picture, in the same order; detections of classes beyond `classes` are left out.
        threshold: IoU from which a detection is right. It takes the free object of its class that it overlaps most.
    """
    columns: list[tuple[NDArray[np.int64], ...]] = [(np.empty(0, np.int64),) * 4]
    boxes, scores, known = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)], 0
    for number, (seen, real) in enumerate(zip(found, truth, strict=True)):
        rows = np.flatnonzero(seen.classes < classes)
        rows = rows[np.argsort(-seen.scores[rows], kind="stable")]
        overlaps = _overlaps(seen.boxes[rows], real)
        kinds, about = _judged(overlaps, seen.classes[rows], real, threshold)
        columns.append((np.full(len(rows), number), seen.classes[rows], kinds, np.where(about < 0, -1, about + known)))
        boxes.append(seen.boxes[rows])
        scores.append(seen.scores[rows])
        known += len(real.classes)
    pictures, labels, kinds, about = map(np.concatenate, zip(*columns, strict=True))
    is_found = np.zeros(known, np.bool_)
    is_found[about[kinds == RIGHT]] = True
    return Errors(
        pictures,
        labels,
        np.concatenate(boxes),
        np.concatenate(scores),
        kinds,
        about,
        np.repeat(np.arange(len(truth)), [len(real.classes) for real in truth]),
        np.concatenate([np.empty(0, np.int64), *(real.classes for real in truth)]),
        ~np.concatenate([np.empty(0, np.bool_), *(real.difficult for real in truth)]),
        is_found,
    )


def costs(errors: Errors, classes: int, rule: Rule) -> tuple[float, dict[str, float]]:
    """Mean average precision as it is, and by kind of error how much higher it would be without it.

    Args:
        rule: that summarises the precision-recall curves.

    Returns:
        both in 0..1; NaN where no object counts.
    """
    right, wrong = errors.kinds == RIGHT, errors.kinds >= 0
    totals = np.bincount(errors.object_classes[errors.counts], minlength=classes)
    base = _mean(errors, errors.classes, right, wrong, totals, totals > 0, rule)
    corrected, cost = _corrected(errors), {}
    for number, kind in enumerate(FALSE):
        mine = errors.kinds == number
        fixed, labels = mine & corrected, errors.classes.copy()  # none of a kind that cannot become right
        labels[fixed] = errors.object_classes[errors.about[fixed]]
        cost[kind] = _mean(errors, labels, right | fixed, wrong & ~mine, totals, totals > 0, rule) - base
    fewer = totals - np.bincount(errors.object_classes[errors.missed], minlength=classes)
    cost[MISSED] = _mean(errors, errors.classes, right, wrong, fewer, totals > 0, rule) - base
    return base, cost


def _mean(
    errors: Errors,
    labels: NDArray[np.int64],
    right: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    totals: NDArray[np.int64],
    measured: NDArray[np.bool_],
    rule: Rule,
) -> float:
    """Over the classes that are measured; one of which no object is left has found nothing."""
    order = np.argsort(-errors.scores, kind="stable")
    values = []
    for c in np.flatnonzero(measured).tolist():
        rows = order[labels[order] == c]
        values.append(float(summarised(right[rows], wrong[rows], totals[c], rule)) if totals[c] else 0.0)
    return float(np.mean(values)) if values else float("nan")


def _corrected(errors: Errors) -> NDArray[np.bool_]:
    """(N,): of the errors of class and place about an object that nothing has found, the best one."""
    rows = np.flatnonzero(np.isin(errors.kinds, (FALSE.index("class"), FALSE.index("place"))))
    rows = rows[~errors.found[errors.about[rows]]]
    rows = rows[np.argsort(-errors.scores[rows], kind="stable")]
    fixed = np.zeros(len(errors.kinds), np.bool_)
    fixed[rows[np.unique(errors.about[rows], return_index=True)[1]]] = True
    return fixed


def _judged(
    overlaps: NDArray[np.float32], labels: NDArray[np.int64], real: Truth, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Kind of each of the D detections of a picture, best first, and the object that it is about: (D,) each."""
    kinds, about = np.full(len(labels), FALSE.index("background")), np.full(len(labels), -1)
    if not overlaps.size:
        return kinds, about
    same = labels[:, None] == real.classes[None]
    taken = _matched(np.where(same, overlaps, -1.0), real.difficult, threshold)
    of_same, of_other = (np.where(mine & ~real.difficult, overlaps, -1.0) for mine in (same, ~same))
    best, other = of_same.max(axis=1), of_other.max(axis=1)
    conditions = (
        taken >= 0,
        (best >= BACKGROUND) & (best < threshold),
        other >= threshold,
        best >= threshold,
        np.maximum(best, other) <= BACKGROUND,
    )
    names = ("place", "class", "double", "background", "both")
    place, wrong_class, *rest = (FALSE.index(name) for name in names)
    kinds = np.select(conditions, (RIGHT, place, wrong_class, *rest[:2]), rest[2])
    about = np.select(conditions[:3], (taken, of_same.argmax(axis=1), of_other.argmax(axis=1)), -1)
    ignored = (taken >= 0) & real.difficult[taken]
    return np.where(ignored, NEITHER, kinds), np.where(ignored, -1, about)


def _matched(overlaps: NDArray[np.floating], difficult: NDArray[np.bool_], threshold: float) -> NDArray[np.int64]:
    """The object that each detection takes, -1 for none: the free one of the best IoU, only else a difficult one."""
    taken = np.full(len(overlaps), -1)
    free = np.ones(overlaps.shape[1], np.bool_)
    for d, row in enumerate(overlaps):
        for able in (free & ~difficult, difficult):
            reached = np.where(able & (row >= threshold), row, -1.0)
            if reached.max() >= 0:
                taken[d] = reached.argmax()
                free[taken[d]] = False
                break
    return taken


def _overlaps(boxes: Boxes, real: Truth) -> NDArray[np.float32]:
    """IoU (D, M); with a difficult object also the share of the detection that lies in it, as with COCO's crowds."""
    result = iou(boxes, real.boxes)
    crowds = np.flatnonzero(real.difficult)
    if len(crowds) and len(boxes):
        sides = (boxes[:, 2:] - boxes[:, :2]).clip(1e-6)
        inside = intersection(boxes, real.boxes[crowds]) / sides.prod(axis=1)[:, None]
        result[:, crowds] = np.maximum(result[:, crowds], inside)
    return result

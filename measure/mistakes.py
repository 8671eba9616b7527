"""What a model gets wrong: kinds of error and their cost, the confusion matrix, the curves, and the worst pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.measure.benchmark import Benchmark, Outcome
from watchline.measure.benchmark_json import number
from watchline.ops.average_precision import judge
from watchline.ops.coco_precision import judge_by_size
from watchline.ops.detection_confusion import confusion
from watchline.ops.detection_errors import FOREGROUND, KINDS, RIGHT, Errors, costs, errors_of
from watchline.ops.precision_recall import Rule, curve

Curves = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Recall and precision by class."""

SHOWN = 0.25  # score from which a detection is shown: below it, nobody sees a mistake


@dataclass(frozen=True, slots=True)
class Mistakes:
    """What one model gets wrong, at one threshold of IoU.

    Attributes:
        threshold: of IoU.
        mean: average precision, with detections matched as TIDE has it: each takes the best object that is free.
        counts, costs: by kind of error, how many there are, and how much higher `mean` would be without it.
        confusion: (K + 1, K + 1) int64 [truth, found] of what is shown; the last is nothing.
        per_picture: (P,) int64, wrong detections that are shown, and objects that none of these has.
        errors: of each detection.
    """

    threshold: float
    mean: float
    counts: dict[str, int]
    costs: dict[str, float]
    confusion: NDArray[np.int64]
    per_picture: NDArray[np.int64]
    errors: Errors

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "iou_threshold": self.threshold,
            "average_precision": number(self.mean),
            "errors": {kind: {"count": self.counts[kind], "cost": number(self.costs[kind])} for kind in KINDS},
            "confusion": {"score": SHOWN, "matrix": self.confusion.tolist()},
        }

    def worst(self, most: int) -> list[int]:
        """The pictures with the most mistakes, worst first; of equals the first; none without a mistake."""
        order = np.argsort(-self.per_picture, kind="stable")[:most]
        return [picture for picture in order.tolist() if self.per_picture[picture]]


def mistakes_of(result: Benchmark, outcome: Outcome) -> Mistakes:
    """Of one contender's boxes."""
    classes = len(result.names)
    threshold = threshold_of(result)
    errors = errors_of(outcome.found, result.truth, classes, threshold)
    mean, cost = costs(errors, classes, curve_rule(result))
    return Mistakes(
        threshold,
        mean,
        {kind: errors.count(kind) for kind in KINDS},
        cost,
        confusion(outcome.found, result.truth, classes, SHOWN, threshold),
        _per_picture(errors, len(result.pictures)),
        errors,
    )


def curves_dict(curves: Curves) -> dict[str, Any]:
    """For JSON."""
    return {
        name: {"recall": recall.tolist(), "precision": precision.tolist()}
        for name, (recall, precision) in curves.items()
    }


def curves_of(result: Benchmark, outcome: Outcome) -> Curves:
    """Recall and precision by class, (n,) each, where recall rises: precision is the best at this or a higher recall.

    By COCO's rule at an IoU of 0.5. A class without objects that count has no curve.
    """
    lines: Curves = {}
    for c, name in enumerate(result.names):
        if result.counting.rule == "coco":
            judged = judge_by_size(outcome.found, result.truth, c)["all"]
        else:
            judged = judge(outcome.found, result.truth, c, result.counting.threshold)
        if total := int(judged.truths.sum()):
            precision, hits = curve(judged.right[0], judged.wrong[0])
            best = np.maximum.accumulate(precision[::-1])[::-1]
            rises = np.diff(hits, prepend=0) > 0
            lines[name] = hits[rises] / total, best[rises]
    return lines


def threshold_of(result: Benchmark) -> float:
    """The IoU from which a box is right in curves and mistakes."""
    return FOREGROUND if result.counting.rule == "coco" else result.counting.threshold


def curve_rule(result: Benchmark) -> Rule:
    """The rule that summarises curves; ILSVRC has none, so VOC's."""
    return "voc2010" if result.counting.rule == "ilsvrc" else result.counting.rule


def _per_picture(errors: Errors, pictures: int) -> NDArray[np.int64]:
    shown = errors.scores >= SHOWN
    wrong = np.bincount(errors.pictures[shown & (errors.kinds >= 0)], minlength=pictures)
    seen = np.zeros(len(errors.counts), np.bool_)
    seen[errors.about[shown & (errors.kinds == RIGHT)]] = True
    lost = np.bincount(errors.object_pictures[errors.counts & ~seen], minlength=pictures)
    return wrong + lost

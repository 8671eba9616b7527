"""The figures of a rule, class by class: VOC's average precision, COCO's twelve figures, ILSVRC's localization.

figures = scorer("coco", found, truth, ("person", "car"))
figures()[MEAN]["AP50"]
figures(weights)["car"]["AP"]  # of samples of the pictures, for intervals
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from watchline.ops import coco_precision, localization
from watchline.ops.average_precision import Predictions, Truth, judge
from watchline.ops.coco_precision import mean_of_counted
from watchline.ops.localization import Guesses
from watchline.ops.precision_recall import Judged, Rule, summary

MeasuredBy = Literal[Rule, "ilsvrc"]
RULES: tuple[str, ...] = get_args(MeasuredBy)
MEAN = "mean"  # the row of a table that is no class: over the classes, or over all pictures

Table = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""Figures in 0..1 by class and name, () or (B,) each; NaN where there is nothing to measure. The first row is MEAN."""


class Scorer(Protocol):
    """Gives a table: of the pictures, or of B samples with weights (B, P), how often each picture is in each."""

    def __call__(self, weights: NDArray[np.int64] | None = None) -> Table: ...


def scorer(
    rule: MeasuredBy,
    found: Sequence[Predictions],
    truth: Sequence[Truth],
    names: Sequence[str],
    threshold: float = 0.5,
    by_masks: bool = False,
) -> Scorer:
    """Judge detections, once for all samples.

    Args:
        found, truth: one of each per picture, whose classes are numbers of `names`.
        threshold: IoU at which VOC's rules and ILSVRC's count a box as right.
        by_masks: judge the pixels of objects, not their boxes; COCO's rule alone can.

    Raises:
        ValueError: `found` and `truth` have different lengths.
    """
    classes = range(len(names))
    if rule == "coco":
        return partial(_coco, {names[c]: coco_precision.judge_by_size(found, truth, c, by_masks) for c in classes})
    if rule == "ilsvrc":
        return partial(_ilsvrc, localization.guesses(found, truth, threshold), names)
    return partial(_voc, {names[c]: judge(found, truth, c, threshold) for c in classes}, rule)


def _voc(classes: Mapping[str, Judged], rule: Rule, weights: NDArray[np.int64] | None = None) -> Table:
    each = {name: np.asarray(summary(judged, rule, weights)[0]) for name, judged in classes.items()}
    whole = each if weights is None else {name: summary(judged, rule)[0] for name, judged in classes.items()}
    mean = _mean([(each[name], whole[name]) for name in classes])
    return {MEAN: {"AP": mean}} | {name: {"AP": value} for name, value in each.items()}


def _coco(classes: Mapping[str, coco_precision.BySize], weights: NDArray[np.int64] | None = None) -> Table:
    of_class = {name: coco_precision.figures([judged], weights) for name, judged in classes.items()}
    whole = of_class
    if weights is not None:
        whole = {name: coco_precision.figures([judged]) for name, judged in classes.items()}
    mean = {  # over classes and IoUs, of which all classes have as many
        figure: _mean([(of_class[name][figure], whole[name][figure]) for name in classes])
        for figure in coco_precision.FIGURES
    }
    return {MEAN: mean} | of_class


def _mean(each: Sequence[tuple[NDArray[np.float64], Any]]) -> NDArray[np.float64]:
    """Over the classes. One that is in no picture of a sample counts with its figure of all pictures, so all samples
    have the same classes.

    Args:
        each: of each class, its figure in the samples, and in all pictures.
    """
    return mean_of_counted(np.stack([np.where(np.isnan(some), whole, some) for some, whole in each]), 0)


def _ilsvrc(guesses: Guesses, names: Sequence[str], weights: NDArray[np.int64] | None = None) -> Table:
    rows = {MEAN: np.ones(len(guesses.classes), np.bool_)} | {
        name: guesses.classes == c for c, name in enumerate(names)
    }
    return {row: localization.figures(guesses, pictures, weights) for row, pictures in rows.items()}

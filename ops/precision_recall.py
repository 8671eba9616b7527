"""Precision, recall and average precision of detections that were judged right or wrong.

A rule says how the precision-recall curve is summarised. In all of them, the precision at a recall is the best one at
this or any higher recall, so average precision is a sum over the right detections: the precision there, times what the
detection adds to a measure of recall.

- "voc2010" (VOC 2010 and later): the recall itself, so the area under the curve.
- "voc2007" (VOC 2007 to 2009): the share of the recalls 0, 0.1, … 1 that are reached.
- "coco": the share of the recalls 0, 0.01, … 1 that are reached.

Everingham et al., "The PASCAL Visual Object Classes Challenge: A Retrospective" (2015), section 2.4.3; Lin et al.,
"Microsoft COCO" (2014), and its code, `COCOeval.accumulate`.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rule = Literal["voc2010", "voc2007", "coco"]
RULES: tuple[Rule, ...] = ("voc2010", "voc2007", "coco")
RECALLS = np.linspace(0, 1, 101)  # COCO's
LARGEST = 1 << 24  # numbers of an array of samples

Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """The detections of one class in P pictures, best score first, at T thresholds of IoU.

    Attributes:
        pictures: (N,) int64, the picture of each.
        scores: (N,) float32.
        ranks: (N,) int64, how many detections of the class stand before it in its picture.
        right, wrong: (T, N) bool. One that is neither does not count.
        truths: (P,) int64, how many truths of each picture count.
    """

    pictures: NDArray[np.int64]
    scores: NDArray[np.float32]
    ranks: NDArray[np.int64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    truths: NDArray[np.int64]

    def best(self, most: int) -> "Judged":
        """Only the first `most` detections of each picture."""
        kept = self.ranks < most
        return Judged(
            self.pictures[kept],
            self.scores[kept],
            self.ranks[kept],
            self.right[:, kept],
            self.wrong[:, kept],
            self.truths,
        )


def summary(judged: Judged, rule: Rule, weights: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Average precision at each threshold.

    Args:
        weights: (B, P), how often each picture is counted in each of B samples; None for once.

    Returns:
        (T,) in 0..1, or (T, B) with weights; NaN where no truth counts.
    """
    if weights is None:
        return summarised(judged.right, judged.wrong, judged.truths.sum(), rule)
    times = np.ascontiguousarray(weights.T, np.int32)  # (P, B): the weights of a picture are together
    totals = weights @ judged.truths
    step = max(LARGEST // max(len(judged.pictures), 1), 1)
    result = np.empty((len(judged.right), len(weights)))
    for first in range(0, len(weights), step):
        some = slice(first, first + step)
        for row, right, wrong in zip(result, judged.right, judged.wrong, strict=True):
            row[some] = _sampled(judged.pictures, right, wrong, times[:, some], totals[some], rule)
    return result


def _sampled(
    pictures: NDArray[np.int64],
    right: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    times: NDArray[np.int32],
    totals: NDArray[np.int64],
    rule: Rule,
) -> NDArray[np.float64]:
    """Average precision at one threshold in B samples, (B,).

    As `summarised`, but the wrong detections from one right one to the next are summed at once: precision rises at
    right ones only.

    Args:
        pictures, right, wrong: (N,), as `Judged` has them.
        times: (P, B), how often each picture is in each sample. totals: (B,), truths.
    """
    at = np.flatnonzero(right)
    if not len(at):
        return np.where(totals > 0, 0.0, np.nan)
    before = np.flatnonzero(wrong[: at[-1]])
    following, starts = np.unique(np.searchsorted(at, before), return_index=True)  # the right one behind each
    misses = np.zeros((len(at), times.shape[1]), np.int64)
    if len(before):
        misses[following] = np.add.reduceat(times[pictures[before]], starts, axis=0)
    hits = np.cumsum(times[pictures[at]], axis=0, dtype=np.int64)
    precision = hits / np.maximum(hits + np.cumsum(misses, axis=0), 1)
    best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    gain = np.diff(_measure(hits, np.maximum(totals, 1), rule), prepend=0, axis=0)
    return np.where(totals > 0, (best * gain).sum(axis=0), np.nan)


def summarised(right: Numbers, wrong: Numbers, truths: Numbers, rule: Rule) -> NDArray[np.float64]:
    """Average precision of curves.

    Args:
        right, wrong: (…, N) how often each detection counts as right and as wrong, best score first.
        truths: (…) how many there are to find.

    Returns:
        (…) in 0..1; NaN where there are no truths.
    """
    total = np.asarray(truths)[..., None]
    precision, hits = curve(right, wrong)
    best = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    gain = np.diff(_measure(hits, np.maximum(total, 1), rule), prepend=0, axis=-1)
    return np.asarray(np.where(total[..., 0] > 0, (best * gain).sum(axis=-1), np.nan))


def curve(right: Numbers, wrong: Numbers) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Precision, and number of truths found, after each detection, (…, N); precision is 0 until one has counted."""
    hits = np.cumsum(right, axis=-1, dtype=np.int64)
    counted = hits + np.cumsum(wrong, axis=-1, dtype=np.int64)
    return hits / np.maximum(counted, 1), hits


def recall(judged: Judged, weights: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """The share of the truths that is found, at each threshold: (T,), or (T, B) with weights; NaN without truths."""
    if weights is None:
        found, total = judged.right.sum(axis=1), judged.truths.sum()
    else:
        per_picture = np.zeros((len(judged.right), len(judged.truths)), np.int64)
        for row, right in zip(per_picture, judged.right, strict=True):
            row[:] = np.bincount(judged.pictures[right], minlength=len(row))
        found, total = per_picture @ weights.T, weights @ judged.truths
    return np.asarray(np.where(total > 0, found / np.maximum(total, 1), np.nan))


def _measure(hits: NDArray[np.int64], total: Numbers, rule: Rule) -> NDArray[np.float64]:
    """Of recall, 0 to 1. Once anything is found, the recall 0 counts as reached."""
    if rule == "voc2010":
        return np.asarray(hits / total)
    if rule == "voc2007":  # in integers: 0.1 + 0.1 + 0.1 > 0.3 in floating point would lose a recall of 3 / 10
        return np.where(hits > 0, np.minimum(10 * hits // total + 1, 11) / 11, 0.0)
    return np.where(hits > 0, np.searchsorted(RECALLS, hits / total, side="right") / len(RECALLS), 0.0)

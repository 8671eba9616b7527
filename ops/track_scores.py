"""How good tracks are: CLEAR (MOTA, identity switches, fragments), Identity (IDF1) and HOTA, as TrackEval has them.

Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance" (2008); Ristani et al., "Performance
Measures and a Data Set for Multi-Target, Multi-Camera Tracking" (2016); Luiten et al., "HOTA" (2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.ops.assignment import matched
from watchline.ops.boxes import Boxes, iou

SAME = 0.5  # IoU from which a box is right, for CLEAR and Identity
THRESHOLDS = np.arange(1, 20) / 20  # of HOTA
STAYS = 1000.0  # CLEAR keeps last frame's pairs, whatever other boxes overlap more
EPS = float(np.finfo(np.float64).eps)


class Tracked(NamedTuple):
    """The objects of a frame.

    Attributes:
        ids: (N,) int64, no two alike in a frame.
        boxes: (N, 4) xyxy in pixels.
    """

    ids: NDArray[np.int64]
    boxes: Boxes


@dataclass(frozen=True, slots=True)
class TrackScores:
    """The figures of a sequence.

    Attributes:
        hota: mean over 19 thresholds of IoU of the geometric mean of detection and association.
        deta, assa: those two: how well objects are found, and how well they are kept.
        mota: 1 - (misses + false boxes + switches) / objects; less than 0 where mistakes are more than objects.
        idf1: of all boxes, the share with the identity that suits the sequence best.
        switches: how often an object has another id than the last time that it was found.
        fragments: how often an object is found again after it was not.
        misses, false: objects without a box, and boxes without an object.
        ids, objects: how many tracks there are, and how many there should be.
    """

    hota: float
    deta: float
    assa: float
    mota: float
    idf1: float
    switches: int
    fragments: int
    misses: int
    false: int
    ids: int
    objects: int


def track_scores(truth: Sequence[Tracked], found: Sequence[Tracked]) -> TrackScores:
    """Compare tracks with true ones.

    Args:
        truth, found: frame by frame, as many of each.
    """
    real, there = _numbered(truth), _numbered(found)
    overlaps = [iou(a.boxes, b.boxes).astype(np.float64) for a, b in zip(truth, found, strict=True)]
    frames = list(zip(real, there, overlaps, strict=True))
    of_real, of_found = _counts(real), _counts(there)
    clear = _clear(frames, len(of_real))
    hota, deta, assa = _hota(frames, of_real, of_found)
    total = of_real.sum() + of_found.sum()
    wrong = clear.misses + clear.false + clear.switches
    return TrackScores(
        hota=hota,
        deta=deta,
        assa=assa,
        mota=1 - wrong / max(int(of_real.sum()), 1),
        idf1=2 * _identified(frames, len(of_real), len(of_found)) / max(int(total), 1),
        **clear._asdict(),
        ids=len(of_found),
        objects=len(of_real),
    )


_Frames = Sequence[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]]  # (G,) and (T,) ids, (G, T) IoU


class _Clear(NamedTuple):
    switches: int
    fragments: int
    misses: int
    false: int


def _numbered(frames: Sequence[Tracked]) -> list[NDArray[np.intp]]:
    """The ids of each frame as numbers from 0, without gaps."""
    if not frames:
        return []
    every = np.concatenate([frame.ids for frame in frames])
    return np.split(np.unique(every, return_inverse=True)[1], np.cumsum([len(frame.ids) for frame in frames])[:-1])


def _counts(frames: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    """How many boxes each id has."""
    return np.bincount(np.concatenate(frames)) if frames else np.empty(0, np.intp)


def _clear(frames: _Frames, objects: int) -> _Clear:
    last, before = np.full(objects, -1), np.full(objects, -1)  # the id when an object was last found; a frame ago
    begun = np.zeros(objects, np.intp)  # how often an object was found after it was not
    switches = misses = false = 0
    for real, there, overlap in frames:
        misses, false = misses + len(real), false + len(there)
        if not len(real) or not len(there):
            continue  # as TrackEval, which knows of no frame without boxes
        score = STAYS * (before[real][:, None] == there[None]) + overlap
        score[overlap < SAME - EPS] = 0
        rows, columns = matched(score, EPS)
        who, ids = real[rows], there[columns]
        switches += int(((last[who] >= 0) & (last[who] != ids)).sum())
        begun[who] += before[who] < 0
        last[who] = ids
        before[:] = -1
        before[who] = ids
        misses, false = misses - len(who), false - len(who)
    return _Clear(switches, int((begun[begun > 0] - 1).sum()), misses, false)


def _identified(frames: _Frames, objects: int, ids: int) -> int:
    """The most boxes that can be right with one id an object."""
    shared = np.zeros((objects, ids))
    for real, there, overlap in frames:
        rows, columns = np.nonzero(overlap >= SAME)
        shared[real[rows], there[columns]] += 1
    return int(shared[matched(shared, 1)].sum())


def _hota(frames: _Frames, of_real: NDArray[np.intp], of_found: NDArray[np.intp]) -> tuple[float, float, float]:
    """HOTA, DetA and AssA, each the mean over the thresholds."""
    if not len(of_real) or not len(of_found):
        return 0.0, 0.0, 0.0
    together = of_real[:, None] + of_found[None]
    shared = np.zeros(together.shape)  # how much of two tracks is in one place
    for real, there, overlap in frames:
        union = overlap.sum(axis=0) + overlap.sum(axis=1, keepdims=True) - overlap
        shared[np.ix_(real, there)] += np.divide(overlap, union, out=np.zeros_like(overlap), where=union > EPS)
    alike = shared / (together - shared)
    pairs = np.zeros((len(THRESHOLDS), *together.shape))
    for real, there, overlap in frames:
        rows, columns = matched(alike[np.ix_(real, there)] * overlap, EPS)
        right = overlap[rows, columns] >= THRESHOLDS[:, None] - EPS  # (19, K)
        pairs[:, real[rows], there[columns]] += right
    hits = pairs.sum(axis=(1, 2))
    deta = hits / (of_real.sum() + of_found.sum() - hits)
    assa = (pairs * (pairs / np.maximum(together - pairs, 1))).sum(axis=(1, 2)) / np.maximum(hits, 1)
    return float(np.sqrt(deta * assa).mean()), float(deta.mean()), float(assa.mean())

"""Slow reference functions: each computes in plain Python loops what a fast function of `ops/` must return."""

import math
from collections.abc import Sequence
from itertools import permutations

Box = Sequence[float]


def iou(a: Box, b: Box) -> float:
    """Intersection-over-Union of two boxes xyxy."""
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    shared = width * height
    union = max(a[2] - a[0], 0) * max(a[3] - a[1], 0) + max(b[2] - b[0], 0) * max(b[3] - b[1], 0) - shared
    return shared / union if union > 0 else 0.0


def merge_distance(a: Box, b: Box) -> float:
    """OverFeat's distance of two boxes xyxy: of both centres from the centre of their intersection."""
    x, y = (max(a[0], b[0]) + min(a[2], b[2])) / 2, (max(a[1], b[1]) + min(a[3], b[3])) / 2
    return sum(math.hypot((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y) for box in (a, b))


def nms(
    boxes: Sequence[Box],
    scores: Sequence[float],
    classes: Sequence[int],
    threshold: float,
    max_candidates: int | None = None,
) -> list[int]:
    """The lecture's greedy suppression, literally, within each class: indices of the kept boxes, best first."""
    remaining = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))[:max_candidates]
    kept = []
    while remaining:
        best = remaining.pop(0)
        kept.append(best)
        remaining = [i for i in remaining if classes[i] != classes[best] or iou(boxes[i], boxes[best]) <= threshold]
    return kept


def average_precision(
    detections: Sequence[tuple[int, float, Box]],
    truths: Sequence[tuple[int, Box, bool]],
    threshold: float,
    rule: str,
) -> float:
    """PASCAL VOC's average precision of one class, in the order of `VOCevaldet.m` and `VOCap.m`.

    Args:
        detections: (picture, score, box). truths: (picture, box, difficult).
        rule: "voc2010" or "voc2007".
    """
    positives = sum(not difficult for _, _, difficult in truths)
    if not positives:
        return float("nan")
    taken = set()
    hits = misses = 0
    curve = []  # (recall, precision) after each detection that counts
    for picture, _, box in sorted(detections, key=lambda d: -d[1]):  # Python's sort is stable
        best, overlap = None, float("-inf")
        for number, (where, truth, _) in enumerate(truths):
            if where == picture and iou(box, truth) > overlap:
                best, overlap = number, iou(box, truth)
        if best is not None and overlap >= threshold:
            if truths[best][2]:
                continue
            if best not in taken:
                taken.add(best)
                hits += 1
            else:
                misses += 1
        else:
            misses += 1
        curve.append((hits / positives, hits / (hits + misses)))
    if rule == "voc2007":
        points = [max([p for r, p in curve if r >= k / 10 - 1e-9], default=0.0) for k in range(11)]
        return sum(points) / 11
    area, reached = 0.0, 0.0
    for i, (recall, _) in enumerate(curve):
        area += (recall - reached) * max(p for _, p in curve[i:])
        reached = recall
    return area


def vpmaddubsw(x: Sequence[int], w: Sequence[int]) -> list[int]:
    """The x86 instruction: products of uint8 and int8, summed in pairs; each sum saturates at 16 bits."""
    return [min(max(x[i] * w[i] + x[i + 1] * w[i + 1], -(2**15)), 2**15 - 1) for i in range(0, len(x) - 1, 2)]


def confusion(predicted: Sequence[int], truth: Sequence[int], classes: int) -> list[list[int]]:
    """How often a pixel of class t is predicted to be of class p, as [t][p]; pixels of other classes are void."""
    counts = [[0] * classes for _ in range(classes)]
    for found, real in zip(predicted, truth, strict=True):
        if 0 <= real < classes:
            counts[real][found] += 1
    return counts


def mean_iou(predicted: Sequence[int], truth: Sequence[int], classes: int) -> float:
    """The mean over classes of TP / (TP + FP + FN), counted pixel by pixel; classes that are nowhere are left out."""
    values = []
    for one in range(classes):
        pairs = [(found, real) for found, real in zip(predicted, truth, strict=True) if 0 <= real < classes]
        both = sum(found == real == one for found, real in pairs)
        either = sum(one in pair for pair in pairs)
        if either:
            values.append(both / either)
    return sum(values) / len(values) if values else float("nan")


Objects = Sequence[tuple[int, Box]]  # of a frame: id and box of each


def track_scores(truth: Sequence[Objects], found: Sequence[Objects]) -> dict[str, float]:
    """CLEAR, Identity and HOTA in the order of TrackEval's `clear.py`, `identity.py` and `hota.py`, for few objects."""
    objects, ids = (sorted({n for frame in side for n, _ in frame}) for side in (truth, found))
    boxes = [sum(len(frame) for frame in side) for side in (truth, found)]
    last: dict[int, int] = {}
    before: dict[int, int] = {}
    begun: dict[int, int] = {}
    switches = hits = 0
    for real, there in zip(truth, found, strict=True):
        if not real or not there:
            continue
        score = [[iou(a, b) for _, b in there] for _, a in real]
        score = [
            [s + 1000 * (before.get(n) == m) if s >= 0.5 else 0 for s, (m, _) in zip(row, there, strict=True)]
            for row, (n, _) in zip(score, real, strict=True)
        ]
        pairs = {real[i][0]: there[j][0] for i, j in _best(score) if score[i][j] > 0}
        switches += sum(n in last and last[n] != m for n, m in pairs.items())
        for n in pairs:
            begun[n] = begun.get(n, 0) + (n not in before)
        last |= pairs
        before = pairs
        hits += len(pairs)
    shared = [[_together(truth, found, n, m, 0.5) for m in ids] for n in objects]
    identified = sum(shared[i][j] for i, j in _best(shared))
    hota = [_hota(truth, found, objects, ids, k / 20) for k in range(1, 20)]
    misses, false = boxes[0] - hits, boxes[1] - hits
    return {
        "hota": sum((d * a) ** 0.5 for d, a in hota) / 19,
        "deta": sum(d for d, _ in hota) / 19,
        "assa": sum(a for _, a in hota) / 19,
        "mota": 1 - (misses + false + switches) / boxes[0],
        "idf1": 2 * identified / sum(boxes),
        "switches": switches,
        "fragments": sum(times - 1 for times in begun.values()),
        "misses": misses,
        "false": false,
        "ids": len(ids),
        "objects": len(objects),
    }


def _hota(
    truth: Sequence[Objects], found: Sequence[Objects], objects: Sequence[int], ids: Sequence[int], threshold: float
) -> tuple[float, float]:
    """DetA and AssA at one threshold."""
    length = {("t", n): sum(n == k for frame in truth for k, _ in frame) for n in objects}
    length |= {("f", m): sum(m == k for frame in found for k, _ in frame) for m in ids}
    common = {(n, m): 0.0 for n in objects for m in ids}
    for real, there in zip(truth, found, strict=True):
        for n, a in real:
            for m, b in there:
                every = sum(iou(a, c) for _, c in there) + sum(iou(c, b) for _, c in real) - iou(a, b)
                common[n, m] += iou(a, b) / every if every > 0 else 0
    pairs = dict.fromkeys(common, 0)
    for real, there in zip(truth, found, strict=True):
        score = [
            [common[n, m] / (length["t", n] + length["f", m] - common[n, m]) * iou(a, b) for m, b in there]
            for n, a in real
        ]
        for i, j in _best(score):
            pairs[real[i][0], there[j][0]] += iou(real[i][1], there[j][1]) >= threshold - 1e-12
    hits = sum(pairs.values())
    total = sum(length.values())
    together = sum(k * k / (length["t", n] + length["f", m] - k) for (n, m), k in pairs.items() if k)
    return hits / (total - hits), together / max(hits, 1)


def _together(truth: Sequence[Objects], found: Sequence[Objects], n: int, m: int, threshold: float) -> int:
    """In how many frames an object and a track are in one place."""
    return sum(
        iou(a, b) >= threshold
        for real, there in zip(truth, found, strict=True)
        for k, a in real
        for other, b in there
        if (k, other) == (n, m)
    )


def _best(score: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """The pairs of rows and columns with the greatest total score, by trying everything."""
    rows, columns = len(score), len(score[0]) if score else 0
    if rows > columns:
        return [(i, j) for j, i in _best([[score[i][j] for i in range(rows)] for j in range(columns)])]
    orders = permutations(range(columns), rows)
    return max((list(enumerate(order)) for order in orders), key=lambda ps: sum(score[i][j] for i, j in ps))

"""Slow reference functions: each computes in plain Python loops what a fast function of `ops/` must return."""

from collections.abc import Sequence

Box = Sequence[float]


def iou(a: Box, b: Box) -> float:
    """Intersection-over-Union of two boxes xyxy."""
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    shared = width * height
    union = max(a[2] - a[0], 0) * max(a[3] - a[1], 0) + max(b[2] - b[0], 0) * max(b[3] - b[1], 0) - shared
    return shared / union if union > 0 else 0.0


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

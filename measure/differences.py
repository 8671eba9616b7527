"""How far apart two runs of a model on the same pictures are: numbers of the outputs, and boxes after suppression.

The rows of `boxes` and `scores` are a set: a network of two stages gives them best first, and a difference in the last
digit swaps two of them. So a candidate is compared with the one of the other run that is nearest to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import clip, has_area, iou
from watchline.ops.detections import Detections
from watchline.ops.letterbox import Fit
from watchline.ops.masks import HALF
from watchline.ops.select import select

LIKELY = 0.01  # score from which a candidate is compared; less is shown nowhere and counts in no measurement
SCORE_OF_A_PIXEL = 0.01  # when the nearest candidate is sought, so much of score counts as one pixel
MATCHED = 0.9  # IoU from which a box is the same box
MASK = "mask"
CHUNK = 16  # candidates compared with all others at once; bounds the memory

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one run against another, over all pictures.

    Attributes:
        boxes: largest of a coordinate, in pixels; None where there is nothing to compare.
        scores: largest of a score; None likewise.
        classes: of outputs of whole numbers, the share that differs, e.g. of pixels with another class; of masks, the
            share of pixels that belong to the object in one run alone; else None.
        matched: boxes after suppression that the other run has too: of the same class, IoU of at least MATCHED.
        lost: boxes of the first run that the other lacks.
        extra: boxes of the other run that the first lacks.
    """

    boxes: float | None = None
    scores: float | None = None
    classes: float | None = None
    matched: int = 0
    lost: int = 0
    extra: int = 0

    @property
    def lost_share(self) -> float:
        """Of the first run's boxes, how many the other lacks, or of its own the first, whichever is more; in 0..1."""
        return max(self.lost, self.extra) / max(1, self.matched + max(self.lost, self.extra))

    def __lt__(self, other: "Difference") -> bool:
        """Whether it is the smaller one: what is shown counts more than numbers."""
        return self._weight < other._weight

    @property
    def _weight(self) -> tuple[int, float, float, float]:
        return self.lost + self.extra, self.boxes or 0.0, self.scores or 0.0, self.classes or 0.0

    def __add__(self, other: "Difference") -> "Difference":
        """Of two sets of pictures together; for `classes` that is the worse of the two."""
        return Difference(
            _larger(self.boxes, other.boxes),
            _larger(self.scores, other.scores),
            _larger(self.classes, other.classes),
            self.matched + other.matched,
            self.lost + other.lost,
            self.extra + other.extra,
        )


def of_outputs(
    one: Outputs, other: Outputs, size: tuple[int, int], labels: tuple[str, ...], conf: float, suppression: float
) -> Difference:
    """Of what two runs give for one picture.

    Args:
        one, other: `boxes` (1, N, 4) and `scores` (1, N, C), or what another task gives, e.g. `classes` (1, H, W).
        size: (width, height) of the model's input; what of a box lies outside does not count.
        labels: of the model.
        conf, suppression: score from which a box is shown, and IoU above which of two boxes one stays.
    """
    if "boxes" not in one:
        return sum((_number_by_number(array, other[name]) for name, array in one.items()), Difference())
    shown = [_inside(shown_boxes(outputs, labels, conf, suppression), size) for outputs in (one, other)]
    return of_candidates(one, other, size) + of_detections(*shown)


def _number_by_number(one: NDArray[Any], other: NDArray[Any]) -> Difference:
    """Of outputs whose positions have a meaning, as the pixels of a picture: whole numbers are equal or not."""
    if one.dtype.kind == "f":
        return Difference(scores=float(np.abs(one - other).max(initial=0)))
    return Difference(classes=float(np.mean(one != other)))


def of_candidates(one: Outputs, other: Outputs, size: tuple[int, int]) -> Difference:
    """Largest differences between likely candidates of one picture; None where neither run has any.

    Boxes are cut at the edges first: a size is an exponential, and the last digit of one in millions is some pixels.
    """
    one, other = ({**outputs, "boxes": clip(outputs["boxes"][0], *size)[None]} for outputs in (one, other))
    return _farthest(one, other) + _farthest(other, one)


def of_detections(one: Detections, other: Detections) -> Difference:
    """What is found in one picture: matched best score first, each box once; differences are of those matched.

    Raises:
        ValueError: the labels differ.
    """
    if one.labels != other.labels:
        raise ValueError(f"cannot compare detections of the labels {one.labels} and {other.labels}")
    overlaps = iou(one.xyxy, other.xyxy)
    overlaps[one.class_id[:, None] != other.class_id[None]] = 0
    pairs = []
    for row in range(len(one)):
        if len(other) and overlaps[row].max() >= MATCHED:
            pairs.append((row, int(overlaps[row].argmax())))
            overlaps[:, pairs[-1][1]] = 0
    boxes = scores = None
    if pairs:
        left, right = map(list, zip(*pairs, strict=True))
        boxes = float(np.abs(one.xyxy[left] - other.xyxy[right]).max())
        scores = float(np.abs(one.confidence[left] - other.confidence[right]).max())
    matched = len(pairs)
    masks = None
    if pairs and MASK in one.data and MASK in other.data:
        masks = float(np.mean(one.data[MASK][left] != other.data[MASK][right]))
    return Difference(boxes, scores, masks, matched, len(one) - matched, len(other) - matched)


def shown_boxes(
    outputs: Outputs, labels: tuple[str, ...], conf: float, suppression: float, placement: Fit | None = None
) -> Detections:
    """What of one picture's outputs is shown: in pixels of the picture if its placement is given, else of the input.

    Masks are a column of `data`, as the network gives them, but in whole pixels: (N, M, M) bool.
    """
    boxes, scores = outputs["boxes"][0], outputs["scores"][0]
    found = select(boxes, scores, conf=conf, iou=suppression, placement=placement)
    more = {MASK: outputs["masks"][0][found.rows] >= HALF} if "masks" in outputs else {}
    return Detections(found.boxes, found.scores, found.classes, labels, data=more)


def _inside(detections: Detections, size: tuple[int, int]) -> Detections:
    """Boxes cut at the edges; without those that lie outside."""
    boxes = clip(detections.xyxy, *size)
    return replace(detections, xyxy=boxes)[has_area(boxes)]


def _farthest(one: Outputs, other: Outputs) -> Difference:
    """From each likely candidate of one run to the nearest of the other."""
    boxes, scores = one["boxes"][0].astype(np.float64), one["scores"][0].astype(np.float64)
    all_boxes, all_scores = other["boxes"][0].astype(np.float64), other["scores"][0].astype(np.float64)
    likely = np.flatnonzero(scores.max(axis=1) >= LIKELY)
    farthest = Difference()
    if not len(all_boxes):  # networks that suppress inside may find nothing: what is lost is counted elsewhere
        return farthest
    for start in range(0, len(likely), CHUNK):
        rows = likely[start : start + CHUNK]
        apart = np.abs(boxes[rows, None] - all_boxes[None]).max(axis=2)  # (rows, M)
        differ = np.abs(scores[rows, None] - all_scores[None]).max(axis=2)
        nearest = (apart * SCORE_OF_A_PIXEL + differ).argmin(axis=1)
        at = (np.arange(len(rows)), nearest)
        farthest += Difference(float(apart[at].max()), float(differ[at].max()))
    return farthest


def _larger(a: float | None, b: float | None) -> float | None:
    return b if a is None else a if b is None else max(a, b)

"""Boxes: area, Intersection-over-Union, and the clip to a picture.

Convention, here and everywhere inside the project: `xyxy` float32 in pixels, half-open, so that a box has width
x2 - x1 and the whole picture is (0, 0, width, height).
"""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]  # (N, 4)


def area(boxes: Boxes) -> NDArray[np.float32]:
    """Area of each box, (N,) in square pixels; 0 where a box is turned inside out."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(size[:, 0] * size[:, 1], np.float32)


def intersection(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Area that each box of `a` (N, 4) shares with each of `b` (M, 4): (N, M) in square pixels."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    size = np.maximum(bottom_right - top_left, 0)  # (N, M, 2)
    return np.asarray(size[..., 0] * size[..., 1], np.float32)


def iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection-over-Union of each box of `a` (N, 4) with each of `b` (M, 4): (N, M) in 0..1.

    The lecture's measure of a box (Detection, "Intersection-over-Union"); VOC counts a detection as correct from
    0.5 on. Two boxes without area have IoU 0.
    """
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(boxes: Boxes, width: int, height: int) -> Boxes:
    """The boxes (N, 4) cut at the edges of a picture of `width` x `height` pixels."""
    limit = np.array([width, height, width, height], np.float32)
    return np.asarray(np.clip(boxes, 0, limit), np.float32)

"""Boxes: area, Intersection-over-Union, and clipping to a picture.

Convention, here and everywhere inside the project: `xyxy` float32 in pixels, half-open. So a box has width x2 - x1,
and the complete picture is (0, 0, width, height).
"""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]  # (N, 4)


def area(boxes: Boxes) -> NDArray[np.float32]:
    """Area of each box, (N,) in square pixels; 0 for a box with x2 < x1 or y2 < y1."""
    width = np.maximum(boxes[:, 2] - boxes[:, 0], 0)
    height = np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return np.asarray(width * height, np.float32)


def has_area(boxes: Boxes) -> NDArray[np.bool_]:
    """Whether each box has an area, (N,). A box that was outside the picture has none after clipping."""
    return np.asarray((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]), np.bool_)


def intersection(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Area that each box of `a` (N, 4) shares with each of `b` (M, 4): (N, M) in square pixels."""
    # Column by column, because inner loops over M contiguous numbers are several times faster than over pairs (x, y).
    x1, y1, x2, y2 = a.T[:, :, None]  # (N, 1) each
    u1, v1, u2, v2 = np.ascontiguousarray(b.T)  # (M,) each
    width = np.maximum(np.minimum(x2, u2) - np.maximum(x1, u1), 0)  # (N, M)
    height = np.maximum(np.minimum(y2, v2) - np.maximum(y1, v1), 0)
    return np.asarray(width * height, np.float32)


def iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection-over-Union of each box of `a` (N, 4) with each of `b` (M, 4): (N, M) in 0..1.

    The lecture's measure of how well two boxes match (Detection, "Intersection-over-Union"). VOC counts a detection as
    correct at 0.5 or more. Two boxes without area have IoU 0.
    """
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), np.float32)


def clip(boxes: Boxes, width: int, height: int) -> Boxes:
    """The boxes (N, 4), clipped to a picture of `width` x `height` pixels."""
    limit = np.array([width, height, width, height], np.float32)
    return np.asarray(np.clip(boxes, 0, limit), np.float32)

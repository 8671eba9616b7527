"""Checks the boxes of one picture: finite, with an area, inside. What is a little over the edge is clipped."""

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, has_area

SLACK, PIXELS = 0.02, 2.0  # how far outside is "a little": a share of the picture's side, but at least so many pixels
SHOWN = 0.5  # pixels: a box that is cut by less was only rounded


def checked(boxes: NDArray[np.float64], size: tuple[int, int]) -> tuple[Boxes, list[tuple[int, str]], list[int]]:
    """Check the boxes (N, 4) xyxy in pixels of a picture of `size` (width, height).

    Returns:
        the boxes (N, 4) float32, clipped to the picture; each wrong row with what is wrong; the rows that were cut by
        more than rounding.
    """
    limit = np.array(size * 2, np.float64)
    slack = np.maximum(SLACK * limit, PIXELS)
    with np.errstate(invalid="ignore"):
        outside = np.any((boxes < -slack) | (boxes > limit + slack), axis=1)
        clipped = np.clip(boxes, 0, limit)
        cut = np.abs(clipped - boxes).max(1, initial=0) > SHOWN
        flat, gone = ~has_area(boxes.astype(np.float32)), ~has_area(clipped.astype(np.float32))
    wrong = []
    for row, box in enumerate(boxes):
        shown = " ".join(f"{side:g}" for side in box)
        if not np.isfinite(box).all():
            wrong.append((row, f"box {shown}: expected finite numbers; correct it"))
        elif flat[row]:
            wrong.append((row, f"box {shown} (x1 y1 x2 y2) has no area: expected x1 < x2 and y1 < y2; remove it"))
        elif outside[row] or gone[row]:
            where = f"outside of its picture, {size[0]} x {size[1]}"
            wrong.append((row, f"box {shown} (x1 y1 x2 y2 in pixels) is {where}: correct it"))
    return clipped.astype(np.float32), wrong, np.flatnonzero(cut).tolist()

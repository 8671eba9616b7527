"""Positions in a picture as settings: in pixels, or in shares of the picture's width and height.

The values say which: where none is above 1, they are shares, so [0.5, 1] is the middle of the lower edge.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from watchline.ops.regions import Points
from watchline.pipeline.errors import StageError

Coordinate = Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False)]
Position = tuple[Coordinate, Coordinate]
Anchor = Literal["bottom", "centre", "top", "left", "right"]  # see ops/regions.py


def check_unit(what: str, positions: Sequence[Position]) -> None:
    """Raises ValueError: some of them can only be pixels, and others only shares."""
    values = [value for position in positions for value in position]
    share = next((value for value in values if 0 < value < 1), None)
    pixels = next((value for value in values if value > 1), None)
    if share is not None and pixels is not None:
        raise ValueError(f"{what} has {share:g} and {pixels:g}: expected pixels, or shares of the picture from 0 to 1")


def in_pixels(what: str, positions: Sequence[Position], width: int, height: int) -> Points:
    """(N, 2) the positions in a picture of this size.

    Args:
        what: they are, for the error.

    Raises:
        StageError: one is outside of the picture.
    """
    points = np.array(positions, np.float64)
    if points.max() <= 1:
        return points * (width, height)
    outside = (points > (width, height)).any(axis=1)
    if outside.any():
        x, y = points[outside][0]
        raise StageError(
            f"{what} has [{x:g}, {y:g}], outside of the picture of {width} x {height}: expected pixels inside, or "
            "shares from 0 to 1"
        )
    return points

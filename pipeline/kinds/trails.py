"""Trails as a result: where tracks have been in the last seconds. The tracker gives them, to be drawn."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.kinds.kind import Kind

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

MOST = 1_000_000  # points of a frame that another process may send
FARTHEST = 1e6  # pixels of a coordinate


@dataclass(frozen=True, slots=True, eq=False)
class Trails:
    """The trails of N tracks, one behind the other.

    Attributes:
        numbers: (N,) int64, of the tracks.
        lengths: (N,) int64, how many points each has.
        points: (P, 2) float32, x and y in pixels of where each stood, in the middle of its lower edge; oldest first.
    """

    numbers: NDArray[np.int64]
    lengths: NDArray[np.int64]
    points: NDArray[np.float32]

    def __post_init__(self) -> None:
        kinds = [(self.numbers, np.int64), (self.lengths, np.int64), (self.points, np.float32)]
        if any(not isinstance(array, np.ndarray) or array.dtype != kind for array, kind in kinds):
            raise ValueError("trails: expected numbers and lengths in int64, points in float32")
        counts = self.lengths.shape == self.numbers.shape == (len(self.lengths),) and (self.lengths >= 0).all()
        if not counts or self.points.shape != (self.lengths.sum(), 2) or len(self.points) > MOST:
            raise ValueError(f"trails: expected a length for each number, and as many points, at most {MOST}")
        if not (np.abs(self.points) < FARTHEST).all():
            raise ValueError("trails: expected points in pixels")


def _draw(canvas: "Canvas", trails: Trails) -> None:
    parts = np.split(trails.points, np.cumsum(trails.lengths)[:-1]) if len(trails.numbers) else []
    for number, points in zip(trails.numbers.tolist(), parts, strict=True):
        if len(points) > 1:
            canvas.trail(points, number)


TRAILS: Kind[Trails] = Kind("trails", Trails, draw=_draw)

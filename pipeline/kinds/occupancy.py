"""Occupancy as a result: who is in which zone. The stage of zones gives it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.kinds.kind import Kind

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

MOST = 100_000  # corners or tracks of a frame that another process may send
FARTHEST = 1e6  # pixels of a coordinate


@dataclass(frozen=True, slots=True, eq=False)
class Occupancy:
    """The Z zones of a stream, their corners and tracks one zone behind the other.

    Attributes:
        names: of the zones.
        sizes: (Z,) int64, how many corners each has.
        corners: (C, 2) float32, x and y in pixels.
        counts: (Z,) int64, how many tracks are in each.
        tracks: (T,) int64, their numbers.
    """

    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    corners: NDArray[np.float32]
    counts: NDArray[np.int64]
    tracks: NDArray[np.int64]

    def __post_init__(self) -> None:
        zones = len(self.names)
        numbers = (self.sizes, zones), (self.counts, zones), (self.tracks, None)
        for array, long in numbers:
            is_fit = isinstance(array, np.ndarray) and array.dtype == np.int64 and array.ndim == 1
            if not is_fit or len(array) > MOST or (long is not None and len(array) != long) or (array < 0).any():
                raise ValueError("occupancy: expected sizes and counts of each zone, and tracks, in int64")
        corners = self.corners
        is_fit = isinstance(corners, np.ndarray) and corners.dtype == np.float32 and len(corners) <= MOST
        if not is_fit or corners.shape != (self.sizes.sum(), 2) or not (np.abs(corners) < FARTHEST).all():
            raise ValueError("occupancy: expected the corners of the zones in pixels, in float32")
        if self.counts.sum() != len(self.tracks) or (self.sizes < 3).any():
            raise ValueError("occupancy: expected 3 corners or more of a zone, and as many tracks as are counted")

    def tracks_in(self, zone: str) -> list[int]:
        """The numbers of those in a zone."""
        ends = np.cumsum(self.counts).tolist()
        n = self.names.index(zone)
        numbers: list[int] = self.tracks[ends[n] - int(self.counts[n]) : ends[n]].tolist()
        return numbers


def _as_json(occupancy: Occupancy) -> Any:
    return {name: occupancy.tracks_in(name) for name in occupancy.names}


def _draw(canvas: "Canvas", occupancy: Occupancy) -> None:
    outlines = np.split(occupancy.corners, np.cumsum(occupancy.sizes)[:-1]) if occupancy.names else []
    for name, corners, count in zip(occupancy.names, outlines, occupancy.counts.tolist(), strict=True):
        colour = canvas.colour_of(name)
        canvas.polygon(corners, colour)
        canvas.text(corners[corners[:, 1].argmin()], f"{name} {count}", colour)


OCCUPANCY: Kind[Occupancy] = Kind(
    "zones",
    Occupancy,
    as_json=_as_json,
    schema={
        "type": "object",
        "description": "The tracks in each zone, by its name",
        "additionalProperties": {"type": "array", "items": {"type": "integer", "minimum": 1}},
    },
    draw=_draw,
)

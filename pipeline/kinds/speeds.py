"""Speeds as a result: how fast the tracks of a frame move on the ground. The stage of speed gives them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from watchline.ops.colours import track_colour
from watchline.pipeline.kinds.kind import Kind

if TYPE_CHECKING:
    from watchline.ops.canvas import Canvas

FARTHEST = 1e6  # pixels of a coordinate


@dataclass(frozen=True, slots=True, eq=False)
class Speeds:
    """Of the T tracks whose speed is known.

    Attributes:
        tracks: (T,) int64, their numbers.
        kmh: (T,) float32, kilometres per hour.
        feet: (T, 2) float32, x and y in pixels of where they stand.
    """

    tracks: NDArray[np.int64]
    kmh: NDArray[np.float32]
    feet: NDArray[np.float32]

    def __post_init__(self) -> None:
        many = len(self.tracks)
        kinds = (self.tracks, np.int64, (many,)), (self.kmh, np.float32, (many,)), (self.feet, np.float32, (many, 2))
        if any(not isinstance(a, np.ndarray) or a.dtype != kind or a.shape != shape for a, kind, shape in kinds):
            raise ValueError("speeds: expected tracks in int64, km/h and feet in float32")
        if not (np.abs(self.feet) < FARTHEST).all() or not np.isfinite(self.kmh).all() or (self.kmh < 0).any():
            raise ValueError("speeds: expected feet in pixels, and speeds from 0 on")


def _as_json(speeds: Speeds) -> Any:
    pairs = zip(speeds.tracks.tolist(), speeds.kmh.tolist(), strict=True)
    return [{"track": track, "kmh": round(kmh, 1)} for track, kmh in pairs]


def _draw(canvas: "Canvas", speeds: Speeds) -> None:
    for track, kmh, foot in zip(speeds.tracks.tolist(), speeds.kmh.tolist(), speeds.feet, strict=True):
        canvas.text(foot, f"{kmh:.0f} km/h", track_colour(track))


SPEEDS: Kind[Speeds] = Kind(
    "speeds",
    Speeds,
    as_json=_as_json,
    schema={
        "type": "array",
        "description": "How fast tracks move on the ground, of those that were seen for long enough",
        "items": {
            "type": "object",
            "required": ["track", "kmh"],
            "additionalProperties": False,
            "properties": {"track": {"type": "integer", "minimum": 1}, "kmh": {"type": "number", "minimum": 0}},
        },
    },
    draw=_draw,
)

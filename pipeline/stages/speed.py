"""The stage of speed: how fast tracks move, where four points of the ground and their metres are given.

[streams.road.speed]
points = [[142, 193], [256, 193], [264, 73], [207, 73]]
metres = [[0, 0], [3.66, 0], [3.66, 48.8], [0, 48.8]]
"""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from watchline.ops.detections import Detections
from watchline.ops.followed import Followed, Known
from watchline.ops.ground import Speedometer, are_flat, homography, on_ground
from watchline.ops.regions import anchors
from watchline.pipeline.kinds.speeds import SPEEDS, Speeds
from watchline.pipeline.message import Event, Item
from watchline.pipeline.settings.positions import Position, check_unit, in_pixels
from watchline.pipeline.stages.following import Following
from watchline.pipeline.stages.stage import Stage, Work
from watchline.settings import settings

Metres = Annotated[float, Field(ge=-1e5, le=1e5, allow_inf_nan=False)]

EVENT = {
    "type": "object",
    "description": "A track is over: how fast it was",
    "required": ["track", "label", "kmh", "metres"],
    "properties": {
        "track": {"type": "integer", "minimum": 1},
        "label": {"type": "string", "minLength": 1, "description": "Its class, as seen last"},
        "kmh": {"type": "number", "minimum": 0, "description": "Mean, straight from where it was first to last"},
        "metres": {"type": "number", "minimum": 0, "description": "How far that is"},
    },
}


@settings
class Speed(Stage):
    """Settings of the stage of speed.

    Raises:
        SettingsError (a ValueError): the points and metres are not four each, or three of them are on one line.
    """

    name = "speed"
    gives = (SPEEDS,)
    emits = MappingProxyType({"speed": EVENT})
    per_stream = ("points", "metres")
    is_by_stream = True
    needs = ("tracker",)

    points: tuple[Position, ...] = Field(
        default=(), description="four points of the ground, [[x, y], …], in pixels or in shares of the picture"
    )
    metres: tuple[tuple[Metres, Metres], ...] = Field(
        default=(), description="where these are on the ground, [[x, y], …] in metres"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = len(self.points), len(self.metres)
        if counts not in ((0, 0), (4, 4)):
            raise ValueError(f"there are {counts[0]} points and {counts[1]} metres: expected four of each")
        check_unit("points", self.points)
        for what, four in (("points", self.points), ("metres", self.metres)):
            if four and are_flat(np.array(four, np.float64)):
                raise ValueError(f"three of the {what} are on one line: expected the corners of a quadrangle")

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Yields what says how fast tracks move."""
        yield Following(self, _Stream)

    def recorded(self) -> dict[str, Any]:
        """What decides the events."""
        return {"points": self.points, "metres": self.metres} if self.points else {}


class _Stream:
    """Without points there is no result."""

    def __init__(self, settings: Speed) -> None:
        self._settings = settings
        self._matrix: NDArray[np.float64] = np.eye(3)
        self._tracks: Followed[Speedometer] = Followed(Speedometer)

    def fit(self, width: int, height: int) -> None:
        if self._settings.points:
            points = in_pixels("speed: points", self._settings.points, width, height)
            self._matrix = homography(points, np.array(self._settings.metres, np.float64))

    def follow(self, item: Item, found: Detections, alive: Container[int]) -> Item:
        if not self._settings.points:
            return item
        feet = anchors(found.xyxy, "bottom")
        metres, rows, tracks, speeds = on_ground(feet, self._matrix), [], [], []
        for row, one in self._tracks.update(found, alive, item.frame.seconds):
            if np.isfinite(metres[row]).all():
                kmh = one.state.update(item.frame.seconds, *metres[row].tolist())
                if kmh is not None:
                    rows.append(row)
                    tracks.append(one.number)
                    speeds.append(kmh)
        result = Speeds(
            np.array(tracks, np.int64), np.array(speeds, np.float32), feet[rows].astype(np.float32).reshape(-1, 2)
        )
        events = _ended(self._tracks.gone)
        return replace(item.with_result(SPEEDS, result), events=(*item.events, *events))

    def end(self) -> list[Event]:
        return _ended(self._tracks.known())


def _ended(tracks: list[Known[Speedometer]]) -> list[Event]:
    means = [(one, mean) for one in tracks if (mean := one.state.mean()) is not None]
    return [
        Event("speed", {"track": one.number, "label": one.label, "kmh": round(kmh, 1), "metres": round(metres, 1)})
        for one, (kmh, metres) in means
    ]

"""The stage of lines: who crosses a line, in and out, each track once a direction.

    [streams.door.lines.sill]
    from = [0.2, 0.7]
    to = [0.8, 0.7]

In is from the left of the line to its right, as seen by who walks from its first to its second end: with the first one
on the left of the picture, downwards.
"""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from watchline.ops.crossings import Crossed, Crossing
from watchline.ops.detections import Detections
from watchline.ops.followed import Followed, Known
from watchline.ops.regions import Points, Sight, anchors, distances
from watchline.pipeline.counts import Counted
from watchline.pipeline.kinds.crossings import CROSSINGS, Crossings
from watchline.pipeline.message import Event, Item
from watchline.pipeline.settings.entries import check_names, recorded
from watchline.pipeline.settings.positions import Anchor, Position, check_unit, in_pixels
from watchline.pipeline.stages.following import Checked, Following
from watchline.pipeline.stages.modelled import Share
from watchline.pipeline.stages.stage import Stage, Work
from watchline.settings import settings

MOST = 100  # lines of a stream
MARGIN = 0.05  # heights of its box

_SIGHT = {
    "type": "object",
    "required": ["frame", "pts", "track", "at"],
    "additionalProperties": False,
    "properties": {
        "frame": {"type": "integer", "minimum": 0},
        "pts": {"type": "number"},
        "track": {"type": "integer", "minimum": 1, "description": "Its number in that frame"},
        "at": {
            "description": "x and y in pixels of its anchor",
            "type": "array",
            "items": {"type": "number"},
            "minItems": 2,
            "maxItems": 2,
        },
    },
}
EVENT = {
    "type": "object",
    "description": "A track has crossed a line, the first time in that direction",
    "required": ["line", "direction", "track", "label", "before", "after"],
    "properties": {
        "line": {"type": "string", "minLength": 1},
        "direction": {"enum": ["in", "out"]},
        "track": {"type": "integer", "minimum": 1},
        "label": {"type": "string", "minLength": 1, "description": "Its class, as seen last"},
        "before": _SIGHT | {"description": "Where it stood last on the one side"},
        "after": _SIGHT | {"description": "Where it stood first on the other side"},
    },
}


@settings
class Line:
    """A line across which tracks are counted.

    Attributes:
        start, end: `from` and `to` in the config.

    Raises:
        SettingsError (a ValueError): it has no length, or cannot be otherwise.
    """

    __pydantic_config__ = ConfigDict(populate_by_name=True)

    name: str = Field(kw_only=True, min_length=1, max_length=40, description="its name")
    start: Position = Field(
        validation_alias="from", description="where it begins, [x, y], in pixels or in shares of the picture"
    )
    end: Position = Field(validation_alias="to", description="where it ends, [x, y]")
    anchor: Anchor = Field(default="bottom", description="the point of a box that must cross it")
    margin: Share = Field(
        default=MARGIN, description="distance from the line at which a track stands on a side, in heights of its box"
    )
    classes: tuple[str, ...] = Field(default=(), description="of the tracks; without any, all")

    def __post_init__(self) -> None:
        check_unit("the line", (self.start, self.end))
        if self.start == self.end:
            raise ValueError("from and to are one point: expected a line")


@settings
class Lines(Stage):
    """Settings of the stage of lines.

    Raises:
        SettingsError (a ValueError): two lines have one name.
    """

    name = "lines"
    gives = (CROSSINGS,)
    emits = MappingProxyType({"line": EVENT})
    counts = MappingProxyType({"line": Counted("line", "direction", "label")})
    per_stream = ("lines",)
    entries = Line
    is_by_stream = True
    needs = ("tracker",)

    lines: tuple[Line, ...] = Field(default=(), max_length=MOST, description="lines across which tracks are counted")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names(self.lines)

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Yields what counts who crosses."""
        yield Following(self, _Stream)

    def recorded(self) -> dict[str, Any]:
        """What decides the events."""
        return recorded(self.lines)


class _Stream:
    """Lines that nobody has are no result."""

    def __init__(self, settings: Lines) -> None:
        self._lines = settings.lines
        self._ends: list[Points] = []
        self._checked = Checked(settings.lines)
        self._tracks: Followed[list[Crossing]] = Followed(lambda: [Crossing() for _ in settings.lines])
        self._counts: NDArray[np.int64] = np.zeros((len(self._lines), 2), np.int64)

    def fit(self, width: int, height: int) -> None:
        self._ends = [in_pixels(line.name, (line.start, line.end), width, height) for line in self._lines]

    def follow(self, item: Item, found: Detections, alive: Container[int]) -> Item:
        if not self._lines:
            return item
        self._checked.check(found.labels)
        frame, events = item.frame, []
        seen = self._tracks.update(found, alive, frame.seconds)
        heights = (found.xyxy[:, 3] - found.xyxy[:, 1]).tolist()
        for n, (line, ends) in enumerate(zip(self._lines, self._ends, strict=True)):
            points = anchors(found.xyxy, line.anchor)
            away = distances(points, ends).tolist()
            for row, one in seen:
                if line.classes and one.label not in line.classes:
                    continue
                sight = Sight(frame.index, frame.seconds, one.number, *points[row].tolist())
                crossed = one.state[n].update(sight, away[row], line.margin * heights[row], ends)
                if crossed:
                    self._counts[n, ("in", "out").index(crossed.direction)] += 1
                    events.append(_event(line, one, crossed))
        return replace(item.with_result(CROSSINGS, self._crossings()), events=(*item.events, *events))

    def end(self) -> list[Event]:
        return []

    def _crossings(self) -> Crossings:
        ends = np.array(self._ends, np.float32).reshape(-1, 4)
        return Crossings(tuple(line.name for line in self._lines), ends, self._counts.copy())


def _event(line: Line, one: Known[list[Crossing]], crossed: Crossed) -> Event:
    said = {"line": line.name, "direction": crossed.direction, "track": one.number, "label": one.label}
    return Event("line", said | {"before": _told(crossed.before), "after": _told(crossed.after)})


def _told(sight: Sight) -> dict[str, Any]:
    at = [round(sight.x, 2), round(sight.y, 2)]
    return {"frame": sight.frame, "pts": round(sight.seconds, 3), "track": sight.track, "at": at}

"""The stage of zones: who is in a part of the picture, since when, who enters, leaves and loiters.

[streams.door.zones.entrance]
polygon = [[0.1, 0.4], [0.6, 0.4], [0.6, 1], [0.1, 1]]
loitering = "10s"
"""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from watchline.ops.detections import Detections
from watchline.ops.followed import Followed, Known
from watchline.ops.regions import Points, anchors, crossed_edges, inside
from watchline.ops.stays import Change, Stay
from watchline.pipeline.counts import Counted
from watchline.pipeline.kinds.occupancy import OCCUPANCY, Occupancy
from watchline.pipeline.message import Event, Item
from watchline.pipeline.settings.duration import Seconds
from watchline.pipeline.settings.entries import check_names, recorded
from watchline.pipeline.settings.positions import Anchor, Position, check_unit, in_pixels
from watchline.pipeline.stages.following import Checked, Following
from watchline.pipeline.stages.stage import Stage, Work
from watchline.settings import settings

MOST = 100  # zones of a stream, and corners of a zone

EVENT = {
    "type": "object",
    "description": "A track enters a zone, loiters in it, or has left it",
    "required": ["zone", "state", "track", "label", "since"],
    "properties": {
        "zone": {"type": "string", "minLength": 1},
        "state": {"enum": ["enter", "loiter", "leave"]},
        "track": {"type": "integer", "minimum": 1, "description": "Its number now"},
        "label": {"type": "string", "minLength": 1, "description": "Its class, as seen last"},
        "since": {"type": "number", "description": "When it was first inside, on the clock of the stream"},
        "dwell": {
            "type": "number",
            "minimum": 0,
            "description": "Of who has left: seconds from then until it was last inside",
        },
    },
}


@settings
class Zone:
    """A part of the picture.

    Raises:
        SettingsError (a ValueError): it crosses itself, or cannot be otherwise.
    """

    name: str = Field(kw_only=True, min_length=1, max_length=40, description="its name")
    polygon: tuple[Position, ...] = Field(
        description="corners in order, [[x, y], …], in pixels or in shares of the picture", max_length=MOST
    )
    anchor: Anchor = Field(default="bottom", description="the point of a box that must be inside")
    inertia: Annotated[Seconds, Field(gt=0)] = Field(
        default=0.5, description="time inside from which a track is in it, and outside from which it has left"
    )
    loitering: Annotated[Seconds, Field(gt=0)] | None = Field(
        default=None, description="time inside from which a track loiters; without it, nobody does"
    )
    classes: tuple[str, ...] = Field(default=(), description="of the tracks; without any, all")

    def __post_init__(self) -> None:
        many = len(self.polygon)
        if many < 3:
            raise ValueError(f"polygon has {many} corner{'' if many == 1 else 's'}: expected 3 or more")
        check_unit("polygon", self.polygon)
        crossed = crossed_edges(np.array(self.polygon))
        if crossed is not None:
            first, second = (_edge(self.polygon, n) for n in crossed)
            raise ValueError(f"polygon crosses itself: {first} touches {second}; list its corners in order, each once")
        if self.loitering is not None and self.loitering < self.inertia:
            raise ValueError(f"loitering is {self.loitering:g} s: expected at least the inertia, {self.inertia:g} s")


@settings
class Zones(Stage):
    """Settings of the stage of zones.

    Raises:
        SettingsError (a ValueError): two zones have one name.
    """

    name = "zones"
    gives = (OCCUPANCY,)
    emits = MappingProxyType({"zone": EVENT})
    counts = MappingProxyType({"zone": Counted("zone", "state", "label", mean="dwell")})
    per_stream = ("zones",)
    entries = Zone
    is_by_stream = True
    needs = ("tracker",)

    zones: tuple[Zone, ...] = Field(default=(), max_length=MOST, description="parts of the picture")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names(self.zones)

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Yields what says who is in which zone."""
        yield Following(self, _Stream)

    def recorded(self) -> dict[str, Any]:
        """What decides the events."""
        return recorded(self.zones)


class _Stream:
    """Zones that nobody has are no result."""

    def __init__(self, settings: Zones) -> None:
        self._zones = settings.zones
        self._polygons: list[Points] = []
        self._checked = Checked(settings.zones)
        self._tracks: Followed[list[Stay]] = Followed(lambda: [Stay() for _ in settings.zones])

    def fit(self, width: int, height: int) -> None:
        self._polygons = [in_pixels(f"{zone.name}: polygon", zone.polygon, width, height) for zone in self._zones]

    def follow(self, item: Item, found: Detections, alive: Container[int]) -> Item:
        if not self._zones:
            return item
        self._checked.check(found.labels)
        frame, events = item.frame, []
        seen = self._tracks.update(found, alive, frame.seconds)
        for n, (zone, polygon) in enumerate(zip(self._zones, self._polygons, strict=True)):
            are_inside = inside(anchors(found.xyxy, zone.anchor), polygon).tolist()
            for row, one in seen:
                is_inside = are_inside[row] and (not zone.classes or one.label in zone.classes)
                changes = one.state[n].update(is_inside, frame.seconds, zone.inertia, zone.loitering)
                events += [_event(zone, one, change) for change in changes]
        events += self._left(self._tracks.gone)
        return replace(item.with_result(OCCUPANCY, self._occupancy()), events=(*item.events, *events))

    def end(self) -> list[Event]:
        return self._left(self._tracks.known())

    def _left(self, tracks: list[Known[list[Stay]]]) -> list[Event]:
        """Of tracks that are over: they have left."""
        return [
            _event(zone, one, change)
            for one in tracks
            for zone, stay in zip(self._zones, one.state, strict=True)
            for change in stay.end()
        ]

    def _occupancy(self) -> Occupancy:
        known = self._tracks.known()
        tracks = [[one.number for one in known if one.state[n].is_in] for n in range(len(self._zones))]
        return Occupancy(
            tuple(zone.name for zone in self._zones),
            np.array([len(polygon) for polygon in self._polygons], np.int64),
            np.concatenate(self._polygons).astype(np.float32),
            np.array([len(each) for each in tracks], np.int64),
            np.array([number for each in tracks for number in each], np.int64),
        )


def _event(zone: Zone, one: Known[list[Stay]], change: Change) -> Event:
    said: dict[str, Any] = {"zone": zone.name, "state": change.state, "track": one.number, "label": one.label}
    dwell = {"dwell": round(change.until - change.since, 3)} if change.state == "leave" else {}
    return Event("zone", said | {"since": round(change.since, 3)} | dwell)


def _edge(polygon: tuple[Position, ...], n: int) -> str:
    """In words."""
    (x1, y1), (x2, y2) = polygon[n], polygon[(n + 1) % len(polygon)]
    return f"[{x1:g}, {y1:g}] to [{x2:g}, {y2:g}]"

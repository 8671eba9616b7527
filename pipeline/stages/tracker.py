"""The tracker stage: which detections of a stream are one object, from frame to frame.

On frames that the detector does not look at, it says where the tracks must be.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic import Field

from watchline.ops.assignment import solver
from watchline.ops.detections import Detections
from watchline.ops.tracks import MEMORY, NONE, START, SURE, Track, Tracks
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.motion import MOTION
from watchline.pipeline.kinds.trails import FARTHEST, TRAILS, Trails
from watchline.pipeline.message import Event, Item
from watchline.pipeline.settings.duration import Seconds
from watchline.pipeline.stages.modelled import Share
from watchline.pipeline.stages.stage import Stage, Work
from watchline.settings import flag, settings
from watchline.streams.source import About

TRAIL = 3.0  # seconds for which the trail of a track is drawn

EVENT = {
    "type": "object",
    "description": "A track begins, when it gets its number, or has ended",
    "required": ["track", "state", "label", "since", "score"],
    "properties": {
        "track": {"type": "integer", "minimum": 1, "description": "Its number in this epoch of the stream"},
        "state": {"enum": ["begun", "ended"]},
        "label": {"type": "string", "minLength": 1, "description": "Its class, as seen last"},
        "since": {"type": "number", "description": "When it was seen for the first time, on the clock of the stream"},
        "until": {"type": "number", "description": "When it was seen for the last time"},
        "score": {"type": "number", "minimum": 0, "maximum": 1, "description": "Mean over its last second"},
        "why": {
            "enum": ["left", "lost", "over"],
            "description": "It left the picture, was not seen for too long, or the stream or epoch is over",
        },
    },
    "dependentRequired": {"until": ["why"], "why": ["until"]},
}


@settings
class Tracker(Stage):
    """Settings of the tracker stage.

    Raises:
        SettingsError (a ValueError): there is no such setting, or it cannot be; all mistakes are named.
    """

    name = "tracker"
    gives = (DETECTIONS, TRAILS)
    emits = MappingProxyType({"track": EVENT})
    advice = "fewer detections would help: a higher --conf, or --classes"
    per_stream = ("memory", "sure", "start")

    memory: Seconds = Field(
        default=MEMORY,
        gt=0,
        le=60,
        description="number the objects, and keep the numbers of those that are hidden for so long",
        json_schema_extra=flag("TIME", "track"),
    )
    sure: Share = Field(default=SURE, description="score from which a detection may begin a track")
    start: Share = Field(default=START, description="mean score from which a track gets a number")

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Yields what gives numbers to detections."""
        solver()
        yield Tracking(self)

    def recorded(self) -> dict[str, Any]:
        """What decides the numbers."""
        return {"memory": self.memory, "sure": self.sure, "start": self.start}


class Tracking(Work):
    """Tracks several streams."""

    def __init__(self, settings: Tracker) -> None:
        self._settings = settings
        self._streams: dict[str, _Stream] = {}

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        self._streams[stream] = _stream_of(self._settings.of(stream))

    def end(self, stream: str) -> Sequence[Event]:
        gone = self._streams.pop(stream, None)
        return gone.closed() if gone else ()

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return [self._tracked(item) for item in items]

    def _tracked(self, item: Item) -> Item:
        if item.frame.file is not None:  # each photo is a scene of its own
            return item
        stream = self._streams.get(item.stream)
        if stream is None:  # nobody has said that it begins: it is called as a function
            stream = self._streams[item.stream] = _stream_of(self._settings.of(item.stream))
        return stream.predicted(item) if item.detections is None else stream.tracked(item, item.detections)


@dataclass
class _Stream:
    """Attributes: trails, of each number the seconds and where it stood; labels, of the detector once it has looked."""

    tracks: Tracks
    trails: dict[int, deque[tuple[float, float, float]]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()

    def tracked(self, item: Item, found: Detections) -> Item:
        """The item with numbers, trails, and an event for each track that begins or has ended."""
        frame = item.frame
        self.labels = found.labels
        numbers = self.tracks.update(found, frame.seconds, (frame.width, frame.height))
        events = [self._event(track, "ended", track.ended) for track in self.tracks.ended]
        new = [number for number in numbers.tolist() if number != NONE and number not in self.trails]
        if new:
            events += [self._event(track, "begun") for track in self.tracks.known() if track.number in new]
        for track in self.tracks.ended:
            self.trails.pop(track.number, None)
        self._walk(found, numbers.tolist(), frame.seconds)
        item = item.with_result(DETECTIONS, replace(found, tracker_id=numbers)).with_result(TRAILS, self._drawn())
        return replace(item, events=(*item.events, *events)) if events else item

    def predicted(self, item: Item) -> Item:
        """The item with the tracks where they must be, if the detector has looked at a frame before it."""
        if not self.labels:
            return item
        frame = item.frame
        movement, size = item.result(MOTION), (frame.width, frame.height)
        is_still = movement is not None and movement.number is None
        tracks = sorted(self.tracks.between(frame.seconds, size, is_still), key=lambda one: -one.score)
        found = Detections(
            np.array([one.box for one in tracks], np.float32).reshape(-1, 4),
            np.array([one.score for one in tracks], np.float32),
            np.array([one.kind for one in tracks], np.int64),
            self.labels,
            np.array([one.number for one in tracks], np.int64),
            predicted=np.ones(len(tracks), np.bool_),
        )
        return item.with_result(DETECTIONS, found)

    def closed(self) -> list[Event]:
        """What is to be said at the end of the stream or epoch."""
        return [self._event(track, "ended", "over") for track in self.tracks.known()]

    def _walk(self, found: Detections, numbers: list[int], seconds: float) -> None:
        boxes = found.xyxy.clip(-FARTHEST / 2, FARTHEST / 2).tolist()
        for number, (left, _, right, bottom) in zip(numbers, boxes, strict=True):
            if number != NONE:
                self.trails.setdefault(number, deque()).append((seconds, (left + right) / 2, bottom))
        for trail in self.trails.values():
            while trail and seconds - trail[0][0] > TRAIL:
                trail.popleft()

    def _drawn(self) -> Trails:
        points = [step[1:] for trail in self.trails.values() for step in trail]
        return Trails(
            np.array(list(self.trails), np.int64),
            np.array([len(trail) for trail in self.trails.values()], np.int64),
            np.array(points, np.float32).reshape(-1, 2),
        )

    def _event(self, track: Track, state: str, why: str | None = None) -> Event:
        data = {"track": track.number, "state": state, "label": self.labels[track.kind], "since": round(track.since, 3)}
        data |= {} if why is None else {"until": round(track.seen, 3), "why": why}
        return Event("track", data | {"score": round(track.score, 4)})


def _stream_of(settings: Tracker) -> _Stream:
    return _Stream(Tracks(settings.sure, settings.start, settings.memory))

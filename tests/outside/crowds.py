"""A stage as its user writes it, in one file: how many people are there, and when they become a crowd.

Tests copy this file into the folder they work in. It takes nothing from the tests.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from watchline import About, Canvas, Event, Item, Kind, Stage, Work
from watchline.settings import settings


@dataclass(frozen=True)
class Crowd:
    """Attributes: since, the frame from which there is a crowd; None if there is none."""

    middles: NDArray[np.float32]  # (N, 2), of the people
    where: str
    since: int | None


def as_json(crowd: Crowd) -> dict[str, Any]:
    return {"people": len(crowd.middles), "where": crowd.where, "since": crowd.since}


def draw(canvas: Canvas, crowd: Crowd) -> None:
    canvas.polygon([(2, 50), (62, 50), (62, 62), (2, 62)], (0, 255, 255) if crowd.since is None else (255, 0, 255))


CROWD = Kind(
    "crowd",
    Crowd,
    as_json=as_json,
    schema={
        "type": "object",
        "required": ["people", "where", "since"],
        "additionalProperties": False,
        "properties": {
            "people": {"type": "integer", "minimum": 0},
            "where": {"enum": ["left", "right", "nowhere"]},
            "since": {"type": ["integer", "null"]},
        },
    },
    draw=draw,
    summary=lambda crowd: f"{len(crowd.middles)} people",
)
COUNT = {"type": "object", "required": ["people"], "properties": {"people": {"type": "integer"}}}
TOTAL = {"type": "object", "required": ["frames"], "properties": {"frames": {"type": "integer"}}}


@settings
class Crowds(Stage):
    name = "crowds"
    gives = (CROWD,)
    emits = {"crowd_began": COUNT, "crowds_over": TOTAL}  # noqa: RUF012
    advice = "a larger `most` would help"
    per_stream = ("most",)

    most: int = Field(default=1, ge=1, description="people from which it is a crowd")
    slow: float = Field(default=0, ge=0, description="seconds that it takes for a frame")

    @contextmanager
    def open(self) -> Iterator[Work]:
        yield Counting(self)

    def recorded(self) -> dict[str, Any]:
        return {"most": self.most}


class Counting(Work):
    about = {"counts": "people"}  # noqa: RUF012

    def __init__(self, crowds: Crowds) -> None:
        self.settings = crowds
        self.since: dict[str, int | None] = {}
        self.frames: dict[str, int] = {}

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        self.since[stream], self.frames[stream] = None, 0

    def end(self, stream: str) -> Sequence[Event]:
        self.since.pop(stream)
        return [Event("crowds_over", {"frames": self.frames.pop(stream)})]

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return [self.look(item) for item in items]

    def look(self, item: Item) -> Item:
        time.sleep(self.settings.slow)
        found = item.detections
        if found is None:
            return item
        stream = item.stream
        people = found[found.names == "person"]
        middles = (people.xyxy[:, :2] + people.xyxy[:, 2:]) / 2
        is_crowd = len(people) >= self.settings.of(stream).most
        began = is_crowd and self.since[stream] is None
        self.since[stream] = (self.since[stream] if not began else item.frame.index) if is_crowd else None
        self.frames[stream] += is_crowd
        where = "nowhere" if not len(middles) else "left" if middles[:, 0].mean() < item.frame.width / 2 else "right"
        item = item.with_result(CROWD, Crowd(middles.astype(np.float32), where, self.since[stream]))
        return item.with_event("crowd_began", people=len(people)) if began else item

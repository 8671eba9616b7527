"""Stages of your own, written as anybody would write them. Another process can import them."""

import os
import signal
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.message import Event, Item
from watchline.pipeline.stages.stage import Process, Stage, Work
from watchline.settings import settings
from watchline.streams.frame import ArrayPicture
from watchline.streams.source import About


@dataclass(frozen=True)
class Tally:
    """What is known of a stream after a frame. It says nothing of how it crosses to another process.

    Attributes:
        who: the stream, its epoch and its name.
        seen: frames since the beginning of the stream, or of its epoch.
        sums: (3,) int64, of their blue, green and red.
        means: (N, 2) float32, index and mean grey of the last frames.
        known: streams that the stage knows now.
        pid: of the process that it runs in.
    """

    who: tuple[str, int | None, str]
    seen: int
    sums: NDArray[np.int64]
    means: NDArray[np.float32]
    known: int
    pid: int


TALLY: Kind[Tally] = Kind("tally", Tally, as_json=lambda tally: tally.seen, schema={"type": "integer"})
EVENTS: Mapping[str, Mapping[str, Any]] = {
    "reached": {"properties": {"frames": {"type": "integer"}}},
    "over": {"properties": {"frames": {"type": "integer"}, "sums": {"type": "array"}, "who": {"type": "array"}}},
}


@settings
class Tallies(Stage):
    """Counts the frames of each stream, and says every `every` frames and at the end how many there were.

    Attributes:
        dies_at: index of the frame at which its process dies of SIGKILL; with `once`, a folder, only the first time.
        begins_badly: how often its process dies of SIGKILL when a stream begins; `once` counts.
        fails_at: indices of frames that it counts, and then raises.
        says: name of its last event.
    """

    name = "tallies"
    order = "stream"
    gives = (TALLY,)
    emits = EVENTS

    every: int = Field(default=10, ge=1)
    batch: int = Field(default=1, ge=1)
    dies_at: int | None = None
    begins_badly: int = 0
    fails_at: tuple[int, ...] = ()
    says: str = "over"
    once: Path | None = None

    @contextmanager
    def open(self) -> Iterator[Work]:
        yield Counting(self)


@dataclass
class Count:
    """What the stage knows of a stream."""

    who: tuple[str, int | None, str]
    seen: int = 0
    sums: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))
    means: list[tuple[int, float]] = field(default_factory=list)


class Counting(Work):
    """Counts, stream by stream."""

    def __init__(self, settings: Tallies) -> None:
        self.about = {"counts": "frames", "pid": os.getpid()}
        self._settings = settings
        self._streams: dict[str, Count] = {}

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        for n in range(self._settings.begins_badly):
            self._die(f"at-beginning-{n}")
        self._streams[stream] = Count((stream, epoch, f"{about.name} {about.width} x {about.height} {about.rate}"))

    def end(self, stream: str) -> Sequence[Event]:
        count = self._streams.pop(stream)
        return [Event(self._settings.says, {"frames": count.seen, "sums": count.sums.tolist(), "who": list(count.who)})]

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return [self._count(item) for item in items]

    def _count(self, item: Item) -> Item:
        if item.frame.index == self._settings.dies_at:
            self._die(f"at-{item.frame.index}")
        count = self._streams[item.stream]
        pixels = item.frame.image
        count.seen += 1
        count.sums = count.sums + pixels.sum(axis=(0, 1), dtype=np.int64)
        count.means = [*count.means[-3:], (item.frame.index, float(pixels.mean()))]
        if item.frame.index in self._settings.fails_at:
            raise ValueError(f"no number after {count.seen}")
        means = np.array(count.means, np.float32)
        item = item.with_result(TALLY, Tally(count.who, count.seen, count.sums, means, len(self._streams), os.getpid()))
        return item.with_event("reached", frames=count.seen) if count.seen % self._settings.every == 0 else item

    def _die(self, mark: str) -> None:
        if self._settings.once is not None:
            file = self._settings.once / mark
            if file.exists():
                return
            file.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Seen:
    """What a stage has seen of a picture: a checksum of its pixels, and its left column (H, 1, 3)."""

    checksum: int
    column: NDArray[np.uint8]


SEEN: Kind[Seen] = Kind("seen", Seen)
LOOKED: Mapping[str, Mapping[str, Any]] = {"looked": {"properties": {"before": {"type": "array"}}}}
BLURRED: Mapping[str, Mapping[str, Any]] = {"blurred": {}}


@settings
class Looks(Stage):
    """Says what it sees, and how many events the stages before it have seen."""

    name = "looks"
    order = "any"
    gives = (SEEN,)
    emits = LOOKED

    @contextmanager
    def open(self) -> Iterator[Process]:
        yield lambda items: [self._look(item) for item in items]

    def _look(self, item: Item) -> Item:
        pixels = item.frame.image
        item = item.with_event("looked", before=[event.name for event in item.events])
        return item.with_result(SEEN, Seen(zlib.crc32(pixels.tobytes()), pixels[:, :1]))


@settings
class Blurs(Stage):
    """Blurs the picture for all stages after it, and marks the frame."""

    name = "blurs"
    order = "any"
    changes_picture = True
    emits = BLURRED

    size: int = Field(default=5, ge=1)

    @contextmanager
    def open(self) -> Iterator[Process]:
        yield lambda items: [self._blurred(item).with_event("blurred") for item in items]

    def _blurred(self, item: Item) -> Item:
        pixels = np.asarray(cv2.blur(item.frame.image, (self.size, self.size)), np.uint8)
        return replace(item, frame=replace(item.frame, picture=ArrayPicture(pixels)))


@settings
class Careless(Blurs):
    """The same, and does not say so."""

    name = "careless"
    changes_picture = False

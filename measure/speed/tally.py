"""A sink that notes when each frame had been written, how old it was, and which frames were dropped, and why."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from watchline.pipeline.message import Dropped, Item, Message
from watchline.pipeline.sinks.sink import Opening, Sink, Writer
from watchline.settings import settings


@dataclass
class Tally:
    """What became of the frames of all streams. Appending to a list is atomic, so no lane waits for another.

    Attributes:
        written: time.monotonic() and age in seconds of each frame, in the order in which they were written.
        dropped: time.monotonic(), cause and number of frames of each loss.
        has_begun: set once the first stream has come through all stages, so their models are loaded.
    """

    written: list[tuple[float, float]] = field(default_factory=list)
    dropped: list[tuple[float, str, int]] = field(default_factory=list)
    has_begun: threading.Event = field(default_factory=threading.Event)

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        now = time.monotonic()
        if isinstance(message, Item):
            self.written.append((now, now - message.frame.arrival))
        elif isinstance(message, Dropped):
            self.dropped.append((now, message.cause, message.frames))

    def ages(self, since: float, until: float) -> list[float]:
        """Seconds from arrival to written of the frames that were written in this time."""
        return [age for now, age in self.written if since < now <= until]

    def drops(self, since: float, until: float) -> dict[str, int]:
        """Frames that were dropped in this time, by cause."""
        causes: Counter[str] = Counter()
        for now, cause, frames in self.dropped:
            if since < now <= until:
                causes[cause] += frames
        return dict(causes)


@settings
class Tallied(Sink):
    """Notes into a tally. It comes after the sinks that must have a frame, so the age counts their work."""

    name = "tally"

    tally: Any

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        self.tally.has_begun.set()
        yield self.tally

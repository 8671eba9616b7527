"""A camera's files: segments that begin anew by the clock, and go on after the disk was full.

A recording that cannot be written costs its frames, not its stream: it is tried again every ten seconds, and what had
to be said meanwhile is written then.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from watchline.pipeline.message import Begin, Dropped, End, Item, Message
from watchline.pipeline.sinks.sink import Unwritten
from watchline.pipeline.sinks.unsaid import Unsaid
from watchline.streams.errors import SinkError
from watchline.streams.write.segments import SegmentsWriter

log = logging.getLogger(__name__)

AGAIN = 10.0  # seconds until a recording that could not be written is tried again


class StillBroken(SinkError):
    """A recording could not be written just now, and it is too early to try again."""


class Recording:
    """Writes a live stream's segments."""

    def __init__(self, segments: SegmentsWriter) -> None:
        self._segments = segments
        self._notes: list[str] = []
        self._again = 0.0  # when a recording that failed may be written again
        self._unsaid = Unsaid()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say what is unsaid. (Whoever has opened the segments closes them.)"""
        self._again = 0.0  # the last chance
        try:
            self._catch_up()
        except SinkError as broken:
            self._notes.append(str(broken))

    @property
    def notes(self) -> list[str]:
        """What somebody who looks at the files should know."""
        return [*self._notes, *self._segments.notes]

    @property
    def paths(self) -> list[Path]:
        """The newest files."""
        return self._segments.paths

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        """Raises Unwritten: this frame is not in the recording."""
        if isinstance(message, Begin):
            self._segments.begin(message.about)
        if isinstance(message, End) and message.whole:
            self._segments.end()
        if isinstance(message, Item):
            self._write(message, lines)
        else:
            self._unsaid.add(message, lines)
            try:
                self._catch_up()
            except SinkError as error:
                self._fail_for_now(message.stream, error)

    def _write(self, item: Item, lines: Sequence[bytes]) -> None:
        try:
            self._catch_up()
            self._segments.write(item.drawn, item.frame, lines, item.subtitle)
        except SinkError as error:
            self._fail_for_now(item.stream, error)
            raise Unwritten(str(error)) from error

    def _catch_up(self) -> None:
        """Write what waits. Raises SinkError: nothing can be written, or it is too early to try again."""
        if time.monotonic() < self._again:
            raise StillBroken
        self._unsaid.write(self._event)

    def _event(self, line: bytes, lost: Dropped | None) -> None:
        self._segments.event(line, None if lost is None else (lost.cause, lost.frames))

    def _fail_for_now(self, stream: str, error: SinkError) -> None:
        if not isinstance(error, StillBroken):
            log.warning("%s: %s; trying again in %g s", stream, error, AGAIN)
            self._again = time.monotonic() + AGAIN

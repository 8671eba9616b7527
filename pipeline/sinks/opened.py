"""The sinks of one stream while they are open. One that must have everything ends the stream where it fails; any other
one harms itself only, and what it has missed is counted. A pipe that nobody reads any more ends nothing as long as
another one that must have everything is open.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from watchline.pipeline.control import Control
from watchline.pipeline.errors import SinkFailed, one_line
from watchline.pipeline.message import Item, Message
from watchline.pipeline.sinks.sink import Opening, Sink, Unwritten, Writer
from watchline.streams.errors import SinkError
from watchline.streams.write.jsonl import NobodyReads

T = TypeVar("T")


class OpenSinks:
    """All sinks of a stream; those that must have everything take a message first.

    Attributes:
        are_open: they have been opened, or it was tried.
    """

    def __init__(self, sinks: Sequence[Sink], stream: str, control: Control) -> None:
        self.are_open = False
        self._stream, self._control = stream, control
        self._sinks = [_Opened(sink) for sink in sorted(sinks, key=lambda sink: not sink.must)]

    def open(self, opening: Opening) -> None:
        """Raises SinkFailed: one that must have the stream cannot."""
        self.are_open = True
        for each in self._sinks:
            self._let(each, partial(each.open, opening))

    def take(self, message: Message, lines: Sequence[bytes], ready: float) -> None:
        """Let each have a message, which has waited since `ready`.

        Raises:
            Unwritten: this frame is lost, as one that must have it could not write it.
            SinkFailed: so is the stream.
        """
        for each in self._sinks:
            started = time.monotonic()
            trouble = self._let(each, partial(each.take, message, lines))
            if trouble:
                self._control.complain(each.sink.name, self._stream, f"on a message: {trouble}")
            if isinstance(message, Item) and each.is_open:
                each.spent = time.monotonic() - started
                self._control.meter.worked(each.sink.name, 1, [started - ready], each.spent)

    def close(self) -> None:
        """Finish all of them. A second call does nothing.

        Raises:
            SinkFailed: of one that must have the stream, something is not whole; of several, the first.
        """
        failed: SinkFailed | None = None
        for each in reversed(self._sinks):
            try:
                each.close()
            except SinkFailed as error:
                failed = error
        if failed is not None:
            raise failed

    def _let(self, one: "_Opened", act: Callable[[], T]) -> T | None:
        """Returns what it does; None if nobody reads it any more, and others do what must be done."""
        try:
            return act()
        except SinkFailed as error:
            others = (each for each in self._sinks if each is not one)
            if isinstance(error.__cause__, NobodyReads) and any(each.sink.must and each.is_open for each in others):
                one.leave(f"{error}; the others go on")
                return None
            raise

    @property
    def slowest(self) -> str | None:
        """The name of the one that took longest for the last frame; None while none is open. For any thread."""
        open_ones = [each for each in self._sinks if each.is_open]
        return max(open_ones, key=lambda each: each.spent).sink.name if open_ones else None

    @property
    def paths(self) -> list[Path]:
        """The files that they have written, and that are there."""
        return [path for each in self._sinks for path in each.said("paths") if path.exists()]

    @property
    def notes(self) -> list[str]:
        """What was odd, one line each."""
        return [note for each in self._sinks for note in each.notes]


class _Opened:
    """One sink.

    Attributes:
        spent: seconds that it took for the last frame.
    """

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.spent = 0.0
        self._context = ExitStack()
        self._writer: Writer | None = None
        self._notes: list[str] = []
        self._missed, self._why = 0, ""

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    @property
    def notes(self) -> list[str]:
        missed = [f"{self.sink.name}: {self._missed} messages were not written: {self._why}"] if self._missed else []
        return [*self._notes, *self.said("notes"), *missed]

    def said(self, what: str) -> Sequence[Any]:
        """The writer's `notes` or `paths`."""
        said: Sequence[Any] = getattr(self._writer, what, ())
        return said

    def open(self, opening: Opening) -> None:
        try:
            self._writer = self._context.enter_context(self.sink.open(opening))
        except Exception as error:
            self._notes.append(f"{self.sink.name}: nothing is written: {self._judged(error, '')}")

    def take(self, message: Message, lines: Sequence[bytes]) -> str:
        """Returns what went wrong, if that harms nobody else."""
        try:
            if self._writer is not None:
                self._writer.take(message, lines)
        except Exception as error:
            if self.sink.must and isinstance(error, Unwritten):
                raise
            self._why = self._judged(error, f" on frame {message.frame.index}" if isinstance(message, Item) else "")
            self._missed += 1
            return self._why
        return ""

    def leave(self, why: str) -> None:
        """Nothing more is written there."""
        self._notes.append(f"{self.sink.name}: {why}")
        self.close()
        self._writer = None

    def close(self) -> None:
        try:
            self._context.close()
        except Exception as error:
            self._notes.append(f"{self.sink.name}: {self._judged(error, ' at the end')}")

    def _judged(self, error: Exception, where: str) -> str:
        """What it says, if the sink may fail. (A SinkError says by itself what could not be written.)"""
        if not self.sink.must:
            return one_line(error)
        named = "" if isinstance(error, SinkError) else f"the {self.sink.name} failed{where}: "
        raise SinkFailed(f"{named}{one_line(error)}") from error

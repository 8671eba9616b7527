"""Lanes: each stream is written in a thread of its own, so that no sink waits for another stream's.

A lane is bounded. A camera's lane holds two frames; where its sinks are slower, the older one is dropped and booked to
the slowest of them (cause "NAME slow"). A file's frames wait, and its decoder with them (admission.py).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from watchline.pipeline.admission import join
from watchline.pipeline.causes import FAILED, LATE, STOPPED, UNWRITTEN, slow
from watchline.pipeline.control import Control
from watchline.pipeline.counts import Count, Counts
from watchline.pipeline.errors import SinkFailed, one_line
from watchline.pipeline.events import EventLines
from watchline.pipeline.link import Delivery
from watchline.pipeline.message import DECODER, Begin, Dropped, End, Failure, Item, Message, State
from watchline.pipeline.sinks.opened import OpenSinks
from watchline.pipeline.sinks.sink import Opening, Sink, Unwritten
from watchline.pipeline.window import Window
from watchline.streams.source import About

log = logging.getLogger(__name__)

LIVE_FRAMES = 2  # of a camera that may wait for its sinks
LEFT = "the job was left"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a stream is: `frames` written of `about.frames`; `ended`, by an `error` or `interrupted` if not whole."""

    stream: str
    about: About | None
    frames: int
    ended: bool = False
    error: str | None = None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a stream.

    Attributes:
        stream, name: of the stream, and of what it was read from.
        frames: how many were written.
        outputs: files and folders that are there now.
        error: the one line that says why it is not whole; None if it is.
        notes: what was odd, one line each.
        interrupted: the run was stopped before its end.
        counts: how often what happened, by the hour.
    """

    stream: str
    name: str
    frames: int
    outputs: tuple[Path, ...]
    error: str | None = None
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    counts: tuple[Count, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """How a stream stands.

    Attributes:
        state: connecting, live, stalled, retrying or ended; of a file: reading or ended.
        fps: frames that were written per second, over the last seconds.
        p50_ms, p95_ms: of the time from a frame's arrival to its being written, over the last seconds.
        dropped: frames so far, by cause.
        why: what is to be said of the state, one line; empty where there is nothing.
    """

    stream: str
    state: str
    fps: float
    p50_ms: float
    p95_ms: float
    dropped: Mapping[str, int]
    why: str


class Lane:
    """Writes one stream.

    Args:
        name: of what is read, as long as its reader does not say it.
        opening: what its sinks hear of it, for the name of what is read; called in the lane's thread, when the first
            message has come.
        sinks: who writes it.
        control: of the run.
        tell: called in the lane's thread after each frame and each change of state, and with the outcome at the end.
        conceal: takes secrets out of a text.

    Attributes:
        is_complete: its last message has come.
        outcome: once all is written.
    """

    def __init__(
        self,
        stream: str,
        is_live: bool,
        name: str,
        opening: Callable[[str], Opening],
        sinks: Sequence[Sink],
        control: Control,
        tell: Callable[[Progress, Outcome | None], None],
        conceal: Callable[[str], str],
    ) -> None:
        self.is_complete = False
        self.outcome: Outcome | None = None
        self._stream, self._is_live, self._name = stream, is_live, name
        self._opening, self._sinks = opening, OpenSinks(sinks, stream, control)
        self._control, self._tell, self._conceal = control, tell, conceal
        self._lines = EventLines(conceal)
        self._changed = threading.Condition()
        self._waiting: deque[Delivery[Message]] = deque()
        self._is_left = False
        self._about: About | None = None
        self._frames = 0
        self._counts = Counts({})
        self._error: str | None = None
        self._notes: list[str] = []
        self._state, self._why, self._window = "connecting" if is_live else "reading", "", Window()
        self._status_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"lane-{stream}", daemon=True)
        self._thread.start()

    def put(self, delivery: Delivery[Message]) -> None:
        """Have a message written. Never waits."""
        with self._changed:
            if isinstance(delivery.message, Item) and self._is_live:
                self._make_room()
            self.is_complete = isinstance(delivery.message, End | Failure)
            self._waiting.append(delivery)
            join(self._waiting)
            self._changed.notify()

    def leave(self) -> None:
        """Finish what is written as far as it goes, and end."""
        with self._changed:
            self._is_left = True
            self._changed.notify()

    def wait(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def status(self, dropped: Mapping[str, int], trouble: str) -> Status:
        """How the stream stands now. For any thread.

        Args:
            dropped: as its account has it.
            trouble: what is to be said of live streams that have nothing else to say.
        """
        now = time.monotonic()
        with self._status_lock:
            p50, p95 = (self._window.latency_ms(q, now) for q in (50, 95))
            why = self._why or (trouble if self._state == "live" else "")
            return Status(self._stream, self._state, self._window.fps(now), p50, p95, dropped, why)

    def _make_room(self) -> None:
        """A frame that waits too long gives way, and its place is kept for the line about its loss."""
        frames = [n for n, each in enumerate(self._waiting) if isinstance(each.message, Item)]
        if len(frames) >= LIVE_FRAMES:
            oldest = self._waiting[frames[0]]
            assert isinstance(oldest.message, Item), "just looked at"
            self._waiting[frames[0]] = replace(oldest, message=self._dropped(oldest.message, self._slowest()))

    def _slowest(self) -> str:
        slowest = self._sinks.slowest
        return LATE if slowest is None else slow(slowest)

    def _dropped(self, item: Item, cause: str) -> Dropped:
        self._control.end(item, cause)
        return Dropped(item.stream, cause, 1, item.frame.epoch or 0, events=item.events)

    # What the lane's thread does.

    def _run(self) -> None:
        last: Message | None = None
        try:
            while not isinstance(last, End | Failure):
                delivery = self._next()
                if delivery is None:
                    self._fail(LEFT)
                    break
                last = delivery.message
                self._write(delivery)
        except BaseException as error:  # a defect of ours must not look like a stream that is whole
            log.exception("%s: its lane broke", self._stream)
            self._fail(one_line(error))
        self._finish(last)

    def _next(self) -> Delivery[Message] | None:
        with self._changed:
            while not self._waiting and not self._is_left:
                self._changed.wait()
            return None if self._is_left else self._waiting.popleft()

    def _write(self, delivery: Delivery[Message]) -> None:
        message = delivery.message
        if isinstance(message, Begin):
            self._about = message.about
        if isinstance(message, Item) and self._error is None and self._control.budget.is_late(message):
            message = self._dropped(message, self._why_late(message, delivery.ready))
        lost = self._take(message, delivery.ready) if self._error is None else FAILED
        if isinstance(message, Item):
            if lost:
                self._take_loss(message, lost)
                return
            self._frames += 1
            self._control.end(message)
            with self._status_lock:
                now = time.monotonic()
                self._window.beat(now, now - message.frame.arrival)
        if isinstance(message, State):
            with self._status_lock:
                self._state, self._why = message.state, self._conceal(message.why or "")
        if isinstance(message, Item | State) and self._error is None:
            self._tell(Progress(self._stream, self._about, self._frames), None)

    def _why_late(self, item: Item, ready: float) -> str:
        """A frame that grew old here is the slowest sink's, one that came old is not."""
        now = time.monotonic()
        return self._slowest() if now - ready > (now - item.frame.due) / 2 else LATE

    def _take_loss(self, item: Item, cause: str) -> None:
        """A frame could not be written."""
        if self._error is None:
            self._take(self._dropped(item, cause), time.monotonic())
        else:
            self._control.end(item, FAILED)

    def _take(self, message: Message, ready: float) -> str | None:
        """Let the sinks have a message. Returns the cause for which it is lost, None if those who must have it do."""
        try:
            if not self._sinks.are_open and not isinstance(message, End | Failure):
                self._open_sinks()
            for each, lines in self._lines.of(message):
                self._sinks.take(each, lines, ready)
                self._counts.take(each)
        except Unwritten:
            return UNWRITTEN
        except SinkFailed as error:
            self._fail(str(error))
            return FAILED
        except Exception as error:  # no JSON can be made of what a stage has given
            log.debug("%s failed", self._stream, exc_info=True)
            self._not_told(message, one_line(error))
            return FAILED
        return None

    def _open_sinks(self) -> None:
        try:
            opening = self._opening(self._about.name if self._about else self._name)
        except Exception as error:
            raise SinkFailed(f"the header of its events cannot be made: {one_line(error)}") from error
        self._counts = Counts(opening.counted)
        self._sinks.open(opening)

    def _not_told(self, message: Message, why: str) -> None:
        """It costs what the failure of a stage does: a file ends, a camera loses this frame or the events."""
        where = f"frame {message.frame.index}" if isinstance(message, Item) else "a message"
        if not self._is_live:
            self._fail(f"the events failed on {where}: {why}")
            return
        self._control.complain("events", self._stream, f"on {where}: {why}")
        if not isinstance(message, Item | Dropped) and message.events:
            self._take(replace(message, events=()), time.monotonic())

    def _fail(self, error: str) -> None:
        """Something broke: what was written is finished, and the first error stands."""
        self._error = self._error or error
        self._control.abandon(self._stream)
        self._close()

    def _close(self) -> None:
        try:
            self._sinks.close()
        except SinkFailed as error:
            if self._error is None:
                self._error = str(error)
            else:
                self._notes.append(str(error))

    def _finish(self, last: Message | None) -> None:
        """The stream is over."""
        self._close()
        with self._changed:
            left, self._waiting = self._waiting, deque()
        for delivery in left:
            if isinstance(delivery.message, Item):
                self._control.end(delivery.message, STOPPED if self._is_left else FAILED)
        error = self._error
        if error is None and isinstance(last, Failure):
            error = last.why if last.where == DECODER else f"the {last.where} failed on {last.why}"
        is_cut = isinstance(last, End) and not last.whole
        self._control.admission.finished(self._stream)
        with self._status_lock:
            why = self._why if self._state == "ended" else ""
            self._state, self._why = "ended", self._conceal(error) if error else why
        self.outcome = Outcome(
            stream=self._stream,
            name=self._about.name if self._about else self._name,
            frames=self._frames,
            outputs=tuple(self._sinks.paths),
            error=error,
            notes=(
                *self._notes,
                *self._sinks.notes,
                *(last.notes if isinstance(last, End) else ()),
            ),
            interrupted=is_cut,
            counts=tuple(self._counts.all()),
        )
        self._tell(Progress(self._stream, self._about, self._frames, True, error, is_cut), self.outcome)

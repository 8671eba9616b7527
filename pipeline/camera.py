"""A camera: keeps one live source connected, for months if need be, and says at every moment how it stands.

connecting ─► live ⇄ stalled          every connection is an epoch; frames are numbered on through all of them
    ▲           │
    └─ retrying ◄ (lost, refused, …)      ended: the run was stopped, or the source had an end at first
"""

import logging
import random
import threading
import time
from dataclasses import replace

from watchline.pipeline.admission import Put
from watchline.pipeline.backoff import Backoff
from watchline.pipeline.errors import StageError, one_line
from watchline.pipeline.link import Stopped
from watchline.pipeline.message import DECODER, Begin, Dropped, End, Failure, Item, Message, State, StateName
from watchline.pipeline.meter import Meter
from watchline.streams.errors import SourceDenied, SourceUnsupported, StreamError
from watchline.streams.frame import Frame
from watchline.streams.source import LIVE_TIME_BASE, About, LiveSource, Missed

log = logging.getLogger(__name__)

AGAIN = Backoff(first=1.0, ceiling=30.0)
# What will not mend itself soon, and a wrong password tried too often locks the account.
LATER = Backoff(first=120.0, ceiling=900.0)
STEADY = 10.0  # seconds that a connection has to last before the next wait is a short one again
STALLED = 1.5  # seconds without a frame, or five frames' time if that is longer
GRACE = 1.0  # seconds that a reader has to answer when the run is stopped
IS_OVER = "what is at its address has an end (a still, a file, an ended playlist), and was shown once"


class HasEnd(StageError):
    """What was live has an end now: a placeholder, or a recording. Its pictures are not wanted."""


class EpochOver(StageError):
    """A stage has lost what it knew of the epoch."""


class Camera:
    """One live source under watch.

    Args:
        source: what to read.
        budget: seconds from when a frame is due until it has to be through; see budget.py.
        meter: where the time is booked from when a frame is due until it is decoded.
    """

    def __init__(self, source: LiveSource, budget: float, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self._budget = budget
        self._halt = threading.Event()
        self._halted = 0.0
        self._lock = threading.Lock()  # the watchdog may speak while the reader is stuck
        self._put: Put | None = None
        self._random = random.Random()
        self._state: StateName | None = None
        self._epoch = -1
        self._index = 0
        self._pts = -1
        self._first: float | None = None  # when the stream's first frame was due
        self._began = self._last = 0.0  # when the epoch's first and newest frames were due
        self._patience = STALLED
        self._notes: tuple[str, ...] = ()  # of the last connection that ended well
        self._renewal: EpochOver | None = None  # why a new epoch has to begin
        self._ends = source.ends  # whether what is read has an end, after which nothing follows

    @property
    def stream(self) -> str:
        """Its name."""
        return self._source.stream

    def stop(self) -> None:
        """Read no further; `run` ends."""
        self._halted = time.monotonic()
        self._halt.set()

    def renew(self, epoch: int, why: str) -> None:
        """Have a new epoch begin in place of this one: connect again at the next frame. For any thread."""
        if epoch == self._epoch:
            self._renewal = EpochOver(why)

    def run(self, put: Put) -> None:
        """Read until it is stopped, or what had an end at first has come to it. Args: put, where the messages go."""
        self._put = put
        error: Exception | None = None
        soon, later = AGAIN.waits(self._random), LATER.waits(self._random)
        while not self._halt.is_set():
            self._epoch += 1
            self._began = self._last = 0.0
            self._renewal = None
            error = self._connect()
            if self._halt.is_set() or self._ends:
                break
            if self._last - self._began > STEADY:
                soon = AGAIN.waits(self._random)
            # What has been live is supported: a camera that boots or breaks off may say what makes no sense.
            hopeless = isinstance(error, SourceDenied | HasEnd) or (
                isinstance(error, SourceUnsupported) and self._first is None
            )
            if not hopeless:
                later = LATER.waits(self._random)
            wait = next(later if hopeless else soon)
            self._say("retrying", self._why(error) if error else "the stream ended", wait)
            self._halt.wait(wait)
        self.end(error)

    def look(self) -> None:
        """What a watchdog does now and then: a reader may be stuck, and cannot say so itself."""
        now = time.monotonic()
        if self._halt.is_set() and now - self._halted > GRACE:
            self.end()
        with self._lock:
            if self._state == "live" and now - self._last > self._patience:
                self._say_locked("stalled", f"no frame for {now - self._last:.1f} s")

    def end(self, error: Exception | None = None) -> None:
        """The stream ends here; what its reader may still give is not taken. A second call does nothing.

        Args:
            error: what broke a source that has an end.
        """
        with self._lock:
            cut = self._ends and self._halt.is_set()
            failed = self._why(error) if error and self._ends and not cut else None
            is_news = self._ends and not (cut or failed or self._source.ends) and self._put is not None
            self._say_locked("ended", IS_OVER if is_news else failed)
            if is_news:
                log.warning("%s: %s", self.stream, IS_OVER)
            if failed:
                self._send(Failure(self.stream, DECODER, failed))
            else:
                self._send(End(self.stream, whole=not cut, notes=self._notes))
            self._put = None

    def _connect(self) -> Exception | None:
        """One epoch. Returns what ended it, None for a clean end."""
        self._say("connecting")
        try:
            with self._source.open() as reader:
                if getattr(reader, "ends", False):
                    if self._first is not None:
                        return HasEnd(
                            "what it sends has an end now (a still, a file, an ended playlist) and is not shown"
                        )
                    self._ends = True
                self._begin(reader.about)
                base: int | None = None
                for got in reader:
                    if self._halt.is_set():
                        return None
                    if self._renewal is not None:
                        return self._renewal
                    if isinstance(got, Missed):
                        self._miss(got)
                        continue
                    if base is None:
                        base = self._base(got)
                    self._take(got, base)
                self._notes = tuple(getattr(reader, "notes", ()))
        except Stopped:
            raise
        except Exception as error:  # whatever a source raises is its own affair only
            log.debug("%s failed", self.stream, exc_info=not isinstance(error, StreamError))
            return error
        return None

    def _base(self, frame: Frame) -> int:
        """What to add to the times of this epoch, so that the time that was lost between them is seen."""
        self._began = frame.due
        self._first = frame.due if self._first is None else self._first
        return max(round((frame.due - self._first) / LIVE_TIME_BASE) - frame.pts, self._pts + 1 - frame.pts)

    def _begin(self, about: About) -> None:
        with self._lock:
            self._patience = max(STALLED, 5 / float(about.rate)) if about.rate else STALLED
            self._send(Begin(self.stream, about, self._epoch))

    def _take(self, frame: Frame, base: int) -> None:
        self._meter.worked(DECODER, 1, [], time.monotonic() - frame.due)
        with self._lock:
            self._last = frame.due
            if self._state != "live":
                self._say_locked("live")
            self._pts = base + frame.pts
            mine = replace(frame, stream=self.stream, index=self._index, pts=self._pts, epoch=self._epoch)
            self._send(Item(mine, deadline=frame.due + self._budget))
            self._index += 1

    def _miss(self, missed: Missed) -> None:
        with self._lock:
            self._send(Dropped(self.stream, missed.cause, missed.frames, self._epoch))
            self._index += missed.frames

    def _why(self, error: Exception) -> str:
        """What the error says, without the stream's name, which is shown next to it anyway."""
        return one_line(error).removeprefix(f"{self.stream}: ")

    def _say(self, state: StateName, why: str | None = None, retry_in: float | None = None) -> None:
        with self._lock:
            self._say_locked(state, why, retry_in)

    def _say_locked(self, state: StateName, why: str | None = None, retry_in: float | None = None) -> None:
        self._state = state
        self._send(State(self.stream, state, max(self._epoch, 0), why, retry_in))

    def _send(self, message: Message) -> None:
        """Unless the stream has ended; the lock is held."""
        if self._put is not None:
            self._put(message)

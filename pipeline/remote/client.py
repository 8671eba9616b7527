"""The hub's side of a placed stage: one connection, kept up by a thread of its own, for all workers that call it.

It is away at first, greets, and is open once the stage says welcome. What is lost is reached again with back-off; until
then live frames are given up at once, and those of files wait and are done again.
"""

import itertools
import logging
import queue
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.backoff import Backoff
from watchline.pipeline.errors import FrameLost, StageError, StageGone, one_line
from watchline.pipeline.message import Item
from watchline.pipeline.remote.channel import LARGEST_HEADER, LARGEST_PART, Arrival, Dialer
from watchline.pipeline.remote.codec import merge, pack
from watchline.pipeline.remote.endpoints import Way
from watchline.pipeline.remote.protocol import (
    SCHEMA,
    Done,
    Failed,
    Hello,
    Malformed,
    OtherVersion,
    Refused,
    Welcome,
    Where,
    Word,
    Work,
    decode,
    encode,
    unlike,
)
from watchline.pipeline.remote.ring import Slot
from watchline.pipeline.stages.registry import name_of, settings_of
from watchline.pipeline.stages.stage import Stage

log = logging.getLogger(__name__)

PING = 1.0  # seconds between pings
LOOK = 0.5  # seconds between looks at whether it still answers, while nothing happens
GLANCE = 0.05  # and while much does
BACKOFF = Backoff(0.5, 10.0)
GOOD = 60.0  # seconds that it must have been open for the back-off to begin anew
LONGEST_CALL = 60.0  # seconds that a request may take
DEATHS = 3  # of a stage with the same items in its hands, after which they are to blame
HANDSHAKE = 1.0  # seconds until a handshake that fails is said to
REPEAT = 60.0  # seconds until the log says the same of a host again

Bytes = NDArray[np.uint8]


class _Lost(Exception):
    """The stage was lost with a request in its hands."""


Outcome = tuple[Done | Failed, tuple[Bytes, ...]] | Literal["lost", "left"]


@dataclass(eq=False)
class _Call:
    """A request under way. Its thread waits for the outcome: the answer and its parts, or why there is none."""

    header: bytes
    parts: Sequence[Bytes]
    outcome: queue.SimpleQueue[Outcome] = field(default_factory=queue.SimpleQueue)


class Remote:
    """A stage elsewhere.

    Args:
        stage: its settings.
        way: where it is.
        quality: of JPEG, for pixels in both directions; None sends them as they are.

    Attributes:
        malformed: messages so far that made no sense.
    """

    def __init__(self, stage: Stage, way: Way, quality: int | None = None) -> None:
        self.malformed = 0
        self._name = stage.name
        self._way = way
        self._quality = quality
        self._hello = encode(Hello(secrets.token_hex(8), name_of(stage), settings_of(stage)))
        self._ids = itertools.count()
        self._alone = threading.Lock()  # for whoever may be what a stage dies of
        self._changed = threading.Condition()  # guards what follows
        self._state: Literal["away", "greeting", "open"] = "away"
        self._left = self._closing = self._hurried = self._hangs = False
        self._fatal = ""  # why it could not even be opened
        self._calls: dict[int, _Call] = {}
        self._outbox: deque[_Call] = deque()
        # of the connection's own thread
        self._port = Dialer(LARGEST_HEADER if way.ring else LARGEST_PART)
        self._waits: Iterator[float] = BACKOFF.waits(random.Random())
        self._watched: int | None = None
        self._heard = self._begun = self._opened = self._lost = self._pinged = self._said_at = self._next_look = 0.0
        self._retry: float | None = 0.0  # when to begin (again)
        self._said = self._nonsense = ""
        self._thread = threading.Thread(target=self._run, name=f"{self._name}-connection", daemon=True)
        self._thread.start()

    def wait_open(self) -> None:
        """Wait until the stage is open.

        Raises:
            StageError: it cannot be opened, or `cancel` was called.
        """
        self._await_open(live=False)

    def call(self, items: Sequence[Item]) -> list[Item]:
        """Have items done; waits for the answer.

        Raises:
            FrameLost: the stage is away, or was lost meanwhile, and one of the items is of a live stream.
            StageError: the stage failed on them, or died of them again and again; or `cancel` was called.
        """
        live = any(item.deadline is not None for item in items)
        for deaths in range(DEATHS):
            self._await_open(live)
            try:
                if deaths < DEATHS - 1:
                    return self._ask(items)
                with self._alone:  # whoever else is under way shall not be blamed
                    self._await_open(live)
                    return self._ask(items)
            except _Lost:
                if live:
                    raise self._frame_lost() from None
        named = ", ".join(f"{item.stream} frame {item.frame.index}" for item in items)
        raise StageError(f"{self._way.what} was lost {DEATHS} times at {named}: they are given up")

    def cancel(self) -> None:
        """The run is being left: whoever waits here gets a StageError. May be called by any thread, again and again."""
        with self._changed:
            self._left = True
            calls = [*self._calls.values()]
            self._calls.clear()
            self._outbox.clear()
            self._changed.notify_all()
        for call in calls:
            call.outcome.put("left")

    def hurry(self) -> None:
        """The run is being stopped: nobody waits for a stage that is away any longer. May be called by any thread."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def close(self) -> None:
        """Leave the stage; a child process ends. Nobody calls any more."""
        self.cancel()
        with self._changed:
            self._closing = True
        self._port.wake()
        self._thread.join()
        self._port.close()
        if self._way.ring is not None:
            self._way.ring.close()

    # What the workers do.

    def _await_open(self, live: bool) -> None:
        with self._changed:
            while self._state != "open" or self._left:
                if self._fatal:
                    raise StageGone(self._fatal)
                if self._left:
                    raise self._run_left()
                if live:
                    raise self._frame_lost()
                if self._hurried:
                    raise StageError(f"{self._way.what} was away when the run was stopped")
                self._changed.wait()

    def _frame_lost(self) -> FrameLost:
        return FrameLost(f"{self._way.what} is away", f"{self._name} lost")

    def _run_left(self) -> StageError:
        return StageError(f"{self._name}: the run was left")

    def _ask(self, items: Sequence[Item]) -> list[Item]:
        """Raises _Lost: the stage was lost meanwhile."""
        ring = self._way.ring
        slot = None
        while ring is not None and slot is None:
            slot = ring.take(LOOK)
            if self._left:
                raise self._run_left()
        try:
            return self._ask_in(slot, items)
        finally:
            if ring is not None and slot is not None:
                ring.give(slot)

    def _ask_in(self, slot: Slot | None, items: Sequence[Item]) -> list[Item]:
        """Send a request, its parts in a slot if there is one, and wait for what comes back."""
        entries, parts = pack(items, self._quality)
        number = next(self._ids)
        try:
            where = None if slot is None else Where(slot.number, slot.write(parts))
            header = encode(Work(number, entries, self._quality, where))
        except ValueError as error:
            raise StageError(f"{self._name}: {error}") from None
        call = _Call(header, parts if slot is None else ())
        self._post(number, call)
        try:
            outcome = call.outcome.get(timeout=LONGEST_CALL)
        except queue.Empty:  # it answers pings, but a worker of it is stuck
            self._hangs = True
            self._port.wake()
            outcome = call.outcome.get()
        if outcome == "left":
            raise self._run_left()
        if outcome == "lost":
            raise _Lost
        answer, parts_back = outcome
        if isinstance(answer, Failed):
            raise StageError(answer.why)
        try:
            places = answer.where.places if answer.where else ()
            return merge(items, answer.results, parts_back if slot is None else slot.read(places))
        except ValueError as error:
            self.malformed += 1
            raise StageError(f"{self._way.what} sent what makes no sense: {error}") from None

    def _post(self, number: int, call: _Call) -> None:
        with self._changed:
            if self._state != "open":
                raise _Lost
            if self._left:
                raise self._run_left()
            self._calls[number] = call
            self._outbox.append(call)
        self._port.wake()

    # What the connection's thread does.

    def _run(self) -> None:
        try:
            while not self._closing:
                arrived, readable = self._port.receive(self._pause())
                for arrival in arrived:
                    self._hear(arrival)
                if readable and self._state != "away":
                    self._check_end()
                self._tend(time.monotonic())
                self._flush()
        except Exception as error:  # a defect of ours must not leave the workers waiting
            log.exception("the connection to %s broke", self._way.what)
            self._fail(f"{self._name}: its connection broke: {one_line(error)}")
        finally:
            self._port.send(encode(Word("bye")))
            self._unwatch()
            self._way.stop(at_once=False)

    def _pause(self) -> float:
        if self._outbox:
            return 0.01  # the way is full: look again soon
        if self._retry is not None:
            return min(LOOK, max(0.0, self._retry - time.monotonic()))
        return LOOK

    def _tend(self, now: float) -> None:
        """Begin, ping, and see whether it still answers."""
        if self._state == "away":
            if self._retry is not None and now >= self._retry:
                self._begin(now)
            return
        if now < self._next_look and not self._port.cut:
            return
        self._next_look = now + GLANCE
        if now - self._pinged >= PING:
            self._pinged = now
            self._port.send(encode(Word("ping")))
            if self._nonsense:
                log.warning(
                    "%s sent what makes no sense (%d so far): %s", self._way.what, self.malformed, self._nonsense
                )
                self._nonsense = ""
        if self._hangs:
            self._hangs = False
            self._lose(f"has been at one request for {LONGEST_CALL:.0f} s")
            return
        opening, later = self._way.silence
        limit = later if self._state == "open" else opening
        silent = self._heard < self._begun
        if self._port.refusal and silent and now - self._begun >= HANDSHAKE:
            self._lose(f"cannot be talked to: {self._port.refusal}")
        elif now - max(self._heard, self._begun) > limit:
            self._lose("does not answer: is it started there?" if silent else f"said nothing for {limit:.0f} s")
        elif self._state == "open" and self._port.cut and self._way.ring is None:
            self._lose("broke off the connection")
        else:
            self._check_end()

    def _begin(self, now: float) -> None:
        self._retry = None
        self._begun = self._pinged = now
        self._heard = 0.0
        self._set_state("greeting")
        try:
            address = self._way.start()
        except OSError as error:
            self._lose(f"cannot be started: {one_line(error)}")
            return
        self._watched = self._way.descriptor
        if self._watched is not None:
            self._port.watch(self._watched)
        self._port.connect(address, self._way.keys)
        self._port.send(self._hello)

    def _check_end(self) -> None:
        how = self._way.ended()
        if how:
            self._lose(how)

    def _hear(self, arrival: Arrival) -> None:
        if self._state == "away":
            return  # what was lost, or left, has nothing more to say
        try:
            message = decode(arrival.header)
            if arrival.parts and not isinstance(message, Done):
                raise Malformed("parts beside a message that has none")
            self._heard = time.monotonic()
            self._act(message, arrival.parts)
        except Malformed as error:
            if isinstance(error, OtherVersion) and self._state == "greeting":
                self._lose(f"refused: {error.why or unlike(error.schema, SCHEMA)}")
                return
            self.malformed += 1
            self._nonsense = str(error)

    def _act(self, message: object, parts: tuple[Bytes, ...]) -> None:
        match message:
            case Done() | Failed():
                with self._changed:
                    call = self._calls.pop(message.id, None)
                if call is not None:
                    call.outcome.put((message, parts))
            case Word("pong"):
                return
            case Welcome(workers):
                self._welcome(workers)
            case Refused():
                self._lose(f"refused: {message.why}", bare=message.why)
            case Word("unknown") if self._state == "open":
                self._lose("does not know us any more")
            case Word("unknown"):
                self._port.send(self._hello)  # the first one was lost with its connection
            case _:
                raise Malformed("a message that only a hub sends")

    def _welcome(self, workers: int) -> None:
        if self._state == "open":
            return
        log.debug("%s is open, with %d workers", self._way.what, workers)
        now = time.monotonic()
        self._way.opened()
        if self._opened:
            log.warning("%s is open again after %.1f s", self._way.what, now - self._lost)
        self._opened, self._said = now, ""
        self._set_state("open")

    def _lose(self, why: str, bare: str = "") -> None:
        """It is lost, and shall be reached again; if it never was open, that is the end of it.

        Args:
            why: what follows its name in log and error.
            bare: the whole error, where a stage that runs here would have said just this.
        """
        now = time.monotonic()
        what, process = self._way.what, self._way.ring is not None
        self._unwatch()
        self._port.disconnect()
        self._way.stop(at_once=True)
        if not self._opened:
            self._fail(bare if bare and process else f"{what} {why}")
            return
        if self._state == "open":
            self._lost = now
            if now - self._opened >= GOOD:
                self._waits = BACKOFF.waits(random.Random())
        wait = next(self._waits)
        self._retry = now + wait
        if process or why != self._said or now - self._said_at >= REPEAT:
            self._said, self._said_at = why, now
            log.warning("%s %s; %s in %.1f s", what, why, self._way.again, wait)
        self._set_state("away")

    def _fail(self, why: str) -> None:
        with self._changed:
            self._fatal = why
        self._retry = None
        self._set_state("away")

    def _set_state(self, state: Literal["away", "greeting", "open"]) -> None:
        """The calls of a connection end with it."""
        lost: list[_Call] = []
        with self._changed:
            self._state = state
            if state == "away":
                lost = [*self._calls.values()]
                self._calls.clear()
                self._outbox.clear()
            self._changed.notify_all()
        for call in lost:
            call.outcome.put("lost")

    def _flush(self) -> None:
        while self._outbox:
            with self._changed:
                call = self._outbox.popleft() if self._outbox else None
            if call is not None and not self._port.send(call.header, call.parts):
                self._outbox.appendleft(call)
                return

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._port.unwatch(self._watched)
            self._watched = None

"""The client of a stage that runs elsewhere: one connection for all workers, kept up by a thread of its own.

The stage is away at first, the client greets it, and it is open once it says welcome. A stage that is lost is reached
again with back-off; until then live frames are given up at once, and frames of files wait and are done again. What a
stage of order "stream" knew of its streams is lost with it: their frames are given up until the streams begin anew.
"""

import itertools
import logging
import queue
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.backoff import Backoff
from watchline.pipeline.causes import lost
from watchline.pipeline.errors import FrameLost, StageError, StageGone, StateLost, one_line
from watchline.pipeline.message import Event, Item
from watchline.pipeline.remote.channel import Arrival, Dialer
from watchline.pipeline.remote.codec import merge, pack, pack_about, unpack_events
from watchline.pipeline.remote.endpoints import Endpoint
from watchline.pipeline.remote.protocol import (
    SCHEMA,
    Course,
    Done,
    Failed,
    Heard,
    Hello,
    Malformed,
    OtherVersion,
    PartsInSlot,
    Refused,
    Signal,
    Welcome,
    WorkRequest,
    decode,
    encode,
    unlike,
)
from watchline.pipeline.remote.ring import Slot
from watchline.pipeline.stages.registry import kinds_of, name_of, settings_of
from watchline.pipeline.stages.stage import Stage
from watchline.streams.source import About

log = logging.getLogger(__name__)

PING = 1.0  # seconds between pings
LOOK = 0.5  # seconds between looks at whether it still answers, while nothing happens
GLANCE = 0.05  # and while messages arrive
BACKOFF = Backoff(0.5, 10.0)
GOOD = 60.0  # seconds that a stage must have been open for the back-off to begin anew
LONGEST_CALL = 60.0  # seconds that a request may take
DEATHS = 3  # how often a stage may be lost with the same request before the request is to blame
HANDSHAKE = 1.0  # seconds after which a failed handshake is reported
REPEAT = 60.0  # seconds until the log repeats a line about a host

Bytes = NDArray[np.uint8]


class _Lost(Exception):
    """The stage was lost with a request under way."""


Outcome = tuple[Done | Heard | Failed, tuple[Bytes, ...]] | Literal["lost", "left"]


@dataclass(eq=False)
class _Call:
    """A request. The caller waits for the outcome: the answer and its parts, or why there is none.

    Attributes:
        life: of the stage, in which the request has to be done; None if any will do, until it is under way.
    """

    header: bytes
    parts: Sequence[Bytes]
    life: int | None = None
    outcome: queue.SimpleQueue[Outcome] = field(default_factory=queue.SimpleQueue)


class Client:
    """A stage elsewhere.

    Args:
        stage: its settings.
        endpoint: of its server.
        chain: names of the stages before it, whose results come with the items.
        quality: of JPEG, for pixels in both directions; None sends them as they are.

    Attributes:
        about: what runs there, as the stage says when it is open.
        lives: how often the stage was opened: what it knew of a stream in an earlier life is gone.
        malformed: how many messages so far made no sense.
    """

    def __init__(self, stage: Stage, endpoint: Endpoint, chain: Sequence[str] = (), quality: int | None = None) -> None:
        self.about: Mapping[str, Any] = {}
        self.lives = 0
        self.malformed = 0
        self._name = stage.name
        self._endpoint = endpoint
        self._quality = quality
        self._kinds = kinds_of([type(stage)])
        self._hello = encode(Hello(secrets.token_hex(8), name_of(stage), settings_of(stage), tuple(chain)))
        self._ids = itertools.count()
        self._alone = threading.Lock()  # for a request that the stage may die of
        self._changed = threading.Condition()  # guards the fields below, up to _outbox
        self._state: Literal["away", "greeting", "open"] = "away"
        self._left = self._closing = self._hurried = self._hangs = False
        self._fatal = ""  # why it could not even be opened
        self._calls: dict[int, _Call] = {}
        self._outbox: deque[_Call] = deque()
        # The fields below belong to the connection's thread.
        self._port = Dialer()
        self._waits: Iterator[float] = BACKOFF.waits(random.Random())
        self._watched: int | None = None
        self._heard = self._begun = self._opened = self._lost = self._pinged = self._said_at = self._next_look = 0.0
        self._retry: float | None = 0.0  # when to begin (again)
        self._said = self._nonsense = ""
        self._gone = endpoint.what  # what the stage was called in its last life: a process has a new id in the next
        self._thread = threading.Thread(target=self._run, name=f"{self._name}-connection", daemon=True)
        self._thread.start()

    def wait_open(self) -> None:
        """Wait until the stage is open.

        Raises:
            StageError: it cannot be opened, or `cancel` was called.
        """
        self._await_open(live=False)

    def call(self, items: Sequence[Item]) -> list[Item]:
        """Send items to a stage of order "any", and wait for the answer.

        Raises:
            FrameLost: the stage is away, or was lost meanwhile, and one of the items is of a live stream.
            StageError: the stage failed on them, or died of them again and again; or `cancel` was called.
        """
        live = _is_live(items)
        for deaths in range(DEATHS):
            self._await_open(live)
            try:
                if deaths < DEATHS - 1:
                    return self._ask(items)
                with self._alone:  # one suspect at a time, so that no innocent request is blamed
                    self._await_open(live)
                    return self._ask(items)
            except _Lost:
                if live:
                    raise self._frame_lost() from None
        named = ", ".join(f"{item.stream} frame {item.frame.index}" for item in items)
        raise StageError(f"{self._endpoint.what} was lost {DEATHS} times at {named}: they are given up")

    def call_in_order(self, items: Sequence[Item], life: int | None = None) -> list[Item]:
        """The same for a stage of order "stream".

        Args:
            life: in which the streams of the items began.

        Raises:
            FrameLost: the stage is away, and one of the items is of a live stream.
            StateLost: what it knew of the streams is gone. A live stream is told when the stage is back, not before:
                else it would begin anew with a stage that is away, and once more when that is back.
            StageError: the stage failed on them; or `cancel` was called.
        """
        live = _is_live(items)
        if live:
            self._await_open(live)
        try:
            return self._ask(items, life)
        except _Lost:
            if live:
                self._await_open(live)
            raise self.state_lost() from None

    def begin(self, stream: str, about: About, epoch: int | None) -> int:
        """Tell a stage of order "stream" that a stream begins. Returns the life in which it did.

        A live stream does not wait for a stage that is away: then it begins in life 0, which there never is.

        Raises:
            StageError: the stage failed, or died of it again and again; or `cancel` was called.
        """
        for _ in range(DEATHS):
            try:
                self._await_open(live=epoch is not None)
                life, _ = self._tell(Course(next(self._ids), stream, pack_about(about), epoch))
                return life
            except FrameLost:
                return 0
            except _Lost:
                continue
        raise StageError(f"{self._gone} was lost {DEATHS} times at the beginning of {stream}: it is given up")

    def end(self, stream: str, life: int) -> Sequence[Event]:
        """Tell a stage of order "stream" that a stream is over, which began in this life. Returns what it says.

        Raises:
            StateLost: what it knew of the stream is gone.
            StageError: the stage failed; or `cancel` was called.
        """
        try:
            _, heard = self._tell(Course(next(self._ids), stream), life)
            return unpack_events(heard.events)
        except _Lost:
            raise self.state_lost() from None
        except Malformed as error:
            raise self._senseless(error) from None

    def state_lost(self) -> StateLost:
        """The error of a stream that the stage knows no longer."""
        return StateLost(f"{self._gone} was lost, and with it what it knew of the stream", lost(self._name))

    def cancel(self) -> None:
        """The run is being left: callers that wait here get a StageError. For any thread, also more than once."""
        with self._changed:
            self._left = True
            calls = [*self._calls.values()]
            self._calls.clear()
            self._outbox.clear()
            self._changed.notify_all()
        for call in calls:
            call.outcome.put("left")

    def hurry(self) -> None:
        """The run is being stopped: callers do not wait for a stage that is away any longer. For any thread."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def close(self) -> None:
        """Leave the stage; a child process ends. No calls may follow."""
        self.cancel()
        with self._changed:
            self._closing = True
        self._port.wake()
        self._thread.join()
        self._port.close()
        if self._endpoint.ring is not None:
            self._endpoint.ring.close()

    # In the callers' threads.

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
                    raise StageError(f"{self._endpoint.what} was away when the run was stopped")
                self._changed.wait()

    def _frame_lost(self) -> FrameLost:
        return FrameLost(f"{self._endpoint.what} is away", lost(self._name))

    def _run_left(self) -> StageError:
        return StageError(f"{self._name}: the run was left")

    def _ask(self, items: Sequence[Item], life: int | None = None) -> list[Item]:
        """Send items, and wait for the answer. Raises _Lost: the stage was lost meanwhile, or lives another life."""
        ring = self._endpoint.ring
        slot = None
        while ring is not None and slot is None:
            slot = ring.take(LOOK)
            if self._left:
                raise self._run_left()
        try:
            return self._ask_in(slot, items, life)
        finally:
            if ring is not None and slot is not None:
                ring.give(slot)

    def _ask_in(self, slot: Slot | None, items: Sequence[Item], life: int | None) -> list[Item]:
        """The same, with the parts in a slot of shared memory, if there is one."""
        number = next(self._ids)
        try:
            entries, parts = pack(items, self._quality)
            where = None if slot is None else PartsInSlot(slot.number, slot.write(parts))
            header = encode(WorkRequest(number, entries, self._quality, where))
        except ValueError as error:
            raise StageError(f"{self._name}: {error}") from None
        answer, parts_back = self._outcome(number, _Call(header, parts if slot is None else (), life))
        try:
            if not isinstance(answer, Done):
                raise Malformed("it is to another request")
            spans = answer.where.spans if answer.where else ()
            found = parts_back if slot is None else slot.read(spans)
            return merge(items, answer.results, found, self._kinds)
        except ValueError as error:
            raise self._senseless(error) from None

    def _tell(self, course: Course, life: int | None = None) -> tuple[int, Heard]:
        """Send a course, and wait for the answer. Returns the life in which it was told, and the answer.

        Raises _Lost: the stage was lost meanwhile, or lives another life.
        """
        call = _Call(encode(course), (), life)
        answer, _ = self._outcome(course.id, call)
        if not isinstance(answer, Heard):
            raise self._senseless(Malformed("it is to another request"))
        assert call.life is not None, "it was under way"
        return call.life, answer

    def _senseless(self, error: ValueError) -> StageError:
        self.malformed += 1
        return StageError(f"{self._endpoint.what} sent an answer that makes no sense: {error}")

    def _outcome(self, number: int, call: _Call) -> tuple[Done | Heard, tuple[Bytes, ...]]:
        """Send a request and wait for its answer. Raises _Lost; StageError: the stage failed."""
        self._post(number, call)
        try:
            outcome = call.outcome.get(timeout=LONGEST_CALL)
        except queue.Empty:  # the server answers pings, but its worker is stuck
            self._hangs = True
            self._port.wake()
            outcome = call.outcome.get()
        if outcome == "left":
            raise self._run_left()
        if outcome == "lost":
            raise _Lost
        answer, parts = outcome
        if isinstance(answer, Failed):
            raise StageError(answer.why)
        return answer, parts

    def _post(self, number: int, call: _Call) -> None:
        with self._changed:
            if self._left:
                raise self._run_left()
            if self._fatal:
                raise StageGone(self._fatal)
            if self._state != "open" or call.life not in (None, self.lives):
                raise _Lost
            call.life = self.lives
            self._calls[number] = call
            self._outbox.append(call)
        self._port.wake()

    # In the connection's thread.

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
        except Exception as error:  # a defect of ours must not leave the callers waiting
            log.exception("the connection to %s broke", self._endpoint.what)
            self._fail(f"{self._name}: its connection broke: {one_line(error)}")
        finally:
            self._port.send(encode(Signal("bye")))
            self._unwatch()
            self._endpoint.stop(at_once=False)

    def _pause(self) -> float:
        if self._outbox:
            return 0.01  # the socket is full: look again soon
        if self._retry is not None:
            return min(LOOK, max(0.0, self._retry - time.monotonic()))
        return LOOK

    def _tend(self, now: float) -> None:
        """Connect, ping, and look whether the stage still answers."""
        if self._state == "away":
            if self._retry is not None and now >= self._retry:
                self._begin(now)
            return
        if now < self._next_look and not self._port.cut:
            return
        self._next_look = now + GLANCE
        if now - self._pinged >= PING:
            self._pinged = now
            self._port.send(encode(Signal("ping")))
            if self._nonsense:
                log.warning(
                    "%s sent messages that make no sense (%d so far): %s",
                    self._endpoint.what,
                    self.malformed,
                    self._nonsense,
                )
                self._nonsense = ""
        if self._hangs:
            self._hangs = False
            self._lose(f"has been at one request for {LONGEST_CALL:.0f} s")
            return
        opening, later = self._endpoint.silence
        limit = later if self._state == "open" else opening
        silent = self._heard < self._begun
        if self._port.refusal and silent and now - self._begun >= HANDSHAKE:
            self._lose(f"cannot be talked to: {self._port.refusal}")
        elif now - max(self._heard, self._begun) > limit:
            self._lose("does not answer: is it started there?" if silent else f"said nothing for {limit:.0f} s")
        elif self._state == "open" and self._port.cut and self._endpoint.ring is None:
            self._lose("broke off the connection")
        else:
            self._check_end()

    def _begin(self, now: float) -> None:
        self._retry = None
        self._begun = self._pinged = now
        self._heard = 0.0
        self._set_state("greeting")
        try:
            address = self._endpoint.start()
        except OSError as error:
            self._lose(f"cannot be started: {one_line(error)}")
            return
        self._watched = self._endpoint.descriptor
        if self._watched is not None:
            self._port.watch(self._watched)
        self._port.connect(address, self._endpoint.keys)
        self._port.send(self._hello)

    def _check_end(self) -> None:
        how = self._endpoint.ended()
        if how:
            self._lose(how)

    def _hear(self, arrival: Arrival) -> None:
        if self._state == "away":
            return  # a message of a connection that was given up
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
            case Done() | Heard() | Failed():
                with self._changed:
                    call = self._calls.pop(message.id, None)
                if call is not None:
                    call.outcome.put((message, parts))
            case Signal("pong"):
                return
            case Welcome():
                self._welcome(message)
            case Refused():
                self._lose(f"refused: {message.why}", bare=message.why)
            case Signal("unknown") if self._state == "open":
                self._lose("does not know us any more")
            case Signal("unknown"):
                self._port.send(self._hello)  # the first one was lost with an earlier connection
            case _:
                raise Malformed("a message that only a client sends")

    def _welcome(self, welcome: Welcome) -> None:
        if self._state == "open":
            return
        log.debug("%s is open, with %d workers", self._endpoint.what, welcome.workers)
        now = time.monotonic()
        self._endpoint.opened()
        if self._opened:
            log.warning("%s is open again after %.1f s", self._endpoint.what, now - self._lost)
        self._opened, self._said = now, ""
        self.about = welcome.about if isinstance(welcome.about, dict) else {}
        self.lives += 1
        self._set_state("open")

    def _lose(self, why: str, bare: str = "") -> None:
        """The stage is lost, and will be reached again. If it never was open, the run cannot go on.

        Args:
            why: what follows the stage's name in the log and in the error.
            bare: the whole error of a stage in a process, which says what it would have said in a thread.
        """
        now = time.monotonic()
        what, process = self._endpoint.what, self._endpoint.ring is not None
        self._unwatch()
        self._port.disconnect()
        self._endpoint.stop(at_once=True)
        if not self._opened:
            self._fail(bare if bare and process else f"{what} {why}")
            return
        if self._state == "open":
            self._lost, self._gone = now, what
            if now - self._opened >= GOOD:
                self._waits = BACKOFF.waits(random.Random())
        wait = next(self._waits)
        self._retry = now + wait
        if process or why != self._said or now - self._said_at >= REPEAT:
            self._said, self._said_at = why, now
            log.warning("%s %s; %s in %.1f s", what, why, self._endpoint.again, wait)
        self._set_state("away")

    def _fail(self, why: str) -> None:
        with self._changed:
            self._fatal = why
        self._retry = None
        self._set_state("away")

    def _set_state(self, state: Literal["away", "greeting", "open"]) -> None:
        """Change the state. The calls of a connection end with it."""
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


def _is_live(items: Sequence[Item]) -> bool:
    return any(item.deadline is not None for item in items)

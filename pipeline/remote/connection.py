"""The connection to a stage that runs elsewhere, kept up by a thread of its own.

The stage is away at first, the thread greets it, and it is open once it says welcome. A stage that is lost is reached
again with back-off.
"""

import logging
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.backoff import Backoff
from watchline.pipeline.errors import one_line
from watchline.pipeline.remote import calls
from watchline.pipeline.remote.channel import Arrival, Dialer
from watchline.pipeline.remote.endpoints import Endpoint
from watchline.pipeline.remote.protocol import (
    SCHEMA,
    Done,
    Failed,
    Heard,
    Hello,
    Malformed,
    OtherVersion,
    Refused,
    Signal,
    Welcome,
    decode,
    encode,
    unlike,
)

log = logging.getLogger(__name__)

PING = 1.0  # seconds between pings
LOOK = 0.5  # seconds between looks at whether it still answers, while nothing happens
GLANCE = 0.05  # and while messages arrive
BACKOFF = Backoff(0.5, 10.0)
GOOD = 60.0  # seconds that a stage must have been open for the back-off to begin anew
HANDSHAKE = 1.0  # seconds after which a failed handshake is reported
REPEAT = 60.0  # seconds until the log repeats a line about a host

Bytes = NDArray[np.uint8]


class Connection:
    """A connection.

    Args:
        name: of the stage.
        endpoint: of its server.
        hello: what it is greeted with.

    Attributes:
        calls: the requests to it.
        about: what runs there, as the stage says when it is open.
        malformed: how many messages so far made no sense.
        gone: what the stage was called in its last life: a process has a new id in the next.
    """

    def __init__(self, name: str, endpoint: Endpoint, hello: Hello) -> None:
        self.about: Mapping[str, Any] = {}
        self.malformed = 0
        self.gone = endpoint.what
        self._name = name
        self._endpoint = endpoint
        self._hello = encode(hello)
        self._closing = False
        self._port = Dialer()
        self.calls = calls.Calls(name, lambda: endpoint.what, self._port.wake)
        self._waits: Iterator[float] = BACKOFF.waits(random.Random())
        self._watched: int | None = None
        self._heard = self._begun = self._opened = self._lost = self._pinged = self._said_at = self._next_look = 0.0
        self._retry: float | None = 0.0  # when to begin (again)
        self._said = self._nonsense = ""
        self._thread = threading.Thread(target=self._run, name=f"{self._name}-connection", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the stage; a child process ends. No requests may follow. For another thread."""
        self.calls.cancel()
        self._closing = True
        self._port.wake()
        self._thread.join()
        self._port.close()

    def _run(self) -> None:
        try:
            while not self._closing:
                arrived, readable = self._port.receive(self._pause())
                for arrival in arrived:
                    self._hear(arrival)
                if readable and self.calls.state != "away":
                    self._check_end()
                self._tend(time.monotonic())
                self.calls.send(self._port.send)
        except Exception as error:  # a defect of ours must not leave the callers waiting
            log.exception("the connection to %s broke", self._endpoint.what)
            self._fail(f"{self._name}: its connection broke: {one_line(error)}")
        finally:
            self._port.send(encode(Signal("bye")))
            self._unwatch()
            self._endpoint.stop(at_once=False)

    def _pause(self) -> float:
        if self.calls.is_waiting:
            return 0.01  # the socket is full: look again soon
        if self._retry is not None:
            return min(LOOK, max(0.0, self._retry - time.monotonic()))
        return LOOK

    def _tend(self, now: float) -> None:
        """Connect, ping, and look whether the stage still answers."""
        if self.calls.state == "away":
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
        if self.calls.hangs:
            self.calls.hangs = False
            self._lose(f"has been at one request for {calls.LONGEST_CALL:.0f} s")
            return
        opening, later = self._endpoint.silence
        limit = later if self.calls.state == "open" else opening
        silent = self._heard < self._begun
        if self._port.refusal and silent and now - self._begun >= HANDSHAKE:
            self._lose(f"cannot be talked to: {self._port.refusal}")
        elif now - max(self._heard, self._begun) > limit:
            self._lose("does not answer: is it started there?" if silent else f"said nothing for {limit:.0f} s")
        elif self.calls.state == "open" and self._port.cut and self._endpoint.ring is None:
            self._lose("broke off the connection")
        else:
            self._check_end()

    def _begin(self, now: float) -> None:
        self._retry = None
        self._begun = self._pinged = now
        self._heard = 0.0
        self.calls.become("greeting")
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
        if self.calls.state == "away":
            return  # a message of a connection that was given up
        try:
            message = decode(arrival.header)
            if arrival.parts and not isinstance(message, Done):
                raise Malformed("parts beside a message that has none")
            self._heard = time.monotonic()
            self._act(message, arrival.parts)
        except Malformed as error:
            if isinstance(error, OtherVersion) and self.calls.state == "greeting":
                self._lose(f"refused: {error.why or unlike(error.schema, SCHEMA)}")
                return
            self.malformed += 1
            self._nonsense = str(error)

    def _act(self, message: object, parts: tuple[Bytes, ...]) -> None:
        match message:
            case Done() | Heard() | Failed():
                self.calls.answer(message, parts)
            case Signal("pong"):
                return
            case Welcome():
                self._welcome(message)
            case Refused():
                self._lose(f"refused: {message.why}", bare=message.why)
            case Signal("unknown") if self.calls.state == "open":
                self._lose("does not know us any more")
            case Signal("unknown"):
                self._port.send(self._hello)  # the first one was lost with an earlier connection
            case _:
                raise Malformed("a message that only a client sends")

    def _welcome(self, welcome: Welcome) -> None:
        if self.calls.state == "open":
            return
        log.debug("%s is open, with %d workers", self._endpoint.what, welcome.workers)
        now = time.monotonic()
        self._endpoint.opened()
        if self._opened:
            log.warning("%s is open again after %.1f s", self._endpoint.what, now - self._lost)
        self._opened, self._said = now, ""
        self.about = welcome.about if isinstance(welcome.about, dict) else {}
        self.calls.become("open")

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
        if self.calls.state == "open":
            self._lost, self.gone = now, what
            if now - self._opened >= GOOD:
                self._waits = BACKOFF.waits(random.Random())
        wait = next(self._waits)
        self._retry = now + wait
        if process or why != self._said or now - self._said_at >= REPEAT:
            self._said, self._said_at = why, now
            log.warning("%s %s; %s in %.1f s", what, why, self._endpoint.again, wait)
        self.calls.become("away")

    def _fail(self, why: str) -> None:
        self._retry = None
        self.calls.become("away", why)

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._port.unwatch(self._watched)
            self._watched = None

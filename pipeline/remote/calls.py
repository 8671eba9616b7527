"""The requests to a stage elsewhere: their callers wait here until the connection's thread has an answer, or none."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.causes import lost
from watchline.pipeline.errors import FrameLost, StageError, StageGone
from watchline.pipeline.remote.guard import LARGEST
from watchline.pipeline.remote.protocol import Done, Failed, Heard

LONGEST_CALL = 60.0  # seconds that a request may take

Bytes = NDArray[np.uint8]
State = Literal["away", "greeting", "open"]


class Lost(Exception):
    """The stage was lost with a request under way, or lives another life."""


Outcome = tuple[Done | Heard | Failed, tuple[Bytes, ...]] | Literal["lost", "left"]


@dataclass(eq=False)
class _Call:
    """A request. The caller waits for the outcome: the answer and its parts, or why there is none.

    Attributes:
        life: of the stage, in which the request has to be done; None if any will do.
        is_sent: whether it is on its way.
    """

    header: bytes
    parts: Sequence[Bytes]
    life: int | None = None
    is_sent: bool = False
    outcome: queue.SimpleQueue[Outcome] = field(default_factory=queue.SimpleQueue)

    @property
    def nbytes(self) -> int:
        return len(self.header) + sum(part.nbytes for part in self.parts)


class Calls:
    """The requests, and whether the stage is there for them.

    Args:
        name: of the stage.
        what: gives the name of its server, for errors.
        wake: wakes the connection's thread.

    Attributes:
        state: of the connection.
        lives: how often the stage was opened: what it knew of a stream in an earlier life is gone.
        hangs: whether a request takes too long.
        is_left: whether `cancel` was called.
    """

    def __init__(self, name: str, what: Callable[[], str], wake: Callable[[], None]) -> None:
        self.state: State = "away"
        self.lives = 0
        self.hangs = self.is_left = False
        self._name, self._what, self._wake = name, what, wake
        self._changed = threading.Condition()  # guards all fields
        self._hurried = False
        self._fatal = ""  # why it could not even be opened
        self._calls: dict[int, _Call] = {}
        self._outbox: deque[_Call] = deque()

    # For the callers.

    def wait_open(self, live: bool) -> None:
        """Wait until the stage is open; for a live frame, not at all.

        Raises:
            FrameLost: the frame is live, and the stage is away.
            StageGone: the stage cannot be opened.
            StageError: `cancel` was called, or `hurry` while the stage is away.
        """
        with self._changed:
            while self.state != "open" or self.is_left:
                if self._fatal:
                    raise StageGone(self._fatal)
                self.check_left()
                if live:
                    raise self.frame_lost()
                if self._hurried:
                    raise StageError(f"{self._what()} was away when the run was stopped")
                self._changed.wait()

    def ask(
        self, number: int, header: bytes, parts: Sequence[Bytes] = (), life: int | None = None
    ) -> tuple[Done | Heard, tuple[Bytes, ...], int]:
        """Send a request, and wait for its answer.

        Args:
            number: its id.
            life: of the stage, in which it has to be done; None if any will do.

        Returns:
            the answer, its parts, and the life in which it was given.

        Raises:
            Lost: the stage was lost meanwhile, or lives another life.
            StageError: the stage failed, or `cancel` was called.
        """
        call = _Call(header, parts, life)
        under_way = self._post(number, call)
        try:
            outcome = call.outcome.get(timeout=LONGEST_CALL)
        except queue.Empty:  # the server answers pings, but its worker is stuck
            self.hangs = True
            self._wake()
            outcome = call.outcome.get()
        if outcome == "left":
            raise self._run_left()
        if outcome == "lost":
            raise Lost
        answer, parts_back = outcome
        if isinstance(answer, Failed):
            raise StageError(answer.why)
        return answer, parts_back, under_way

    def frame_lost(self) -> FrameLost:
        """The error of a live frame while the stage is away."""
        return FrameLost(f"{self._what()} is away", lost(self._name))

    def check_left(self) -> None:
        """Raises StageError: `cancel` was called."""
        if self.is_left:
            raise self._run_left()

    def cancel(self) -> None:
        """The run is being left: callers that wait here get a StageError. For any thread, also more than once."""
        with self._changed:
            self.is_left = True
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

    def _run_left(self) -> StageError:
        return StageError(f"{self._name}: the run was left")

    def _post(self, number: int, call: _Call) -> int:
        with self._changed:
            self.check_left()
            if self._fatal:
                raise StageGone(self._fatal)
            if self.state != "open" or call.life not in (None, self.lives):
                raise Lost
            self._calls[number] = call
            self._outbox.append(call)
            life = self.lives
        self._wake()
        return life

    # For the connection's thread.

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits to be sent."""
        return bool(self._outbox)

    def send(self, send: Callable[[bytes, Sequence[Bytes]], bool]) -> None:
        """Send the requests that wait, until `send` says that there is no room, or the server would hold too much."""
        while self._outbox:
            with self._changed:
                call = self._outbox.popleft() if self._outbox else None
                held = sum(each.nbytes for each in self._calls.values() if each.is_sent)
            if call is None:
                return
            is_fitting = held == 0 or held + call.nbytes <= LARGEST
            if not (is_fitting and send(call.header, call.parts)):
                self._outbox.appendleft(call)
                return
            call.is_sent = True

    def answer(self, answer: Done | Heard | Failed, parts: tuple[Bytes, ...]) -> None:
        """A request has its answer."""
        with self._changed:
            call = self._calls.pop(answer.id, None)
        if call is not None:
            call.outcome.put((answer, parts))

    def become(self, state: State, fatal: str = "") -> None:
        """Change the state. The requests of a connection end with it.

        Args:
            fatal: why the run cannot go on.
        """
        calls: list[_Call] = []
        with self._changed:
            self.state, self._fatal = state, fatal or self._fatal
            self.lives += state == "open"
            if state == "away":
                calls = [*self._calls.values()]
                self._calls.clear()
                self._outbox.clear()
            self._changed.notify_all()
        for call in calls:
            call.outcome.put("lost")

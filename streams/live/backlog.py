"""What has arrived from a camera and waits for its decoder: never more than is still news.

One thread puts packets in as they arrive, another takes them out. Whoever takes them too slowly would see an ever older
past. So when the oldest packet has waited for too long, everything up to a fresh key frame is thrown away, and counted.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

PATIENCE = 0.5  # seconds that a packet may wait before the reader counts as being behind
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Arrived(Generic[T]):
    """A packet, when it arrived (`time.monotonic()`), and whether a decoder can begin with it."""

    packet: T
    arrival: float
    is_key: bool


class Ended(Exception):
    """Nothing more will come; its cause is the error that ended the stream, if it was one."""


class Backlog(Generic[T]):
    """The packets that wait."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._waiting: deque[Arrived[T]] = deque()
        self._behind = 0  # thrown away and not told yet
        self._broken = False  # the next packet that is put in continues one that was thrown away
        self._ended = False
        self._error: BaseException | None = None
        self._change = threading.Condition()

    def put(self, arrived: Arrived[T]) -> None:
        """Adds a packet."""
        with self._change:
            if arrived.is_key:
                self._broken = False
            if self._broken:
                self._behind += 1
            else:
                self._waiting.append(arrived)
                self._shed()
            self._change.notify()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will be put in; what waits can still be taken."""
        with self._change:
            self._ended, self._error = True, error
            self._change.notify()

    def take(self, timeout: float) -> tuple[int, Arrived[T] | None]:
        """The oldest packet that waits; waits for one.

        Args:
            timeout: seconds to wait.

        Returns:
            How many packets before it were thrown away as too old, and the packet; None after `timeout` seconds, or
            if the one to follow is yet to come.

        Raises:
            Ended: nothing more will come. The error that was given to `end` is its `__cause__`.
        """
        with self._change:
            self._shed()
            self._change.wait_for(lambda: self._waiting or self._behind or self._ended, timeout)
            behind, self._behind = self._behind, 0
            if self._waiting:
                return behind, self._waiting.popleft()
            if self._ended and not behind:
                raise Ended from self._error
            return behind, None

    def _shed(self) -> None:
        """Throws away what is too old. The lock is held."""
        oldest_news = time.monotonic() - self._patience
        if not self._waiting or self._waiting[0].arrival >= oldest_news:
            return
        while self._waiting and not (self._waiting[0].is_key and self._waiting[0].arrival >= oldest_news):
            self._waiting.popleft()
            self._behind += 1
        self._broken = not self._waiting

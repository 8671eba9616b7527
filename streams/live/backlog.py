"""Packets that have arrived from a camera and wait for the decoder, limited by their age.

One thread puts packets in as they arrive, another takes them out, each when it is due. A slow decoder would get older
and older packets. So when the oldest packet has waited for too long, the backlog drops all packets before a recent key
frame, and counts them.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

PATIENCE = 0.5  # seconds that a packet may wait after it was due; after that the decoder counts as behind
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Arrived(Generic[T]):
    """A packet with its times (`time.monotonic()`).

    Attributes:
        arrival: when it arrived.
        due: when a decoder may have it.
        is_key: whether a decoder can start with it.
    """

    packet: T
    arrival: float
    due: float
    is_key: bool


class Ended(Exception):
    """No more packets will come. If an error ended the stream, it is the `__cause__`."""


class Backlog(Generic[T]):
    """The packets that wait.

    Args:
        patience: seconds that a packet may wait after it was due.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._waiting: deque[Arrived[T]] = deque()
        self._behind = 0  # packets that were dropped and are not reported yet
        self._broken = False  # whether the next packet depends on one that was dropped
        self._ended = False
        self._error: BaseException | None = None
        self._change = threading.Condition()

    def put(self, arrived: Arrived[T]) -> None:
        """Add a packet. Those before it are due no later than it is."""
        with self._change:
            if self._waiting and self._waiting[-1].due > arrived.due:
                self._waiting = deque(replace(each, due=min(each.due, arrived.due)) for each in self._waiting)
            if arrived.is_key:
                self._broken = False
            if self._broken:
                self._behind += 1
            else:
                self._waiting.append(arrived)
                self._shed()
            self._change.notify()

    def end(self, error: BaseException | None = None) -> None:
        """Say that no more packets will come. Packets that wait can still be taken."""
        with self._change:
            self._ended, self._error = True, error
            self._change.notify()

    def take(self, timeout: float) -> tuple[int, Arrived[T] | None]:
        """Take the oldest packet when it is due, waiting for one if necessary.

        Args:
            timeout: seconds to wait until a packet arrives.

        Returns:
            How many packets before it were dropped as too old, and the packet. The packet is None after `timeout`
            seconds, and if packets were dropped and no newer one has arrived yet.

        Raises:
            Ended: no more packets will come. The error that was given to `end` is its `__cause__`.
        """
        with self._change:
            self._shed()
            self._change.wait_for(lambda: self._waiting or self._behind or self._ended, timeout)
            while not self._behind and self._waiting and (early := self._waiting[0].due - time.monotonic()) > 0:
                self._change.wait(early)
            behind, self._behind = self._behind, 0
            if self._waiting:
                return behind, self._waiting.popleft()
            if self._ended and not behind:
                raise Ended from self._error
            return behind, None

    def _shed(self) -> None:
        """Drop packets that are too old. The caller holds the lock."""
        oldest = time.monotonic() - self._patience
        if not self._waiting or self._waiting[0].due >= oldest:
            return
        while self._waiting and not (self._waiting[0].is_key and self._waiting[0].due >= oldest):
            self._waiting.popleft()
            self._behind += 1
        self._broken = not self._waiting

"""Links: the arrows between stages of one process, by ZeroMQ. (channel.py has those between processes and hosts.)

A link is bounded: a full one makes the sender wait, and so the slowest stage sets the pace of all before it. Messages
cross by reference: the socket carries an eight-byte handle, the object waits in the link's table.

    link = Link("detector-annotator", stop)
    with link.sender() as sender: sender.send(message)      # in any number of threads, a sender each
    [delivery] = link.receive()                             # in any number of threads: who is free takes the next
    link.close()
"""

import itertools
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

import zmq

POLL_MS = 50  # how often a waiting end looks whether the run was stopped
_HANDLE = struct.Struct("!Q")
T = TypeVar("T")


class Stopped(Exception):
    """The run was stopped while this end of a link waited."""


@dataclass(frozen=True, slots=True)
class Delivery(Generic[T]):
    """A message that arrived.

    Attributes:
        ready: `time.monotonic()` when its sender had it ready.
        sequence: its number in its stream, from 0 without gaps, given by the admission. So a stage may work on several
            frames at once, and whoever needs order can restore it (order.py).
    """

    message: T
    ready: float
    sequence: int = 0


class Link(Generic[T]):
    """One arrow between stages of this process.

    Args:
        name: unique among the links of a run; seen in errors only.
        stop: when set, every end that waits raises Stopped.
        depth: messages of each sender that may wait, at least 2.
    """

    def __init__(self, name: str, stop: threading.Event, depth: int = 2) -> None:
        assert depth >= 2, f"{name}: each side of a link buffers one message at least"
        self.stop = stop
        self._address = f"inproc://{name}"
        self._depth = depth
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=0)  # inproc needs no thread
        self._held: dict[int, Delivery[T]] = {}
        self._keys = itertools.count()
        # One socket for all receivers, handed round under a lock: a message waits for whoever is free first, never
        # in the queue of one who is busy.
        self._inbox = self._socket(zmq.PULL)
        self._inbox.bind(self._address)
        self._turn = threading.Lock()

    def sender(self) -> "Sender[T]":
        """A sending end, for one thread at a time."""
        socket = self._socket(zmq.PUSH)
        socket.connect(self._address)
        return Sender(self, socket)

    def receive(self, limit: int = 1) -> list[Delivery[T]]:
        """The next message, waiting for it, and more up to `limit` that have arrived already.

        Raises:
            Stopped: the run was stopped.
        """
        with self._turn:
            self._wait(self._inbox, zmq.POLLIN)
            first = self._take(self._inbox.recv())
        return [first, *self.receive_waiting(limit - 1)]

    def receive_waiting(self, limit: int) -> list[Delivery[T]]:
        """Up to `limit` messages that have arrived already; never waits for more."""
        deliveries: list[Delivery[T]] = []
        if limit and self._turn.acquire(blocking=False):  # else another waits there, and nothing has arrived
            try:
                while len(deliveries) < limit and self._inbox.poll(0, zmq.POLLIN):
                    deliveries.append(self._take(self._inbox.recv()))
            finally:
                self._turn.release()
        return deliveries

    def close(self) -> None:
        """Free everything. All senders are closed before."""
        self._context.destroy(linger=0)
        self._held.clear()

    def _socket(self, kind: int) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        socket.sndhwm, socket.rcvhwm = 1, self._depth - 1  # an inproc pipe holds the sum of both
        return socket

    def _wait(self, socket: "zmq.Socket[bytes]", event: int) -> None:
        while not socket.poll(POLL_MS, event):
            if self.stop.is_set():
                raise Stopped
        if self.stop.is_set():
            raise Stopped

    def _put(self, delivery: Delivery[T]) -> bytes:
        key = next(self._keys)
        self._held[key] = delivery
        return _HANDLE.pack(key)

    def _take(self, handle: bytes) -> Delivery[T]:
        return self._held.pop(_HANDLE.unpack(handle)[0])


class Sender(Generic[T]):
    """The end that sends; closes with its `with` block."""

    def __init__(self, link: Link[T], socket: "zmq.Socket[bytes]") -> None:
        self._link = link
        self._socket = socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close(linger=0 if self._link.stop.is_set() else -1)

    def send(self, message: T, sequence: int = 0) -> None:
        """Hand a message over, which has this number in its stream; waits while the link is full.

        Raises:
            Stopped: the run was stopped; the message was not handed over.
        """
        handle = self._link._put(Delivery(message, time.monotonic(), sequence))
        self._link._wait(self._socket, zmq.POLLOUT)
        self._socket.send(handle)

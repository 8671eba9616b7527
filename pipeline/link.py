"""Links: the arrows between stages. The only file that knows ZeroMQ.

A link is bounded: a full one makes the sender wait, and so the slowest stage sets the pace of all before it.
Between threads of a process a message crosses by reference: the socket carries an eight-byte handle, the object waits
in the link's table.

    link = Link("decoder-detector", depth=2, receivers=4)
    with link.sender() as sender: sender.send(message)                  # in one thread
    with link.receiver() as receiver: delivery = receiver.receive()     # in another
    link.close()
"""

import itertools
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import zmq

from watchline.pipeline.message import Message

POLL_MS = 50  # how often a waiting end looks whether the run was stopped
_HANDLE = struct.Struct("!Q")


class Stopped(Exception):
    """The run was stopped while this end of a link waited."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that arrived, and when (`time.monotonic()`) its sender had it ready."""

    message: Message
    ready: float


class Link:
    """One arrow between stages of this process.

    One of its two sides has a single end, which binds; the other may have many. Each of many receivers has a queue of
    its own, and messages go round them, leaving out the full ones.

    Args:
        name: unique among the links of a run; seen in errors only.
        depth: messages that wait between one sender and one receiver, at least 2.
        senders, receivers: how many ends; at most one of the two above 1.
        stop: when set, every end that waits raises Stopped.
    """

    def __init__(
        self, name: str, depth: int = 2, senders: int = 1, receivers: int = 1, stop: threading.Event | None = None
    ) -> None:
        assert depth >= 2, f"{name}: each side of a link buffers one message at least"
        assert min(senders, receivers) == 1, f"{name}: many to many needs a stage between"
        self.name = name
        self.stop = stop or threading.Event()
        self._depth = depth
        self._sender_binds = senders == 1
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=0)  # inproc needs no thread
        self._held: dict[int, Delivery] = {}
        self._keys = itertools.count()

    def sender(self) -> "Sender":
        """A sending end, to be used and closed in the thread that asks for it."""
        return Sender(self, self._socket(zmq.PUSH, binds=self._sender_binds))

    def receiver(self) -> "Receiver":
        """A receiving end, to be used and closed in the thread that asks for it."""
        return Receiver(self, self._socket(zmq.PULL, binds=not self._sender_binds))

    def close(self) -> None:
        """Free everything. All ends are closed before."""
        self._context.destroy(linger=0)
        self._held.clear()

    def _socket(self, kind: int, binds: bool) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        socket.sndhwm, socket.rcvhwm = 1, self._depth - 1  # an inproc pipe holds the sum of both
        address = f"inproc://{self.name}"
        if binds:
            socket.bind(address)
        else:
            socket.connect(address)
        return socket

    def _wait(self, socket: "zmq.Socket[bytes]", event: int) -> None:
        while not socket.poll(POLL_MS, event):
            if self.stop.is_set():
                raise Stopped
        if self.stop.is_set():
            raise Stopped

    def _put(self, delivery: Delivery) -> bytes:
        key = next(self._keys)
        self._held[key] = delivery
        return _HANDLE.pack(key)

    def _take(self, handle: bytes) -> Delivery:
        return self._held.pop(_HANDLE.unpack(handle)[0])


class _End:
    """What both ends share: they close with the `with` block."""

    def __init__(self, link: Link, socket: "zmq.Socket[bytes]") -> None:
        self._link = link
        self._socket = socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close(linger=0 if self._link.stop.is_set() else -1)


class Sender(_End):
    """The end that sends."""

    def send(self, message: Message) -> None:
        """Hand a message over; waits while the link is full.

        Raises:
            Stopped: the run was stopped; the message was not handed over.
        """
        handle = self._link._put(Delivery(message, ready=time.monotonic()))
        while True:
            self._link._wait(self._socket, zmq.POLLOUT)
            try:
                return self._socket.send(handle, zmq.NOBLOCK)
            except zmq.Again:  # the receiver that had room closed meanwhile
                continue


class Receiver(_End):
    """The end that receives."""

    def receive(self) -> Delivery:
        """The next message; waits for it.

        Raises:
            Stopped: the run was stopped.
        """
        self._link._wait(self._socket, zmq.POLLIN)
        return self._link._take(self._socket.recv())

    def receive_waiting(self, limit: int) -> list[Delivery]:
        """Up to `limit` messages that have arrived already; never waits."""
        deliveries: list[Delivery] = []
        while len(deliveries) < limit and self._socket.poll(0, zmq.POLLIN):
            deliveries.append(self._link._take(self._socket.recv()))
        return deliveries

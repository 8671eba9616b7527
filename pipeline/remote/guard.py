"""What connections may cost a listener, by their sockets: libzmq limits neither their number nor a message's parts.

A connection is unproven until the listener's owner knows it, as the server does after a hello that it accepts. An
unproven one has little room and little time; of too many connections, the unproven one that came first is cut. Others
may send no message without end.
"""

import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

MOST = 64  # connections
UNPROVEN_SECONDS = 5.0
UNPROVEN_BYTES = 1 << 23  # a hello has no pixels
LARGEST = 1 << 29  # bytes of the requests that a client may have under way: ten frames of 8K in one
MOST_HELD = LARGEST + (1 << 24)  # bytes that a listener holds of it, with all headers
LOOK = 0.1  # seconds between looks
STALLED = 2.0  # and so many say that the listener itself had no time, and hellos may wait
_RECEIVED = 128  # where `tcpi_bytes_received` stands in Linux's `struct tcp_info`


@dataclass
class Connection:
    """An accepted connection.

    Attributes:
        since: when it was accepted, by the monotonic clock.
        is_proven: whether the listener's owner knows it.
        is_heard: whether it has sent one since the last look.
        read: bytes that it had sent at the last look before which there was one.
    """

    since: float
    is_proven: bool = False
    is_heard: bool = False
    read: int = 0


class Guard:
    """The connections of a listener, by the descriptors of their sockets."""

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}
        self._looked = 0.0

    def accepted(self, descriptor: int) -> None:
        """A connection was made."""
        self._connections[descriptor] = Connection(time.monotonic())
        if len(self._connections) > MOST:
            self.cut(next(number for number, each in self._connections.items() if not each.is_proven))

    def closed(self, descriptor: int) -> None:
        """A connection has ended."""
        self._connections.pop(descriptor, None)

    def heard(self, descriptor: int) -> None:
        """A whole message of a connection was read."""
        if descriptor in self._connections:
            self._connections[descriptor].is_heard = True

    def know(self, descriptor: int, is_known: bool) -> None:
        """The owner knows a connection, or knows it no more: then its time begins anew."""
        connection = self._connections.get(descriptor)
        if connection is not None and connection.is_proven != is_known:
            self._connections[descriptor] = Connection(time.monotonic(), is_known, read=_received(descriptor))

    def cut(self, descriptor: int) -> None:
        """End a connection. What has arrived whole is still delivered."""
        if self._connections.pop(descriptor, None):
            with suppress(OSError), _opened(descriptor) as end:
                end.shutdown(socket.SHUT_RDWR)

    def look(self) -> None:
        """Cut the connections that take more than they may."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        stalled, self._looked = now - self._looked > STALLED, now
        if stalled:
            return
        for descriptor, connection in list(self._connections.items()):
            sent = _received(descriptor)
            if not connection.is_proven:
                left = UNPROVEN_BYTES if now - connection.since <= UNPROVEN_SECONDS else -1
            else:
                if connection.is_heard:
                    connection.read, connection.is_heard = sent, False
                left = MOST_HELD
            if sent - connection.read > left:
                self.cut(descriptor)


def _received(descriptor: int) -> int:
    """How many bytes a connection has sent us; 0 where the system does not say, or it has ended."""
    if sys.platform == "linux":
        with suppress(OSError, struct.error), _opened(descriptor) as end:
            info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED + 8)
            return int(struct.unpack_from("=Q", info, _RECEIVED)[0])
    return 0


@contextmanager
def _opened(descriptor: int) -> Iterator[socket.socket]:
    """The socket of a descriptor, which stays libzmq's."""
    end = socket.socket(fileno=descriptor)
    try:
        yield end
    finally:
        end.detach()

"""What connections may cost a listener, by their sockets: libzmq limits neither their number nor a message's parts.

A connection is a stranger until its first message, which comes after its key was checked. A stranger has little room
and little time; of too many connections, the stranger that came first is cut. Others may send no message without end.
"""

import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

MOST = 64  # connections
STRANGER_SECONDS = 5.0  # until the first message
STRANGER_BYTES = 1 << 23  # up to the end of the first message: it has no pixels
LARGEST = 1 << 29  # bytes of the requests that a client may have under way: ten frames of 8K in one
MOST_HELD = LARGEST + (1 << 24)  # bytes that a listener holds of it, with all headers
LOOK = 0.1  # seconds between looks
_RECEIVED = 128  # where `tcpi_bytes_received` stands in Linux's `struct tcp_info`


@dataclass
class Connection:
    """An accepted connection.

    Attributes:
        since: when it was accepted, by the monotonic clock.
        is_stranger: whether it has sent no whole message yet.
        is_heard: whether it has sent one since the last look.
        read: bytes that it had sent at the last look before which there was one.
    """

    since: float
    is_stranger: bool = True
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
            self.cut(next(number for number, each in self._connections.items() if each.is_stranger))

    def closed(self, descriptor: int) -> None:
        """A connection has ended."""
        self._connections.pop(descriptor, None)

    def heard(self, descriptor: int) -> None:
        """A whole message of a connection was read."""
        connection = self._connections.get(descriptor)
        if connection is not None:
            connection.is_stranger, connection.is_heard = False, True

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
        self._looked = now
        for descriptor, connection in list(self._connections.items()):
            sent = _received(descriptor)
            if connection.is_stranger:
                is_greedy = sent > STRANGER_BYTES or now - connection.since > STRANGER_SECONDS
            else:
                if connection.is_heard:
                    connection.read, connection.is_heard = sent, False
                is_greedy = sent - connection.read > MOST_HELD
            if is_greedy:
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

"""A peer that speaks ZMTP 3.1 over a bare socket, for tests: it can send what libzmq would not."""

import socket
import struct

PING = b"\x04PING\x00\x00"  # a heartbeat of libzmq's
READY = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"


class Peer:
    """A DEALER that has shaken hands with the listener at tcp://127.0.0.1:PORT."""

    def __init__(self, address):
        self.socket = dialled(address)
        self._read(64)
        self.send(READY, command=True)
        self._read(2 + len(READY) - len("DEALER") + len("ROUTER"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _read(self, count):
        while count:
            came = self.socket.recv(count)
            if not came:
                raise ConnectionResetError
            count -= len(came)

    def send(self, *bodies, command=False, more=False):
        """A frame each. Raises OSError: the connection was cut."""
        self.socket.sendall(b"".join(frame(body, command, more) for body in bodies))


def dialled(address, mechanism=b"NULL"):
    """A connection that has greeted, and not shaken hands."""
    raw = socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), 10)
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01" + mechanism.ljust(20, b"\0") + bytes(32))
    return raw


def frame(body, command=False, more=False):
    flags = more + 4 * command
    return (
        bytes([flags, len(body)]) + body
        if len(body) < 256
        else bytes([flags | 2]) + struct.pack(">Q", len(body)) + body
    )


def is_cut(raw):
    """Whether the other side ends a connection, within ten seconds."""
    try:
        while raw.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True

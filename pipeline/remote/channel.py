"""Channels: messages between this process and a stage in another process or on another host, by ZeroMQ.

The client has a Dialer (DEALER), the server a Listener (ROUTER), over ipc:// or tcp://. Each belongs to one thread,
which polls it with `receive`; other threads may only `wake` that thread. A message is a header and raw parts. Nothing
here looks into them. No message is so long that libzmq refuses it: a part is sent in pieces of PIECE bytes and a rest,
which is empty where nothing is left.
"""

import ipaddress
import itertools
import os
import socket as sockets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import zmq
from numpy.typing import NDArray
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from watchline.pipeline.remote.guard import Guard

Bytes = NDArray[np.uint8]

PIECE = 1 << 23  # bytes, about a frame; a connection costs as much before its key is checked
LARGEST_HEADER = 1 << 22
OVERHEAD = 64  # bytes, no less than CURVE adds to a piece
WAITING = 64  # messages that wait to be sent
AT_ONCE = 256, 1 << 26  # the messages and bytes after which one `receive` returns
RECONNECT_MS = 50, 1000  # first and longest wait between attempts, before there is a connection
CONNECT_MS = 1000  # the most that one attempt takes
FAREWELL_MS = 200  # that the last messages have to be sent after `close`
HANDSHAKE_MS = 3000  # that a handshake may take
KEEPALIVE = 5, 2, 3  # seconds until TCP asks a silent peer, and asks again; how often it asks
UNACKNOWLEDGED_MS = 10_000  # that a peer may leave what was sent to it
ZAP = "inproc://zeromq.zap.01"  # where libzmq asks whether a key is allowed
_HANDSHAKE_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
)
_OTHER_MECHANISM = zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH


@dataclass(frozen=True, slots=True)
class Keys:
    """CURVE keys in Z85, 40 letters each.

    Attributes:
        secret: this side's own.
        peers: public keys of the other side: for a client the server's, for a server those of the clients it allows.
    """

    secret: bytes = field(repr=False)
    peers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that arrived.

    Attributes:
        peer: the sender, as a listener's `send` takes it.
        header: empty if it was missing or too large.
        parts: (bytes,) uint8 each.
        descriptor: of the socket it came by.
    """

    peer: bytes
    header: bytes
    parts: tuple[Bytes, ...]
    descriptor: int

    @property
    def nbytes(self) -> int:
        return len(self.header) + sum(part.nbytes for part in self.parts)


def new_keys() -> tuple[bytes, bytes]:
    """A new pair (public, secret)."""
    public, secret = zmq.curve_keypair()
    return public, secret


def public_of(secret: bytes) -> bytes:
    """The public key of a secret one."""
    return zmq.curve_public(secret)


def host_of(address: str) -> str:
    """The host of a tcp:// address, "" where it names none.

    Raises:
        ValueError: the address is not tcp://HOST:PORT.
    """
    try:
        parts = urlsplit(address)
        whole = parts.scheme == "tcp" and parts.port is not None and parts.path == "" and not parts.query
    except ValueError:
        whole = False
    if not whole or "@" in address:
        raise ValueError(f"{address!r}: expected tcp://HOST:PORT, e.g. tcp://127.0.0.1:5555")
    return parts.hostname or ""


def is_loopback(address: str) -> bool:
    """Whether what is sent to an address stays on this host."""
    if address.startswith("ipc://"):
        return True
    host = host_of(address)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: only asking the network would tell
        return False


class Port:
    """What a dialer and a listener share: one socket at a time, and a poll that other threads can wake.

    Args:
        kind: ZeroMQ's number of the socket's kind.
        events: of the socket's monitor, for `_happened`.
    """

    def __init__(self, kind: int, events: int) -> None:
        self._kind, self._events = kind, events
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._monitors = itertools.count()
        self._poller = zmq.Poller()
        self._sleeper, self._waker = sockets.socketpair()
        for end in (self._sleeper, self._waker):
            end.setblocking(False)
        self._poller.register(self._sleeper.fileno(), zmq.POLLIN)
        self._watched: set[int] = set()

    def wake(self) -> None:
        """Make `receive` return. For any thread, at any time; after `close`, nothing happens."""
        with suppress(OSError):  # a wake-up is waiting already, or nobody receives any more
            self._waker.send(b"\0")

    def watch(self, descriptor: int) -> None:
        """Make `receive` return when a file descriptor has something to read, or has reached its end."""
        self._poller.register(descriptor, zmq.POLLIN)
        self._watched.add(descriptor)

    def unwatch(self, descriptor: int) -> None:
        """Stop watching a descriptor; it has to be called before the descriptor is closed."""
        self._poller.unregister(descriptor)
        self._watched.discard(descriptor)

    def receive(self, timeout: float) -> tuple[list[Arrival], set[int]]:
        """Wait up to `timeout` seconds for a message, a `wake` or a watched descriptor that is readable.

        Returns:
            the messages, and the watched descriptors that are readable.
        """
        ready = dict(self._poller.poll(max(0, round(timeout * 1000))))
        if self._sleeper.fileno() in ready:
            self._sleeper.recv(4096)
        arrived = list(self._arrivals()) if self._socket in ready else []
        self._look(arrived)
        return arrived, self._watched & ready.keys()

    def send(self, header: bytes, parts: Sequence[Bytes] = (), peer: bytes = b"") -> bool:
        """Send a message. Returns whether there was room for it; if not, it was not sent.

        A message to a peer that is gone is dropped, and there was room for it.
        """
        if self._socket is None:
            return False
        address = [peer] if self._kind == zmq.ROUTER else []
        pieces = [piece for part in parts for piece in _pieces(part)]
        try:
            self._socket.send_multipart([*address, header, *pieces], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
        return True

    def close(self) -> None:
        """Free everything. Messages that were handed over have FAREWELL_MS to be sent."""
        self._drop(FAREWELL_MS)
        self._context.term()
        self._sleeper.close()
        self._waker.close()

    def _happened(self, event: int, value: int) -> None:
        """Handle an event of the socket."""
        raise NotImplementedError

    def _look(self, arrived: Sequence[Arrival]) -> None:
        """Handle what else there is besides the messages that have arrived."""
        while self._monitor is not None and _is_readable(self._monitor):
            event = parse_monitor_message(self._monitor.recv_multipart())
            self._happened(event["event"], event["value"])

    def _open(self, keys: Keys | None, ipv6: bool) -> "zmq.Socket[bytes]":
        socket = self._socket = self._context.socket(self._kind)
        socket.sndhwm = socket.rcvhwm = WAITING
        socket.maxmsgsize = PIECE + OVERHEAD
        socket.handshake_ivl = HANDSHAKE_MS
        socket.tcp_keepalive = 1
        socket.tcp_keepalive_idle, socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = KEEPALIVE
        socket.tcp_maxrt = UNACKNOWLEDGED_MS
        socket.ipv6 = ipv6
        if keys:
            socket.curve_secretkey, socket.curve_publickey = keys.secret, public_of(keys.secret)
        address = f"inproc://monitor-{next(self._monitors)}"  # that of the last socket may not be free yet
        socket.monitor(address, self._events)
        self._monitor = self._context.socket(zmq.PAIR)
        self._monitor.rcvhwm = 0  # else libzmq's own thread waits for us
        self._monitor.connect(address)
        for end in (socket, self._monitor):
            self._poller.register(end, zmq.POLLIN)
        return socket

    def _drop(self, linger: int = 0) -> None:
        if self._socket is not None and self._monitor is not None:
            self._socket.disable_monitor()
            for end in (self._socket, self._monitor):
                self._poller.unregister(end)
                end.close(linger)
            self._socket = self._monitor = None

    def _arrivals(self) -> Iterator[Arrival]:
        assert self._socket is not None
        messages, room = AT_ONCE
        for _ in range(messages):
            if room < 0 or not _is_readable(self._socket):
                return
            frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            room -= sum(len(frame) for frame in frames)
            descriptor = _descriptor(frames[0])
            peer = frames.pop(0).bytes if self._kind == zmq.ROUTER else b""
            if frames and len(frames[0].buffer) <= LARGEST_HEADER:
                yield Arrival(peer, frames[0].bytes, tuple(_parts(frames[1:])), descriptor)
            else:
                yield Arrival(peer, b"", (), descriptor)


def _is_readable(socket: "zmq.Socket[bytes]") -> bool:
    """Whether a message waits; cheaper than a poll."""
    events = socket.getsockopt(zmq.EVENTS)
    assert isinstance(events, int)
    return bool(events & zmq.POLLIN)


def _descriptor(frame: zmq.Frame) -> int:
    """Of the socket that a frame came by; -1 for the oldest versions of ZeroMQ, which do not know it."""
    try:
        return int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return -1


def _pieces(part: Bytes) -> Iterator[memoryview]:
    """A part as it is sent."""
    flat = np.ascontiguousarray(part).reshape(-1)
    for start in range(0, flat.nbytes + 1, PIECE):
        yield flat[start : start + PIECE].data


def _parts(frames: Sequence[zmq.Frame]) -> Iterator[Bytes]:
    """The parts of which these are the pieces. One that has no rest was cut off, and is left out."""
    pieces: list[Bytes] = []
    for frame in frames:
        pieces.append(np.frombuffer(frame.buffer, np.uint8))
        if len(pieces[-1]) < PIECE:
            yield pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
            pieces = []


class Dialer(Port):
    """The client's end.

    Attributes:
        refusal: why the last handshake with the server failed, "" if none did since `connect`.
        cut: whether a connection broke off since then. ZeroMQ makes a new one, on which the server does not know us.
    """

    def __init__(self) -> None:
        super().__init__(zmq.DEALER, sum(_HANDSHAKE_FAILED) | zmq.EVENT_DISCONNECTED)
        self.refusal, self.cut = "", False
        self._keyed = False

    def connect(self, address: str, keys: Keys | None = None) -> None:
        """Connect, and forget what waited to be sent or received. Returns at once, whether or not a server answers."""
        self.disconnect()
        self.refusal, self.cut = "", False
        self._keyed = keys is not None
        socket = self._open(keys, ipv6="[" in address)
        socket.reconnect_ivl, socket.reconnect_ivl_max = RECONNECT_MS
        if keys:
            [socket.curve_serverkey] = keys.peers
        socket.connect_timeout = CONNECT_MS
        socket.connect(address)

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        self._drop()

    def _happened(self, event: int, value: int) -> None:
        if event == zmq.EVENT_DISCONNECTED:
            self.cut = True
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self.refusal = "it does not know our key: start it with --allow and our public key"
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL and value != _OTHER_MECHANISM:
            self.refusal = "what answers there is not a stage of Watchline: check host and port"
        elif self._keyed:
            self.refusal = (
                "it broke off the handshake: check that the peer key given here is its own, and that it has keys"
            )
        else:
            self.refusal = "it broke off the handshake: if it has keys, give our key and its public one"


class Listener(Port):
    """The server's end.

    Attributes:
        refused: how many handshakes with an unknown key were refused.
    """

    def __init__(self) -> None:
        super().__init__(zmq.ROUTER, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._guard = Guard()
        self._door: zmq.Socket[bytes] | None = None
        self._allowed: frozenset[bytes] = frozenset()
        self.refused = 0

    def listen(self, address: str, keys: Keys | None = None) -> str:
        """Listen; with keys, to those clients alone whose key is one of them. Returns the address with the real port.

        Raises:
            OSError: the port is taken, or the host is not this one.
        """
        socket = self._open(keys, ipv6="[" in address)
        # No limit, and no heartbeats of libzmq's: it aborts where a connection ends, or a heartbeat comes, while it
        # holds back what was received (libzmq 3937, 4364). The guard and the server have limits of their own.
        socket.rcvhwm = 0
        socket.router_mandatory = True  # else it drops messages that find no room
        if keys:
            self._allowed = frozenset(keys.peers)
            self._door = self._context.socket(zmq.REP)
            self._door.bind(ZAP)
            self._poller.register(self._door, zmq.POLLIN)
            socket.curve_server = True
            socket.zap_domain = b"watchline"
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0)) from None
        bound = socket.get(zmq.LAST_ENDPOINT)
        assert isinstance(bound, bytes)
        return bound.rstrip(b"\0").decode()

    def close(self) -> None:
        if self._door is not None:
            self._poller.unregister(self._door)
            self._door.close(0)
        super().close()

    def cut(self, descriptor: int) -> None:
        """End a connection."""
        self._guard.cut(descriptor)

    def know(self, descriptor: int, is_known: bool = True) -> None:
        """Say that a connection is a client's, or no longer: those of nobody are soon cut."""
        self._guard.know(descriptor, is_known)

    def _happened(self, event: int, value: int) -> None:
        if event == zmq.EVENT_ACCEPTED:
            self._guard.accepted(value)
        else:
            self._guard.closed(value)

    def _look(self, arrived: Sequence[Arrival]) -> None:
        super()._look(arrived)
        for descriptor in {arrival.descriptor for arrival in arrived}:
            self._guard.heard(descriptor)
        self._guard.look()
        while self._door is not None and _is_readable(self._door):
            self._answer_door(self._door)

    def _answer_door(self, door: "zmq.Socket[bytes]") -> None:
        """Tell libzmq whether a key is allowed (RFC 27, ZAP)."""
        version, request, _domain, _address, _identity, mechanism, *credentials = door.recv_multipart()
        known = mechanism == b"CURVE" and len(credentials) == 1 and z85.encode(credentials[0]) in self._allowed
        self.refused += not known
        code, text = (b"200", b"OK") if known else (b"400", b"unknown key")
        door.send_multipart([version, request, code, text, b"", b""])

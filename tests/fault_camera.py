"""A faulty camera: a proxy in front of a real RTSP server that follows a script. Equal seeds give equal faults.

    with RtspServer() as server, FaultCamera(server.port, [Act(2.0, freeze, 3.0), Act(8.0, flip, 2.0)]) as camera:
        NetworkSource(server.url(port=camera.port))

A fault is a function over the pieces that the server sends (RTSP over TCP: answers and packets). It yields bytes to
send and numbers of seconds to wait; an exception ends the connection.
"""

import logging
import math
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import BinaryIO, Self

from rtsp import BadWire

log = logging.getLogger(__name__)

EVER = math.inf  # as a wait: until the fault is over
HEADER = 12  # bytes of an RTP packet before the video
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: a close resets the connection


@dataclass(frozen=True)
class Piece:
    """A piece of a server's output.

    Attributes:
        data: all its bytes.
        channel: of an interleaved packet (RFC 2326, 10.12), where 0 is video; None for an answer.
    """

    data: bytes
    channel: int | None = None

    @property
    def is_video(self) -> bool:
        return self.channel == 0

    @property
    def is_answer(self) -> bool:
        return self.channel is None

    @property
    def packet(self) -> bytes:
        """The RTP packet without its framing."""
        return self.data[4:]


class Close(Exception):
    """The connection is closed properly."""


class Reset(Exception):
    """The connection is reset."""


Pieces = Iterable[Piece]
Acts = Iterator[bytes | float]
Fault = Callable[[Pieces, random.Random], Acts]


def framed(packet: bytes) -> bytes:
    """A packet of video with its framing."""
    return b"$\0" + len(packet).to_bytes(2, "big") + packet


def fine(pieces: Pieces, seed: random.Random) -> Acts:
    """No fault."""
    for piece in pieces:
        yield piece.data


# What happens to a connection.


def refused(pieces: Pieces, seed: random.Random) -> Acts:
    """No server listens, and connections are cut."""
    raise Reset
    yield


def reset(pieces: Pieces, seed: random.Random) -> Acts:
    """Connections are accepted, and reset at their first piece."""
    for _ in pieces:
        raise Reset
    yield 0.0


def closed(pieces: Pieces, seed: random.Random) -> Acts:
    """Connections are accepted, and closed at their first piece."""
    for _ in pieces:
        raise Close
    yield 0.0


def half_open(pieces: Pieces, seed: random.Random) -> Acts:
    """Connections are accepted, and no answer comes."""
    yield EVER
    raise Close


def freeze(pieces: Pieces, seed: random.Random) -> Acts:
    """Silence, then everything that was held back."""
    yield EVER
    yield from fine(pieces, seed)


def delay(pieces: Pieces, seed: random.Random) -> Acts:
    """Random pauses of up to half a second, then everything at once."""
    for piece in pieces:
        if seed.random() < 0.1:
            yield seed.uniform(0.1, 0.5)
        yield piece.data


def trickle(pieces: Pieces, seed: random.Random) -> Acts:
    """400 bytes per second."""
    for piece in pieces:
        for start in range(0, len(piece.data), 20):
            yield 0.05
            yield piece.data[start : start + 20]


def shred(pieces: Pieces, seed: random.Random) -> Acts:
    """Everything comes, in small pieces."""
    for piece in pieces:
        start = 0
        while start < len(piece.data):
            end = start + seed.randrange(1, 400)
            yield piece.data[start:end]
            yield 0.0005
            start = end


# What happens to packets.


def lose_packets(pieces: Pieces, seed: random.Random) -> Acts:
    """One in four packets of the video is lost."""
    for piece in pieces:
        if not piece.is_video or seed.random() > 0.25:
            yield piece.data


def lose_bytes(pieces: Pieces, seed: random.Random) -> Acts:
    """Some bytes are lost at random, so that the bytes after them are shifted."""
    for piece in pieces:
        start = seed.randrange(len(piece.data)) if piece.is_video and seed.random() < 0.1 else len(piece.data)
        yield piece.data[:start] + piece.data[start + seed.randrange(1, 9) :]


def duplicate(pieces: Pieces, seed: random.Random) -> Acts:
    """One in four packets of the video comes twice."""
    for piece in pieces:
        yield piece.data
        if piece.is_video and seed.random() < 0.25:
            yield piece.data


def reorder(pieces: Pieces, seed: random.Random) -> Acts:
    """One in four packets of the video comes after the next one."""
    held = b""
    for piece in pieces:
        if piece.is_video and not held and seed.random() < 0.25:
            held = piece.data
            continue
        yield piece.data + held
        held = b""
    yield held


def truncate(pieces: Pieces, seed: random.Random) -> Acts:
    """One in ten packets of the video ends too early."""
    for piece in pieces:
        short = piece.is_video and seed.random() < 0.1
        yield framed(piece.packet[: seed.randrange(len(piece.packet))]) if short else piece.data


def flip(pieces: Pieces, seed: random.Random) -> Acts:
    """One in ten packets of the video has wrong bits after its header."""
    for piece in pieces:
        damaged = bytearray(piece.packet)
        if piece.is_video and seed.random() < 0.1 and len(damaged) > HEADER:
            for _ in range(8):
                damaged[seed.randrange(HEADER, len(damaged))] ^= 1 << seed.randrange(8)
            yield framed(bytes(damaged))
        else:
            yield piece.data


def noise(pieces: Pieces, seed: random.Random) -> Acts:
    """Between the packets there are random bytes."""
    for piece in pieces:
        yield piece.data
        if piece.is_video and seed.random() < 0.1:
            yield seed.randbytes(seed.randrange(1, 100))


# What happens to answers. Connections are cut first, so that there are answers.


def garbage(pieces: Pieces, seed: random.Random) -> Acts:
    """Answers are random bytes."""
    for piece in pieces:
        yield seed.randbytes(len(piece.data)) if piece.is_answer else piece.data


def slow_handshake(pieces: Pieces, seed: random.Random) -> Acts:
    """Each answer is delayed."""
    for piece in pieces:
        if piece.is_answer:
            yield 0.2
        yield piece.data


def close_after_play(pieces: Pieces, seed: random.Random) -> Acts:
    """The server accepts PLAY, and closes."""
    for piece in pieces:
        yield piece.data
        if b"RTP-Info:" in piece.data:
            raise Close


def cut_answer(pieces: Pieces, seed: random.Random) -> Acts:
    """The connection is closed in the middle of an answer."""
    for piece in pieces:
        yield piece.data[: len(piece.data) // 2]
        raise Close


def _answers(status: str, pieces: Pieces) -> Acts:
    for piece in pieces:
        lines = piece.data.split(b"\r\n", 1)
        yield f"RTSP/1.0 {status}\r\n".encode() + lines[-1] if piece.is_answer else piece.data


def not_found(pieces: Pieces, seed: random.Random) -> Acts:
    """Every answer is 404."""
    return _answers("404 Not Found", pieces)


def no_session(pieces: Pieces, seed: random.Random) -> Acts:
    """Every answer is 454."""
    return _answers("454 Session Not Found", pieces)


def unavailable(pieces: Pieces, seed: random.Random) -> Acts:
    """Every answer is 503."""
    return _answers("503 Service Unavailable", pieces)


FAULTS: tuple[Fault, ...] = (
    refused, reset, closed, half_open, freeze, delay, trickle, shred, lose_packets, lose_bytes, duplicate, reorder,
    truncate, flip, noise, garbage, slow_handshake, close_after_play, cut_answer, not_found, no_session, unavailable,
)  # fmt: skip
CUT_AT_FIRST = (
    refused,
    half_open,
    garbage,
    slow_handshake,
    close_after_play,
    cut_answer,
    not_found,
    no_session,
    unavailable,
)


@dataclass(frozen=True)
class Act:
    """Attributes:
    at: seconds after the first packet of video.
    fault: the fault that begins then.
    seconds: its length.
    """

    at: float
    fault: Fault
    seconds: float


class FaultCamera(BadWire):
    """The proxy. A `with` block opens and closes it.

    Attributes:
        began: `time.monotonic()` of the first packet of video; None before.
    """

    def __init__(self, port: int, script: Sequence[Act], seed: int = 0) -> None:
        """Args: port of the server; script in order of time; seed of all random numbers."""
        super().__init__(port)
        self.began: float | None = None
        self._script = script
        self._seed = seed
        self._connections = count()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._direct, daemon=True).start()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        super().__exit__(kind, error, trace)

    def when(self, act: Act) -> tuple[float, float]:
        """`time.monotonic()` of an act's beginning and end; infinite before the first packet of video."""
        begin = EVER if self.began is None else self.began + act.at
        return begin, begin + act.seconds

    def _act(self) -> Act | None:
        """The current act."""
        now = time.monotonic()
        for act in self._script:
            begin, end = self.when(act)
            if begin <= now < end:
                return act
        return None

    def _direct(self) -> None:
        """Cut the connections and stop listening, as the acts require."""
        for act in self._script:
            while time.monotonic() < self.when(act)[0]:
                if self._closed.wait(0.01):
                    return
            if act.fault is refused:
                _shut(self._listener)
                self._listener.close()
            if act.fault in CUT_AT_FIRST:
                for each in list(self._sockets):
                    _shut(each)
            if act.fault is refused:
                self._wait(EVER, act)
                self._listener = socket.create_server(("127.0.0.1", self.port))
                threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One connection, from its beginning to its end."""
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._up)) as server:
            self._sockets += [client, server]
            asking = threading.Thread(target=self._ask, args=(client, server), daemon=True)
            asking.start()
            how = socket.SHUT_RDWR
            try:
                self._answer(server, client)
            except Reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                how = socket.SHUT_RD  # it wakes the other thread, and sends nothing
            except (Close, OSError) as end:
                log.debug("%r", end)
            _shut(client, how)
            _shut(server)
            asking.join()
            self._sockets = [each for each in self._sockets if each not in (client, server)]

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        seed = random.Random(f"{self._seed} {next(self._connections)}")
        with server.makefile("rb") as stream:
            reading = _Reading(stream, self._see)
            while reading.next is not None:
                act = self._act()
                pieces = reading.until(lambda act=act: self._act() is not act)
                for what in act.fault(pieces, seed) if act else fine(pieces, seed):
                    if isinstance(what, bytes):
                        client.sendall(what)
                    else:
                        self._wait(what, act)

    def _see(self, piece: Piece) -> None:
        if self.began is None and piece.is_video:
            self.began = time.monotonic()

    def _wait(self, seconds: float, act: Act | None) -> None:
        """Wait, but no longer than the act lasts."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._act() is act and not self._closed.wait(min(left, 0.02)):
            continue


class _Reading:
    """The pieces from a server.

    Attributes:
        next: the next piece; None at the end.
    """

    def __init__(self, stream: BinaryIO, see: Callable[[Piece], None]) -> None:
        self._stream = stream
        self._see = see
        self.next = self._read()

    def until(self, over: Callable[[], bool]) -> Iterator[Piece]:
        """Yield pieces as they come, until `over` returns true."""
        while self.next is not None and not over():
            piece = self.next
            self._see(piece)
            yield piece
            self.next = self._read()

    def _read(self) -> Piece | None:
        first = self._stream.read(1)
        if first == b"$":
            header = self._stream.read(3)
            if len(header) < 3:
                return None
            return Piece(first + header + self._stream.read(int.from_bytes(header[1:], "big")), header[0])
        lines = [first + self._stream.readline()] if first else []
        while lines and lines[-1].strip():
            lines.append(self._stream.readline())
        lengths = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")]
        return Piece(b"".join(lines) + self._stream.read(sum(lengths))) if lines else None


def _shut(each: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    with suppress(OSError):
        each.shutdown(how)

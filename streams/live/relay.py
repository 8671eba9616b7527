"""A relay between FFmpeg and an RTSP camera, for what FFmpeg cannot do: log in by SHA-256, and say what was wrong.

FFmpeg knows only MD5, takes the last login that a camera offers, and calls most refusals "4XX". So if it was refused,
it tries again through the relay, which signs the requests and reads the answers.
"""

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from watchline.streams.address import Address
from watchline.streams.live.digest import BASIC, FFMPEG_KNOWS, Challenge, challenges
from watchline.text import printable

PORT = 554  # of RTSP
MOST = 65536  # bytes of a line, and of an answer's body
LONGEST = 80  # letters of a server's text that are shown


@dataclass
class Heard:
    """What a camera answered last.

    Attributes:
        refusal: what was not granted: method, status and reason, e.g. "SETUP: 453 Not Enough Bandwidth"; or empty.
        status: its number; 0 if nothing was refused.
        place: where the camera sent us on to, as it was written; or empty.
        offers: the logins that it offered.
    """

    refusal: str = ""
    status: int = 0
    place: str = ""
    offers: list[Challenge] = field(default_factory=list)

    @property
    def untried(self) -> Challenge | None:
        """A login that is known here, if FFmpeg could try none: it takes the last digest, and knows only MD5."""
        digests = [each for each in self.offers if each.algorithm != BASIC]
        return self.best if digests and digests[-1].algorithm not in FFMPEG_KNOWS else None

    @property
    def best(self) -> Challenge | None:
        """The first login that is known here, a digest if there is one."""
        known = [each for each in self.offers if each.is_known]
        return min(known, key=lambda each: each.algorithm == BASIC, default=None)


class Relay:
    """One connection.

    Args:
        address: of the camera.
        knows_password: whether the camera has accepted it before. If not, only a login that FFmpeg could not try is
            tried: a wrong password is not sent twice.

    Attributes:
        url: where FFmpeg finds the relay. Nobody else knows it.
        heard: what the camera answered.
    """

    def __init__(self, address: Address, camera: socket.socket, listener: socket.socket, knows_password: bool) -> None:
        self.heard = Heard()
        self._address, self._camera, self._listener = address, camera, listener
        self._knows_password = knows_password
        self._here = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/{secrets.token_urlsafe(12)}"
        self._there = f"{address.scheme}://{address.server}"
        self._challenge: Challenge | None = None
        self._request: list[str] = []  # the lines of the last one
        self._is_again = False  # whether it was sent a second time
        self.url = f"{self._here}{address.request}"

    def serve(self) -> None:
        """Carry one client's requests to the camera and its answers back, until either is gone."""
        with suppress(OSError, ValueError, IndexError):
            client = self._listener.accept()[0]
            with client:
                asking = threading.Thread(target=self._ask, args=(client,), daemon=True)
                asking.start()
                with suppress(OSError, ValueError, IndexError):
                    self._answer(client)
                _shut(client, self._camera)
                asking.join()

    def _ask(self, client: socket.socket) -> None:
        with suppress(OSError, ValueError, IndexError), client.makefile("rb") as stream:
            while first := stream.read(1):
                if first == b"$":
                    self._camera.sendall(first + _interleaved(stream))
                    continue
                lines = _lines(first, stream)
                if not self._request and self._here not in lines[0]:
                    raise ValueError("it is not FFmpeg who asks")
                self._request = [line.replace(self._here, self._there) for line in lines]
                self._is_again = False
                self._send()
        _shut(self._camera)

    def _answer(self, client: socket.socket) -> None:
        with self._camera.makefile("rb") as stream:
            while first := stream.read(1):
                if first == b"$":
                    client.sendall(first + _interleaved(stream))
                    continue
                lines = _lines(first, stream)
                sizes = [int(value) for value in _values(lines, "content-length")]
                body = stream.read(min(sum(sizes), MOST))
                if not self._is_signed_again(lines):
                    client.sendall(_bytes(lines) + body)

    def _is_signed_again(self, lines: list[str]) -> bool:
        """Read an answer. Returns whether the request was sent again, signed."""
        status = int(lines[0].split()[1])
        is_signed = any(line.startswith("Authorization:") for line in self._request)
        if status < 300:
            self._knows_password = self._knows_password or is_signed
            return False
        method = self._request[0].split()[0]
        self.heard.status, self.heard.refusal = status, f"{method}: {printable(lines[0].partition(' ')[2])[:LONGEST]}"
        self.heard.place = next(iter(_values(lines, "location")), "")
        if status != 401 or self._address.user is None:
            return False
        self.heard.offers = challenges(_values(lines, "www-authenticate"))
        self._challenge = self.heard.best if self._knows_password else self.heard.untried
        if is_signed and not (self._challenge and self._challenge.is_stale):
            self._challenge, self._address = None, replace(self._address, user=None)  # the password is wrong
        if self._challenge is None or self._is_again:
            return False
        self._is_again = True
        self._send()
        return True

    def _send(self) -> None:
        lines = [line for line in self._request if not line.startswith("Authorization:")]
        if self._challenge is not None:
            method, uri, _ = lines[0].split(" ", 2)
            signed = self._challenge.sign(self._address.user or "", self._address.password or "", method, uri)
            lines.append(f"Authorization: {signed}")
        self._request = lines
        self._camera.sendall(_bytes(lines))


@contextmanager
def relay(address: Address, timeout: float, knows_password: bool) -> Iterator[Relay]:
    """An open relay to a camera.

    Args:
        timeout: seconds until the camera has to accept the connection.
        knows_password: as Relay has it.

    Raises:
        OSError: there is no connection to the camera.
    """
    host = address.host.strip("[]")
    with (
        socket.create_connection((host, address.port or PORT), timeout) as camera,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        camera.settimeout(None)
        opened = Relay(address, camera, listener, knows_password)
        thread = threading.Thread(target=opened.serve, name="relay", daemon=True)
        thread.start()
        try:
            yield opened
        finally:
            _shut(listener, camera)
            thread.join()


def _interleaved(stream: BinaryIO) -> bytes:
    """The rest of a packet between the answers (RFC 2326, 10.12), after its $."""
    header = stream.read(3)
    return header + stream.read(int.from_bytes(header[1:3], "big"))


def _lines(first: bytes, stream: BinaryIO) -> list[str]:
    """A request or an answer up to its empty line, without that. Raises ValueError: a line is too long."""
    lines: list[str] = []
    line = first + stream.readline(MOST)
    while line.strip() and len(lines) < 200:
        if len(line) >= MOST:
            raise ValueError("a line without an end")
        lines.append(line.decode("latin-1").rstrip("\r\n"))
        line = stream.readline(MOST)
    return lines


def _bytes(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _values(lines: list[str], name: str) -> list[str]:
    pairs = (line.partition(":") for line in lines[1:])
    return [value.strip() for key, _, value in pairs if key.strip().lower() == name]


def _shut(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)

"""A door in front of an RTSP server: it answers requests itself, or lets them through.

with RtspServer() as server, Door(server.port, digest("gate", "secret", "MD5", "SHA-256")) as door:
    NetworkSource(f"rtsp://gate:secret@127.0.0.1:{door.port}/live")
"""

import hashlib
import re
import socket
from collections.abc import Callable
from contextlib import suppress

from rtsp import BadWire

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
Answer = Callable[[str, dict[str, str]], str | None]


def reply(status: str, *headers: str) -> str:
    """An answer without a body. Args: status, e.g. "404 Not Found"."""
    return "\r\n".join([f"RTSP/1.0 {status}", "CSeq: {cseq}", *headers, "", ""])


def always(status: str, *headers: str, to: str = "") -> Answer:
    """Answer each request like this, or those of one method."""
    return lambda line, _: reply(status, *headers) if line.startswith(to) else None


def digest(user: str, password: str, *algorithms: str) -> Answer:
    """Let in who knows the password by any of the algorithms, which are offered in this order (RFC 7616)."""

    def answer(line: str, headers: dict[str, str]) -> str | None:
        said = dict(re.findall(r'(\w+)="?([^",]*)"?', headers.get("authorization", "").removeprefix("Digest ")))
        method = line.partition(" ")[0]
        name = said.get("algorithm", "MD5")
        if said and name in algorithms:

            def hashed(text: str) -> str:
                return HASHES[name](text.encode()).hexdigest()

            one, two = hashed(f"{user}:door:{password}"), hashed(f"{method}:{said['uri']}")
            if said["response"] == hashed(f"{one}:n1:{two}"):
                return None
        offers = (f'WWW-Authenticate: Digest realm="door", nonce="n1", algorithm={name}' for name in algorithms)
        return reply("401 Unauthorized", *offers)

    return answer


class Door(BadWire):
    """Args: port of the server; answer gets the first line of a request and its headers, and returns None to let it
    through.
    """

    def __init__(self, port: int, answer: Answer) -> None:
        super().__init__(port)
        self._say = answer

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        stream = client.makefile("rb")
        with suppress(OSError):
            while first := stream.read(1):
                if first == b"$":
                    header = stream.read(3)
                    server.sendall(first + header + stream.read(int.from_bytes(header[1:], "big")))
                    continue
                lines = [(first + stream.readline()).decode().strip()]
                while line := stream.readline().decode().strip():
                    lines.append(line)
                self.requests += [lines[0], *(line for line in lines if line.startswith("Authorization:"))]
                headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines[1:]}
                said = self._say(lines[0], headers)
                if said is None:
                    kept = [line for line in lines if not line.startswith("Authorization:")]
                    server.sendall("\r\n".join([*kept, "", ""]).encode())
                else:
                    client.sendall(said.replace("{cseq}", headers["cseq"]).encode())
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

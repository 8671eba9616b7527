"""The least of an RTMP server: it gives whoever plays any stream the pictures of live_page.py.

with RtmpServer() as server:
    NetworkSource(server.url)
"""

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import av
from live_page import send_video

COMMAND, VIDEO, CHUNK_SIZE = 20, 9, 1
HANDSHAKE = 1536  # bytes
TAG = 11  # bytes of the header of an FLV tag
Value = str | float | dict[str, str] | None


def amf(value: Value) -> bytes:
    """A value as AMF0 writes it."""
    match value:
        case str():
            return b"\2" + struct.pack(">H", len(value)) + value.encode()
        case dict():
            pairs = (struct.pack(">H", len(key)) + key.encode() + amf(each) for key, each in value.items())
            return b"\3" + b"".join(pairs) + b"\0\0\x09"
        case None:
            return b"\5"
    return b"\0" + struct.pack(">d", value)


def message(kind: int, body: bytes, time: int = 0, stream: int = 0) -> bytes:
    """A message in one chunk."""
    length, rest = len(body).to_bytes(3, "big"), struct.pack("<BI", kind, stream)
    return b"\3" + (time & 0xFFFFFF).to_bytes(3, "big") + length + rest + body


def command(*values: Value, stream: int = 0) -> bytes:
    return message(COMMAND, b"".join(map(amf, values)), stream=stream)


class _Tags:
    """Sends the tags of an FLV file as messages."""

    def __init__(self, client: socket.socket) -> None:
        self._client, self._data, self._begun = client, b"", False

    def write(self, data: bytes) -> int:
        self._data += data
        if not self._begun and len(self._data) >= 13:
            self._begun, self._data = True, self._data[13:]  # the header of the file
        while self._begun and len(self._data) >= TAG:
            kind, size = self._data[0], int.from_bytes(self._data[1:4], "big")
            if len(self._data) < TAG + size + 4:
                break
            time = int.from_bytes(self._data[4:7], "big")
            self._client.sendall(message(kind, self._data[TAG : TAG + size], time, 1))
            self._data = self._data[TAG + size + 4 :]
        return len(data)


class RtmpServer:
    """Attributes: url, of a stream."""

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtmp://127.0.0.1:{self._listener.getsockname()[1]}/live/gate"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, av.error.FFmpegError), client.makefile("rb") as stream:
            hello = stream.read(1 + HANDSHAKE)
            client.sendall(hello[:1] + bytes(HANDSHAKE) + hello[1:])  # of version 0: nothing is signed
            stream.read(HANDSHAKE)
            client.sendall(message(CHUNK_SIZE, struct.pack(">I", 1 << 20)))
            self._until(client, "connect", {"code": "NetConnection.Connect.Success", "level": "status"})
            self._until(client, "createStream", 1.0)
            self._until(client, "play")
            status = {"code": "NetStream.Play.Start", "level": "status"}
            client.sendall(command("onStatus", 0.0, None, status, stream=1))
            send_video(_Tags(client), "flv", self._over)

    def _until(self, client: socket.socket, name: str, *result: Value) -> None:
        """Read until a command has come, and answer it."""
        heard, wanted = b"", amf(name) + b"\0"
        while wanted not in heard or len(heard) < heard.index(wanted) + len(wanted) + 8:
            data = client.recv(65536)
            if not data:
                raise ConnectionError
            heard += data
        start = heard.index(wanted) + len(wanted)
        (number,) = struct.unpack(">d", heard[start : start + 8])
        if result:
            client.sendall(command("_result", number, None, *result))

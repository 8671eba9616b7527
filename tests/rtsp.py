"""A real RTSP server for tests and benchmarks (rtsp_server.py, a process of its own), and a faulty proxy to it.

with RtspServer("--codec", "h265") as server:
    NetworkSource(server.url())
"""

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import quote

import pytest

PYTHON = "/usr/bin/python3"  # the one that Debian's packages are for
PROGRAM = Path(__file__).with_name("rtsp_server.py")
PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
)
NEEDS = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
    "Gst.init(None); missing = [e for e in ('x264enc', 'x265enc', 'rtph265pay', 'jpegenc', 'alawenc') "
    "if not Gst.ElementFactory.find(e)]; assert not missing, missing"
)


def need_rtsp_server() -> None:
    """Skip the test if the server cannot run on this machine; in continuous integration, fail it."""
    try:
        done = subprocess.run([PYTHON, "-c", NEEDS], capture_output=True, text=True)
        why = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
    except OSError as error:
        why = str(error)
    if why:
        reason = f"no RTSP server here ({why}); as root: apt-get install {PACKAGES}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


class RtspServer:
    """A server that runs from `start` to `stop`. A `with` block does both.

    Attributes:
        port: where it listens, the same after a restart.
    """

    def __init__(self, *options: str, login: str | None = None) -> None:
        """Args: options as of rtsp_server.py; login, user:password, for it and for `url`."""
        self.port = 0
        self._login = login
        self._options = [*options, "--login", login] if login else list(options)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, on the port that it had before, and wait until it listens."""
        command = [PYTHON, str(PROGRAM), "--port", str(self.port), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the RTSP server ended with {self._process.wait()}; see above")
        self.port = json.loads(line)["port"]

    def url(self, path: str = "/live", login: str | None = None, port: int | None = None) -> str:
        """The address of a path; `login` user:password instead of the right one, "" for none."""
        user, _, password = (self._login or "" if login is None else login).partition(":")
        rest = f"127.0.0.1:{port or self.port}{path}"
        return f"rtsp://{quote(user, safe='')}:{quote(password, safe='')}@{rest}" if user else f"rtsp://{rest}"

    def stop(self) -> None:
        """End it, as a shutdown would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it, as a power cut would, except that the kernel closes its connections."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Make it silent. Its connections stay."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server was not started"
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # a frozen process does not see a SIGTERM
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


class BadWire:
    """A proxy for RTSP over TCP that may change or lose packets of the video. A `with` block opens and closes it.

    Attributes:
        port: where it listens.
        requests: the first line of every request, and its Authorization header.
    """

    def __init__(self, port: int, change: Callable[[int, bytes], bytes | None] = lambda number, packet: packet) -> None:
        """Args: port of the server; change gets the number of an RTP packet and the packet, and returns what to send
        in its place, None for nothing.
        """
        self.requests: list[str] = []
        self._up = port
        self._change = change
        self._count = 0
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._up))
                self._sockets += [client, server]
                for work, ends in ((self._ask, (client, server)), (self._answer, (server, client))):
                    threading.Thread(target=work, args=ends, daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                lines = data.decode("latin-1").split("\r\n")
                self.requests += [line for line in lines if " RTSP/1.0" in line or line.startswith("Authorization:")]
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        stream = server.makefile("rb")
        with suppress(OSError, ValueError):
            while first := stream.read(1):
                client.sendall(self._packet(stream.read(3), stream) if first == b"$" else first + stream.readline())
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _packet(self, header: bytes, stream: BinaryIO) -> bytes:
        """An interleaved packet (RFC 2326, 10.12): $, channel, length, RTP or RTCP."""
        packet: bytes | None = stream.read(int.from_bytes(header[1:], "big"))
        if header[0] == 0 and packet is not None:
            self._count += 1
            packet = self._change(self._count, packet)
        return b"" if packet is None else b"$" + header[:1] + len(packet).to_bytes(2, "big") + packet

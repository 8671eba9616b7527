"""A camera that speaks HTTP and sends one endless video: MPEG-TS, FLV, Matroska, raw H.264, with marks (marks.py).

with LivePage() as camera:
    NetworkSource(camera.url("mpegts"))
    camera.flows.clear()  # nothing is sent, until it is set again; then all that was held back comes at once
"""

import threading
import time
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from types import TracebackType
from typing import BinaryIO, Protocol, Self
from urllib.parse import quote, unquote

import av
import cv2
import numpy as np
from clips import Image
from marks import BLACK, COLUMNS, WHITE, bits_of, block_size

FPS = 20
MIXED, PART = "multipart/x-mixed-replace; boundary=frame", b"Content-Type: image/jpeg\r\nContent-Length: SIZE\r\n\r\n"
JPEGS = {  # MIME type, and what stands before and after each JPEG
    "no first boundary": (MIXED, PART, b"\r\n--frame\r\n"),
    "no first boundary, no length": (MIXED, PART.replace(b"Content-Length: SIZE\r\n", b""), b"\r\n--frame\r\n"),
    "a jpeg first": (MIXED, b"", b"\r\n--frame\r\n" + PART.replace(b"Content-Length: SIZE\r\n", b"")),
    "no types": (MIXED, b"--frame\r\nContent-Length: SIZE\r\n\r\n", b"\r\n"),
    "bare lines": (MIXED, b"--frame\nContent-Type: image/jpeg\nContent-Length: SIZE\n\n", b"\n"),
    "another boundary": (MIXED, b"--myboundary\r\n" + PART, b"\r\n"),
    "a length that is invented": (MIXED, PART, b"\r\n--frame\r\n"),
    "bare": ("image/jpeg", b"", b""),
    "bare, no type": ("application/octet-stream", b"", b""),
    "still": ("image/jpeg", b"", b""),
}
TIME_BASE = Fraction(1, 90_000)


def marked(counter: int, width: int = 320, height: int = 180) -> Image:
    """A picture (height, width, 3) BGR with a mark."""
    side = block_size(width)
    image = np.full((height, width, 3), 128, np.uint8)
    for place, bit in enumerate(bits_of(counter, time.monotonic_ns())):
        y, x = place // COLUMNS * side, place % COLUMNS * side
        image[y : y + side, x : x + side] = WHITE if bit else BLACK
    return image


def jpeg(counter: int) -> bytes:
    """The same as a JPEG."""
    return bytes(cv2.imencode(".jpg", marked(counter))[1])


class _Sender:
    """What a muxer writes to: bytes wait while the camera is held."""

    def __init__(self, file: BinaryIO, flows: threading.Event) -> None:
        self._file, self._flows, self._held = file, flows, b""

    def write(self, data: bytes) -> int:
        self._held += data
        if self._flows.is_set():
            self._file.write(self._held)
            self._held = b""
        return len(data)


class Writable(Protocol):
    """What a muxer can write to."""

    def write(self, data: bytes) -> int: ...


def send_video(to: Writable | str, format: str, over: threading.Event, speed: float = 1.0) -> None:
    """Write pictures to a file or an address as they are made, until it is over.

    Args:
        speed: of the clock that stamps them.
    """
    with av.open(to, "w", format=format, options={"flush_packets": "1"}) as out:
        video = out.add_stream("libx264", rate=FPS, options={"tune": "zerolatency", "preset": "ultrafast", "g": "10"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.codec_context.time_base = TIME_BASE
        video.codec_context.thread_count = 1
        started = time.monotonic()
        for number in count():
            if over.wait(max(0.0, started + number / FPS - time.monotonic())):
                return
            frame = av.VideoFrame.from_ndarray(marked(number), "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = int(number / FPS * speed / TIME_BASE), TIME_BASE
            out.mux(video.encode(frame))


class Handler(BaseHTTPRequestHandler):
    server: "LivePage"

    def do_GET(self) -> None:
        self.send_response(200)
        with suppress(OSError, av.error.FFmpegError):  # nobody looks any more
            self.give(unquote(self.path[1:]))

    def give(self, what: str) -> None:
        server = self.server
        kind, before, after = JPEGS.get(what, ("application/octet-stream", b"", b""))
        self.send_header("Content-Type", kind)
        image = jpeg(0)
        sizes = {"still": len(image), "a length that is invented": 999_999_999}
        if what in sizes:
            self.send_header("Content-Length", str(sizes[what]))
        self.end_headers()
        for number in count(1) if what in JPEGS else ():
            self.wfile.write(before.replace(b"SIZE", b"%d" % len(image)) + image + after)
            if what == "still" or server.over.wait(1 / FPS):
                return
            image = jpeg(number)
        if what not in JPEGS:
            send_video(_Sender(self.wfile, server.flows), what, server.over, server.speed)

    def log_message(self, *_: object) -> None:
        pass


class LivePage(ThreadingHTTPServer):
    """Args: speed of the camera's clock; 1.1 is ten percent too fast.

    Attributes:
        flows: whether what is made is sent.
    """

    daemon_threads = True

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.speed, self.flows, self.over = speed, threading.Event(), threading.Event()
        self.flows.set()

    def url(self, format: str) -> str:
        """The address of the video in a format of FFmpeg, or of one of JPEGS."""
        return f"http://127.0.0.1:{self.server_port}/{quote(format)}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()

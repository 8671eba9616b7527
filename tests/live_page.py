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
from typing import BinaryIO, Self

import av
import cv2
import numpy as np
from clips import Image
from marks import BLACK, COLUMNS, WHITE, bits_of, block_size

FPS = 20
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


def send_video(file: BinaryIO, format: str, speed: float, flows: threading.Event, over: threading.Event) -> None:
    """Write pictures to a file as they are made, until it is over. Args: speed of the clock that stamps them."""
    with av.open(_Sender(file, flows), "w", format=format, options={"flush_packets": "1"}) as out:
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
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        with suppress(OSError, av.error.FFmpegError):  # nobody looks any more
            self.give(self.path[1:])

    def give(self, what: str) -> None:
        server = self.server
        if what == "jpegs":  # one after another, with nothing between them
            for number in count():
                self.wfile.write(jpeg(number))
                if server.over.wait(1 / FPS):
                    return
        send_video(self.wfile, what, server.speed, server.flows, server.over)

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
        """The address of the video in a format of FFmpeg."""
        return f"http://127.0.0.1:{self.server_port}/{format}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()

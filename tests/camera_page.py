"""A camera that speaks HTTP: shows some pictures over and over as a stream of JPEGs.

with CameraPage(pictures, rate=8) as camera:
    watchline.detect(camera.url)
"""

import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from types import TracebackType
from typing import Self

import cv2
from clips import Image


class Handler(BaseHTTPRequestHandler):
    server: "CameraPage"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with suppress(OSError):  # nobody looks any more
            for image in cycle(self.server.images):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                self.wfile.write(head.encode() + image + b"\r\n")
                if self.server.over.wait(1 / self.server.rate):
                    return

    def log_message(self, *_: object) -> None:
        pass


class CameraPage(ThreadingHTTPServer):
    """Args: pictures (H, W, 3) uint8 BGR; rate, how many a second."""

    daemon_threads = True

    def __init__(self, pictures: Sequence[Image], rate: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.images = [cv2.imencode(".jpg", pixels)[1].tobytes() for pixels in pictures]
        self.rate, self.over = rate, threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/live"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()

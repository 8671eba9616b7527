"""A real HTTP server of one file, with the faults of servers: it can cut, freeze, lie and redirect.

    with serve() as web:
        web.url("/good"), web.asked  # its address; the requests, and how many bytes of the body were sent

Every path is a behaviour. `/good` supports ranges and tags.
"""

import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = random.Random(0).randbytes(600_000)
OTHER = random.Random(1).randbytes(len(BODY))
HALF = len(BODY) // 2
PAGE = b"<!DOCTYPE html><html><body>It has moved</body></html>"
SLOW = 150_000  # bytes per second of /slow


@dataclass
class Asked:
    """One request: its path, its Range and If-Range, and the bytes of the body that were sent."""

    path: str
    range: str | None
    condition: str | None
    agent: str
    sent: int = 0


class Server(ThreadingHTTPServer):
    """Attributes:
    asked: the requests so far, in order.
    over: set when the test has ended.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[Asked] = []
        self.over = threading.Event()

    def url(self, path: str) -> str:
        """The address of a behaviour."""
        return f"http://127.0.0.1:{self.server_port}{path}"

    def times(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(asked.path == path for asked in self.asked)


class Handler(BaseHTTPRequestHandler):
    """One behaviour per path."""

    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked = Asked(path, self.headers["Range"], self.headers["If-Range"], self.headers["User-Agent"])
        self.server.asked.append(self.asked)
        first = self.server.times(path) == 1
        with suppress(OSError):
            self.behave(path, first)

    def behave(self, path: str, first: bool) -> None:
        give = self.give
        match path:
            case "/good":
                give(BODY, tag='"one"')
            case "/weak":
                give(BODY, tag='W/"one"')
            case "/cut-once":
                give(BODY, tag='"one"', until=HALF if first else None)
            case "/cut-always":
                give(BODY, tag='"always"', until=HALF)
            case "/changes":  # the file that should be there comes only with the second version
                give(OTHER if first else BODY, tag='"one"' if first else '"two"', until=HALF if first else None)
            case "/changes-untold":
                give(OTHER if first else BODY, until=HALF if first else None)
            case "/no-ranges":
                give(BODY, ranges=False)
            case "/wrong-range":
                give(BODY, shift=7)
            case "/416":
                self.send_error(416) if self.asked.range else give(BODY)
            case "/no-length":
                give(BODY, length=None, ranges=False)
            case "/too-long":
                give(BODY + OTHER, length=None, ranges=False)
            case "/wrong-length":
                give(BODY, length=len(BODY) + 10, ranges=False)
            case "/other":
                give(OTHER)
            case "/page":
                give(PAGE)
            case "/slow":
                give(BODY, pace=SLOW)
            case "/drip":
                give(BODY, pace=200)
            case "/freezes":
                give(BODY, until=HALF, freeze=True)
            case "/freezes-once":
                give(BODY, until=HALF if first else None, freeze=first)
            case "/silent":
                self.server.over.wait(20)
            case "/503-once" if not first:
                give(BODY)
            case "/redirect" | "/loop" | "/ftp" | "/local" | "/signed":
                self.redirect(path)
            case _:
                self.send_error({"/403": 403, "/503": 503, "/503-once": 503}.get(path, 404))

    def redirect(self, path: str) -> None:
        where = {"/redirect": "/good", "/ftp": "ftp://127.0.0.1/x", "/local": "file:///etc/passwd"}
        self.send_response(302)
        where |= {"/signed": "/403?Signature=canary", "/loop": f"/loop?{self.server.times(path)}"}
        self.send_header("Location", where[path])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def give(
        self,
        body: bytes,
        tag: str | None = None,
        length: int | None = 0,
        ranges: bool = True,
        until: int | None = None,
        pace: int | None = None,
        freeze: bool = False,
        shift: int = 0,
    ) -> None:
        """Send the body from where it was asked for; `until` a byte of it, then break off or freeze."""
        found = re.fullmatch(r"bytes=(\d+)-", self.asked.range or "")
        start = int(found[1]) if found and ranges and self.asked.condition in (None, tag) else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start + shift}-{len(body) - 1}/{len(body)}")
        if tag:
            self.send_header("ETag", tag)
        if length is not None:
            self.send_header("Content-Length", str(length or len(body) - start))
        self.end_headers()
        self.pour(body[start:until], pace)
        if freeze:
            self.server.over.wait(20)

    def pour(self, body: bytes, pace: int | None) -> None:
        step = len(body) if pace is None else max(1, pace // 50)
        for begin in range(0, len(body), step):
            piece = body[begin : begin + step]
            self.asked.sent += len(piece)  # before the client can have it
            self.wfile.write(piece)
            if pace is not None and self.server.over.wait(len(piece) / pace):
                return

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve() -> Iterator[Server]:
    """A server on a free port of this machine."""
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


def wait_for(condition, seconds: float = 10.0) -> None:
    """Until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)

"""One GET over HTTP that may begin in the middle, with limits on what a server can do to us.

with ask("https://host/net.weights", start=1000, tag='"abc"', patience=Patience()) as answer:
    for chunk in answer.chunks: ...
"""

import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

AGENT = "watchline"  # some hosts refuse Python's own name
CHUNK = 1 << 18  # bytes read at once, at most
NOT_SATISFIABLE = 416
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Lost(Exception):
    """The connection failed: another try may go further."""


class Denied(Exception):
    """The address does not give what was asked for: another try will not help."""


@dataclass(frozen=True)
class Patience:
    """Attributes:
    timeout: seconds without a byte, after which a connection is given up.
    slowest: bytes a second over that time, below which it is given up too.
    pauses: seconds before each further try at one address.
    """

    timeout: float = 30.0
    slowest: float = 1000.0
    pauses: tuple[float, ...] = (1.0, 5.0)


@dataclass(frozen=True)
class Response:
    """Attributes:
    start: where its bytes belong in the file: where they were asked for, or 0.
    total: bytes of the whole file; None if the server does not say.
    tag: that names this version of the file; None if there is none that can be relied on.
    chunks: the bytes as they come; raises Lost.
    """

    start: int
    total: int | None
    tag: str | None
    chunks: Iterator[bytes]


@contextmanager
def ask(url: str, start: int, tag: str | None, patience: Patience) -> Iterator[Response]:
    """Ask for a file from the byte `start` on, if it still has the `tag`; else for all of it.

    Raises:
        Lost, Denied: in one line, without the address.
    """
    response = _open(url, start, tag, patience)
    if response is None or (start and response.status == 206 and _range(response)[0] != start):
        if response is not None:
            response.close()
        start = 0
        response = _open(url, start, None, patience)
    if response is None:
        raise Denied("answers 416 to a plain question")
    with response:
        if response.status == 206:
            begin, total = _range(response)
        else:
            begin, total = 0, _length(response)
        if begin != start and begin:
            raise Denied("sends other bytes than it was asked for")
        yield Response(begin, total, _strong(response.headers.get("ETag")), _chunks(response, patience))


def _open(url: str, start: int, tag: str | None, patience: Patience) -> HTTPResponse | None:
    """The answer, its body still to be read; None if there is nothing from `start` on. Raises Lost, Denied."""
    headers = {"User-Agent": AGENT}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag:
            headers["If-Range"] = tag
    opener = urllib.request.build_opener(_Redirects)
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=patience.timeout)
    except HTTPError as error:  # its text may hold the address of a redirect, with its signature
        error.close()
        if error.code == NOT_SATISFIABLE:
            return None
        raise _refusal(error.code) from None
    except URLError as error:
        raise Lost(f"cannot be reached ({getattr(error.reason, 'strerror', None) or error.reason})") from None
    except (OSError, HTTPException) as error:
        raise Lost(_words(error)) from None
    assert isinstance(response, HTTPResponse), "only http and https are opened"
    return response


def _refusal(code: int) -> Lost | Denied:
    if code in TEMPORARY:
        return Lost(f"has trouble (HTTP {code})")
    if code in (301, 302, 303, 307, 308):
        return Denied(f"redirects too often, or to nowhere (HTTP {code})")
    return Denied("has no such file (HTTP 404)" if code == 404 else f"refuses (HTTP {code})")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Few, and never from https to anything else."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (req.type, scheme) != ("http", "http"):
            fp.close()
            raise Denied(f"redirects from {req.type} to {scheme}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _chunks(response: HTTPResponse, patience: Patience) -> Iterator[bytes]:
    since, received = time.monotonic(), 0
    while True:
        try:
            chunk = response.read1(CHUNK)
        except (OSError, HTTPException) as error:
            raise Lost(_words(error)) from None
        if not chunk:
            return
        yield chunk
        received += len(chunk)
        elapsed = time.monotonic() - since
        if elapsed > patience.timeout:
            if received < patience.slowest * elapsed:
                raise Lost(f"sends {received / elapsed:.0f} bytes a second")
            since, received = time.monotonic(), 0


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "does not answer any more"
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    return f"broke the connection ({text or type(error).__name__})"


def _length(response: HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _range(response: HTTPResponse) -> tuple[int, int | None]:
    """Where a part begins, -1 if the server does not say, and the bytes of the whole."""
    found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", response.headers.get("Content-Range", ""))
    if not found:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _strong(tag: str | None) -> str | None:
    """A tag that stands for the very bytes; a weak one does not."""
    return tag if tag and tag.startswith('"') else None

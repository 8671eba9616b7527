"""Serves the page on which zones and lines are drawn, on the loopback interface, and writes what is saved there.

Its address has a secret in it, so no other page in the browser, and no other user of the machine, can read or save.
"""

import json
import secrets
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from watchline.errors import SettingsError, WatchlineError
from watchline.files import write_complete
from watchline.pipeline.drawing.page import page
from watchline.pipeline.drawing.toml_text import Tables, tables_of, with_tables
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.settings.positions import in_pixels
from watchline.pipeline.settings.schema import fields_of
from watchline.pipeline.stages.lines import Line, Lines
from watchline.pipeline.stages.zones import Zone, Zones
from watchline.streams.frame import Image

E = TypeVar("E", Zone, Line)

MOST_BYTES = 1 << 20  # of what a page may save


class Drawing:
    """The zones and lines of a stream, in a config and on its still.

    Args:
        config: the TOML; it need not be there.
        stream: its name.
        source: what it is read from, for a config that does not know it.
        still: (H, W, 3) uint8 BGR.
    """

    def __init__(self, config: Path, stream: str, source: str, still: Image) -> None:
        self._config, self._stream, self._source, self._still = config, stream, source, still

    def page(self) -> str:
        """Raises ConfigError: what is in the config cannot be drawn."""
        return page(self._stream, self._still, self._shapes())

    def save(self, body: bytes) -> str:
        """Write what the page says into the config, and say so. What it does not draw stays: anchors, classes, times.

        Raises:
            WatchlineError: it cannot be, or not be written; the config is as it was.
        """
        text = self._text()
        there = tables_of(text, self._stream)
        tables: dict[str, dict[str, dict[str, Any]]] = {"zones": {}, "lines": {}}
        for kind, name, was, points in _shapes_of(body):
            if name in tables[kind]:
                raise ConfigError(f"there are two {kind} of the name {name!r}: expected a name for each")
            keys = {"polygon": points} if kind == "zones" else dict(zip(("from", "to"), points, strict=True))
            tables[kind][name] = {**there[kind].get(was or name, {}), **keys}
        _check(tables)
        try:
            write_complete(self._config, with_tables(text, self._stream, self._source, tables).encode())
        except OSError as error:
            raise ConfigError(f"{self._config} cannot be written: {error.strerror}") from error
        zones, lines = len(tables["zones"]), len(tables["lines"])
        return f"{self._config}: {zones} zone{'' if zones == 1 else 's'}, {lines} line{'' if lines == 1 else 's'} saved"

    def _text(self) -> str:
        try:
            return self._config.read_text("utf-8-sig")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._config} cannot be read ({error}): expected a TOML file") from error

    def _shapes(self) -> list[dict[str, Any]]:
        height, width = self._still.shape[:2]
        shapes = []
        for kind, entries in tables_of(self._text(), self._stream).items():
            for name, entry in entries.items():
                try:
                    points = entry["polygon"] if kind == "zones" else [entry["from"], entry["to"]]
                    shares = in_pixels(name, points, width, height) / (width, height)
                except (KeyError, TypeError, ValueError) as error:
                    raise ConfigError(f"{self._config}: {name} cannot be drawn; `watchline check` says why") from error
                shapes.append({"kind": kind, "name": name, "was": name, "points": np.round(shares, 4).tolist()})
        return shapes


class PageServer(ThreadingHTTPServer):
    """A server for the page, on a free port of the loopback interface.

    Attributes:
        address: of the page.
    """

    daemon_threads = True

    def __init__(self, drawing: Drawing) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.drawing = drawing
        self.path = f"/{secrets.token_urlsafe(16)}/"
        self.address = f"http://127.0.0.1:{self.server_port}{self.path}"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = 30  # seconds for a request

    def do_GET(self) -> None:
        if self.path != self.server.path:
            self._answer(404, "there is nothing here: open the address that `watchline zones` has printed")
            return
        try:
            self._answer(200, self.server.drawing.page(), "text/html")
        except WatchlineError as error:
            self._answer(409, str(error))

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if self.path != f"{self.server.path}save" or not size.isdecimal() or int(size) > MOST_BYTES:
            self._answer(404, f"not saved: expected at most {MOST_BYTES} bytes from the page")
            return
        try:
            self._answer(200, self.server.drawing.save(self.rfile.read(int(size))))
        except WatchlineError as error:
            self._answer(409, f"not saved: {error}")

    def _answer(self, code: int, text: str, kind: str = "text/plain") -> None:
        body = text.encode("utf-8", "backslashreplace")
        self.send_response(code)
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        for key, value in (headers | {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not news, and their paths are secret."""


def _shapes_of(body: bytes) -> list[tuple[str, str, str | None, list[list[float]]]]:
    """Kind, name, name before, and points of each. Raises ConfigError: it is not what the page sends."""
    try:
        shapes = [(one["kind"], one["name"], one["was"], one["points"]) for one in json.loads(body)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ConfigError("expected the shapes of the page") from None
    for kind, name, was, points in shapes:
        is_fit = kind in ("zones", "lines") and isinstance(name, str) and isinstance(was, str | None)
        if not is_fit or not isinstance(points, list) or (kind == "lines" and len(points) != 2):
            raise ConfigError("expected the shapes of the page")
    return shapes


def _check(tables: Tables) -> None:
    """Raises ConfigError: a zone or a line cannot be."""
    try:
        Zones(zones=tuple(_made(Zone, name, table) for name, table in tables["zones"].items()))
        Lines(lines=tuple(_made(Line, name, table) for name, table in tables["lines"].items()))
    except SettingsError as error:
        raise ConfigError("; ".join(error.mistakes)) from None


def _made(entry: type[E], name: str, table: Mapping[str, Any]) -> E:
    known: dict[str, Any] = {key: value for key, value in table.items() if key in fields_of(entry)}
    try:
        return entry(name=name, **known)
    except SettingsError as error:
        raise ConfigError(f"{name}: {'; '.join(error.mistakes)}") from None

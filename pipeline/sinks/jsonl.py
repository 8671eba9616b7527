"""The events of all streams in one place: standard output, or a file that is appended to.

While its disk is full, a camera goes on, and its lines wait; a file ends.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from watchline.pipeline.message import Dropped, End, Message
from watchline.pipeline.sinks.sink import Opening, Sink, Writer, count
from watchline.pipeline.sinks.unsaid import Unsaid
from watchline.settings import settings
from watchline.streams.errors import SinkError
from watchline.streams.write.jsonl import STANDARD_OUTPUT, JsonlWriter, Tally, appending, header_line
from watchline.streams.write.paths import prepare

log = logging.getLogger(__name__)
_TURN = threading.Lock()  # streams write to one place: a line is whole, or taken back whole, before the next begins


@settings
class Jsonl(Sink):
    """Settings: a file, or None for the standard output."""

    name = "events"
    must = True

    file: Path | None = None

    def check(self, inputs: Sequence[Path]) -> None:
        if self.file is not None:
            self._appending(self.file, inputs).close()

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        """Each stream has its header and footer among the lines. Lines are written whole, so streams do not mix within
        one.
        """
        if self.file is None:
            lines = JsonlWriter(STANDARD_OUTPUT, os.dup(sys.stdout.fileno()), _TURN)
        else:
            lines = self._appending(self.file, opening.inputs)
        writer = _Writer(lines, opening.stream, opening.is_live)
        try:
            lines.write(header_line(opening.header))
            yield writer
            writer.finish()
        finally:
            lines.close()

    def _appending(self, file: Path, inputs: Sequence[Path]) -> JsonlWriter:
        prepare(file, inputs)
        return appending(file, _TURN)


class _Writer:
    def __init__(self, lines: JsonlWriter, stream: str, is_live: bool) -> None:
        self._lines = lines
        self._tally = Tally(stream)
        self._unsaid = Unsaid() if is_live else None
        self._is_late = self._is_whole = False

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        count(message, self._tally)
        self._is_whole = isinstance(message, End) and message.whole
        if self._unsaid is None:
            self._lines.write(b"".join(lines))
            return
        self._unsaid.add(message, lines)
        try:
            self._unsaid.write(self._write)
        except SinkError as error:
            if self._lines.is_broken or self._unsaid.is_full:
                raise
            if not self._is_late:
                log.warning("%s: %s; its events wait", self._tally.stream, error)
            self._is_late = True
        else:
            self._is_late = False

    def finish(self) -> None:
        """Write what waits, and the footer. Raises SinkError."""
        if not self._lines.is_broken:
            if self._unsaid is not None:
                self._unsaid.write(self._write)
            self._lines.write(self._tally.footer(self._is_whole))

    def _write(self, lines: bytes, lost: Dropped | None = None) -> None:
        self._lines.write(lines)

"""The events of all streams in one place: standard output, or a file that is appended to."""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from watchline.pipeline.message import End, Message
from watchline.pipeline.sinks.sink import Opening, Sink, Writer, count
from watchline.settings import settings
from watchline.streams.write.jsonl import STANDARD_OUTPUT, JsonlWriter, Tally, appending, header_line
from watchline.streams.write.paths import prepare

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
        writer = _Writer(lines, opening.stream)
        try:
            lines.write(header_line(opening.header))
            yield writer
            if not lines.is_broken:
                lines.write(writer.footer())
        finally:
            lines.close()

    def _appending(self, file: Path, inputs: Sequence[Path]) -> JsonlWriter:
        prepare(file, inputs)
        return appending(file, _TURN)


class _Writer:
    def __init__(self, lines: JsonlWriter, stream: str) -> None:
        self._lines = lines
        self._tally = Tally(stream)
        self._is_whole = False

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        self._lines.write(b"".join(lines))
        count(message, self._tally)
        self._is_whole = isinstance(message, End) and message.whole

    def footer(self) -> bytes:
        return self._tally.footer(self._is_whole)

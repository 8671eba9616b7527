"""The events of all streams in one place: standard output, or a file that is appended to."""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from watchline.pipeline.message import Message
from watchline.pipeline.sinks.sink import Opening, Sink, Writer
from watchline.settings import settings
from watchline.streams.write.jsonl import STANDARD_OUTPUT, JsonlSink, JsonlWriter, header_line

_TURN = threading.Lock()  # streams write to one place: a line is whole, or taken back whole, before the next begins


@settings
class Jsonl(Sink):
    """Settings: a file, or None for the standard output."""

    name = "events"
    must = True

    file: Path | None = None

    def check(self, inputs: Sequence[Path]) -> None:
        if self.file is not None:
            JsonlSink().append(self.file, inputs, _TURN).close()

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        """Each stream has its header among the lines. Lines are written whole, so streams do not mix within one."""
        if self.file is None:
            writer = JsonlWriter(STANDARD_OUTPUT, os.dup(sys.stdout.fileno()), _TURN)
        else:
            writer = JsonlSink().append(self.file, opening.inputs, _TURN)
        try:
            writer.write(header_line(opening.header))
            yield _Writer(writer)
        finally:
            writer.close()


class _Writer:
    def __init__(self, writer: JsonlWriter) -> None:
        self._writer = writer

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        self._writer.write(b"".join(lines))

"""The counts of all streams as one CSV: how often what happened at each line and in each zone, by class and hour.

A row is written when its hour is over, or its stream. A file that is there is appended to, so an hour may have several
rows, whose counts add up.
"""

import csv
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path

from pydantic import Field

from watchline.pipeline.counts import Count, Counts
from watchline.pipeline.message import Message
from watchline.pipeline.sinks.sink import Opening, Sink, Writer
from watchline.settings import settings
from watchline.streams.write.jsonl import JsonlWriter, appending
from watchline.streams.write.paths import prepare

HEAD = ("stream", *(each.name for each in fields(Count)))
_TURN = threading.Lock()  # streams write to one file: a row is whole before the next begins


@settings
class Hourly(Sink):
    """Settings: the file."""

    name = "hourly"

    file: Path = Field(description="the CSV, which is appended to")

    def check(self, inputs: Sequence[Path]) -> None:
        """Begins a new file with the names of the columns."""
        prepare(self.file, inputs)
        file = appending(self.file, _TURN)
        try:
            if not self.file.stat().st_size:
                file.write(_csv([HEAD]))
        finally:
            file.close()

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        """Raises SinkError: the file cannot be written."""
        prepare(self.file, opening.inputs)
        file = appending(self.file, _TURN)
        writer = _Writer(file, opening)
        try:
            yield writer
        finally:
            try:
                writer.write(is_over=True)
            finally:
                file.close()


class _Writer:
    def __init__(self, file: JsonlWriter, opening: Opening) -> None:
        self._file, self._stream = file, opening.stream
        self._counts = Counts(opening.counted)

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        self._counts.take(message)
        self.write(is_over=False)

    def write(self, is_over: bool) -> None:
        """Write the hours that are over."""
        done = self._counts.take_out(is_over)
        if done:
            self._file.write(_csv([(self._stream, *astuple(count)) for count in done]))


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")

"""A file of events of one stream, or of one segment of its recording: header, lines, footer.

It is `NAME.jsonl.part` until it is closed, so nothing is lost of a file of that name that was there before.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from watchline.files import part_of, rename, unshared
from watchline.streams.errors import SinkError
from watchline.streams.write.jsonl import JsonlWriter, Tally, header_line
from watchline.streams.write.paths import finish, opened, refused

FOOTER = 4096  # bytes that are kept for it
TAIL = 1 << 20  # bytes at the end of a file in which its last line begins


class EventsFile:
    """Writes such a file. One thread uses it at a time.

    Args:
        path: of the closed file.
        header: in the form of `jsonl.header_line`.

    Attributes:
        tally: what the lines account for, counted by the caller, for the footer.
    """

    def __init__(self, path: Path, stream: str, header: Mapping[str, Any]) -> None:
        """Raises SinkError: it cannot be written, or another process writes it; then there is no file."""
        self.tally = Tally(stream)
        self._file = opened(path)
        self._lines = JsonlWriter(path, self._file.fileno())
        first = header_line(header)
        try:
            self.make_room(len(first))
            self.write(first)
        except SinkError:
            self._file.discard()
            raise
        self._header = len(first)

    @property
    def is_broken(self) -> bool:
        """Whether nothing more can be written."""
        return self._lines.is_broken

    def make_room(self, size: int) -> None:
        """Have the disk keep so many bytes for lines, besides those of the footer. Raises SinkError: it is full."""
        try:
            self._file.make_room(size + FOOTER)
        except OSError as error:
            raise refused(self._file.path, error) from error

    def write(self, lines: bytes) -> None:
        """Whole lines; all or none are written. Raises SinkError: disk full, or another failure."""
        self._lines.write(lines)

    def close(self, whole: bool, keep_empty: bool = True) -> None:
        """Write the footer, and let the file appear, on the disk when this returns. A second call does nothing.

        Args:
            whole: as the footer has it.
            keep_empty: False: a file that has nothing but a header is removed.

        Raises:
            SinkError: it has no footer, or it cannot be renamed.
        """
        if self._file.closed:
            return
        if not keep_empty and self._file.size <= self._header:
            self._file.discard()
            return
        try:
            self.write(self.tally.footer(whole))
        finally:
            finish(self._file)


def finish_events(path: Path) -> bool:
    """Let the events that a killed process left appear: without a footer, up to their last complete line.

    Returns: True if there are any. False if another process writes them, or if there is no line, and the partial file
        has been removed.

    Raises:
        SinkError: the file cannot be finished; the partial file stays as it is.
    """
    part = part_of(path)
    try:
        with unshared(part) as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL)
            file.seek(start)
            end = file.read().rfind(b"\n") + 1
            if not end:
                part.unlink()
                return False
            file.truncate(start + end)
            rename(part, path)
            return True
    except BlockingIOError:
        return False
    except OSError as error:
        raise refused(path, error) from error

"""Standard streams that last: one that was closed leads nowhere, and a reader that leaves ends nothing."""

import errno
import io
import os
import sys
from typing import IO, Any

LEFT = (errno.EPIPE, errno.EIO)  # the reader of a pipe, and a terminal


class _Lasting(io.FileIO):
    """What cannot be written is lost.

    Attributes:
        error: the first one, but for a reader that has left.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in LEFT:
                self.error = self.error or error
            return memoryview(data).nbytes


def make_lasting() -> None:
    """Replace the standard streams of this process.

    Without it, a file that is opened later would get the number of a closed one, and libraries would write their
    messages into it.
    """
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)
            if null != number:
                os.close(null)
    sys.stdout, sys.stderr = _lasting(1, sys.stdout), _lasting(2, sys.stderr)


def failure(stream: IO[str]) -> str | None:
    """Why not all that was printed is written; None if it is."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return str(raw.error.strerror) if isinstance(raw, _Lasting) and raw.error else None


def _lasting(number: int, stream: "io.TextIOWrapper | IO[str] | None") -> io.TextIOWrapper:
    old = stream if isinstance(stream, io.TextIOWrapper) else None
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(number, "w", closefd=False)),
        encoding=old.encoding if old else "utf-8",
        errors="backslashreplace",  # a file's name may be no UTF-8
        line_buffering=old.line_buffering if old else False,
        write_through=old.write_through if old else False,
    )

"""The standard streams of the command line: whatever is printed or logged passes `printable` on its way out."""

import sys
from typing import Any, TextIO

from watchline.text import printable


class Printed:
    """A stream whose `write` lets through nothing that a terminal obeys. All else is that of the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self.raw = stream

    def write(self, text: str) -> int:
        self.raw.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def print_printable() -> None:
    """Have `print`, the log, argparse and tracebacks write through `Printed`, for the rest of the process."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Printed):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # letters that the terminal's encoding does not have
            setattr(sys, name, Printed(stream))


def raw(stream: Any) -> Any:
    """The stream itself, for those who move the cursor. They make what they show printable themselves."""
    return stream.raw if isinstance(stream, Printed) else stream

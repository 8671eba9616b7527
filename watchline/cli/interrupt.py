"""Ctrl-C: once stops properly, twice leaves at once. SIGTERM (`docker stop`) counts as Ctrl-C."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from watchline.cli.exit_codes import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _write(line: str) -> None:
    """print is not safe inside a signal handler."""
    os.write(sys.stderr.fileno(), f"\n{line}\n".encode())


@contextmanager
def first_stops(stop: Callable[[], None], say: Callable[[str], None] = _write) -> Iterator[list[int]]:
    """Within the context the first signal calls `stop`, the second ends the process. Yields the signals so far.

    Args:
        say: shows a line; it is called inside a signal handler.
    """
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            os._exit(INTERRUPTED)  # no clean-up, which is what takes the time
        say("stopping: the files are finished; Ctrl-C again leaves at once")
        stop()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

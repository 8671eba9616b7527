"""Ctrl-C: once stops properly, twice leaves at once. SIGTERM (`docker stop`) counts as Ctrl-C."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from watchline.cli.exit_codes import INTERRUPTED

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def first_stops(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Within the context the first signal calls `stop`, the second ends the process. Yields the signals so far."""
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            os._exit(INTERRUPTED)  # no clean-up, which is what takes the time
        # os.write, as print is not safe inside a signal handler
        os.write(sys.stderr.fileno(), b"\nstopping: the files are finished; Ctrl-C again leaves at once\n")
        stop()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

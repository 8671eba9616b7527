"""Ctrl-C: once stops properly, twice leaves at once. So do SIGTERM (`docker stop`) and SIGHUP (a closed terminal)."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from watchline.cli.exit_codes import INTERRUPTED

TOGETHER = 0.5  # seconds
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
USUAL = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, None)


def _write(line: str) -> None:
    """print is not safe inside a signal handler."""
    with suppress(OSError):  # the terminal may be gone
        os.write(sys.stderr.fileno(), f"\n{line}\n".encode())


def as_usual() -> None:
    """Let signals do what they do in any Python program."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def heeded() -> list[signal.Signals]:
    """All that stop: not SIGHUP where `nohup` has it ignored. (A shell's background jobs have SIGINT ignored.)"""
    return [n for n in SIGNALS if n != signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]


@contextmanager
def first_stops(stop: Callable[[], None], say: Callable[[str], None] = _write) -> Iterator[list[int]]:
    """Within the context the first signal calls `stop`, and a later one ends the process. Yields the signals so far.

    Signals within TOGETHER seconds are one: `timeout` and terminals send to the process and to its group.

    Args:
        say: shows a line; it is called inside a signal handler.
    """
    seen: list[int] = []
    first = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        seen.append(number)
        if len(seen) == 1:
            first = time.monotonic()
        elif time.monotonic() - first < TOGETHER:
            return
        elif number != signal.SIGHUP:  # which comes twice, from the shell and the terminal
            os._exit(INTERRUPTED)  # no clean-up, which is what takes the time
        say("stopping: the files are finished; Ctrl-C again leaves at once")
        stop()

    before = {number: signal.signal(number, handle) for number in heeded()}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler in USUAL else _late(number, seen))


def _late(number: int, seen: list[int]) -> "signal._HANDLER":
    """What a signal does after the work, in place of what it did before anything was begun."""
    if number == signal.SIGHUP and seen:  # it comes twice
        return signal.SIG_IGN
    return lambda *_: os._exit(INTERRUPTED)

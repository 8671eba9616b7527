"""The status of a live run, on stderr: a line per stream that is renewed in place on a terminal, plain lines elsewhere.

    with display(watch.status, plain) as shown:
        …                                               # the run; a thread of the display asks and shows
        shown.say("a line of its own")

On a terminal what is logged meanwhile appears above the lines.
"""

import logging
import os
import re
import sys
import threading
import time
import unicodedata
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from watchline.cli.printed import raw
from watchline.text import printable

if TYPE_CHECKING:
    from watchline.pipeline.lanes import Status

log = logging.getLogger(__name__)

LOOK = 0.25  # seconds between looks at the states: a change is shown at once
RENEW = 1.0  # seconds between two pictures of the terminal
REPEAT = 10.0  # seconds after which plain lines are written though nothing has changed
REMIND = 3600.0  # the same of streams that are not at work
MOST_REASONS = 10  # that are said in this time of one stream in one state: a server may invent any number
AT_WORK = ("live", "reading")
NUMBERS = re.compile(r"[0-9.]+")  # what differs between two reasons that are the same
LONGEST_NAME = 24  # letters of a stream's name
STATE_WIDTH = len("connecting")
UP, ERASE_LINE, ERASE_BELOW = "\x1b[{}A", "\x1b[K", "\x1b[J"


class StatusDisplay(ABC):
    """Shows how streams stand."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._said: deque[str] = deque()

    def say(self, text: str) -> None:
        """A line that stays, as soon as somebody looks. Any thread may call it, and so may a signal's handler."""
        self._said.append(text)

    @abstractmethod
    def show(self, streams: "Sequence[Status]") -> None:
        """They may have changed; called often.

        Raises:
            OSError: the terminal, or whoever reads, is gone.
        """

    @abstractmethod
    def close(self) -> None:
        """Nothing more will come; what was shown last stays."""

    def _unsaid(self) -> str:
        lines = []
        while self._said:
            lines.append(self._said.popleft() + "\n")
        return "".join(lines)


@contextmanager
def display(status: "Callable[[], Sequence[Status]]", plain: bool) -> Iterator[StatusDisplay]:
    """Asks `status` now and then and shows it, until the context is left.

    Args:
        plain: plain lines, though stderr may be a terminal.
    """
    shown = StatusLines(sys.stderr) if plain or not _has_room(sys.stderr) else Terminal(sys.stderr)
    over = threading.Event()

    def keep_showing() -> None:
        try:
            while not over.wait(LOOK):
                shown.show(status())
            shown.show(status())
        except OSError as error:  # the run goes on without anybody who looks
            log.debug("nobody looks any more: %s", error)

    thread = threading.Thread(target=keep_showing, name="status", daemon=True)
    thread.start()
    try:
        yield shown
    finally:
        over.set()
        thread.join()
        shown.close()


class Terminal(StatusDisplay):
    """One line per stream, renewed once per second and when a state changes.

    Nothing is left switched on in the terminal, and the cursor always rests below the lines: there is nothing to
    restore, however the process ends. The log is written to the terminal through it.
    """

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self._lock = threading.RLock()
        self._lines: list[str] = []
        self._size = os.get_terminal_size(file.fileno())
        self._states: list[str] = []
        self._renewed = -RENEW
        self._handlers = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream is file
        ]
        for handler in self._handlers:
            handler.setStream(self)

    def show(self, streams: "Sequence[Status]") -> None:
        states = [stream.state for stream in streams]
        now = time.monotonic()
        if states == self._states and now - self._renewed < RENEW and not self._said:
            return
        self._states, self._renewed = states, now
        with self._lock:
            self._draw(self._unsaid(), table(streams))

    def write(self, text: str) -> int:
        """Whole lines, above what is shown; what the log calls."""
        with self._lock:
            self._draw(text, self._lines)
        return len(text)

    def flush(self) -> None:
        """Everything is written at once."""

    def close(self) -> None:
        for handler in self._handlers:
            handler.setStream(self._file)

    def _draw(self, above: str, lines: list[str]) -> None:
        """In one call, so that nothing flickers. After a resize the old lines stay as the terminal has wrapped them."""
        size = os.get_terminal_size(self._file.fileno())
        rows = len(self._lines) if size == self._size else 0
        self._size, self._lines = size, _fitted(lines, size.lines)
        back = UP.format(rows) if rows else ""
        # One column stays free: a terminal whose last one is filled is about to wrap, and then erases that letter.
        above = printable(above)
        drawn = "".join(f"{clipped(line, size.columns - 1)}{ERASE_LINE}\n" for line in self._lines)
        raw(self._file).write(f"\r{back}{ERASE_BELOW if above else ''}{above}{drawn}{ERASE_BELOW}")
        self._file.flush()


class StatusLines(StatusDisplay):
    """A line for each change of a state. A stream at work has one every ten seconds. Of one that is not, each reason is
    said once, and once more per hour, ten for each state at most: a dead camera does not fill the log.
    """

    def __init__(self, file: TextIO) -> None:
        super().__init__(file)
        self._states: dict[str, str] = {}
        # What was said of each stream in the last hour, since it was at work: state and reason, and when.
        self._reasons: dict[str, dict[tuple[str, str], float]] = {}
        self._repeated = time.monotonic()

    def show(self, streams: "Sequence[Status]") -> None:
        now = time.monotonic()
        again = now - self._repeated >= REPEAT
        if again:
            self._repeated = now
        text = self._unsaid()
        for stream in streams:
            if self._is_news(stream, now, again):
                text += f"{stream.stream}: {', '.join(_parts(stream))}\n"
            self._states[stream.stream] = stream.state
        if text:
            self._file.write(text)
            self._file.flush()

    def _is_news(self, stream: "Status", now: float, again: bool) -> bool:
        if stream.state in AT_WORK:
            self._reasons.pop(stream.stream, None)
            return again or self._states.get(stream.stream) != stream.state
        said = self._reasons.get(stream.stream, {})
        reasons = self._reasons[stream.stream] = {why: when for why, when in said.items() if now - when < REMIND}
        reason = stream.state, NUMBERS.sub("", stream.why)
        if reason in reasons or sum(state == stream.state for state, _ in reasons) >= MOST_REASONS:
            return False
        reasons[reason] = now
        return True

    def close(self) -> None:
        """There is nothing to restore."""


def table(streams: "Sequence[Status]") -> list[str]:
    """The streams' lines, one below the other."""
    name = min(max((cells(stream.stream) for stream in streams), default=0), LONGEST_NAME)
    lines = []
    for stream in streams:
        shown = clipped(stream.stream, name)
        state, *rest = _parts(stream)
        lines.append(f"{shown}{' ' * (name - cells(shown))}  {state:{STATE_WIDTH}}  {', '.join(rest)}".rstrip())
    return lines


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(_cells(letter) for letter in text)


def clipped(text: str, columns: int) -> str:
    """As much of one line as there are columns for, with … at the end if that is not all. Nothing moves the cursor."""
    text = one_row(text)
    if cells(text) <= columns:
        return text
    taken, room = "", columns - 1
    for letter in text:
        room -= _cells(letter)
        if room < 0:
            break
        taken += letter
    return taken + "…" if columns > 0 else ""


def one_row(text: str) -> str:
    """The text without what moves the cursor, the ends of lines among it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _cells(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _parts(stream: "Status") -> list[str]:
    """What is to be said of a stream: its state and why, its figures, its losses."""
    parts = [stream.state, stream.why] if stream.why else [stream.state]
    if stream.fps:
        parts.append(f"{stream.fps:.1f} FPS")
        parts.append(f"latency {stream.p50_ms:.0f} ms p50, {stream.p95_ms:.0f} ms p95")
    if stream.dropped:
        causes = ", ".join(f"{cause} {frames}" for cause, frames in stream.dropped.items())
        parts.append(f"{sum(stream.dropped.values())} dropped ({causes})")
    return parts


def _fitted(lines: list[str], rows: int) -> list[str]:
    """No more lines than the terminal has above the cursor's own: what does not fit is counted."""
    if len(lines) < rows:
        return lines
    most = max(0, rows - 2)
    return [*lines[:most], f"… and {len(lines) - most} more"]


def _has_room(file: TextIO) -> bool:
    return file.isatty() and os.environ.get("TERM") != "dumb" and os.get_terminal_size(file.fileno()).columns > 0

"""The status of a live run: lines renewed in place on a terminal, plain lines elsewhere."""

import io
import logging
import os
import pty
import re
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from watchline.cli import status
from watchline.pipeline.watch import Status

GATE = Status("gate", "live", 29.97, 41.2, 78.4, {}, "")
DOOR = Status("door", "retrying", 0.0, 0.0, 0.0, {"late": 10, "damaged": 2}, "rtsp://10.0.0.7/door: nobody answers")


class Screen:
    """A terminal, as far as it is needed: what is written to it, and what one sees then."""

    def __init__(self, columns: int, rows: int) -> None:
        self._ours, theirs = pty.openpty()
        self.file = os.fdopen(theirs, "w", encoding="utf-8")
        self.resize(columns, rows)
        self._written = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        termios.tcsetwinsize(self.file.fileno(), (rows, columns))

    def close(self) -> None:
        if not self.file.closed:
            self.file.close()
        self._reader.join()

    def _read(self) -> None:
        try:
            while part := os.read(self._ours, 4096):
                self._written += part
        except OSError:  # how Linux says that nobody writes any more
            os.close(self._ours)

    def seen(self) -> list[str]:
        """Everything that was written, and how it looks in the end: the lines from the first one on, those that have
        scrolled away too. Ends the terminal.
        """
        self.close()
        lines, row, column = [""], 0, 0
        for match in re.finditer(r"\x1b\[(\d*)([A-Za-z])|(.)", self._written.decode(), re.S):
            number, command, letter = match.groups()
            top = max(0, len(lines) - self._rows)
            if command == "A":
                row = max(top, row - int(number or 1))
            elif command == "K":
                lines[row] = lines[row][:column]
            elif command == "J":
                lines[row:] = [lines[row][:column]]
            elif letter == "\r":
                column = 0
            elif letter == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            else:
                assert letter, f"unknown: {match[0]!r}"
                if status.cells(lines[row][:column] + letter) > self._columns:
                    row, column = row + 1, 0
                    lines += [""] * (row + 1 - len(lines))
                lines[row] = lines[row][:column].ljust(column) + letter + lines[row][column + 1 :]
                column += 1
        return lines


@pytest.fixture
def screen() -> Iterator[Callable[[int, int], Screen]]:
    opened = []

    def make(columns: int = 100, rows: int = 24) -> Screen:
        opened.append(Screen(columns, rows))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "RENEW", 0.0)


def test_a_line_a_stream(screen: Callable[..., Screen]) -> None:
    terminal = screen()
    shown = status.Terminal(terminal.file)
    for fps in range(1, 31):
        shown.show([replace(GATE, fps=fps), DOOR])
    shown.close()
    assert terminal.seen() == [
        "gate  live        30.0 FPS, latency 41 ms p50, 78 ms p95",
        "door  retrying    rtsp://10.0.0.7/door: nobody answers, 12 dropped (late 10, damaged 2)",
        "",
    ]


@pytest.mark.parametrize("columns", [1, 2, 9, 10, 11, 12, 40])
def test_a_narrow_terminal_does_not_wrap(screen: Callable[..., Screen], columns: int) -> None:
    terminal = screen(columns)
    shown = status.Terminal(terminal.file)
    for _ in range(5):
        shown.show([replace(GATE, stream="Straße 門"), DOOR])
    lines = terminal.seen()
    assert len(lines) == 3
    assert all(status.cells(line) < columns for line in lines)
    assert lines[1].startswith("door"[: max(0, columns - 2)])


def test_more_streams_than_rows_are_counted(screen: Callable[..., Screen]) -> None:
    terminal = screen(80, 6)
    shown = status.Terminal(terminal.file)
    for _ in range(3):
        shown.show([replace(GATE, stream=f"s{number}") for number in range(9)])
    lines = terminal.seen()
    assert [line.split(" ")[0] for line in lines] == ["s0", "s1", "s2", "s3", "…", ""]
    assert lines[4] == "… and 5 more"


def test_a_stream_more_or_less(screen: Callable[..., Screen]) -> None:
    terminal = screen()
    shown = status.Terminal(terminal.file)
    for streams in ([GATE, DOOR], [GATE], [DOOR, GATE], [DOOR]):
        shown.show(streams)
    assert [line[:4] for line in terminal.seen()] == ["door", ""]


def test_what_is_said_and_logged_stays_above(screen: Callable[..., Screen]) -> None:
    terminal = screen()
    handler = logging.StreamHandler(terminal.file)
    logging.getLogger().addHandler(handler)
    try:
        shown = status.Terminal(terminal.file)
        shown.show([GATE, DOOR])
        logging.getLogger("x").warning("gate is %s", "\x1b[2Jlost")
        shown.show([GATE, DOOR])
        shown.say("stopping")
        shown.say("really\x1b[2J")
        shown.show([GATE, DOOR])
        logging.getLogger("x").warning("a line much longer than the terminal is wide: %s", "x" * 150)
        shown.show([GATE, DOOR])
        shown.close()
        assert handler.stream is terminal.file
        logging.getLogger("x").warning("after")
    finally:
        logging.getLogger().removeHandler(handler)
    lines = terminal.seen()
    assert [line[:8] for line in lines] == [
        *("gate is ", "stopping", "really\\u", "a line m", "x" * 8),
        *("gate  li", "door  re", "after", ""),
    ]


def test_a_terminal_that_is_made_smaller_goes_on_below(screen: Callable[..., Screen]) -> None:
    terminal = screen(100)
    shown = status.Terminal(terminal.file)
    shown.show([GATE])
    terminal.resize(30, 24)
    for _ in range(2):
        shown.show([GATE])
    assert [line[:10] for line in terminal.seen() if line][-1:] == ["gate  live"]


def test_names_from_outside_cannot_move_the_cursor() -> None:
    [line] = status.table([replace(DOOR, stream="a\x1b[2Jb\n", why="x\r\ny")])
    assert status.clipped(line, 80) == "a?[2Jb?  retrying    x??y, 12 dropped (late 10, damaged 2)"


def test_a_terminal_is_renewed_once_a_second(screen: Callable[..., Screen], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "RENEW", 60.0)
    terminal = screen()
    shown = status.Terminal(terminal.file)
    shown.show([GATE])
    shown.show([replace(GATE, fps=1.0)])  # too soon
    assert "30.0 FPS" in terminal.seen()[0]
    terminal = screen()
    shown = status.Terminal(terminal.file)
    shown.show([GATE])
    shown.show([replace(GATE, fps=1.0, state="stalled")])  # a change is shown at once
    assert terminal.seen()[0].startswith("gate  stalled     1.0 FPS")


def test_plain_lines_tell_every_change_once() -> None:
    file = io.StringIO()
    shown = status.StatusLines(file)
    for state in ("connecting", "live", "live", "live", "retrying", "connecting"):
        shown.show([replace(GATE, state=state, fps=0.0), DOOR])
    shown.say("stopping")
    shown.show([DOOR])
    assert file.getvalue().splitlines() == [
        "gate: connecting",
        "door: retrying, rtsp://10.0.0.7/door: nobody answers, 12 dropped (late 10, damaged 2)",
        "gate: live",
        "gate: retrying",
        "gate: connecting",
        "stopping",
    ]


def test_a_camera_that_stays_dead_says_each_reason_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    file = io.StringIO()
    shown = status.StatusLines(file)
    for second in range(2 * 3600):
        now[0] = 1000.0 + second
        state, why = ("retrying", f"no answer within {second} s") if second % 30 > 4 else ("connecting", "")
        shown.show([replace(DOOR, state=state, why=why)])
    assert [line.split(", ")[0] for line in file.getvalue().splitlines()] == ["door: connecting", "door: retrying"] * 2
    shown.show([replace(DOOR, state="live", why="")])
    shown.show([replace(DOOR, state="retrying", why="no answer within 4 s")])
    assert len(file.getvalue().splitlines()) == 6


def test_reasons_that_are_always_new_do_not_fill_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    file = io.StringIO()
    shown = status.StatusLines(file)
    for number in range(1000):
        now[0] += 1
        shown.show([replace(DOOR, state="retrying", why="refused " + "x" * number)])
    assert len(file.getvalue().splitlines()) == status.MOST_REASONS
    shown.show([replace(DOOR, state="ended", why="")])
    now[0] += status.REMIND
    shown.show([replace(DOOR, state="retrying", why="refused")])
    assert len(file.getvalue().splitlines()) == status.MOST_REASONS + 2


def test_plain_lines_repeat_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "REPEAT", 0.05)
    file = io.StringIO()
    shown = status.StatusLines(file)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        shown.show([GATE])
        time.sleep(0.005)
    lines = file.getvalue().splitlines()
    assert set(lines) == {"gate: live, 30.0 FPS, latency 41 ms p50, 78 ms p95"}
    assert 4 <= len(lines) <= 11


@pytest.mark.parametrize("plain", [False, True])
def test_a_run_is_watched_until_its_end(
    screen: Callable[..., Screen], monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    monkeypatch.setattr(status, "LOOK", 0.01)
    terminal = screen()
    monkeypatch.setattr(sys, "stderr", terminal.file)
    states = ["connecting"]
    with status.display(lambda: [replace(GATE, state=states[-1])], plain) as shown:
        assert isinstance(shown, status.StatusLines if plain else status.Terminal)
        for state in ("live", "retrying"):
            time.sleep(0.2)
            states.append(state)
        time.sleep(0.2)
        shown.say("stopping")
        states.append("ended")
    lines = terminal.seen()
    if plain:
        said = [line.split(",")[0] for line in lines]
        assert said == ["gate: connecting", "gate: live", "gate: retrying", "stopping", "gate: ended", ""]
    else:
        assert [line[:11] for line in lines] == ["stopping", "gate  ended", ""]


def test_a_run_goes_on_when_nobody_looks_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "LOOK", 0.01)
    read, write = os.pipe()
    os.close(read)
    asked = []

    def ask() -> list[Status]:
        asked.append(1)
        return [GATE]

    with io.FileIO(write, "w") as raw, io.TextIOWrapper(_Unbuffered(raw), write_through=True) as file:
        monkeypatch.setattr(sys, "stderr", file)
        with status.display(ask, plain=True):
            time.sleep(0.2)
        monkeypatch.undo()
    assert len(asked) == 1


class _Unbuffered(io.BufferedWriter):
    """Forgets what cannot be written, so that closing it is no second error."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self.raw.write(data) or 0


def test_no_terminal_no_cursor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(status, "LOOK", 0.01)
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        with status.display(lambda: [GATE], plain=False):
            time.sleep(0.05)
        monkeypatch.undo()
    assert (tmp_path / "log").read_text() == "gate: live, 30.0 FPS, latency 41 ms p50, 78 ms p95\n"

"""Events as JSON Lines: a header, one line a frame, a footer; docs/events.schema.json describes them.

{"schema": 1, "header": {"source": "bikes.mp4", "version": "0.1.0", "model": {…}, "config": {…}}}
{"schema": 1, "stream": "bikes", "frame": 17, "pts": 0.68, "width": 640, "height": 272, "detections": [
 {"label": "person", "class": 14, "score": 0.91, "box": [x1, y1, x2, y2]}]}              (on one line)

A live stream's frames tell their epoch, when they arrived and how old they were in the end; its changes of state and
the frames that were lost are lines of their own, each in its place. So the file alone shows whether every frame is
accounted for: at each frame's line, its index + 1 = the frames' lines so far + the frames dropped so far.

{"schema": 1, "stream": "gate", "frame": 17, "pts": 0.68, "epoch": 0, "time": "2026-11-23T06:45:00.123Z",
 "latency_ms": 41.3, "width": …}
{"schema": 1, "stream": "gate", "event": "dropped", "cause": "late", "frames": 2, "epoch": 0, "time": …}
{"schema": 1, "stream": "gate", "event": "state", "state": "retrying", "epoch": 0, "time": …, "why": …, "retry_in": 0.5}

The footer is the last line. A file without one is of a process that was killed, or is being written.

{"schema": 1, "footer": {"stream": "bikes", "whole": true, "frames": 250, "dropped": {}}}
"""

import os
import select
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from watchline.streams.errors import SinkError
from watchline.streams.frame import Frame
from watchline.streams.write.paths import refused
from watchline.text import json_text

SCHEMA = 1
STANDARD_OUTPUT = Path("standard output")  # what errors call it


class NobodyReads(SinkError, BrokenPipeError):
    """The other end of a pipe was closed, e.g. by `| head`."""


def header_line(header: Mapping[str, Any]) -> bytes:
    """The first line. Args: header as the schema has it: `source`, `stream`, `version`, `model`, `config`."""
    return _line({"schema": SCHEMA, "header": dict(header)})


def frame_line(frame: Frame, parts: Mapping[str, Any], latency: float | None = None, is_late: bool = False) -> bytes:
    """One frame's line, the same bytes for the same values.

    Args:
        frame: whose stream, index, time, size and, for photos, file are written; pts in seconds to six digits. A live
            frame's epoch and arrival as well.
        parts: what was found in it, JSON values by key, e.g. `detections`.
        latency: of a live frame, seconds from its arrival until now; written in milliseconds to one digit.
        is_late: whether a live frame is older than the latency budget.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    event: dict[str, Any] = {"schema": SCHEMA, "stream": frame.stream, "frame": frame.index, "pts": _pts(frame.seconds)}
    if frame.file is not None:
        event["file"] = frame.file
    if frame.time is not None:
        event |= {"epoch": frame.epoch, "time": timestamp(frame.time)}
        if latency is not None:
            event["latency_ms"] = round(latency * 1000, 1)
        if is_late:
            event["late"] = True
    return _line(event | {"width": frame.width, "height": frame.height} | dict(parts))


def event_line(
    stream: str,
    event: str,
    epoch: int | None,
    time: float | None,
    data: Mapping[str, Any],
    frame: Frame | None = None,
) -> bytes:
    """The line of something that a stage has seen to happen.

    Args:
        event: its name, one word.
        epoch, time: of a live stream, as frames have them; None for a file.
        data: JSON values by key.
        frame: in which it happened; its index and pts are written.

    Raises:
        ValueError: a number is NaN or infinite, or a key is one of the line's own.
    """
    line: dict[str, Any] = {"schema": SCHEMA, "stream": stream, "event": event}
    if epoch is not None and time is not None:
        line |= {"epoch": epoch, "time": timestamp(time)}
    if frame is not None:
        line |= {"frame": frame.index, "pts": _pts(frame.seconds)}
    taken = line.keys() & data.keys()
    if taken:
        raise ValueError(f"the event {event!r} has data called {', '.join(sorted(taken))}: expected other names")
    return _line(line | dict(data))


def state_line(
    stream: str, state: str, epoch: int, time: float, why: str | None = None, retry_in: float | None = None
) -> bytes:
    """The line of a change of state.

    Args:
        state: connecting, live, stalled, retrying or ended.
        epoch: how often the stream was connected again before.
        time: seconds since 1970 (UTC).
        why: one line, without credentials.
        retry_in: seconds until the next attempt, written to one digit.
    """
    event = {"schema": SCHEMA, "stream": stream, "event": "state", "state": state, "epoch": epoch}
    event["time"] = timestamp(time)
    if why is not None:
        event["why"] = why
    if retry_in is not None:
        event["retry_in"] = round(retry_in, 1)
    return _line(event)


def dropped_line(stream: str, cause: str, frames: int, epoch: int, time: float) -> bytes:
    """The line of frames that were lost. It stands before the line of the first frame that came after them.

    Args:
        cause: in a word or two, e.g. "late".
        frames: how many, at least 1.
        epoch: how often the stream was connected again before.
        time: seconds since 1970 (UTC).
    """
    event = {"schema": SCHEMA, "stream": stream, "event": "dropped", "cause": cause, "frames": frames, "epoch": epoch}
    return _line(event | {"time": timestamp(time)})


def timestamp(time: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds: 2026-11-23T06:45:00.123Z."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _pts(seconds: float) -> float:
    return round(seconds, 6) + 0.0  # + 0.0 makes -0.0 a plain zero


def _line(value: Mapping[str, Any]) -> bytes:
    return json_text(value).encode("ascii") + b"\n"


class Tally:
    """Counts what the events of a stream account for, or those of one segment of its recording.

    Attributes:
        stream: its name.
        frames: that are in the outputs. (With the setting `every`, not each of them has a line.)
        dropped: frames by cause.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.frames = 0
        self.dropped: Counter[str] = Counter()

    def footer(self, whole: bool) -> bytes:
        """The last line. Args: whole, the stream was read to its end, and all that is counted is in the outputs."""
        footer = {"stream": self.stream, "whole": whole, "frames": self.frames, "dropped": dict(self.dropped)}
        return _line({"schema": SCHEMA, "footer": footer})


def appending(path: Path, turn: threading.Lock) -> "JsonlWriter":
    """For the events of several streams, behind what is in the file. The caller writes headers and footers, and closes
    the writer.

    Args:
        turn: shared by all who write there.

    Raises:
        SinkError: the path cannot be written.
    """
    try:
        return JsonlWriter(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o666), turn)
    except OSError as error:
        raise refused(path, error) from error


class JsonlWriter:
    """Writes lines to an open file; any thread may write.

    Each line goes to the system in one call, unbuffered (some microseconds): nothing is lost by a kill, and a file
    never ends inside a line. Where it is a pipe whose reader is slow, writing waits for it.

        JsonlWriter(STANDARD_OUTPUT, sys.stdout.fileno())         # may be shared by several streams

    Args:
        path: its name in errors.
        file: a descriptor that is open for writing, of a file, a pipe or a terminal.
        turn: a lock that is shared by several writers to one place.
    """

    def __init__(self, path: Path, file: int, turn: "threading.Lock | None" = None) -> None:
        self._path = path
        self._file = file
        self._lock = turn or threading.Lock()
        self._broken: SinkError | None = None

    @property
    def is_broken(self) -> bool:
        """Whether nothing more can be written."""
        return self._broken is not None

    def write(self, line: bytes) -> None:
        """Args: a whole line with its newline; or several, which are written all or none.

        Raises:
            NobodyReads: it is a pipe, and its other end was closed.
            SinkError: disk full, or another failure; the file ends after what was written before, and the next lines
                may be written. If not even that can be done, the message says so, and nothing more is written.
        """
        with self._lock:
            if self._broken is not None:
                raise self._broken
            rest = memoryview(line)
            try:
                while rest:
                    rest = rest[self._write_some(rest) :]
            except BrokenPipeError as error:
                self._broken = NobodyReads(f"{self._path}: nobody reads it any more")
                raise self._broken from error
            except OSError as error:
                raise self._cut(len(line) - len(rest), error) from error

    def close(self) -> None:
        """Closes the descriptor."""
        os.close(self._file)

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._file, data)
        except BlockingIOError:  # whoever made the pipe wants no waiting, but we have nothing else to do
            waiting = select.poll()
            waiting.register(self._file, select.POLLOUT)
            waiting.poll()
            return 0

    def _cut(self, written: int, error: OSError) -> SinkError:
        """Takes back the line that was begun. The file may hold more than was written here: it may be appended to."""
        broken = refused(self._path, error)
        try:
            os.ftruncate(self._file, os.lseek(self._file, 0, os.SEEK_CUR) - written)
        except OSError as second:
            self._broken = SinkError(f"{broken} (its last line may be cut: {second.strerror})")
        return self._broken or broken

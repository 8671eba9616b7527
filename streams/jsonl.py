"""Events as JSON Lines: a header, then one line a frame; docs/events.schema.json describes both.

{"schema": 1, "header": {"source": "bikes.mp4", "version": "0.1.0", "model": {…}, "config": {…}}}
{"schema": 1, "stream": "bikes", "frame": 17, "pts": 0.68, "width": 640, "height": 272, "detections": [
 {"label": "person", "class": 14, "score": 0.91, "box": [x1, y1, x2, y2]}]}              (on one line)
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from watchline.streams.errors import SinkError
from watchline.streams.frame import Frame
from watchline.streams.sink import prepare, refused

SCHEMA = 1


def header_line(header: Mapping[str, Any]) -> bytes:
    """The first line. Args: header as the schema has it: `source`, `version`, `model`, `config`."""
    return _line({"schema": SCHEMA, "header": dict(header)})


def line_of(
    frame: Frame,
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    labels: Sequence[str],
) -> bytes:
    """One frame's line, the same bytes for the same values.

    Args:
        frame: whose stream, index, time, size and, for photos, file are written; pts in seconds to six digits.
        boxes: (N, 4) xyxy in source pixels, written to two digits.
        scores: (N,) in 0..1, written to four digits.
        classes: (N,) index into `labels`.
        labels: the detector's class names.

    Raises:
        ValueError: a box or a score is NaN or infinite.
    """
    event: dict[str, Any] = {"schema": SCHEMA, "stream": frame.stream, "frame": frame.index}
    event["pts"] = round(frame.seconds, 6) + 0.0  # + 0.0 makes -0.0 a plain zero
    if frame.file is not None:
        event["file"] = frame.file
    event |= {"width": frame.width, "height": frame.height}
    event["detections"] = [
        {
            "label": labels[number],
            "class": number,
            "score": round(score, 4),
            "box": [round(side, 2) + 0.0 for side in box],
        }
        for number, score, box in zip(classes.tolist(), scores.tolist(), boxes.tolist(), strict=True)
    ]
    return _line(event)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode("ascii") + b"\n"


@dataclass(frozen=True)
class JsonlSink:
    """Writes events to a file of JSON Lines."""

    @contextmanager
    def open(self, path: Path, header: Mapping[str, Any], inputs: Sequence[Path] = ()) -> Iterator["JsonlWriter"]:
        """Writes the header; a file of that name is replaced.

        Raises:
            SinkError: the path is an input, or cannot be written.
        """
        prepare(path, inputs)
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise refused(path, error) from error
        try:
            writer = JsonlWriter(path, file)
            writer.write(header_line(header))
            yield writer
        finally:
            os.close(file)


class JsonlWriter:
    """Each line goes to the system in one call, unbuffered (some microseconds): nothing is lost by a kill, and the file
    never ends inside a line.
    """

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file
        self._size = 0
        self._broken: SinkError | None = None

    def write(self, line: bytes) -> None:
        """Args: a whole line with its newline.

        Raises:
            SinkError: disk full, or another failure; the file ends after the last whole line, and stays so. If not
                even that can be done, the message says so.
        """
        if self._broken is not None:
            raise self._broken
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            self._broken = refused(self._path, error)
            try:
                os.ftruncate(self._file, self._size)
            except OSError as second:
                self._broken = SinkError(f"{self._broken} (its last line may be cut: {second.strerror})")
            raise self._broken from error
        self._size += len(line)

"""Events as a run writes them: files made by the real writer, of frames whose objects are named here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from watchline.ops.detections import Detections
from watchline.ops.masks import Masks
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.write.events_file import EventsFile
from watchline.streams.write.jsonl import frame_line

LABELS = ("person", "car", "kite")
SIZE = (128, 72)  # width, height
NOON = 1_700_000_000.0  # seconds since 1970


def found(
    *rows: Sequence[float],
    tracks: Sequence[int] | None = None,
    masks: Masks | None = None,
    is_predicted: bool = False,
) -> Detections:
    """Rows of (class, score, x1, y1, x2, y2)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    numbers = None if tracks is None else np.array(tracks, np.int64)
    boxes, scores = table[:, 2:].astype(np.float32), table[:, 1].astype(np.float32)
    predicted = np.ones(len(rows), np.bool_) if is_predicted else None
    return Detections(boxes, scores, table[:, 0].astype(np.int64), LABELS, numbers, masks, predicted=predicted)


def parts(detections: Detections, **more: Any) -> dict[str, Any]:
    """Of a frame's line."""
    return {"detections": detections.to_dicts(), **more}


def write_events(
    path: Path,
    stream: str,
    frames: Iterable[Mapping[str, Any]],
    photos: Sequence[str] = (),
    epochs: Sequence[int] = (),
    source: str = "clip.mp4",
    every: int = 1,
) -> Path:
    """A file of events.

    Args:
        frames: the parts of each frame's line.
        photos: names of the frames' files.
        epochs: of the frames of a camera, ten of which arrive per second from NOON on.
        every: which frames have a line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    model = {"name": "tiny", "labels": list(LABELS)}
    file = EventsFile(path, stream, {"source": source, "stream": stream, "version": "0.1.0", "model": model})
    picture = ArrayPicture(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    for number, values in enumerate(frames):
        index = number * every
        frame = Frame(stream, index, index, Fraction(1, 10), picture, file=photos[number] if photos else None)
        if epochs:
            frame = replace(frame, epoch=epochs[number], time=NOON + index / 10)
        file.write(frame_line(frame, values))
        file.tally.frames += 1
    file.close(True)
    return path

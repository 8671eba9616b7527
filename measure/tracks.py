"""How well objects keep their identity: HOTA, MOTA and IDF1 of the tracker on videos in MOT Challenge's layout.

    sequence = open_tracks(Path("PETS09-S2L1"))
    measured = measure_tracks(sequence, boxes_in(Path("PETS09-S2L1.npy"), len(sequence.truth)))
    measured.scores.idf1

The boxes are given, which judges the tracker alone, or the detector stage finds them in the video.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from watchline.measure.accuracy import finder
from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts import mot
from watchline.ops.assignment import solver
from watchline.ops.detections import Detections
from watchline.ops.track_scores import Tracked, TrackScores, track_scores
from watchline.ops.tracks import NONE, UNSURE, Track, Tracks
from watchline.pipeline.stages.detector import Detector

COLUMNS = 7  # of given boxes: frame from 1, whatever, left, top, width, height, score
MOST_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class TrackFigures:
    """What was measured, and on what.

    Attributes:
        data: the folder's name.
        frames: how many.
        scores: the figures.
        milliseconds: of the tracker's processor time, per frame.
    """

    data: str
    frames: int
    scores: TrackScores
    milliseconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        own = {"data": self.data, "frames": self.frames, "milliseconds": round(self.milliseconds, 3)}
        return own | asdict(self.scores)


def measure_tracks(sequence: mot.Sequence, found: Iterable[Detections], every: int = 1) -> TrackFigures:
    """Track the people of a video, and compare with who they are.

    Args:
        sequence: the video's true tracks.
        found: what a detector saw in each of its frames.
        every: the tracker gets that of each n-th frame; in between it says where the tracks must be.

    Raises:
        DataRefused: there are more frames than truth, or fewer.
    """
    frames = list(found)
    if len(frames) != len(sequence.truth):
        raise DataRefused(
            f"{sequence.name} has {len(frames)} frames: expected {len(sequence.truth)}, as seqinfo.ini says"
        )
    solver()
    tracks, tracked, spent = Tracks(), [], 0.0
    for index, one in enumerate(frames):
        seconds, began = index / sequence.rate, time.thread_time()
        if index % every:
            tracked.append(_as_tracked(tracks.between(seconds, sequence.size)))
        else:
            numbers = tracks.update(one, seconds, sequence.size)
            kept = numbers != NONE
            tracked.append(Tracked(numbers[kept], one.xyxy[kept]))
        spent += time.thread_time() - began
    return TrackFigures(sequence.name, len(tracked), track_scores(sequence.truth, tracked), 1000 * spent / len(tracked))


def boxes_in(file: Path, frames: int) -> list[Detections]:
    """The boxes of each frame of a video, from a file.

    Args:
        file: NumPy's .npy, (N, 7): frame from 1, whatever, left, top, width, height in pixels, score.
        frames: how many the video has.

    Raises:
        DataNotFound, DataRefused: there is no such file, or it is not what it should be.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
        rows = np.load(file, allow_pickle=False)
        if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != COLUMNS:
            raise ValueError(f"it is of shape {getattr(rows, 'shape', None)}")
        rows = rows.astype(np.float64)
        if not np.isfinite(rows).all() or ((rows[:, 6] < 0) | (rows[:, 6] > 1)).any():
            raise ValueError("it has numbers that cannot be")
    except FileNotFoundError as error:
        raise DataNotFound(f"{file}: there is no such file; expected boxes, as .npy") from error
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise DataRefused(f"{file}: {error}; expected (N, 7): frame,-1,left,top,w,h,score") from error
    return [_detections(rows[rows[:, 0] == number]) for number in range(1, frames + 1)]


def boxes_by(
    detector: Detector, data: Path, progress: Callable[[int, int], object] | None = None
) -> Iterator[Detections]:
    """The boxes of the people in each frame of a video, as the detector finds them; none where it does not look.

    Args:
        detector: its settings, `every` too, but for `conf`, which is as low as the tracker can use.
        data: folder in MOT Challenge's layout.
        progress: is told how many frames are done, and of how many.

    Raises:
        MeasureError, SourceUnreadable: the video is not there, or cannot be decoded.
        EngineError, ConfigError: the model does not load or does not run.
    """
    video = mot.open_set(data, None, 1)
    with finder(replace(detector, conf=UNSURE)) as find:
        for number, picture in enumerate(video.read(), 1):
            if (number - 1) % detector.every:
                yield Detections.none((mot.PERSON,))
                continue
            found = find(picture.image)
            if mot.PERSON not in found.labels:
                raise DataRefused(f"{detector.model} has no label {mot.PERSON!r}: expected one that finds people")
            yield found[found.names == mot.PERSON]
            if progress:
                progress(number, max(video.count, number))


def _as_tracked(tracks: list[Track]) -> Tracked:
    boxes = np.array([one.box for one in tracks], np.float32).reshape(-1, 4)
    return Tracked(np.array([one.number for one in tracks], np.int64), boxes)


def _detections(rows: Any) -> Detections:
    rows = rows[np.argsort(-rows[:, 6], kind="stable")]
    kinds = np.zeros(len(rows), np.int64)
    return Detections(mot.boxes_of(rows), rows[:, 6].astype(np.float32), kinds, (mot.PERSON,))

"""MOT Challenge's results: of each video or camera `mot/NAME.txt`, which its programs read.

A row is frame (from 1), track, left, top, width, height, score and -1 three times. Of a stream that was not tracked,
all tracks are -1, as in the challenge's files of detections; of others, what has no track is left out.
"""

from pathlib import Path

from watchline.streams.errors import EventsRefused
from watchline.streams.events.frames import Found
from watchline.streams.events.survey import Survey

PLACE = "mot"
NONE = -1  # in place of a track


def row(frame: int, track: int, box: tuple[float, float, float, float], score: float) -> str:
    """A line. Args: frame, from 0; box, xyxy in pixels."""
    x1, y1, x2, y2 = box
    return f"{frame + 1},{track},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.4f},-1,-1,-1\n"


class Numbers:
    """Tracks of a camera: the numbers of each connection go on behind those of the one before."""

    def __init__(self) -> None:
        self._most = self._before = 0  # the largest number so far, and that of the connections before

    def begin(self) -> None:
        """A connection begins."""
        self._before = self._most

    def of(self, track: int) -> int:
        """What a track of this connection is called."""
        self._most = max(self._most, self._before + track)
        return self._before + track


def write(survey: Survey, folder: Path) -> list[str]:
    """Write them into a folder. Raises OSError: it cannot be written; EventsRefused: no stream is a video."""
    photos = [name for name, stream in survey.streams.items() if stream.are_photos]
    if len(photos) == len(survey.streams):
        raise EventsRefused(f"{photos[0]} is of photos: expected a video or a camera, whose tracks MOT's format has")
    for name, stream in survey.streams.items():
        if not stream.are_photos:
            _write(survey, name, folder / PLACE / f"{name}.txt", stream.is_tracked)
    return [f"{name} is of photos, which MOT's format does not have: left out" for name in photos]


def _write(survey: Survey, stream: str, path: Path, is_tracked: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers, epoch, last = Numbers(), None, -1
    with path.open("x", encoding="ascii") as file:
        for frame in survey.all_frames(stream):
            if frame.index <= last:
                raise EventsRefused(
                    f"{frame.events}: frames of {stream!r} begin anew, as it was watched in several runs: MOT's format "
                    "has one; convert the files of one run"
                )
            if frame.epoch != epoch:
                numbers.begin()
            epoch, last = frame.epoch, frame.index
            file.writelines(_rows(frame.index, frame.found, numbers if is_tracked else None))


def _rows(frame: int, found: tuple[Found, ...], numbers: Numbers | None) -> list[str]:
    if numbers is None:
        return [row(frame, NONE, one.box, one.score) for one in found]
    return [row(frame, numbers.of(one.track), one.box, one.score) for one in found if one.track is not None]

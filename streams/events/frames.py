"""Frames of events that are read again: when and where each was, and what was found in it.

saved = Saved(files_in(Path("out")))
for frame in saved:
    for found in frame.found: ...
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from watchline.ops.errors import DetectionsError
from watchline.ops.masks import LARGEST_SIDE, Masks
from watchline.streams.errors import EventsRefused
from watchline.streams.events.lines import EXPECTED, checked, lines_in
from watchline.streams.layouts.coco import is_inside

KEYS = ("detections", "instances")  # of a line, whose objects may be asked for
LARGEST = 1 << 53  # of any number; JSON has some that no table holds


@dataclass(frozen=True, slots=True)
class Found:
    """One object of a frame.

    Attributes:
        label: the name of its class.
        class_id: index of the class into the model's labels.
        score: 0 to 1.
        box: x1, y1, x2, y2 in pixels of the picture, half-open.
        track: the number of its track; None without one.
        predicted: nobody looked, and this is where its track must be.
        segmentation: its pixels, COCO's run lengths; None where nobody segmented.
    """

    label: str
    class_id: int
    score: float
    box: tuple[float, float, float, float]
    track: int | None
    predicted: bool
    segmentation: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class FrameEvent:
    """A frame that has a line.

    Attributes:
        events: the file that it was read from.
        header: the last one of its stream before it.
        stream: its name; it may have folders in front, and leads out of none.
        index: of the frame in its stream, from 0.
        seconds: presentation time.
        file: of a photo, its name.
        epoch, time: of a live frame, its connection and when it arrived (UTC); None of a file.
        width, height: of the picture as shown, in pixels.
        found: the objects, best score first.
        zones: the names of zones, each with the tracks in it.
        kmh: speeds of tracks on the ground.
    """

    events: Path
    header: Mapping[str, Any]
    stream: str
    index: int
    seconds: float
    file: str | None
    epoch: int | None
    time: datetime | None
    width: int
    height: int
    found: tuple[Found, ...]
    zones: Mapping[str, Sequence[int]]
    kmh: Mapping[int, float]

    @property
    def is_predicted(self) -> bool:
        """Whether no detector looked at it, and its boxes are where tracks must be."""
        return any(found.predicted for found in self.found)

    @property
    def source(self) -> str:
        """Name of the file or folder; of a camera, its address without credentials."""
        return str(self.header["source"])

    def masks(self) -> Masks | None:
        """The pixels of the objects; None where nobody segmented. Raises EventsRefused: they cannot be."""
        lengths = [found.segmentation for found in self.found if found.segmentation is not None]
        if not lengths:
            return None
        try:
            if len(lengths) < len(self.found):
                raise DetectionsError(f"{len(lengths)} masks of {len(self.found)} objects")
            return Masks.from_rle(lengths, (self.height, self.width))
        except (DetectionsError, KeyError, TypeError, ValueError) as error:
            raise EventsRefused(f"{self.events}: frame {self.index} has masks that cannot be ({error})") from error


class Saved:
    """Events on the disk. Each iteration reads the files anew, line by line, so memory does not grow with them.

    Args:
        files: of events.
        of: the key of the objects, "detections" or "instances".

    Raises:
        EventsRefused: while it is read; a line cannot be, or no line has such objects.
    """

    def __init__(self, files: Sequence[Path], of: str = "detections") -> None:
        if of not in KEYS:
            raise EventsRefused(f"objects of {of!r}: expected one of {', '.join(KEYS)}")
        self.files, self.of = tuple(files), of

    def __iter__(self) -> Iterator[FrameEvent]:
        """The frames, file by file. Of a frame that was looked at and has no object, too."""
        others, last = "", _Order()
        is_any = False
        for file in self.files:
            headers: dict[str, Mapping[str, Any]] = {}
            for number, line in lines_in(file):
                if "header" in line:
                    headers |= _by_stream(line["header"])
                elif self.of in line:
                    is_any = True
                    frame = _frame(file, number, line, headers, self.of)
                    last.check(file, number, frame)
                    yield frame
                else:
                    others = next((key for key in KEYS if key in line), others)
        if not is_any:
            more = f"; they have {others!r}" if others else ""
            raise EventsRefused(f"no line of {_named(self.files)} has {self.of!r}: {EXPECTED}{more}")


class _Order:
    """Frames of a file come once, in order: twice, they would be counted twice."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def check(self, file: Path, number: int, frame: FrameEvent) -> None:
        """Raises EventsRefused. (Cameras that are watched again begin anew.)"""
        if frame.time is None and frame.index <= self._last.get(frame.stream, -1):
            raise EventsRefused(
                f"{file}: line {number} has frame {frame.index} of {frame.stream!r} again: expected each frame once; "
                "is the stream in two files?"
            )
        self._last[frame.stream] = frame.index


def _named(files: Sequence[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{len(files)} files"


def _by_stream(header: Any) -> dict[str, Mapping[str, Any]]:
    match header:
        case {"source": str(), "stream": str(stream)}:
            return {stream: header}
    return {}


def _frame(
    file: Path, number: int, line: Mapping[str, Any], headers: Mapping[str, Mapping[str, Any]], of: str
) -> FrameEvent:
    match line:
        case {
            "stream": str(stream),
            "frame": int(index),
            "pts": int() | float() as pts,
            "width": int(),
            "height": int(),
        }:
            size = line["width"], line["height"]
        case _:
            raise EventsRefused(f"{file}: line {number} has no stream, frame, pts, width or height; {EXPECTED}")
    is_fit = 0 <= index <= LARGEST and -LARGEST <= pts <= LARGEST
    if not is_fit or not all(1 <= side <= LARGEST_SIDE for side in size):
        number_, seconds, width, height = (str(value)[:12] for value in (index, pts, *size))
        raise EventsRefused(
            f"{file}: line {number} is of frame {number_} at {seconds} s, {width} x {height} pixels; {EXPECTED}"
        )
    photo = line.get("file")
    if not is_inside(stream) or not (photo is None or is_inside(photo)):
        raise EventsRefused(
            f"{file}: line {number} is of {stream!r}, {photo!r}: expected names that lead out of no folder"
        )
    if stream not in headers:
        raise EventsRefused(f"{file}: line {number} is of {stream!r}, of which no header stands before; {EXPECTED}")
    try:
        time = datetime.fromisoformat(line["time"]).astimezone(UTC) if "time" in line else None
        epoch = _whole(line["epoch"]) if time else None
        zones = {str(name): [*map(_whole, tracks)] for name, tracks in line.get("zones", {}).items()}
        kmh = {_whole(one["track"]): float(one["kmh"]) for one in line.get("speeds", ())}
        "".join((stream, photo or "", headers[stream]["source"], *zones)).encode()  # or else it is no text
        found = tuple(map(_found, checked(file, number, line[of])))
    except EventsRefused:
        raise
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise EventsRefused(f"{file}: line {number} has parts that cannot be ({error!r}); {EXPECTED}") from error
    return FrameEvent(file, headers[stream], stream, index, float(pts), photo, epoch, time, *size, found, zones, kmh)


def _found(row: Mapping[str, Any]) -> Found:
    """Raises KeyError, TypeError, ValueError: it cannot be."""
    x1, y1, x2, y2 = map(float, row["box"])
    track = None if row.get("track") is None else _whole(row["track"])
    segmentation = row.get("segmentation")
    row["label"].encode()
    if not isinstance(segmentation, dict | None):
        raise TypeError(f"segmentation is {str(segmentation)[:60]}")
    box = (x1, y1, x2, y2)
    predicted = row.get("predicted", False)
    if not isinstance(predicted, bool):
        raise TypeError(f"predicted is {str(predicted)[:20]!r}")
    return Found(row["label"], _whole(row["class"]), float(row["score"]), box, track, predicted, segmentation)


def _whole(value: Any) -> int:
    """A number from 0 on. Raises TypeError, ValueError: it is none."""
    if not isinstance(value, int):
        raise TypeError(f"{str(value)[:20]!r} is not a whole number")
    if not 0 <= value <= LARGEST:
        raise ValueError(f"a number is below 0 or above {LARGEST}")
    return value

"""What must be known of all events before the first is written in another format: labels, streams, names of pictures.

survey = Survey(Saved(files))
for frame in survey.frames("gate"):
    survey.picture_of(frame)        # gate/000017.jpg
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from watchline.streams.events.frames import FrameEvent, Saved
from watchline.streams.events.lines import labels_of

DIGITS = 6  # of a frame's index in the name of its picture


@dataclass(slots=True)
class Stream:
    """What its events say of a stream.

    Attributes:
        source: name of the file or folder; of a camera, its address without credentials.
        size: width and height of the first frame in pixels.
        are_photos, is_live: photos, frames of a camera; else those of a video file.
        events: the files that have its lines.
        frames: how many have a line.
        first, begin: index and time of the first one.
        last, seconds: of the last one.
        is_tracked: some detections have tracks.
    """

    source: str
    size: tuple[int, int]
    are_photos: bool
    is_live: bool
    events: list[Path] = field(default_factory=list)
    frames: int = 0
    first: int = 0
    begin: float = 0.0
    last: int = 0
    seconds: float = 0.0
    is_tracked: bool = False


class Survey:
    """All events, read once to know this; then they are read again, as often as a format needs.

    Attributes:
        saved: the events.
        labels: what the models could have found, in the order of the headers; then what else was found.
        model: the names of the models.
        streams: by name, in the order of the files.
    """

    def __init__(self, saved: Saved) -> None:
        """Raises EventsRefused: a line cannot be, or no line has objects."""
        self.saved = saved
        self.streams: dict[str, Stream] = {}
        known: dict[str, None] = {}
        seen: set[str] = set()
        models: dict[str, None] = {}
        header: object = None
        for frame in saved:
            if frame.header is not header:
                header = frame.header
                known |= dict.fromkeys(labels_of(header, saved.of))
                models |= dict.fromkeys(_models_of(header))
            seen.update(found.label for found in frame.found)
            self._add(frame)
        self.labels = (*known, *sorted(seen - known.keys()))
        self.model = ", ".join(models)
        photos = (name for name, stream in self.streams.items() if stream.are_photos)
        self._albums = Counter(PurePosixPath(name).parent for name in photos)

    def frames(self, stream: str | None = None) -> Iterator[FrameEvent]:
        """The frames of a stream, or all, that were looked at."""
        frames = self.saved if stream is None else self.all_frames(stream)
        return (frame for frame in frames if not frame.is_predicted)

    def all_frames(self, stream: str) -> Iterator[FrameEvent]:
        """The frames of a stream, also those whose boxes are predicted."""
        saved = Saved(self.streams[stream].events, self.saved.of)
        return (frame for frame in saved if frame.stream == stream)

    def picture_of(self, frame: FrameEvent) -> PurePosixPath:
        """The name of a frame's picture: of a photo its own, in the folder of its stream; else STREAM/INDEX.jpg.

        Where several albums are in a folder, each is a folder, as the annotated photos are. A camera's frame has its
        time in front of the index, which begins anew.
        """
        if frame.file is not None:
            stream = PurePosixPath(frame.stream)
            return (stream if self._albums[stream.parent] > 1 else stream.parent) / frame.file
        time = "" if frame.time is None else f"{frame.time:%Y%m%dT%H%M%S}.{frame.time.microsecond // 1000:03d}Z-"
        return PurePosixPath(frame.stream) / f"{time}{frame.index:0{DIGITS}d}.jpg"

    def _add(self, frame: FrameEvent) -> None:
        size = (frame.width, frame.height)
        new = Stream(
            frame.source, size, frame.file is not None, frame.time is not None, first=frame.index, begin=frame.seconds
        )
        stream = self.streams.setdefault(frame.stream, new)
        if frame.events not in stream.events[-1:]:
            stream.events.append(frame.events)
        stream.frames += 1
        stream.last, stream.seconds = frame.index, frame.seconds
        stream.is_tracked = stream.is_tracked or any(found.track is not None for found in frame.found)


def _models_of(header: object) -> list[str]:
    match header:
        case {"model": {"name": str(name)}}:
            return [name]
    return []

"""The tracks of a video as programs for labelling want them: an object, with its boxes from frame to frame.

Of a video that nobody tracked, each detection is a track of one frame; of others, what has no track is left out.
"""

from collections import Counter
from dataclasses import dataclass, field

from watchline.streams.events.frames import Found
from watchline.streams.events.survey import Survey


@dataclass(slots=True)
class Box:
    """Of a track in a frame.

    Attributes:
        frame: index, from 0.
        seconds: its time.
        found: the detection.
        gone: index of the next frame that was looked at, if the track is not there in it; else None.
    """

    frame: int
    seconds: float
    found: Found
    gone: int | None = None


@dataclass(slots=True)
class Track:
    """An object, with its boxes in the order of the frames."""

    boxes: list[Box] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What it was taken for most often."""
        [(label, _)] = Counter(box.found.label for box in self.boxes).most_common(1)
        return label


def tracks_of(survey: Survey, stream: str) -> list[Track]:
    """The tracks of a video, in the order in which they begin. All of them are in memory."""
    tracks: dict[object, Track] = {}
    last: list[Box] = []
    for frame in survey.frames(stream):
        here = {}
        for found in frame.found:
            if found.track is not None or not survey.streams[stream].is_tracked:
                here[object() if found.track is None else found.track] = Box(frame.index, frame.seconds, found)
        for box in last:
            if box.found.track not in here:
                box.gone = frame.index
        for number, box in here.items():
            tracks.setdefault(number, Track()).boxes.append(box)
        last = [*here.values()]
    return [*tracks.values()]

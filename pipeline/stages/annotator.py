"""The annotator: what the stages have given, drawn on a picture of its own, and a line that says which frame it is.

It knows no kinds of results: each draws itself (`Kind.draw`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from watchline.engines.cores import cores
from watchline.ops.canvas import Canvas
from watchline.ops.colours import parse
from watchline.pipeline.kinds.drawn import DRAWN
from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.message import Event, Item
from watchline.pipeline.stages.stage import Stage, Work
from watchline.settings import Threads, settings
from watchline.streams.frame import Image
from watchline.streams.source import About

LONGEST_NAME = 32  # letters of a stream's name in the info line


@settings
class Annotator(Stage):
    """Draws boxes, labels with scores and an info line, and whatever else the stages before it have given.

    Attributes:
        line_width: of the boxes in pixels; None follows the frame's size.
        labels: write class and score at each box.
        colours: of classes, `person=#ff4d6d`, or one of all, `#ff4d6d`; the others have their usual ones.
        text_size: pixels from line to line; None follows the frame's size.
        info: write stream, frame, time and number of detections in the top left corner; of a camera, date and time of
            day where the annotator runs.
        workers: threads, each of which draws for streams of its own.
    """

    name = "annotator"
    gives = (DRAWN,)
    is_always = True
    advice = "a smaller video would help"
    per_stream = ("line_width", "labels", "colours", "text_size", "info")

    line_width: Annotated[int, Field(ge=1)] | None = Field(default=None, description="of the boxes, in pixels")
    labels: bool = Field(default=True, description="write class and score at each box")
    colours: tuple[str, ...] = Field(default=(), description="of classes, person=#ff4d6d, or one of all, #ff4d6d")
    text_size: Annotated[int, Field(ge=6)] | None = Field(default=None, description="pixels from line to line")
    info: bool = Field(default=True, description="write stream, frame and time in the corner")
    workers: Threads = Field(  # type: ignore[misc]
        default_factory=cores, description="threads, each for streams of its own; without it one per core"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        parse(self.colours)

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Yields what gives DRAWN, a picture of its own."""
        yield Annotating(self)


class Annotating(Work):
    """Draws the newest result of each kind: on frames that no detector looked at, the last boxes before them stay."""

    def __init__(self, settings: Annotator) -> None:
        self._settings = settings
        self._streams: dict[str, _Stream] = {}

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        self._streams[stream] = _Stream(self._settings.of(stream))

    def end(self, stream: str) -> Sequence[Event]:
        self._streams.pop(stream, None)
        return ()

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return [item.with_result(DRAWN, self._drawn(item)) for item in items]

    def _drawn(self, item: Item) -> Image:
        stream = self._streams.get(item.stream) or _Stream(self._settings.of(item.stream))
        stream.take(item)
        settings = stream.settings
        own = item.frame.picture.drawable()
        colours = parse(settings.colours)
        canvas = Canvas(own, settings.line_width, settings.labels, colours, settings.text_size, in_place=True)
        for kind, result in stream.newest.items():
            if kind.draw is not None:
                kind.draw(canvas, result)
        if settings.info:
            canvas.info(describe(item))
        return canvas.picture()


@dataclass
class _Stream:
    """Attributes: newest, the last result of each kind; size, of the picture that they belong to."""

    settings: Annotator
    newest: dict[Kind[Any], Any] = field(default_factory=dict)
    size: tuple[int, int] | None = None

    def take(self, item: Item) -> None:
        """The results of a photo, and of pictures of one size, are for no others."""
        size = item.frame.width, item.frame.height
        if item.frame.file is not None or size != self.size:
            self.newest = {}
        self.size = size
        self.newest |= item.results


def describe(item: Item) -> tuple[str, ...]:
    """The parts of the info line: stream, frame, time as mm:ss.mmm, what was found; of a photo its file name.

    The frames of a camera have date and time of day instead, of this machine's time zone.
    """
    frame = item.frame
    name = frame.file if frame.file is not None else frame.stream
    if len(name) > LONGEST_NAME:
        name = name[: LONGEST_NAME - 3] + "..."
    found = tuple(kind.summary(result) for kind, result in item.results.items() if kind.summary is not None)
    if frame.file is not None:
        return (name, *found)
    clock = _clock(frame.seconds) if frame.time is None else f"{datetime.fromtimestamp(frame.time):%Y-%m-%d %H:%M:%S}"
    return (name, f"frame {frame.index}", clock, *found)


def _clock(seconds: float) -> str:
    milliseconds = round(abs(seconds) * 1000)
    sign = "-" if seconds < 0 and milliseconds else ""
    return f"{sign}{milliseconds // 60000:02d}:{milliseconds // 1000 % 60:02d}.{milliseconds % 1000:03d}"

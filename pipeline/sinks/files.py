"""Files: of each stream a video, or photos, and its events.

A file or a folder of photos has NAME.mp4 (or the photos) and NAME.jsonl; a camera's are called after the time of their
beginning and begin anew by the clock (recording.py).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import Field

from watchline.pipeline.message import Begin, End, Item, Message
from watchline.pipeline.sinks.recording import Recording
from watchline.pipeline.sinks.sink import Opening, Sink, Writer
from watchline.settings import settings
from watchline.streams.frame import Image
from watchline.streams.source import About
from watchline.streams.write.jsonl import JsonlSink, JsonlWriter
from watchline.streams.write.mp4 import Mp4Sink, Mp4Writer
from watchline.streams.write.photo_files import PhotoFilesSink, PhotoFilesWriter
from watchline.streams.write.segments import SegmentsSink


@settings
class Files(Sink):
    """Settings of the files.

    Attributes:
        out: folder for them; or, for a single video, the .mp4 itself.
        video: of videos and photos; None for events only.
        split: seconds after which a camera's files begin anew, at multiples of it by the clock; None: never.
    """

    must = True
    advice = "--no-video, or the video preset 'ultrafast', would help"

    out: Path
    video: Mp4Sink | None = Mp4Sink()
    split: float | None = Field(default=None, ge=1)

    @property
    def name(self) -> str:  # type: ignore[override]
        return "encoder" if self.video else "writer"

    @property
    def needs_picture(self) -> bool:
        return self.video is not None

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        if opening.is_live:
            sink = SegmentsSink(self.video, self.split)
            with sink.open(self.out, opening.stream, opening.header) as segments, Recording(segments) as recording:
                yield recording
        else:
            with ExitStack() as files:
                yield FileWriter(self, opening, files)


class FileWriter:
    """NAME.mp4, or a folder of photos, and NAME.jsonl.

    Attributes:
        notes: what somebody who looks at the files should know.
        paths: the files.
    """

    def __init__(self, settings: Files, opening: Opening, files: ExitStack) -> None:
        """Args: files, which closes what is opened here."""
        self.notes: list[str] = []
        self.paths: list[Path] = []
        self._settings = settings
        self._opening = opening
        self._files = files
        self._events: JsonlWriter | None = None
        self._pictures: Mp4Writer | PhotoFilesWriter | None = None

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        """Raises SinkError: it cannot be written, or not any further."""
        if isinstance(message, Begin):
            self._begin(message.about)
        if isinstance(message, Item) and self._pictures is not None:
            self._write(message)
        if self._events is not None:
            self._events.write(b"".join(lines))
        if isinstance(message, End) and message.whole and isinstance(self._pictures, Mp4Writer):
            self._pictures.end()

    def _begin(self, about: About) -> None:
        out, video, opening = self._settings.out, self._settings.video, self._opening
        is_single = out.suffix == ".mp4"
        folder = out.parent if is_single else out
        if opening.album is not None and video:
            folder = folder / opening.album
        if video and opening.are_photos:
            self._pictures = self._files.enter_context(PhotoFilesSink().open(folder, opening.inputs))
        elif video:
            path = out if is_single else folder / f"{opening.stream}.mp4"
            self._pictures = self._files.enter_context(self._closing(video, path, about))
            self.paths.append(path)
        events = folder / f"{opening.stream}.jsonl"
        self._events = self._files.enter_context(JsonlSink().open(events, opening.header, opening.inputs))
        self.paths.append(events)

    @contextmanager
    def _closing(self, video: Mp4Sink, path: Path, about: About) -> Iterator[Mp4Writer]:
        """A video whose notes are ours once it is closed."""
        with video.open(path, about, self._opening.inputs) as writer:
            yield writer
        self.notes += writer.notes

    def _write(self, item: Item) -> None:
        frame = item.frame
        if isinstance(self._pictures, Mp4Writer):
            self._pictures.write(drawn(item), frame.pts, frame.time_base)
        elif isinstance(self._pictures, PhotoFilesWriter):
            assert frame.file, "a photo has a file name"
            self.paths.append(self._pictures.write(frame.file, drawn(item), frame.profile))


def drawn(item: Item) -> Image:
    """The annotated picture of an item that has passed the annotator."""
    assert item.drawn is not None, "the annotator draws every frame"
    return item.drawn

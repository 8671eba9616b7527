"""Files: of each stream a video, or photos, and its events.

A file or a folder of photos has NAME.mp4 (or the photos) and NAME.jsonl, and with captions NAME.vtt, which appear when
they are complete; what is there already stays. A camera's are called after the time of their beginning and begin anew
by the clock (recording.py).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import Field

from watchline.files import part_of
from watchline.pipeline.message import Begin, End, Item, Message
from watchline.pipeline.sinks.recording import Recording
from watchline.pipeline.sinks.sink import Opening, Sink, Writer, count
from watchline.settings import settings
from watchline.streams.errors import SinkError
from watchline.streams.frame import Image
from watchline.streams.source import About
from watchline.streams.write.events_file import EventsFile
from watchline.streams.write.mp4 import Mp4Sink, Mp4Writer
from watchline.streams.write.paths import prepare
from watchline.streams.write.photo_files import PhotoFilesSink, PhotoFilesWriter
from watchline.streams.write.segments import SegmentsSink
from watchline.streams.write.subtitles import SUFFIX


@settings
class Files(Sink):
    """Settings of the files.

    Attributes:
        out: folder for them; or, for a single video, the .mp4 itself.
        video: of videos and photos; None for events only.
        split: seconds after which a camera's files begin anew, at multiples of it by the clock; None: never.
        overwrite: replace files that are there.
    """

    must = True
    advice = "--no-video, or the video preset 'ultrafast', would help"

    out: Path
    video: Mp4Sink | None = Mp4Sink()
    split: float | None = Field(default=None, ge=1)
    overwrite: bool = False

    @property
    def name(self) -> str:  # type: ignore[override]
        return "encoder" if self.video else "writer"

    @property
    def needs_picture(self) -> bool:
        return self.video is not None

    def paths_of(self, stream: str, album: str | None = None) -> tuple[Path, Path]:
        """Where the events and the video of a file go. Args: album, folder of photos, where there are several."""
        folder = self.out.parent if self.is_single else self.out
        if album is not None and self.video:
            folder = folder / album
        return folder / f"{stream}.jsonl", self.out if self.is_single else folder / f"{stream}.mp4"

    @property
    def is_single(self) -> bool:
        """Whether `out` is a video, not a folder."""
        return self.out.suffix == ".mp4"

    def refuse_if_there(self, path: Path) -> None:
        """Raises SinkError: a file is there, and is not to be replaced."""
        if path.exists() and not self.overwrite:
            raise SinkError(f"{path} is there already: --overwrite replaces it, --out names another folder")

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        if opening.is_live:
            sink = SegmentsSink(self.video, self.split)
            with (
                sink.open(self.out, opening.stream, opening.header, opening.subtitles) as segments,
                Recording(segments) as recording,
            ):
                yield recording
        else:
            with ExitStack() as files:
                yield FileWriter(self, opening, files)


class FileWriter:
    """NAME.mp4, or a folder of photos, and NAME.jsonl.

    Attributes:
        paths: the files.
    """

    def __init__(self, settings: Files, opening: Opening, files: ExitStack) -> None:
        """Args: files, which closes what is opened here."""
        self.paths: list[Path] = []
        self._settings = settings
        self._opening = opening
        self._files = files
        self._is_whole = False
        self._events: EventsFile | None = None
        self._pictures: Mp4Writer | PhotoFilesWriter | None = None

    @property
    def notes(self) -> list[str]:
        """What somebody who looks at the files should know."""
        return self._pictures.notes if isinstance(self._pictures, Mp4Writer) else []

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        """Raises SinkError: it cannot be written, or not any further."""
        if isinstance(message, Begin):
            self._begin(message.about)
        if self._events is not None:
            data = b"".join(lines)
            self._events.make_room(len(data))
            if isinstance(message, Item):
                self._write(message)
            self._events.write(data)
            count(message, self._events.tally)
        if isinstance(message, End) and message.whole:
            self._is_whole = True
            if isinstance(self._pictures, Mp4Writer):
                self._pictures.end()

    def _begin(self, about: About) -> None:
        video, opening = self._settings.video, self._opening
        events, path = self._settings.paths_of(opening.stream, opening.album)
        self._prepare(events)
        self._events = self._files.enter_context(self._recorded(events))
        if video and opening.are_photos:
            self._pictures = self._files.enter_context(PhotoFilesSink().open(events.parent, opening.inputs))
        elif video:
            self._prepare(path)
            subtitles = path.with_suffix(SUFFIX)
            if opening.subtitles:
                self._settings.refuse_if_there(subtitles)
            elif path.exists() and subtitles.exists():  # players would show them with the new video
                raise SinkError(f"{subtitles} has the subtitles of the video that would be replaced: remove it first")
            self._pictures = self._files.enter_context(video.open(path, about, opening.inputs, opening.subtitles))
            self.paths += [path, subtitles] if opening.subtitles else [path]
        self.paths.append(events)

    def _prepare(self, path: Path) -> None:
        prepare(path, self._opening.inputs)
        prepare(part_of(path), self._opening.inputs)
        self._settings.refuse_if_there(path)

    @contextmanager
    def _recorded(self, path: Path) -> Iterator[EventsFile]:
        """The events, closed behind the pictures: only then it is known whether they are whole."""
        events = EventsFile(path, self._opening.stream, self._opening.header)
        try:
            yield events
        except BaseException:
            self._is_whole = False
            raise
        finally:
            events.close(self._is_whole, keep_empty=self._is_whole)

    def _write(self, item: Item) -> None:
        frame = item.frame
        if isinstance(self._pictures, Mp4Writer):
            self._pictures.write(drawn(item), frame.pts, frame.time_base, item.subtitle)
        elif isinstance(self._pictures, PhotoFilesWriter):
            assert frame.file, "a photo has a file name"
            self._settings.refuse_if_there(self._pictures.path_of(frame.file))
            self.paths.append(self._pictures.write(frame.file, drawn(item), frame.profile))


def drawn(item: Item) -> Image:
    """The annotated picture of an item that has passed the annotator."""
    assert item.drawn is not None, "the annotator draws every frame"
    return item.drawn

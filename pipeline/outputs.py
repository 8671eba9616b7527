"""What becomes of a stream's messages: the files of events and pictures that are written from them."""

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from watchline.pipeline.message import Begin, Dropped, End, Failure, Item, Message, State
from watchline.streams.errors import SinkError
from watchline.streams.frame import Image
from watchline.streams.source import About
from watchline.streams.write.jsonl import JsonlSink, JsonlWriter, dropped_line, header_line, line_of, state_line
from watchline.streams.write.mp4 import Mp4Sink, Mp4Writer
from watchline.streams.write.photo_files import PhotoFilesSink, PhotoFilesWriter
from watchline.streams.write.segments import SegmentsSink, SegmentsWriter

log = logging.getLogger(__name__)

UNWRITTEN = "unwritten"  # cause of drops
TELL = 1.0  # seconds after which a row of losses is told, though it goes on
MOST_UNSAID = 10_000  # lines that are kept while a recording cannot be written
AGAIN = 10.0  # seconds until a recording that could not be written is tried again


class Unwritten(Exception):
    """A frame of a live stream could not be written; the next ones may."""


class StillBroken(SinkError):
    """A recording could not be written just now, and it is too early to try again."""


class Output(ABC):
    """Takes all messages of one stream.

    Attributes:
        about: the stream, once it has begun.
        frames: how many were written.
        error: why nothing more is written; None while all is well.
        notes: what was odd, one line each.
        paths: what was written.
    """

    def __init__(
        self,
        stream: str,
        name: str,
        settings: Mapping[str, Any],
        shared: JsonlWriter | None,
        conceal: Callable[[str], str],
    ) -> None:
        """Args:
        name: of what is read.
        settings: for the header of the events.
        shared: where all events go as well.
        conceal: what takes secrets out of a text before it is written.
        """
        self.about: About | None = None
        self.frames = 0
        self.error: str | None = None
        self.notes: list[str] = []
        self.paths: list[Path] = []
        self._stream = stream
        self._name = name
        self._settings = settings
        self._header: dict[str, Any] = {}
        self._untold: Dropped | None = None
        self._shared = shared
        self._conceal = conceal

    def take(self, message: Message) -> None:
        """Write what a message has to say.

        Raises:
            Unwritten: this frame was not written; the stream goes on.
            SinkError: an output cannot be written, or not any further.
        """
        if not self._header and not isinstance(message, End | Failure):
            self._head(message.about.name if isinstance(message, Begin) else self._name)
        if not isinstance(message, Dropped):
            self._tell_lost()
        match message:
            case Begin():
                self.about = message.about
                self._begin(message.about)
            case Item():
                line = _line_of(message)
                self._write(message, line)
                self._share(line)
                self.frames += 1
            case Dropped():
                self._lose(message)
            case State() as now:
                why = None if now.why is None else self._conceal(now.why)
                self._event(state_line(now.stream, now.state, now.epoch, now.time, why, now.retry_in))
            case End() | Failure():
                self._close(whole=isinstance(message, End) and message.whole)

    def _lose(self, lost: Dropped) -> None:
        """Losses of one cause in a row become one line a second."""
        last = self._untold
        if last is None or (last.cause, last.epoch) != (lost.cause, lost.epoch) or lost.time - last.time > TELL:
            self._tell_lost()
            self._untold = lost
        else:
            self._untold = replace(last, frames=last.frames + lost.frames)

    def _tell_lost(self) -> None:
        lost, self._untold = self._untold, None
        if lost is not None:
            self._event(_dropped(lost))

    def _head(self, name: str) -> None:
        """The first message has come."""
        self._header = {"source": self._conceal(name), "stream": self._stream, **self._settings}
        self._share(header_line(self._header))

    def fail(self, error: str) -> None:
        """Something broke: what was written is finished, and the first error stands."""
        self.error = error
        try:
            self._close(whole=False)
        except SinkError as another:
            self.notes.append(str(another))

    def _event(self, line: bytes) -> None:
        self._note(line)
        self._share(line)

    def _share(self, line: bytes | None) -> None:
        if self._shared and line is not None:
            self._shared.write(line)

    @abstractmethod
    def _begin(self, about: About) -> None:
        """The stream opens; a live one each time it is connected."""

    @abstractmethod
    def _write(self, item: Item, line: bytes | None) -> None:
        """Write a frame and its line, None if nobody has looked at it."""

    @abstractmethod
    def _note(self, line: bytes) -> None:
        """Write the line of something that is no frame."""

    @abstractmethod
    def _close(self, whole: bool) -> None:
        """Finish the files. A second call does nothing."""


class FileOutput(Output):
    """NAME.mp4, or a folder of photos, and NAME.jsonl."""

    def __init__(
        self,
        stream: str,
        settings: Mapping[str, Any],
        out: Path | None,
        video: Mp4Sink | None,
        photos: bool = False,
        inputs: Sequence[Path] = (),
        shared: JsonlWriter | None = None,
        conceal: Callable[[str], str] = str,
    ) -> None:
        """Args:
        out: folder for them, or, for a single video, the .mp4 itself; None for no files.
        video: settings of videos and photos; None for none.
        photos: the stream is made of photos.
        inputs: files that must not be overwritten.
        """
        super().__init__(stream, stream, settings, shared, conceal)
        self._out = out
        self._video = video
        self._photos = photos
        self._inputs = inputs
        self._open = ExitStack()
        self._events: JsonlWriter | None = None
        self._pictures: Mp4Writer | PhotoFilesWriter | None = None

    def _begin(self, about: About) -> None:
        if self._out is None:
            return
        single = self._out.suffix == ".mp4"
        folder = self._out.parent if single else self._out
        if self._video and self._photos:
            self._pictures = self._open.enter_context(PhotoFilesSink().open(folder, self._inputs))
        elif self._video:
            path = self._out if single else folder / f"{self._stream}.mp4"
            self._pictures = self._open.enter_context(self._video.open(path, about, self._inputs))
            self.paths.append(path)
        events = folder / f"{self._stream}.jsonl"
        self._events = self._open.enter_context(JsonlSink().open(events, self._header, self._inputs))
        self.paths.append(events)

    def _write(self, item: Item, line: bytes | None) -> None:
        frame = item.frame
        if isinstance(self._pictures, Mp4Writer):
            self._pictures.write(_drawn(item), frame.pts, frame.time_base)
        elif isinstance(self._pictures, PhotoFilesWriter):
            assert frame.file, "a photo has a file name"
            self.paths.append(self._pictures.write(frame.file, _drawn(item)))
        if line is not None:
            self._note(line)

    def _note(self, line: bytes) -> None:
        if self._events is not None:
            self._events.write(line)

    def _close(self, whole: bool) -> None:
        if whole and isinstance(self._pictures, Mp4Writer):
            self._pictures.end()
        self._open.close()
        if isinstance(self._pictures, Mp4Writer):
            self.notes += self._pictures.notes
        self._pictures = None


class LiveOutput(Output):
    """Segments, called by the time of their beginning: NAME-20261123T064500Z.mp4 and .jsonl."""

    def __init__(
        self,
        stream: str,
        name: str,
        settings: Mapping[str, Any],
        folder: Path | None,
        sink: SegmentsSink,
        shared: JsonlWriter | None = None,
        conceal: Callable[[str], str] = str,
    ) -> None:
        """Args: name of what is read; folder for the segments, None for no files."""
        super().__init__(stream, name, settings, shared, conceal)
        self._folder = folder
        self._sink = sink
        self._open = ExitStack()
        self._segments: SegmentsWriter | None = None
        self._again = 0.0  # when a recording that failed may be written again
        self._unwritten: Dropped | None = None  # frames that were not written, and of which no line tells yet
        self._unsaid: deque[bytes] = deque(maxlen=MOST_UNSAID)  # lines that could not be written meanwhile

    def _head(self, name: str) -> None:
        super()._head(name)
        if self._folder is not None:
            self._segments = self._open.enter_context(self._sink.open(self._folder, self._stream, self._header))

    def _begin(self, about: About) -> None:
        if self._segments:
            self._segments.begin(about)

    def _write(self, item: Item, line: bytes | None) -> None:
        if not self._segments:
            return
        try:
            self._catch_up()
            self._segments.write(item.drawn, item.frame, line)
        except SinkError as error:
            self._fail_for_now(error)
            before = self._unwritten.frames if self._unwritten else 0
            self._unwritten = Dropped(self._stream, 0, UNWRITTEN, before + 1, item.frame.epoch or 0)
            raise Unwritten from error

    def _note(self, line: bytes) -> None:
        if self._segments:
            self._unsaid.append(line)
            try:
                self._catch_up()
            except SinkError as error:
                self._fail_for_now(error)

    def _catch_up(self) -> None:
        """Write what waits. Raises SinkError: nothing can be written, or it is too early to try again."""
        assert self._segments, "only where there is a recording"
        if time.monotonic() < self._again:
            raise StillBroken
        if self._unwritten:
            line = _dropped(self._unwritten)
            self._unwritten = None
            self._unsaid.append(line)
            self._share(line)
        while self._unsaid:
            self._segments.event(self._unsaid[0])
            self._unsaid.popleft()

    def _fail_for_now(self, error: SinkError) -> None:
        if not isinstance(error, StillBroken):
            log.warning("%s: %s; trying again in %g s", self._stream, error, AGAIN)
            self._again = time.monotonic() + AGAIN

    def _close(self, whole: bool) -> None:
        segments = self._segments
        try:
            if segments:
                self._again = 0.0  # the last chance
                self._catch_up()
        except SinkError as error:
            self.notes.append(str(error))
        self._segments = None
        try:
            self._open.close()
        finally:
            if segments:
                self.notes += segments.notes
                self.paths = segments.paths


def _line_of(item: Item) -> bytes | None:
    frame, found = item.frame, item.detections
    if found is None:
        return None
    latency = None if frame.time is None else time.monotonic() - frame.arrival
    return line_of(frame, found.boxes, found.scores, found.classes, found.labels, latency)


def _dropped(lost: Dropped) -> bytes:
    return dropped_line(lost.stream, lost.cause, lost.frames, lost.epoch, lost.time)


def _drawn(item: Item) -> Image:
    assert item.drawn is not None, "the annotator draws every frame"
    return item.drawn

"""Recordings of a live stream: pairs of a video and its events, called after the moment in which they begin.

    gate-20261123T064500Z.mp4 and .jsonl        and, for a second pair in the same second, gate-20261123T064500Z-2.mp4

With `split` a new pair begins at each multiple of it by the clock, in UTC (10 minutes: at :00, :10, :20, …). Nothing
that is there is ever overwritten. An open video plays, but for its last second (mp4.py); it gets its index in a thread
of its own, while the frames go on into the next one. What an earlier run left open is finished there too.
"""

import itertools
import logging
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import Field

from watchline.settings import settings
from watchline.streams.errors import SinkError
from watchline.streams.frame import Frame, Image
from watchline.streams.source import LIVE_TIME_BASE, About
from watchline.streams.write.jsonl import JsonlSink, JsonlWriter
from watchline.streams.write.mp4 import PART, Mp4Sink, Mp4Writer, finish_part, part_of
from watchline.streams.write.paths import make_folder, refused

log = logging.getLogger(__name__)

LONGEST_GAP = 3600.0  # seconds between two frames of a video; MP4 has 32 bits for them, 6.6 hours of 1/90000 s
REMEMBERED = 1000  # pairs that `paths` knows of
MOST_UNFINISHED = 8  # videos that wait for their index; then the frames wait


@settings
class SegmentsSink:
    """Settings of a recording.

    Attributes:
        video: of the encoder; None for events only.
        split: seconds after which a new pair begins; None: never.
    """

    video: Mp4Sink | None = Mp4Sink()
    split: float | None = Field(default=None, ge=1)

    @contextmanager
    def open(self, folder: Path, stream: str, header: Mapping[str, Any]) -> Iterator["SegmentsWriter"]:
        """Begins the first pair with its header line; its video is there from the first frame on.

        Args: folder, made if there is none; name of the stream, which the files are called after; header of each file
            of events, as `jsonl.header_line` takes it.

        Raises:
            SinkError: the folder cannot be written.
        """
        writer = SegmentsWriter(self, folder, stream, header)
        try:
            yield writer
        finally:
            writer.close()


@dataclass
class _Segment:
    """An open pair.

    Attributes:
        path: of the video, whether there is one or not.
        began: seconds since 1970.
        shape: width, height and pixel aspect of its pictures, None before the first.
        first, last: pts of its frames.
    """

    path: Path
    began: float
    events: JsonlWriter
    video: Mp4Writer | None = None
    shape: tuple[int, int, Fraction] | None = None
    first: int = 0
    last: int = 0


class SegmentsWriter:
    """A recording that goes on. After a SinkError the pair is finished as far as it goes, and what is written next
    begins a new one: whoever calls decides whether and when to try again. One thread uses it.

    Attributes:
        notes: what somebody who looks at the files should know, one line each, with the file's name.
    """

    def __init__(self, settings: SegmentsSink, folder: Path, stream: str, header: Mapping[str, Any]) -> None:
        self.notes: list[str] = []
        self._settings = settings
        self._folder = folder
        self._stream = stream
        self._header = dict(header)
        self._about = About(stream, 0, 0, LIVE_TIME_BASE)
        self._videos: deque[Path] = deque(maxlen=REMEMBERED)
        self._failed: list[str] = []
        make_folder(folder)
        old = left_open(folder, stream)  # before there is one of ours
        self._segment: _Segment | None = self._begin(time.time())
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix=f"{stream}-finisher")
        self._finishing: deque[Future[Any]] = deque([self._finisher.submit(recover, old, stream)])

    @property
    def paths(self) -> list[Path]:
        """The newest files that are there, in the order of time, the video of each pair first."""
        pairs = ((path, path.with_suffix(".jsonl")) for path in self._videos)
        return [path for pair in pairs for path in pair if path.exists()]

    def begin(self, about: About) -> None:
        """The stream is connected: its rate and pixel aspect hold for the videos that begin from now on."""
        self._about = about

    def write(self, pixels: Image | None, frame: Frame, line: bytes | None) -> None:
        """A frame into the pair that it belongs to.

        Args:
            pixels: the annotated picture (H, W, 3) uint8 BGR; None if no video is wanted.
            frame: the live frame it was made from, with a pts after the last one's.
            line: the frame's, None if it has none.

        Raises:
            SinkError: disk full, or another failure.
        """
        assert frame.time is not None, "only live frames know the time of day"
        segment = self._segment
        shape = None if pixels is None else (pixels.shape[1], pixels.shape[0], self._about.pixel_aspect)
        if segment is not None and self._is_over(segment, frame, shape):
            self._end()
        segment = self._segment = self._segment or self._begin(frame.time)
        try:
            if pixels is not None and self._settings.video is not None:
                if segment.video is None:
                    segment.video = self._settings.video.start(segment.path, self._about)
                    segment.shape, segment.first = shape, frame.pts
                segment.video.write(pixels, frame.pts - segment.first, frame.time_base)
                segment.last = frame.pts
            if line is not None:
                segment.events.write(line)
        except SinkError:
            self._end()
            raise

    def event(self, line: bytes) -> None:
        """A line that belongs to no frame; it goes into the pair that is open.

        Raises:
            SinkError: disk full, or another failure.
        """
        segment = self._segment = self._segment or self._begin(time.time())
        try:
            segment.events.write(line)
        except SinkError:
            self._end()
            raise

    def close(self) -> None:
        """Finishes everything, and waits for it. Called by the context; a second call does nothing.

        Raises:
            SinkError: videos that could not be finished, since the beginning; each is named.
        """
        self._end()
        self._finisher.shutdown()
        self._settle(0)
        if self._failed:
            failed, self._failed = self._failed, []
            raise SinkError("; ".join(failed))

    def _is_over(self, segment: _Segment, frame: Frame, shape: tuple[int, int, Fraction] | None) -> bool:
        """Whether the frame belongs into another pair than the open one."""
        assert frame.time is not None
        split = self._settings.split
        if split is not None:
            due = (segment.began // split + 1) * split
            if frame.time >= due or frame.time < segment.began - split:  # the clock may be put back, but not forever
                return True
        if segment.video is None:
            return False
        return shape != segment.shape or (frame.pts - segment.last) * frame.time_base > LONGEST_GAP

    def _begin(self, now: float) -> _Segment:
        """A new pair under a name that nobody has. Raises SinkError."""
        make_folder(self._folder)
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        for number in itertools.count(1):
            path = self._folder / f"{self._stream}-{stamp}{f'-{number}' if number > 1 else ''}.mp4"
            try:
                if path.exists() or part_of(path).exists():
                    continue
                events = JsonlSink().start(path.with_suffix(".jsonl"), self._header, replace=False)
            except FileExistsError:
                continue
            except PermissionError as error:
                raise refused(path, error) from error
            break
        self._videos.append(path)
        return _Segment(path, now, events)

    def _end(self) -> None:
        """Closes the open pair; the video gets its index in the background."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        segment.events.close()
        if segment.video is not None:
            self._finishing.append(self._finisher.submit(self._finish, segment.video, segment.path))
            self._settle(MOST_UNFINISHED)

    def _settle(self, most: int) -> None:
        """Forgets what is finished, and waits until no more than `most` are not."""
        while self._finishing and (len(self._finishing) > most or self._finishing[0].done()):
            self._finishing.popleft().result()

    def _finish(self, video: Mp4Writer, path: Path) -> None:
        """In the finisher's thread."""
        try:
            video.close()
            log.debug("%s: %s is finished", self._stream, path.name)
        except OSError as error:
            log.warning("%s: %s", self._stream, error)
            self._failed.append(str(error))
        self.notes += video.notes


def left_open(folder: Path, stream: str) -> list[Path]:
    """The videos of a stream whose parts are in the folder: left by a killed process, or being written now.

    Raises:
        SinkError: the folder cannot be read.
    """
    ours = re.compile(rf"{re.escape(stream)}-\d{{8}}T\d{{6}}Z(-\d+)?\.mp4{re.escape(PART)}")
    try:
        parts = sorted(part for part in folder.iterdir() if ours.fullmatch(part.name))
    except OSError as error:
        raise refused(folder, error) from error
    return [part.with_name(part.name.removesuffix(PART)) for part in parts]


def recover(videos: Iterable[Path], stream: str) -> list[Path]:
    """Finishes the videos that a killed process left open, and says so in the log.

    What a process is writing is left alone; what cannot be finished stays as it is, and is named in the log.

    Returns: the finished ones.
    """
    finished = []
    for video in videos:
        try:
            if finish_part(video):
                finished.append(video)
                log.warning("%s: an earlier run had left %s open; it is finished now", stream, video.name)
        except SinkError as error:
            log.warning("%s: %s", stream, error)
    return finished

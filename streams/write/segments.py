"""The recording of a live stream: segments of a video and its events, named after the time at which they begin.

    gate-20261123T064500Z.mp4 and .jsonl        and, for a second segment in the same second,
    gate-20261123T064500Z-2.mp4

With `split`, a new segment begins at each multiple of it by the clock, in UTC (10 minutes: at :00, :10, :20, …).
Existing files are never overwritten. The files of an open segment have the suffix `.part`; its video plays, except for
its last second (mp4.py). When it ends, a thread of its own gives the video its index and the events their footer, while
the next frames go into the next segment. That thread also finishes what an earlier run left open.
"""

import itertools
import logging
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import Field

from watchline.files import NOT_SUPPORTED, PART, part_of, unshared
from watchline.settings import settings
from watchline.streams.errors import SinkError
from watchline.streams.frame import Frame, Image
from watchline.streams.source import LIVE_TIME_BASE, About
from watchline.streams.write.events_file import EventsFile, finish_events
from watchline.streams.write.mp4 import Mp4Sink, Mp4Writer, finish_part
from watchline.streams.write.paths import make_folder, refused
from watchline.streams.write.subtitles import SUFFIX

log = logging.getLogger(__name__)

LONGEST_GAP = 3600.0  # seconds between two frames of a video; MP4 has 32 bits for it, 6.6 hours in units of 1/90000 s
REMEMBERED = 1000  # segments that `paths` lists
MOST_UNFINISHED = 8  # videos that may wait for their index; with more, the frames wait


@settings
class SegmentsSink:
    """Settings of a recording.

    Attributes:
        video: settings of the encoder; None records events only.
        split: seconds; a new segment begins at each multiple of it. None: never.
    """

    video: Mp4Sink | None = Mp4Sink()
    split: float | None = Field(default=None, ge=1)

    @contextmanager
    def open(
        self, folder: Path, stream: str, header: Mapping[str, Any], subtitles: bool = False
    ) -> Iterator["SegmentsWriter"]:
        """Begins the first segment with its header line. Its video begins with the first frame.

        Args: folder, created if there is none; name of the stream, for the file names; header of each events file, in
            the form of `jsonl.header_line`; whether the videos have subtitles.

        Raises:
            SinkError: the folder cannot be written, or another run records a stream of this name there.
        """
        writer = SegmentsWriter(self, folder, stream, header, subtitles)
        try:
            yield writer
        finally:
            writer.close()


@dataclass
class _Segment:
    """An open segment.

    Attributes:
        path: of the video, even if there is none.
        began: its begin, in seconds since 1970.
        shape: width, height and pixel aspect of its pictures; None before the first.
        first, last: pts of its first and last frame.
    """

    path: Path
    began: float
    events: EventsFile
    video: Mp4Writer | None = None
    shape: tuple[int, int, Fraction] | None = None
    first: int = 0
    last: int = 0


class SegmentsWriter:
    """Writes a recording. After a SinkError, the open segment goes on if it can (disk full), or is finished as it is,
    and the next frame or event begins a new one. The caller decides whether and when to try again. One thread uses it.

    Attributes:
        notes: what a viewer of the files should know, one line each, with the file's name.
    """

    def __init__(
        self, settings: SegmentsSink, folder: Path, stream: str, header: Mapping[str, Any], subtitles: bool = False
    ) -> None:
        self.notes: list[str] = []
        self._settings = settings
        self._folder = folder
        self._stream = stream
        self._header = dict(header)
        self._subtitles = subtitles
        self._about = About(stream, 0, 0, LIVE_TIME_BASE)
        self._videos: deque[Path] = deque(maxlen=REMEMBERED)
        self._failed: list[str] = []
        self._is_whole = False
        make_folder(folder)
        old = left_open(folder, stream)  # before this writer opens files
        self._segment: _Segment | None = self._begin(time.time())
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix=f"{stream}-finisher")
        self._finishing: deque[Future[Any]] = deque([self._finisher.submit(recover, old, stream)])

    @property
    def paths(self) -> list[Path]:
        """The newest files that exist, in order of time, the video of each segment first."""
        segments = ((path, path.with_suffix(SUFFIX), path.with_suffix(".jsonl")) for path in self._videos)
        return [path for segment in segments for path in segment if path.exists()]

    def begin(self, about: About) -> None:
        """The stream is connected. Its rate and pixel aspect apply to the videos that begin from now on."""
        self._about = about

    def write(self, pixels: Image | None, frame: Frame, lines: Sequence[bytes], subtitle: str = "") -> None:
        """Write a frame into its segment.

        Args:
            pixels: the annotated picture (H, W, 3) uint8 BGR; None if no video is wanted.
            frame: the live frame it was made from, with a pts after the last one's.
            lines: the frame's; written all or, where the frame cannot be, none.
            subtitle: the text that holds from the frame on.

        Raises:
            SinkError: disk full, or another failure.
        """
        assert frame.time is not None, "only live frames know the time of day"
        segment = self._segment
        shape = None if pixels is None else (pixels.shape[1], pixels.shape[0], self._about.pixel_aspect)
        if segment is not None and self._is_over(segment, frame, shape):
            self._end()
        segment = self._segment = self._segment or self._begin(frame.time)
        data = b"".join(lines)
        try:
            segment.events.make_room(len(data))
            if pixels is not None and self._settings.video is not None:
                if segment.video is None:
                    segment.video = self._settings.video.start(segment.path, self._about, self._subtitles)
                    segment.shape, segment.first = shape, frame.pts
                segment.video.write(pixels, frame.pts - segment.first, frame.time_base, subtitle)
                segment.last = frame.pts
            segment.events.write(data)
        except SinkError:
            self._give_up(segment)
            raise
        segment.events.tally.frames += 1

    def event(self, line: bytes, dropped: tuple[str, int] | None = None) -> None:
        """Write the line of an event without a frame into the open segment.

        Args: dropped, the cause and number of the frames that it says are lost.

        Raises:
            SinkError: disk full, or another failure.
        """
        segment = self._segment = self._segment or self._begin(time.time())
        try:
            if not self._is_whole:  # the last lines find room where the footer does
                segment.events.make_room(len(line))
            segment.events.write(line)
        except SinkError:
            self._give_up(segment)
            raise
        if dropped is not None:
            cause, frames = dropped
            segment.events.tally.dropped[cause] += frames

    def end(self) -> None:
        """Say that the stream is complete."""
        self._is_whole = True

    def close(self) -> None:
        """Finish all segments, and wait for that. The context calls it; a second call does nothing.

        Raises:
            SinkError: some videos of the recording could not be finished; each is named.
        """
        self._end(self._is_whole)
        self._finisher.shutdown()
        self._settle(0)
        if self._failed:
            failed, self._failed = self._failed, []
            raise SinkError("; ".join(failed))

    def _is_over(self, segment: _Segment, frame: Frame, shape: tuple[int, int, Fraction] | None) -> bool:
        """Whether the frame belongs to another segment than the open one."""
        assert frame.time is not None
        split = self._settings.split
        if split is not None:
            due = (segment.began // split + 1) * split
            if frame.time >= due or frame.time < segment.began - split:  # a clock that is set back by less is tolerated
                return True
        if segment.video is None:
            return False
        return shape != segment.shape or (frame.pts - segment.last) * frame.time_base > LONGEST_GAP

    def _begin(self, now: float) -> _Segment:
        """Begin a segment under a new name. Raises SinkError."""
        make_folder(self._folder)
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        for number in itertools.count(1):
            path = self._folder / f"{self._stream}-{stamp}{f'-{number}' if number > 1 else ''}.mp4"
            try:
                finals = (path, path.with_suffix(".jsonl"), path.with_suffix(SUFFIX))
                if any(each.exists() or part_of(each).exists() for each in finals):
                    continue
            except PermissionError as error:
                raise refused(path, error) from error
            break
        events = EventsFile(path.with_suffix(".jsonl"), self._stream, self._header)
        self._videos.append(path)
        return _Segment(path, now, events)

    def _give_up(self, segment: _Segment) -> None:
        """Something could not be written: go on in this segment if it can be, so that a full disk makes no files."""
        is_broken = segment.video is not None and segment.video.closed
        if segment.events.is_broken or (is_broken and segment.events.tally.frames):
            self._end(whole=False)
        elif is_broken:
            segment.video = None  # there is nothing in it; the next frame begins another

    def _end(self, whole: bool = True) -> None:
        """Close the open segment. It is finished in the background."""
        segment, self._segment = self._segment, None
        if segment is not None:
            self._finishing.append(self._finisher.submit(self._finish, segment, whole))
            self._settle(MOST_UNFINISHED)

    def _settle(self, most: int) -> None:
        """Forget the videos that are finished, and wait until at most `most` are unfinished."""
        while self._finishing and (len(self._finishing) > most or self._finishing[0].done()):
            self._finishing.popleft().result()

    def _finish(self, segment: _Segment, whole: bool) -> None:
        """Finish the files of a segment. It runs in the finisher's thread."""
        try:
            if segment.video is not None:
                segment.video.close()
                log.debug("%s: %s is finished", self._stream, segment.path.name)
        except OSError as error:
            whole = False
            self._fail(error)
        try:
            segment.events.close(whole, keep_empty=False)
        except OSError as error:
            self._fail(error)
        if segment.video is not None:
            self.notes += segment.video.notes

    def _fail(self, error: OSError) -> None:
        log.warning("%s: %s", self._stream, error)
        self._failed.append(str(error))


def left_open(folder: Path, stream: str) -> list[Path]:
    """The files of a stream that a killed process left open in the folder.

    Raises:
        SinkError: the folder cannot be read, or another process is writing one of them.
    """
    ours = re.compile(rf"{re.escape(stream)}-\d{{8}}T\d{{6}}Z(-\d+)?\.(mp4|jsonl){re.escape(PART)}")
    try:
        parts = sorted(part for part in folder.iterdir() if ours.fullmatch(part.name))
        for part in parts:
            with unshared(part):
                pass
    except BlockingIOError as error:
        raise SinkError(f"{error.filename} is being written by another process; choose another folder") from None
    except OSError as error:
        if error.errno in NOT_SUPPORTED:
            return []  # without locks, nobody can say whether they are being written
        raise refused(folder, error) from error
    return [part.with_name(part.name.removesuffix(PART)) for part in parts]


def recover(files: Iterable[Path], stream: str) -> list[Path]:
    """Finish the files that a killed process left open, and log each.

    A file that another process is writing is skipped. A file that cannot be finished stays as it is, and is logged.

    Returns: the finished files.
    """
    finished = []
    for path in files:
        try:
            if finish_events(path) if path.suffix == ".jsonl" else finish_part(path):
                finished.append(path)
                log.warning("%s: an earlier run had left %s open; it is finished now", stream, path.name)
        except SinkError as error:
            log.warning("%s: %s", stream, error)
    return finished

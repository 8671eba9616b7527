"""A video file as a source: every frame, in order, with the container's times."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from watchline.settings import Threads, settings
from watchline.streams.clock import Clock, Joints
from watchline.streams.decoded import DecodedPicture, Orientation, orientation_of
from watchline.streams.errors import SourceNotFound, SourceTruncated, SourceUnreadable
from watchline.streams.frame import Frame
from watchline.streams.rational import fraction
from watchline.streams.source import About
from watchline.streams.wholeness import is_fragmented, missing_bytes, whole_boxes_end

# After this many reading errors in a row, without a packet between them, nothing more can be read.
HOPELESS = 100
# A damaged file that ends this many seconds before the duration in its header was not read to its end.
DAMAGED_END = 1
# FFmpeg draws text files as an 80 x 25 terminal. Nobody means that.
NO_VIDEO_FORMATS = frozenset({"tty", "ass", "srt", "webvtt"})
GUESSED_RATE = Fraction(25)
GUESSED_BASE = Fraction(1, 1000)


@settings
class FileSource:
    """A video file of any container and codec that FFmpeg decodes.

    Attributes:
        path: the file.
        stream: its name in every output; the file's stem if empty.
        threads: decode threads.
    """

    path: Path
    stream: str = ""
    threads: Threads = 2

    def __post_init__(self) -> None:
        if not self.stream:
            object.__setattr__(self, "stream", self.path.stem)

    @contextmanager
    def open(self) -> Iterator["FileReader"]:
        """Opens the file and decodes its first frame.

        Raises:
            SourceNotFound: there is no such file.
            SourceUnreadable: it is a folder, empty, without read permission, not a video, or no frame can be decoded.
        """
        _check(self.path)
        try:
            with _open_container(self.path) as container:
                yield FileReader(self, container)
        finally:
            gc.collect()  # frees the frame whose orientation was read: see `orientation_of`


class FileReader:
    """An open video file.

    Attributes:
        about: the stream, with the size of its first frame as shown.
        corrupt: packets so far that could not be read or decoded, and frames that the decoder had to repair.
    """

    def __init__(self, source: FileSource, container: InputContainer) -> None:
        self.corrupt = 0
        self._orientations: dict[int, Orientation] = {}
        self._source = source
        self._container = container
        self._video = _video_stream(source.path, container)
        self._video.thread_type = "AUTO"
        self._video.thread_count = source.threads
        self._is_avi = container.format.name == "avi"
        self._failure: OSError | None = None
        self._missing = missing_bytes(source.path)
        self._decoded = self._decode()
        self._first = next(self._decoded, None)
        if self._first is None:
            raise SourceUnreadable(
                f"{source.path}: no frame of its {self._video.codec.canonical_name} video can be decoded "
                f"({self.corrupt} corrupt packets); play it to see whether it is damaged"
            )
        self.about = self._describe(self._first)

    @property
    def notes(self) -> list[str]:
        """Problems so far, one line each: corrupt packets, corrected times."""
        problems = (
            (self.corrupt, "corrupt packets or frames"),
            (self.corrected, "frame times that had to be corrected"),
        )
        return [f"{self.about.name}: {count} {what}" for count, what in problems if count]

    @property
    def corrected(self) -> int:
        """How many frame times so far were missing or not after the one before: see `clock.Clock`."""
        return self._clock.corrected

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of presentation, once.

        Raises:
            SourceTruncated: after the last frame, if the file is shorter than its container says.
        """
        index = 0
        frame, self._first = self._first, None
        while frame is not None:
            following = next(self._decoded, None)
            yield Frame(
                stream=self._source.stream,
                index=index,
                pts=self._clock.next(self._time(frame), self._time(following) if following else None),
                time_base=self.about.time_base,
                picture=DecodedPicture(frame, self._orientation(frame)),
                arrival=time.monotonic(),
            )
            index += 1
            frame = following
        self._check_end(index)

    def _orientation(self, frame: av.VideoFrame) -> Orientation:
        """The orientation by the display matrix, which is read again only when the angle changes."""
        if frame.rotation not in self._orientations:
            self._orientations[frame.rotation] = orientation_of(frame)
        return self._orientations[frame.rotation]

    def _time(self, frame: av.VideoFrame) -> int | None:
        """The frame's time in the container, in stream units.

        AVI has no presentation times, and the times that FFmpeg invents for its B-frames are not in order. For AVI, the
        decoding times are used instead, starting at 0.
        """
        if not self._is_avi:
            return frame.pts
        return None if frame.dts is None else frame.dts - self._start

    def _describe(self, frame: av.VideoFrame) -> About:
        video = self._video
        first = DecodedPicture(frame, self._orientation(frame))
        time_base = fraction(video.time_base) or GUESSED_BASE
        rate = fraction(video.average_rate) or fraction(video.guessed_rate)
        self._start = frame.dts or 0
        self._clock = Clock(time_base, rate or GUESSED_RATE)
        duration = self._declared_duration()
        frames = video.frames or (round(duration * rate) if duration and rate else None)
        aspect = fraction(video.sample_aspect_ratio) or Fraction(1)
        return About(
            name=self._source.path.name,
            width=first.width,
            height=first.height,
            time_base=time_base,
            rate=rate,
            frames=frames,
            codec=video.codec.canonical_name,
            path=self._source.path,
            pixel_aspect=1 / aspect if first.turned else aspect,
        )

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Frames from the decoder. A packet that it refuses is counted, and the next one is tried."""
        joints = Joints(fraction(self._video.time_base) or GUESSED_BASE)
        for packet in self._packets():
            if packet is not None and packet.is_corrupt:
                self.corrupt += 1
                if self._missing:  # the file ends inside this packet
                    continue
            if packet is not None and packet.pts is not None and joints.see(packet.dts, packet.duration or 0):
                packet.pts += joints.shift
            try:
                frames = self._video.decode(packet)
            except av.error.FFmpegError:
                self.corrupt += 1
                continue
            for frame in frames:
                self.corrupt += frame.is_corrupt
                yield frame

    def _packets(self) -> "Iterator[av.Packet[VideoStream] | None]":
        """Packets of the video, then None, which makes the decoder output the frames that it still holds."""
        errors = 0
        while errors < HOPELESS:
            try:
                for packet in self._container.demux(self._video):
                    errors = 0
                    yield packet
                return
            except OSError as error:
                self._failure = error
                break
            except av.error.FFmpegError:
                errors += 1
                self.corrupt += 1
        yield None

    def _declared_duration(self) -> Fraction | None:
        """Seconds from the first frame to the end of the last, by the container; None if it does not say."""
        video = self._video
        rate, unit = fraction(video.average_rate), fraction(video.time_base)
        if self._is_avi and video.frames and rate:
            return video.frames / rate  # FFmpeg shortens the duration to what a truncated file contains
        if video.duration and unit:
            return video.duration * unit
        if self._container.duration:
            return Fraction(self._container.duration, 1_000_000)
        return None

    def _check_end(self, frames: int) -> None:
        """Raises SourceTruncated if frames are missing: bytes are missing, damaged, or cannot be read."""
        if self._failure and not self._missing:
            raise SourceTruncated(
                f"{self._source.path} cannot be read any further: {self._failure.strerror}; check the disk it is on"
            ) from self._failure
        declared = self._declared_duration()
        start = (self._video.start_time or 0) * self.about.time_base
        end = (self._clock.end or 0) * self.about.time_base - start
        if self._missing and is_fragmented(self._source.path):
            declared = None  # FFmpeg counts only the fragments in the file
        if self._missing:
            half_a_frame = 1 / (2 * (self.about.rate or GUESSED_RATE))
            all_there = declared and (0 < self._video.frames <= frames or end > declared - half_a_frame)
            short, reason = not all_there, f"{self._missing} bytes are missing"
        else:
            # AVI's times are packet counts, so packets that are lost in the middle look lost at the end.
            damaged = self.corrupt and not self._is_avi
            short = bool(damaged and declared and end < declared - DAMAGED_END)
            reason = "what follows is damaged"
        if short:
            whole = f" of {float(declared):.1f}" if declared else ""
            raise SourceTruncated(
                f"{self._source.path} ends after {float(end):.1f}{whole} s: {reason}; copy or download it again"
            )


def _check(path: Path) -> None:
    """Check the path before FFmpeg opens it. Raises SourceNotFound or SourceUnreadable."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise SourceUnreadable(f"{path} is a folder: expected a video file; name the files in it")
        if not path.is_file():
            raise SourceUnreadable(f"{path} is neither a file nor a folder: expected a video file")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise SourceNotFound(f"{path}: there is no such file; check the spelling") from None
    except PermissionError:
        raise SourceUnreadable(f"{path} may not be read: permission denied; check its owner and rights") from None
    if size == 0:
        raise SourceUnreadable(f"{path} is empty (0 bytes): expected a video; copy or download it again")


def _open_container(path: Path) -> InputContainer:
    try:
        # "file:" keeps FFmpeg from reading a name with a colon as a protocol.
        return av.open(f"file:{path}")
    except (av.error.FFmpegError, ValueError) as error:
        # FFmpeg refuses a fragmented MP4 whose last index is cut off, so it gets only the complete boxes.
        end = whole_boxes_end(path)
        if 0 < end < path.stat().st_size:
            with suppress(av.error.FFmpegError):
                return av.open(f"subfile,,start,0,end,{end},,:{path}")
        raise SourceUnreadable(_why_not_opened(path, error)) from error


def _why_not_opened(path: Path, error: Exception) -> str:
    missing = missing_bytes(path)
    if missing:
        return f"{path} is cut off: {missing} bytes are missing, and its index with them; copy or download it again"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{path} is not a video that can be read ({reason}); expected a file that a video player plays"


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    """The video to decode: the container's first video stream that is not a cover picture."""
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if container.format.name in NO_VIDEO_FORMATS:
        raise SourceUnreadable(f"{path} is a text file: expected a video")
    if not videos:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise SourceUnreadable(f"{path} has no video in it, only {kinds}: expected a video file")
    if videos[0].codec_context is None:
        raise SourceUnreadable(f"{path}: there is no decoder for its video; convert it to H.264")
    return videos[0]

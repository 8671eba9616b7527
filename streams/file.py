"""A video file as a source: every frame, in order, with the container's own times."""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from pydantic import Field
from pydantic.dataclasses import dataclass

from watchline.streams.clock import Clock
from watchline.streams.decoded import DecodedPicture
from watchline.streams.errors import SourceNotFound, SourceTruncated, SourceUnreadable
from watchline.streams.frame import Frame
from watchline.streams.source import About
from watchline.streams.wholeness import missing_bytes

# So many reading errors in a row, without one packet between them, are the end of what can be read.
HOPELESS = 100
# FFmpeg draws text files as an 80 x 25 terminal. Nobody means that.
NO_VIDEO_FORMATS = frozenset({"tty", "ass", "srt", "webvtt"})
GUESSED_RATE = Fraction(25)


@dataclass(frozen=True)
class FileSource:
    """A video file of any container and codec that FFmpeg decodes.

    Attributes:
        path: the file.
        stream: its name in every output; the file's stem if empty.
        threads: decode threads.
    """

    path: Path
    stream: str = ""
    threads: int = Field(default=2, ge=1)

    def __post_init__(self) -> None:
        if not self.stream:
            object.__setattr__(self, "stream", self.path.stem)

    @contextmanager
    def open(self) -> Iterator["FileReader"]:
        """Opens the file and decodes its first frame.

        Raises:
            SourceNotFound: there is no such file.
            SourceUnreadable: it is a folder, empty, may not be read, is no video, or no frame of it can be decoded.
        """
        _check(self.path)
        try:
            # "file:" keeps FFmpeg from taking a name with a colon for a protocol.
            container = av.open(f"file:{self.path}")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceUnreadable(_why_not_opened(self.path, error)) from error
        with container:
            yield FileReader(self, container)


class FileReader:
    """An open video file.

    Attributes:
        about: the stream, with the size of its first frame as shown.
        corrupt: packets so far that could not be read or decoded, and frames that the decoder had to patch up.
    """

    def __init__(self, source: FileSource, container: InputContainer) -> None:
        self.corrupt = 0
        self._source = source
        self._container = container
        self._video = _video_stream(source.path, container)
        self._video.thread_type = "AUTO"
        self._video.thread_count = source.threads
        self._missing = missing_bytes(source.path)
        self._decoded = self._decode()
        self._first = next(self._decoded, None)
        if self._first is None:
            raise SourceUnreadable(
                f"{source.path}: no frame of its {self._video.codec.canonical_name} video can be decoded "
                f"({self.corrupt} corrupt packets); play it to see whether it is damaged"
            )
        self.about = self._describe(DecodedPicture(self._first))

    @property
    def mended(self) -> int:
        """How many times of frames so far were missing or not after the one before: see `clock.Clock`."""
        return self._clock.mended

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of presentation, once.

        Raises:
            SourceTruncated: after the last frame, if the file ends before its container says.
        """
        index = 0
        frame = self._first
        self._first = None
        while frame is not None:
            yield Frame(
                stream=self._source.stream,
                index=index,
                pts=self._clock.next(frame.pts if frame.pts is not None else frame.dts),
                time_base=self.about.time_base,
                picture=DecodedPicture(frame),
                arrival=time.monotonic(),
            )
            index += 1
            frame = next(self._decoded, None)
        self._check_end(index)

    def _describe(self, first: DecodedPicture) -> About:
        video = self._video
        time_base = video.time_base or Fraction(1, 1000)
        rate = video.average_rate or video.guessed_rate or None
        self._clock = Clock(time_base, rate or GUESSED_RATE)
        duration = self._declared_duration()
        frames = video.frames or (round(duration * rate) if duration and rate else None)
        aspect = video.sample_aspect_ratio or Fraction(1)
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
        """Frames as the decoder gives them. A packet that it refuses is counted, and the next one tried."""
        for packet in self._packets():
            if packet.is_corrupt and self._missing:
                self.corrupt += 1  # the packet that the end of the file cuts through
                continue
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, EOFError):
                self.corrupt += 1
                continue
            for frame in frames:
                self.corrupt += frame.is_corrupt
                yield frame

    def _packets(self) -> Iterator[av.Packet[VideoStream]]:
        """Packets of the video, an empty one last, which makes the decoder give what it still holds."""
        errors = 0
        while errors < HOPELESS:
            try:
                for packet in self._container.demux(self._video):
                    errors = 0
                    yield packet
                return
            except av.error.InvalidDataError:
                errors += 1
                self.corrupt += 1
            except OSError as error:
                if error.errno != errno.EIO or not self._missing:
                    raise SourceTruncated(
                        f"{self._source.path} cannot be read any further: {error.strerror}; "
                        "check the disk or the network it is on"
                    ) from error
                break
        yield av.Packet[VideoStream]()

    def _declared_duration(self) -> Fraction | None:
        """Seconds from the first frame to the end of the last, as the container says; None if it does not say."""
        video = self._video
        if video.duration and video.time_base:
            return video.duration * video.time_base
        if self._container.duration:
            return Fraction(self._container.duration, 1_000_000)
        return None

    def _check_end(self, frames: int) -> None:
        """Raises SourceTruncated if the file lacks bytes and, because of it, frames."""
        if not self._missing:
            return
        about = self.about
        start = (self._video.start_time or 0) * about.time_base
        end = self._clock.end * about.time_base - start
        declared = self._declared_duration()
        half_a_frame = 1 / (2 * (about.rate or GUESSED_RATE))
        if (self._video.frames and frames >= self._video.frames) or (declared and end > declared - half_a_frame):
            return
        whole = f" of {float(declared):.1f}" if declared else ""
        raise SourceTruncated(
            f"{self._source.path} ends after {float(end):.1f}{whole} s: {self._missing} bytes are missing; "
            "copy or download it again"
        )


def _check(path: Path) -> None:
    """What can be said of the path before FFmpeg sees it."""
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


def _why_not_opened(path: Path, error: Exception) -> str:
    missing = missing_bytes(path)
    if missing:
        return f"{path} is cut off: {missing} bytes are missing, and its index with them; copy or download it again"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{path} is no video that can be read ({reason}); expected a file that a video player plays"


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    """The video to decode: the container's first that is no cover picture."""
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if container.format.name in NO_VIDEO_FORMATS:
        raise SourceUnreadable(f"{path} is a text file: expected a video")
    if not videos:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise SourceUnreadable(f"{path} has no video in it, only {kinds}: expected a video file")
    if videos[0].codec_context is None:
        raise SourceUnreadable(f"{path}: there is no decoder for its video; convert it to H.264")
    return videos[0]

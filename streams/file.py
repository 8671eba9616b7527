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
from pydantic import Field

from watchline.files import shortened
from watchline.settings import Threads, settings
from watchline.streams.clock import Clock
from watchline.streams.container import has_times, open_container
from watchline.streams.decoded import DecodedPicture, Orientation, orientation_of, remarks
from watchline.streams.decoder import Decoder
from watchline.streams.deinterlace import Deinterlacer
from watchline.streams.encryption import is_scrambled
from watchline.streams.errors import SourceNotFound, SourceTruncated, SourceUnreadable
from watchline.streams.frame import Frame
from watchline.streams.limits import MAX_PIXELS, check_pixels
from watchline.streams.planes import is_420
from watchline.streams.rational import fraction
from watchline.streams.recognise import is_heif, what_instead
from watchline.streams.source import About
from watchline.streams.tracks import choice, sounds_of, video_of
from watchline.streams.wholeness import is_fragmented, missing_bytes, whole_boxes_end

# A damaged file that ends this many seconds before the duration in its header was not read to its end.
DAMAGED_END = 1
GUESSED_RATE = Fraction(25)
NO_RATE = f"its rate is not in the file; {GUESSED_RATE} frames per second were assumed"
GUESSED_BASE = Fraction(1, 1000)


@settings
class FileSource:
    """A video file of any container and codec that FFmpeg decodes.

    Attributes:
        path: the file.
        stream: its name in every output; the file's stem if empty.
        threads: decode threads.
        track: number of the video track, from 1; by default the one that moves, is marked as the default, and is the
            largest.
        max_pixels: of a picture; larger ones are refused before memory is allocated for them.
        name: what headers and messages call it; the file's name if empty.
    """

    path: Path
    stream: str = ""
    threads: Threads = 2
    track: int | None = Field(default=None, ge=1)
    max_pixels: int = Field(default=MAX_PIXELS, ge=1)
    name: str = ""

    def __post_init__(self) -> None:
        if not self.stream:
            object.__setattr__(self, "stream", shortened(self.path.stem))
        if not self.name:
            object.__setattr__(self, "name", self.path.name)

    @contextmanager
    def open(self) -> Iterator["FileReader"]:
        """Opens the file and decodes its first frame.

        Raises:
            SourceNotFound: there is no such file.
            SourceUnreadable: it is a folder, empty, without read permission, not a video, has no such track, or no
                frame can be decoded.
        """
        _check(self.path)
        try:
            with _opened(self.path, self.max_pixels) as container:
                yield FileReader(self, container)
        finally:
            gc.collect()  # frees the frame whose orientation was read: see `orientation_of`


class FileReader:
    """An open video file.

    Attributes:
        about: the stream, with the size of its first frame as shown.
    """

    def __init__(self, source: FileSource, container: InputContainer) -> None:
        self._orientations: dict[int, Orientation] = {}
        self._source = source
        self._container = container
        self._video = video_of(source.path, container, source.track)
        context = self._video.codec_context
        check_pixels(source.path, context.width, context.height, source.max_pixels)
        self._choice = "" if source.track else choice(container, self._video)
        self._video.thread_type = "AUTO"
        self._video.thread_count = source.threads
        context.options = {"max_pixels": str(source.max_pixels)}
        self._is_avi = container.format.name == "avi"
        self._is_raw = not has_times(container)
        self._missing = missing_bytes(source.path)
        self._decoder = Decoder(container, self._video, sounds_of(container, self._video), bool(self._missing))
        self._deinterlacer = Deinterlacer()
        self._decoded = self._deinterlacer.whole(self._decoder.frames())
        self._first = next(self._decoded, None)
        if self._first is None:
            raise SourceUnreadable(f"{source.path}: {self._why_no_frame()}")
        self._remarks = remarks(self._first)
        self.about = self._describe(self._first)

    @property
    def notes(self) -> list[str]:
        """What to know of the file, and its problems so far, one line each."""
        counts = (
            (self._deinterlacer.deinterlaced, "interlaced frames were deinterlaced"),
            (self.corrupt, "corrupt packets or frames"),
            (0 if self._is_raw else self.corrected, "frame times that had to be corrected"),
        )
        said = (
            self._choice,
            *self._remarks,
            NO_RATE if self._rate_is_guessed else "",
            *(f"{count} {what}" for count, what in counts if count),
        )
        return [f"{self.about.name}: {what}" for what in said if what]

    @property
    def corrupt(self) -> int:
        """How many packets so far could not be read or decoded, and frames that FFmpeg had to repair."""
        return self._decoder.corrupt

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

        Raw streams have none. AVI has no presentation times, and the times that FFmpeg invents for its B-frames are not
        in order. For AVI, the decoding times are used instead, starting at 0.
        """
        if self._is_raw:
            return None
        if not self._is_avi:
            return frame.pts
        return None if frame.dts is None else frame.dts - self._start

    def _describe(self, frame: av.VideoFrame) -> About:
        video = self._video
        first = DecodedPicture(frame, self._orientation(frame))
        time_base = fraction(video.time_base) or GUESSED_BASE
        if self._is_raw:  # FFmpeg says 25 for all of them; the decoder knows better, if the stream says it
            rate = fraction(video.codec_context.framerate)
        else:
            rate = fraction(video.average_rate) or fraction(video.guessed_rate)
        self._rate_is_guessed = self._is_raw and rate is None
        self._start = frame.dts or 0
        self._clock = Clock(time_base, rate or GUESSED_RATE)
        duration = self._declared_duration()
        if duration and self._may_count_from_0():
            duration = max(Fraction(0), duration - (video.start_time or 0) * time_base)
        frames = video.frames or (round(duration * rate) if duration and rate else None)
        aspect = fraction(video.sample_aspect_ratio) or Fraction(1)
        return About(
            name=self._source.name,
            width=first.width,
            height=first.height,
            time_base=time_base,
            rate=rate,
            frames=frames,
            codec=video.codec.canonical_name,
            path=self._source.path,
            pixel_aspect=1 / aspect if first.turned else aspect,
            is_420=is_420(frame),
            track=self._source.track,
        )

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

    def _may_count_from_0(self) -> bool:
        """Whether the container is one whose duration counts from 0 or from the first frame, as its writer liked."""
        return self._container.format.name.startswith("matroska") or is_fragmented(self._source.path)

    def _why_no_frame(self) -> str:
        if self._decoder.is_encrypted or is_scrambled(self._source.path):
            return "its video is encrypted (DRM, pay television); only a copy without encryption can be read"
        codec = self._video.codec.canonical_name
        return (
            f"no frame of its {codec} video can be decoded ({self.corrupt} corrupt packets); "
            f"play it to see whether it is damaged, or is larger than {self._source.max_pixels} pixels (--max-pixels)"
        )

    def _check_end(self, frames: int) -> None:
        """Raises SourceTruncated if frames are missing: bytes are missing, damaged, encrypted, or cannot be read."""
        failure = self._decoder.failure
        if failure and not self._missing:
            raise SourceTruncated(
                f"{self._source.path} cannot be read any further: {failure.strerror}; check the disk it is on"
            ) from failure
        declared = self._declared_duration()
        start = (self._video.start_time or 0) * self.about.time_base
        end = (self._clock.end or 0) * self.about.time_base
        length = end - start
        reached = max(end, length) if self._may_count_from_0() else length
        if self._decoder.is_joined or (self._missing and is_fragmented(self._source.path)):
            declared = None  # FFmpeg counts from the first time to the last, or only the fragments in the file
        if self._missing:
            half_a_frame = 1 / (2 * (self.about.rate or GUESSED_RATE))
            all_there = declared and (0 < self._video.frames <= frames or reached > declared - half_a_frame)
            short, reason = not all_there, f"{self._missing} bytes are missing"
        else:
            # AVI's times are packet counts, so packets that are lost in the middle look lost at the end.
            damaged = self.corrupt and not self._is_avi
            short = bool(damaged and declared and reached < declared - DAMAGED_END)
            reason = "what follows is damaged"
        if self._decoder.is_encrypted:
            short, reason = True, "what follows is encrypted"
        if short:
            whole = f" of {float(declared):.1f}" if declared else ""
            raise SourceTruncated(
                f"{self._source.path} ends after {float(length):.1f}{whole} s: {reason}; copy or download it again"
            )


def _check(path: Path) -> None:
    """Check the path before FFmpeg opens it. Raises SourceNotFound or SourceUnreadable."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise SourceUnreadable(f"{path} is a folder: expected a video file; name the files in it")
        if not path.is_file():
            raise SourceUnreadable(f"{path} is neither a file nor a folder: expected a video file")
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        raise SourceNotFound(f"{path}: there is no such file; check the spelling") from None
    except PermissionError:
        raise SourceUnreadable(f"{path} may not be read: permission denied; check its owner and rights") from None
    if size == 0:
        raise SourceUnreadable(f"{path} is empty (0 bytes): expected a video; copy or download it again")
    if is_heif(head):
        raise SourceUnreadable(f"{path} is a photo (HEIC or AVIF): expected a video; name it .heic or .avif")


def _opened(path: Path, max_pixels: int) -> InputContainer:
    try:
        return open_container(path, max_pixels=max_pixels)
    except (av.error.FFmpegError, ValueError) as error:
        # FFmpeg refuses a fragmented MP4 whose last index is cut off, so it gets only the complete boxes.
        end = whole_boxes_end(path)
        if 0 < end < path.stat().st_size:
            with suppress(av.error.FFmpegError):
                return open_container(path, end, max_pixels)
        raise SourceUnreadable(_why_not_opened(path, error)) from error


def _why_not_opened(path: Path, error: Exception) -> str:
    missing = missing_bytes(path)
    if missing:
        return f"{path} is cut off: {missing} bytes are missing, and its index with them; copy or download it again"
    if instead := what_instead(path):
        return f"{path} {instead}"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{path} is not a video that can be read ({reason}); expected a file that a video player plays"

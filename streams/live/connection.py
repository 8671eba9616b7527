"""A camera that FFmpeg has opened, and how to read it."""

from collections.abc import Callable
from dataclasses import dataclass

from av.container import InputContainer
from av.video.stream import VideoStream

from watchline.streams.errors import SourceUnsupported, StreamError

TIMEOUT = 4.0  # seconds for each answer and each picture, unless a setting says otherwise


@dataclass(frozen=True, slots=True)
class Connection:
    """Attributes:
    stream: name of the stream, for frames.
    name: name of the source, for `about`.
    label: name of the source, for errors.
    read_timeout: seconds of silence after which the stream counts as lost.
    explain: converts an error of FFmpeg to one that may be shown.
    has_times: whether the packets' times are the camera's, not invented by FFmpeg.
    is_paced: whether packets come in groups, as those of HLS do, or as fast as they are read. Each is then held until
        it is due.
    ends: whether the stream has an end: it is a file, or a recorder's playback.
    may_lose: whether packets may get lost.
    """

    container: InputContainer
    stream: str
    name: str
    label: str
    read_timeout: float
    explain: Callable[[Exception], StreamError]
    has_times: bool = True
    is_paced: bool = False
    ends: bool = False
    may_lose: bool = False

    def video(self) -> VideoStream:
        """The video to decode: the container's first video stream that has a decoder.

        Raises:
            SourceUnsupported: there is none.
        """
        videos = [stream for stream in self.container.streams.video if stream.codec_context is not None]
        if videos:
            return videos[0]
        kinds = ", ".join(sorted({stream.type for stream in self.container.streams})) or "nothing"
        if "video" in kinds:
            raise SourceUnsupported(
                f"{self.label} sends video that cannot be decoded here; set its codec to H.264 or H.265"
            )
        raise SourceUnsupported(
            f"{self.label} has no video in it, only {kinds}; check its path, or which stream it sends"
        )

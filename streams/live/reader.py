"""Reads a camera that FFmpeg has opened: what is given is new, whole and in order, and what is not is counted.

    wire (thread) ─► backlog ─► decoder (the caller's thread) ─► Frame or Missed

The wire takes packets as they come, so that the time of arrival is true, nothing waits unseen in a socket, and a
silence is told from a slow reader.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, cast

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from watchline.streams.decoded import UPRIGHT, DecodedPicture, Orientation, orientation_of
from watchline.streams.errors import SourceLost, SourceTimeout, SourceUnsupported, StreamError
from watchline.streams.frame import Frame
from watchline.streams.live.backlog import Arrived, Backlog, Ended
from watchline.streams.live.camera_clock import CameraClock
from watchline.streams.live.h264 import FrameNumbers
from watchline.streams.rational import fraction
from watchline.streams.source import LIVE_TIME_BASE, About, Missed

GUESSED_BASE = Fraction(1, 90_000)
KEY_PATIENCE = 30.0  # seconds that a stream may go on without a picture that a decoder can begin with
TELL = 1.0  # seconds after which frames that were missed are told, even if none was given since
DAMAGED, BEHIND = "damaged", "behind"
JPEG_END, JPEG_PADDING = b"\xff\xd9", 64  # some cameras fill up to a multiple of 16 or 32 bytes
VideoPacket: TypeAlias = "av.Packet[VideoStream]"


@dataclass(frozen=True, slots=True)
class Wire:
    """A container that FFmpeg has opened, and how to take what it gives.

    Attributes:
        stream: its name in frames. name: the source's, for `about`. label: the source's, for errors.
        read_timeout: seconds of silence that end it.
        explain: turns an error of FFmpeg into one that may be shown.
        has_times: whether the packets' times are the camera's, not made up by FFmpeg.
        is_paced: packets come in lots (HLS) or as fast as they can be read; each is let through when it is due.
        may_lose: packets may get lost on the way.
    """

    container: InputContainer
    stream: str
    name: str
    label: str
    read_timeout: float
    explain: Callable[[Exception], StreamError]
    has_times: bool = True
    is_paced: bool = False
    may_lose: bool = False


@contextmanager
def reading(wire: Wire) -> Iterator["CameraReader"]:
    """A reader of what FFmpeg has opened; leaving closes both, unless FFmpeg is stuck in it.

    Raises: as CameraReader.
    """
    try:
        video = _video_stream(wire)
    except BaseException:
        wire.container.close()
        raise
    reader = CameraReader(wire, video)
    try:
        yield reader
    finally:
        reader.close()


class CameraReader:
    """An open camera; `close` it.

    Attributes:
        about: the stream, with the size of its first frame as shown.
    """

    def __init__(self, wire: Wire, video: VideoStream) -> None:
        """Waits for the first frame. From here on the container is the reader's: a failure closes it.

        Raises:
            SourceTimeout: nothing came, or no picture to begin with.
            SourceLost: it ended before that.
            StreamError: as `explain` says.
        """
        self._wire = wire
        self._video = video
        self._codec = self._video.codec_context
        self._codec.thread_count = 1
        is_h264 = self._codec.codec.canonical_name == "h264" and wire.may_lose
        self._numbers = FrameNumbers(self._codec.extradata) if is_h264 else None
        self._clock = CameraClock(fraction(self._video.time_base) or GUESSED_BASE)
        self._orientations: dict[int, Orientation] = {}
        self._backlog: Backlog[VideoPacket] = Backlog()
        self._sent: dict[int, float] = {}  # pts -> arrival, of what the decoder was given and has not given back
        self._waits_for: str | None = DAMAGED  # what the packets until the next key frame are missed as
        self._missed: Counter[str] = Counter()
        self._told = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._receive, name=f"{wire.stream} wire", daemon=True)
        self._thread.start()
        try:
            self._decoded = self._decode()
            self._first = self._begin()
            self.about = self._describe(self._first[0])
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the wire; waits until it is out of FFmpeg, but no longer than FFmpeg may wait by itself."""
        self._closed.set()
        self._thread.join(self._wire.read_timeout + 1)
        if not self._thread.is_alive():  # a driver may hold it for ever; then it closes the container, should it return
            self._wire.container.close()

    @property
    def notes(self) -> list[str]:
        """What was odd so far."""
        mended = self._clock.mended
        return [f"{self._wire.label}: its clock was wrong and had to be set {mended} times"] if mended else []

    def __iter__(self) -> Iterator[Frame | Missed]:
        """Frames as they come, once.

        Raises:
            SourceTimeout: nothing came for `read_timeout` seconds.
            StreamError: as `explain` says.
        """
        index, last = 0, -1
        offset: int | None = None
        got: tuple[av.VideoFrame, float] | Missed | None = self._first
        while got is not None:
            if isinstance(got, Missed):
                yield got
            else:
                frame, arrival = got
                pts = frame.pts or 0
                offset = pts if offset is None else offset
                last = max(last + 1, pts - offset)
                yield Frame(
                    stream=self._wire.stream,
                    index=index,
                    pts=last,
                    time_base=LIVE_TIME_BASE,
                    picture=DecodedPicture(frame, self._orientation(frame)),
                    arrival=arrival,
                    time=time.time() - (time.monotonic() - arrival),
                )
                index += 1
            got = next(self._decoded, None)

    def _receive(self) -> None:
        """The wire: runs in its own thread until the stream ends or the reader is closed."""
        error: Exception | None = None
        start: float | None = None
        try:
            # All streams, not the video alone: while only sound comes, the loop must go round to see `closed`.
            for packet in self._wire.container.demux():
                if self._closed.is_set():
                    break
                if packet.stream_index != self._video.index or not packet.size:
                    continue
                arrival = time.monotonic()
                packet.pts = self._clock.see(packet.pts if self._wire.has_times else None, arrival)
                if self._wire.is_paced:
                    begin = arrival - packet.pts * float(LIVE_TIME_BASE)
                    start = begin if start is None else max(start, begin)
                    arrival += start - begin
                    self._closed.wait(start - begin)
                self._backlog.put(Arrived(cast("VideoPacket", packet), arrival, packet.is_keyframe))
        except Exception as broken:  # raised where it can be heard, in the reader's thread
            error = self._wire.explain(broken)
        finally:
            self._backlog.end(error)
            if self._closed.is_set():
                self._wire.container.close()

    def _begin(self) -> tuple[av.VideoFrame, float]:
        """The first frame. What comes before it was never promised, and is not missed."""
        for got in self._decoded:
            if not isinstance(got, Missed):
                return got
        raise SourceLost(
            f"{self._wire.label} ended before a frame of its {self._codec.codec.canonical_name} video could be "
            "decoded; play it to see whether it is damaged"
        )

    def _decode(self) -> Iterator[tuple[av.VideoFrame, float] | Missed]:
        """Frames and when they arrived, and what was missed before them."""
        begun, given = time.monotonic(), False
        while (arrived := self._take()) is not None:
            frames = self._frames(arrived)
            given = given or bool(frames)
            if not given and time.monotonic() - begun > KEY_PATIENCE:
                raise SourceTimeout(
                    f"{self._wire.label} sent no picture to begin with for {KEY_PATIENCE:g} s; "
                    "set its key frame interval (GOP, I-frame) to 1 or 2 seconds"
                )
            if frames or time.monotonic() - self._told > TELL:
                yield from self._tell()
            yield from frames
        yield from self._frames(None)
        self._missed[DAMAGED] += len(self._sent)
        yield from self._tell()
        if self._failure is not None:
            raise self._failure

    def _take(self) -> "Arrived[VideoPacket] | None":
        """The next packet; None at the end, whose cause is in `_failure` then."""
        self._failure: BaseException | None = None
        while True:
            try:
                behind, arrived = self._backlog.take(self._wire.read_timeout)
            except Ended as end:
                self._failure = end.__cause__
                return None
            if behind:
                self._break(BEHIND)
                self._missed[BEHIND] += behind
            if arrived is not None:
                return arrived
            if not behind:
                self._failure = SourceTimeout(
                    f"{self._wire.label} sent nothing for {self._wire.read_timeout:g} s; check it and the network"
                )
                return None

    def _frames(self, arrived: "Arrived[VideoPacket] | None") -> list[tuple[av.VideoFrame, float]]:
        """What the decoder makes of a packet, None for what it still holds; nothing of what is damaged."""
        if arrived is not None and not self._may_go_on(arrived):
            return []
        whole: list[tuple[av.VideoFrame, float]] = []
        try:
            for frame in self._codec.decode(arrived.packet if arrived else None):
                if frame.is_corrupt:
                    self._break(DAMAGED)
                    break
                whole.append((frame, self._settle(frame)))
        except av.error.FFmpegError:
            self._break(DAMAGED)
        return whole

    def _may_go_on(self, arrived: Arrived[VideoPacket]) -> bool:
        """Whether the decoder can be given the packet; if not, it is missed."""
        packet = arrived.packet
        if self._waits_for and not arrived.is_key:
            self._missed[self._waits_for] += 1
            return False
        pts = packet.pts or 0
        while pts in self._sent:
            pts += 1
        packet.pts, packet.dts = pts, None
        self._sent[pts] = arrived.arrival
        self._waits_for = None
        if packet.is_corrupt or self._is_damaged(packet):
            self._break(DAMAGED)
            return False
        return True

    def _is_damaged(self, packet: VideoPacket) -> bool:
        """What FFmpeg would mend without a word: a picture lost before this one, or the lower half of a JPEG."""
        if self._numbers:
            return self._numbers.lacks(bytes(packet))
        return self._codec.codec.canonical_name == "mjpeg" and JPEG_END not in bytes(packet)[-JPEG_PADDING:]

    def _settle(self, frame: av.VideoFrame) -> float:
        """When the frame arrived. Frames due before it that the decoder has left out without a word are missed."""
        pts = frame.pts or 0
        arrival = self._sent.pop(pts, time.monotonic())
        for older in [sent for sent in self._sent if sent < pts]:
            del self._sent[older]
            self._missed[DAMAGED] += not frame.interlaced_frame  # a frame of two fields may come in two packets
        return arrival

    def _break(self, cause: str) -> None:
        """Nothing can be made from here on until the next key frame."""
        self._missed[cause] += len(self._sent)
        self._sent.clear()
        self._codec.flush_buffers()
        self._waits_for = cause
        if self._numbers:
            self._numbers.forget()

    def _tell(self) -> Iterator[Missed]:
        self._told = time.monotonic()
        missed, self._missed = self._missed, Counter()
        for cause, frames in missed.items():
            if frames:
                yield Missed(frames, cause)

    def _orientation(self, frame: av.VideoFrame) -> Orientation:
        """As the display matrix says, which is looked at only where there is an angle, and again where it changes.

        So a camera that stands upright leaves no frame to the garbage collector (see `orientation_of`), whose full
        round stops all streams for a tenth of a second.
        """
        if not frame.rotation:
            return UPRIGHT
        if frame.rotation not in self._orientations:
            self._orientations[frame.rotation] = orientation_of(frame)
        return self._orientations[frame.rotation]

    def _describe(self, frame: av.VideoFrame) -> About:
        video = self._video
        first = DecodedPicture(frame, self._orientation(frame))
        aspect = fraction(video.sample_aspect_ratio) or Fraction(1)
        rate = next(filter(None, map(fraction, (video.average_rate, self._codec.framerate, video.guessed_rate))), None)
        return About(
            name=self._wire.name,
            width=first.width,
            height=first.height,
            time_base=LIVE_TIME_BASE,
            rate=rate if self._wire.has_times else None,
            codec=self._codec.codec.canonical_name,
            pixel_aspect=1 / aspect if first.turned else aspect,
        )


def _video_stream(wire: Wire) -> VideoStream:
    """The video to decode: the container's first that has a decoder."""
    videos = [stream for stream in wire.container.streams.video if stream.codec_context is not None]
    if videos:
        return videos[0]
    kinds = ", ".join(sorted({stream.type for stream in wire.container.streams})) or "nothing"
    if "video" in kinds:
        raise SourceUnsupported(
            f"{wire.label} sends video that cannot be decoded here; set its codec to H.264 or H.265"
        )
    raise SourceUnsupported(f"{wire.label} has no video in it, only {kinds}; check its path, or which stream it sends")

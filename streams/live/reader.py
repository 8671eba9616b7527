"""Reads a camera that FFmpeg has opened. It yields frames that are new, complete and in order, and counts all others.

    receiver (thread) ─► backlog ─► decoder (the caller's thread) ─► Frame or Missed

The receiver takes packets as they arrive. So the times of arrival are true, no packet gets old in a socket, and a
silent camera can be distinguished from a slow decoder.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, cast

import av
import av.error
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from watchline.streams.decoded import UPRIGHT, DecodedPicture, Orientation, orientation_of
from watchline.streams.errors import SourceLost, SourceTimeout
from watchline.streams.frame import Frame
from watchline.streams.limits import MAX_PIXELS
from watchline.streams.live.backlog import Arrived, Backlog, Ended
from watchline.streams.live.camera_clock import CameraClock
from watchline.streams.live.connection import Connection
from watchline.streams.live.h264 import FrameNumbers
from watchline.streams.live.pace import Pace
from watchline.streams.planes import is_420
from watchline.streams.rational import fraction
from watchline.streams.source import LIVE_TIME_BASE, About, Missed

GUESSED_BASE = Fraction(1, 90_000)
KEY_PATIENCE = 30.0  # seconds that a stream may run without a picture that a decoder can start with
REPORT_AFTER = 1.0  # seconds after which missed frames are reported, even if no frame was decoded since
DAMAGED, BEHIND = "damaged", "behind"  # causes of missed frames
REORDER = 32  # pictures by which a decoder may change their order: two fields for each of sixteen (ITU-T H.264, A.3.1)
PENDING = 2 * REORDER  # pictures after which the decoder has left out a packet that it took
JPEG_END, JPEG_PADDING = b"\xff\xd9", 512  # bytes; cameras pad, and the next header may follow
VideoPacket: TypeAlias = "av.Packet[VideoStream]"


@dataclass(frozen=True, slots=True)
class Shot:
    """A decoded picture, its time in units of LIVE_TIME_BASE, and when it arrived and was due (monotonic seconds)."""

    picture: av.VideoFrame
    pts: int
    arrival: float
    due: float


@contextmanager
def reading(connection: Connection) -> Iterator["CameraReader"]:
    """A reader of a connection. On exit both are closed, unless FFmpeg is stuck.

    Raises: as CameraReader.
    """
    try:
        video = connection.video()
    except BaseException:
        connection.container.close()
        raise
    reader = CameraReader(connection, video)
    try:
        yield reader
    finally:
        reader.close()


class CameraReader:
    """An open camera. The caller must `close` it.

    Attributes:
        ends: whether the stream has an end: it is a file, or a recorder's playback.
        about: the stream, with the size of its first frame as shown.
    """

    def __init__(self, connection: Connection, video: VideoStream) -> None:
        """Waits for the first frame. The reader owns the container: a failure closes it.

        Raises:
            SourceTimeout: nothing came, or no picture that a decoder can start with.
            SourceLost: the stream ended before the first frame.
            StreamError: an error of FFmpeg, converted by `explain`.
        """
        self.ends = connection.ends
        self._connection = connection
        self._video = video
        self._codec = self._video.codec_context
        self._codec.thread_count = 1
        self._codec.options = {"max_pixels": str(MAX_PIXELS)}
        is_h264 = self._codec.codec.canonical_name == "h264" and connection.may_lose
        self._numbers = FrameNumbers(self._codec.extradata) if is_h264 else None
        self._clock = CameraClock(fraction(self._video.time_base) or GUESSED_BASE)
        self._orientations: dict[int, Orientation] = {}
        self._backlog: Backlog[VideoPacket] = Backlog()
        # Packets by their number in decoding order, whose frames the decoder has not returned yet, with their times.
        self._sent: dict[int, tuple[int, Arrived[VideoPacket]]] = {}
        self._number = self._key = 0  # of the last packet, and of the last key frame
        self._waits_for_key: str | None = DAMAGED  # cause with which packets before the next key frame are missed
        self._missed: Counter[str] = Counter()
        self._reported = 0.0
        self._other = -math.inf  # when something arrived that is not video
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._receive, name=f"{connection.stream} receiver", daemon=True)
        self._thread.start()
        try:
            self._decoded = self._decode()
            self._first = self._begin()
            self.about = self._describe(self._first.picture)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the receiver. Wait for it, but no longer than the time-out of FFmpeg."""
        self._closed.set()
        self._thread.join(self._connection.read_timeout + 1)
        if not self._thread.is_alive():  # a driver may block it for ever; if it returns, it closes the container itself
            self._connection.container.close()

    @property
    def notes(self) -> list[str]:
        """Problems so far, one line each."""
        corrected = self._clock.corrected
        return (
            [f"{self._connection.label}: its clock was wrong and had to be set {corrected} times"] if corrected else []
        )

    def __iter__(self) -> Iterator[Frame | Missed]:
        """Frames as they arrive, once.

        Raises:
            SourceTimeout: nothing arrived for `read_timeout` seconds.
            StreamError: an error of FFmpeg, converted by `explain`.
        """
        index, last = 0, -1
        offset: int | None = None
        got: Shot | Missed | None = self._first
        while got is not None:
            if isinstance(got, Missed):
                yield got
            else:
                offset = got.pts if offset is None else offset
                last = max(last + 1, got.pts - offset)
                yield Frame(
                    stream=self._connection.stream,
                    index=index,
                    pts=last,
                    time_base=LIVE_TIME_BASE,
                    picture=DecodedPicture(got.picture, self._orientation(got.picture)),
                    arrival=got.arrival,
                    held=got.due - got.arrival,
                    time=time.time() - (time.monotonic() - got.arrival),
                )
                index += 1
            got = next(self._decoded, None)

    def _receive(self) -> None:
        """The receiver. It runs in its own thread until the stream ends or the reader is closed."""
        error: Exception | None = None
        pace = Pace() if self._connection.is_paced else None
        is_read_ahead = self._connection.is_paced and self._connection.ends
        try:
            # All streams, not only the video: while only sound arrives, the loop must go on to check `closed`.
            for packet in self._connection.container.demux():
                if self._closed.is_set():
                    break
                if packet.stream_index != self._video.index or not packet.size:
                    self._other = time.monotonic()
                    continue
                arrival = due = time.monotonic()
                if pace:
                    due = pace.due(self._seconds(packet), arrival)
                packet.pts = self._clock.see(packet.pts if self._connection.has_times else None, due)
                arrival = due if is_read_ahead else arrival
                self._backlog.put(Arrived(cast("VideoPacket", packet), arrival, due, packet.is_keyframe))
                if is_read_ahead:
                    self._closed.wait(due - time.monotonic())
        except Exception as broken:  # it is raised in the reader's thread, by `Backlog.take`
            error = self._connection.explain(broken)
        finally:
            self._backlog.end(error)
            if self._closed.is_set():
                self._connection.container.close()

    def _seconds(self, packet: "Packet[Stream]") -> float | None:
        """The packet's time, in decoding order if it has such a time."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or not packet.time_base or not self._connection.has_times:
            return None
        return float(stamp * packet.time_base)

    def _begin(self) -> Shot:
        """The first frame. Frames before it do not count as missed."""
        for got in self._decoded:
            if not isinstance(got, Missed):
                return got
        raise SourceLost(
            f"{self._connection.label} ended before a frame of its {self._codec.codec.canonical_name} video could be "
            "decoded; play it to see whether it is damaged"
        )

    def _decode(self) -> Iterator[Shot | Missed]:
        """Frames with their arrival, and the frames that were missed before them."""
        begun, given = time.monotonic(), False
        while (arrived := self._take()) is not None:
            frames = self._frames(arrived)
            given = given or bool(frames)
            if not given and time.monotonic() - begun > KEY_PATIENCE:
                raise SourceTimeout(
                    f"{self._connection.label} sent no picture to begin with for {KEY_PATIENCE:g} s; "
                    "set its key frame interval (GOP, I-frame) to 1 or 2 seconds"
                )
            if frames or time.monotonic() - self._reported > REPORT_AFTER:
                yield from self._report_missed()
            yield from frames
        yield from self._frames(None)
        self._missed[DAMAGED] += len(self._sent)
        yield from self._report_missed()
        if self._failure is not None:
            raise self._failure

    def _take(self) -> "Arrived[VideoPacket] | None":
        """The next packet; None at the end, with its cause in `_failure`."""
        self._failure: BaseException | None = None
        while True:
            try:
                behind, arrived = self._backlog.take(self._connection.read_timeout)
            except Ended as end:
                self._failure = end.__cause__
                return None
            if behind:
                self._break(BEHIND)
                self._missed[BEHIND] += behind
            if arrived is not None:
                return arrived
            if not behind:
                self._failure = self._silence()
                return None

    def _silence(self) -> SourceTimeout:
        label, timeout = self._connection.label, self._connection.read_timeout
        if time.monotonic() - self._other < timeout:
            return SourceTimeout(f"{label} sent no picture for {timeout:g} s, only sound or data; check its video")
        return SourceTimeout(
            f"{label} sent nothing for {timeout:g} s; check it and the network, or set a longer timeout"
        )

    def _frames(self, arrived: "Arrived[VideoPacket] | None") -> list[Shot]:
        """The complete frames that the decoder makes of a packet; with None, those that it still holds."""
        if arrived is not None and not self._can_decode(arrived):
            return []
        complete: list[Shot] = []
        try:
            for frame in self._codec.decode(arrived.packet if arrived else None):
                if frame.is_corrupt:
                    self._break(DAMAGED)
                    break
                complete.append(self._shot(frame))
        except av.error.FFmpegError:
            self._break(DAMAGED)
        return complete

    def _can_decode(self, arrived: Arrived[VideoPacket]) -> bool:
        """Whether the decoder can use the packet. If not, the packet counts as missed."""
        packet = arrived.packet
        if self._waits_for_key and not arrived.is_key:
            self._missed[self._waits_for_key] += 1
            return False
        self._number += 1
        self._key = self._number if arrived.is_key else self._key
        self._sent[self._number] = packet.pts or 0, arrived
        self._missed[DAMAGED] += self._sent.pop(self._number - PENDING, None) is not None
        packet.pts, packet.dts = self._number, None  # the camera's times may be in any order, or the same twice
        self._waits_for_key = None
        if packet.is_corrupt or self._is_damaged(packet):
            self._break(DAMAGED)
            return False
        return True

    def _is_damaged(self, packet: VideoPacket) -> bool:
        """Damage that FFmpeg hides: a picture that was lost before this one, or a JPEG without its end."""
        if self._numbers:
            return self._numbers.lacks(bytes(packet))
        return self._codec.codec.canonical_name == "mjpeg" and JPEG_END not in bytes(packet)[-JPEG_PADDING:]

    def _shot(self, frame: av.VideoFrame) -> Shot:
        """The frame with its times. Earlier frames that the decoder has silently left out count as missed.

        Frames may come in another order than their packets, but none from before a key frame comes after it.
        """
        now, number = time.monotonic(), frame.pts or 0
        pts, arrived = self._sent.pop(number, (0, None))
        for older in [sent for sent in self._sent if sent < number - REORDER or sent < self._key <= number]:
            del self._sent[older]
            self._missed[DAMAGED] += not frame.interlaced_frame  # an interlaced frame may come in two packets
        return Shot(frame, pts, arrived.arrival, arrived.due) if arrived else Shot(frame, pts, now, now)

    def _break(self, cause: str) -> None:
        """Discard packets until the next key frame, and count them as missed with this cause."""
        self._missed[cause] += len(self._sent)
        self._sent.clear()
        self._codec.flush_buffers()
        self._waits_for_key = cause
        if self._numbers:
            self._numbers.forget()

    def _report_missed(self) -> Iterator[Missed]:
        self._reported = time.monotonic()
        missed, self._missed = self._missed, Counter()
        for cause, frames in missed.items():
            if frames:
                yield Missed(frames, cause)

    def _orientation(self, frame: av.VideoFrame) -> Orientation:
        """The orientation by the display matrix, which is read only if there is an angle, and again when it changes.

        So an upright camera leaves no frame to the garbage collector (see `orientation_of`). A full collection stops
        all streams for a tenth of a second.
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
            name=self._connection.name,
            width=first.width,
            height=first.height,
            time_base=LIVE_TIME_BASE,
            rate=rate if self._connection.has_times else None,
            codec=self._codec.codec.canonical_name,
            pixel_aspect=1 / aspect if first.turned else aspect,
            is_420=is_420(frame),
        )

"""An MP4 as a sink: H.264, yuv420p, with the exact times of the source, a copy of its audio, and the index in front.

While frames come, `clip.mp4.part` grows by fragments of a second, which play as they are. So a killed process costs a
second at most. Before a frame is encoded, the disk reserves what it and all that is not written yet can need: where the
disk is full, the frame is refused, and every frame before it is in the file.

At the end, its packets, the source's audio, and the subtitles if there are any, are copied into `clip.mp4`, with the
index in front (faststart), and the partial file is removed. Subtitles are in `clip.vtt` too. If that copy fails (the
disk is full), the partial file itself becomes `clip.mp4`: it plays, but without audio and subtitles, and a note says
so. `finish_part` finishes a partial file that a killed process left; its subtitles are lost.

Colours: OpenCV's conversion to BT.601, limited range, is 1.4 to 1.5 times as fast as swscale's (`i420.py`). The file is
tagged accordingly.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import av.error
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from pydantic import Field

from watchline.files import part_of, unshared
from watchline.settings import Threads, flag, settings
from watchline.streams.errors import SinkError
from watchline.streams.frame import Image
from watchline.streams.source import About
from watchline.streams.wholeness import mp4_boxes
from watchline.streams.write.i420 import i420
from watchline.streams.write.paths import finish, opened, prepare, refused
from watchline.streams.write.remux import Sound, remux, timescale
from watchline.streams.write.subtitles import SUFFIX, Cue, Subtitles, write_webvtt

log = logging.getLogger(__name__)

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]
# ITU-T H.273: primaries and transfer BT.709, matrix BT.601 (SMPTE 170M), limited range. All four are set, because
# browsers guess all of them if one is missing.
PRIMARIES, TRANSFER, MATRIX, LIMITED = 1, 1, 6, 1
# B-frames make the file a sixth smaller, but cost a third of the encoder's time, which the detector can use better.
NO_B_FRAMES = {"bf": "0"}
# Fragments of a second. The index waits for the first packets, because it needs their times. The list of all fragments
# at the end is left out, because it would grow in memory for months.
FRAGMENTS = {"movflags": "frag_keyframe+delay_moov+default_base_moof+skip_trailer", "frag_duration": "1000000"}
# If a row is not a multiple of 8 macroblocks of 16 pixels, x264's macroblock tree reads past its end, and the output
# differs from run to run. It is switched off then, so that the same input gives the same file.
TREE_PIXELS = 8 * 16
MUXER = 1 << 16  # bytes that the muxer can add to packets: the index, and the headers of two fragments
# The errors that a picture, a path or the disk can cause, including PyAV's and OpenCV's.
FAILURES = (OSError, av.error.FFmpegError, cv2.error, ValueError, ArithmeticError)


@settings
class Mp4Sink:
    """Settings of the encoder, x264.

    Attributes:
        preset: speed against size. On annotated street video at 1080p, superfast takes two thirds of veryfast's time,
            for files 1.8 times as large. ultrafast takes half of superfast's time, with a lower quality.
        crf: constant quality, 0 (lossless) to 51; lower is better and larger.
        threads: of the encoder.
    """

    preset: Preset = Field(
        default="superfast",
        description="of the video encoder, ultrafast … veryslow",
        json_schema_extra=flag("PRESET"),
    )
    crf: int = Field(default=23, ge=0, le=51, description="constant quality, 0 (lossless) to 51")
    threads: Threads = Field(default=2, description="threads of the encoder")

    @contextmanager
    def open(
        self, path: Path, about: About, inputs: Sequence[Path] = (), subtitles: bool = False
    ) -> Iterator["Mp4Writer"]:
        """Args: path to write; about the source, whose audio is copied; inputs, which are never overwritten;
        subtitles, whether there are any: `clip.vtt` is written then.

        Raises:
            SinkError: the path is an input, or cannot be written.
        """
        known = [*inputs, about.path] if about.path else inputs
        prepare(path, known)
        prepare(part_of(path), known)
        if subtitles:
            prepare(path.with_suffix(SUFFIX), known)
        writer = self.start(path, about, subtitles)
        try:
            yield writer
        finally:
            writer.close()

    def start(self, path: Path, about: About, subtitles: bool = False) -> "Mp4Writer":
        """Open without a context, and without checking inputs. The caller closes the writer, in any thread.

        Raises:
            SinkError: the path cannot be written.
        """
        return Mp4Writer(self, path, about, Subtitles() if subtitles else None)


class Mp4Writer:
    """Writes an MP4.

    Attributes:
        notes: what a viewer of the file should know, one line each.
        frames: number of frames written.
    """

    def __init__(self, settings: Mp4Sink, path: Path, about: About, subtitles: Subtitles | None = None) -> None:
        self.notes: list[str] = []
        self.frames = 0
        self._settings = settings
        self._path = path
        self._about = about
        self._subtitles = subtitles
        self._whole = False
        self._seconds = Fraction(0)
        self._step = 1 / Fraction(about.rate or 25)
        self._shift = Fraction(0)
        self._size: tuple[int, int] | None = None
        self._encoder: tuple[OutputContainer, VideoStream] | None = None
        self._encoding = self._unwritten = 0  # frames in the encoder, and bytes of those that it has given
        self._file = opened(path)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written: after `close`, or a failure that was not a full disk."""
        return self._file.closed

    def write(self, pixels: Image, pts: int, time_base: Fraction, subtitle: str = "") -> None:
        """Args: pixels (H, W, 3) uint8 BGR; its time, later than the last one's, always with the same time base;
        the text that holds from it on.

        A picture of another size is fitted into the size of the first one, with black bars. Odd sizes are made even by
        repeating the last column or row.

        Raises:
            SinkError: disk full: the frame is not written, and the next one may be. Or a picture that cannot be
                encoded, or another failure: the frames written so far are finished and play, and the file is closed.
        """
        if self.closed:
            raise SinkError(f"{self._path} is closed after a failure; nothing more can be written to it")
        try:
            planes = self._yuv(pixels)
            self._make_room(planes.nbytes)
            frame = _frame(planes)
            if self._encoder is None and pts < 0:
                self._begin_at_zero(pts * time_base)
            pts += int(self._shift / time_base)
            frame.pts, frame.time_base = pts, time_base
            if self._encoder is None:
                self._encoder = self._open_encoder(frame.width, frame.height, time_base)
            container, video = self._encoder
            self._encoding += 1
            self._mux(container, video.encode(frame))
        except SinkError:
            raise
        except FAILURES as error:
            raise self._fail(error) from error
        self._step = pts * time_base - self._seconds if self.frames else self._step
        self.frames += 1
        self._seconds = pts * time_base
        if self._subtitles is not None:
            self._subtitles.at(self._seconds, subtitle)

    def _make_room(self, size: int) -> None:
        """Raises SinkError: there is no room for another frame of `size` bytes before it is encoded."""
        most = (self._encoding + 1) * (size * 17 // 16 + 4096)  # x264 can leave a frame as it is, with its headers
        try:
            self._file.make_room(self._unwritten + most + MUXER)
        except OSError as error:
            kept = f"plays up to about {float(self._seconds):.0f} s" if self.frames else "has no frames"
            raise SinkError(f"{refused(self._path, error)} (it {kept})") from error

    def _mux(self, container: OutputContainer, packets: "Sequence[av.Packet[VideoStream]]") -> None:
        for packet in packets:
            before, size = self._file.size, packet.size
            container.mux(packet)
            self._encoding -= 1
            self._unwritten = max(0, self._unwritten - (self._file.size - before)) + size

    def _begin_at_zero(self, seconds: Fraction) -> None:
        """Players leave out what is before 0, so all times are moved, those of the audio too."""
        self._shift = -seconds
        self.notes.append(
            f"{self._path.name} begins at 0 s, its source at {float(seconds):.3f} s: players leave out what is before 0"
        )

    def end(self) -> None:
        """Say that the stream is complete. The audio is then copied to its end, not only to the last picture."""
        self._whole = True

    def close(self) -> None:
        """Finish the file. The context calls it; a second call does nothing.

        Raises:
            SinkError: it cannot be finished.
        """
        if self._file.closed:
            return
        if self._encoder is None:
            self._file.discard()
            self.notes.append(f"{self._path.name} was not written: there were no frames")
            return
        container, video = self._encoder
        try:
            container.mux(video.encode())
            container.close()
        except FAILURES as error:
            raise self._fail(error) from error
        self._finish()
        self._write_subtitles()

    def _finish(self) -> None:
        """Copy the fragments into the file with the index in front. If that fails, keep the fragments as the file."""
        until = None if self._whole else self._seconds
        try:
            source = self._about.path
            sound = Sound(source, self._about.track, until, self._shift) if source is not None else None
            self._file.give_back()  # the copy needs room
            self.notes += remux(self._file.part, self._path, sound, self._cues())
            self._file.discard()
        except FAILURES as error:
            finish(self._file)
            self.notes.append(
                f"{self._path.name} is left in fragments, without audio and subtitles, because it could not be copied: "
                f"{self._why(error, 'copied')}"
            )

    def _cues(self) -> Sequence[Cue]:
        """All that was said."""
        if self._subtitles is None:
            return ()
        self._subtitles.end(self._seconds + self._step)
        return self._subtitles.cues

    def _write_subtitles(self) -> None:
        """Beside the video, which is not lost with them."""
        if self._subtitles is not None:
            path = self._path.with_suffix(SUFFIX)
            try:
                write_webvtt(path, self._cues())
            except OSError as error:
                self.notes.append(f"the subtitles are not beside the video: {refused(path, error)}")

    def _fail(self, error: Exception) -> SinkError:
        """End the file after its last complete fragment. Returns the error to raise."""
        end = _end_of_fragments(self._file.part)
        if end:
            self._file.truncate(end)
            finish(self._file)
            self._write_subtitles()
            kept = f"{self._path.name} plays up to about {float(self._seconds):.0f} s"
        else:
            self._file.discard()
            kept = "nothing was kept"
        return SinkError(f"{self._why(self._file.error or error, 'encoded')} ({kept})")

    def _why(self, error: Exception, done: str) -> str:
        if isinstance(error, OSError):
            return str(refused(self._path, error))
        said = str(error.err if isinstance(error, cv2.error) else error)
        return f"{self._path} cannot be {done}: {' '.join(said.split())}"  # OpenCV's messages have several lines

    def _open_encoder(self, width: int, height: int, time_base: Fraction) -> tuple[OutputContainer, VideoStream]:
        options = FRAGMENTS | {"movie_timescale": str(timescale(time_base))}
        container = av.open(self._file, "w", format="mp4", container_options=options)
        rate = Fraction(self._about.rate or 25).limit_denominator(0xFFFF)
        options = {"preset": self._settings.preset, "crf": str(self._settings.crf)} | NO_B_FRAMES
        if -width % TREE_PIXELS >= 16:
            options["x264-params"] = "mbtree=0"
        video = container.add_stream("libx264", rate=rate, options=options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.time_base = time_base
        context = video.codec_context
        context.time_base = time_base
        context.thread_count = self._settings.threads
        context.color_primaries, context.color_trc = PRIMARIES, TRANSFER
        context.colorspace, context.color_range = MATRIX, LIMITED
        context.sample_aspect_ratio = self._about.pixel_aspect
        return container, video

    def _yuv(self, pixels: Image) -> Image:
        """(H, W, 3) BGR -> (H' * 3 / 2, W') I420. H' and W' are the size of the first picture, made even."""
        size = pixels.shape[1], pixels.shape[0]
        if self._size is None:
            self._size = size
        if size != self._size:
            pixels = _fitted(pixels, self._size)
            note = f"pictures of another size were fitted into {self._size[0]} x {self._size[1]}, the first one's"
            if note not in self.notes:
                self.notes.append(note)
        right, below = self._size[0] % 2, self._size[1] % 2
        if right or below:
            pixels = np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        return i420(pixels, average=not self._about.is_420)


def finish_part(path: Path) -> bool:
    """Finish the video whose partial file a killed process left. Its complete fragments become `path`, index in front.

    Returns: True if it was finished. False if there is no partial file, if another process writes it, or if it was
        empty and has been removed.

    Raises:
        SinkError: it cannot be finished; the partial file stays as it is.
    """
    part = part_of(path)
    try:
        with unshared(part) as file:
            end = _end_of_fragments(part)
            if end:
                file.truncate(end)
                remux(part, path, None)
            elif part.stat().st_size:
                raise ValueError("it has no complete fragment of a video")
            part.unlink()
            return end > 0
    except BlockingIOError:
        return False
    except FAILURES as error:
        why = " ".join(str(error).split())
        raise SinkError(f"{part} cannot be made into {path.name} and is left as it is: {why}") from error


def _frame(planes: Image) -> av.VideoFrame:
    """(H * 3 / 2, W) I420 as a frame; where possible, not copied: x264 makes a copy of its own."""
    # PyAV's zero-copy function rounds the height down to a multiple of 4.
    wrapped = av.VideoFrame.from_numpy_buffer if len(planes) % 6 == 0 else av.VideoFrame.from_ndarray
    return wrapped(planes, "yuv420p")


def _end_of_fragments(part: Path) -> int:
    """Offset of the end of the last complete fragment; 0 if there is none."""
    size = part.stat().st_size
    with part.open("rb") as file:
        return max((end for kind, end in mp4_boxes(file, size) if kind == b"mdat" and end <= size), default=0)


def _fitted(pixels: Image, size: tuple[int, int]) -> Image:
    """The picture scaled to fit into (width, height), centred on black."""
    width, height = size
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    w, h = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - w) // 2, (height - h) // 2
    canvas[top : top + h, left : left + w] = cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA)
    return canvas

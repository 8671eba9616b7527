"""Which tracks of a file belong together: the video that is decoded, and the sound of its programme."""

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from watchline.streams.clock import Joints
from watchline.streams.errors import SourceUnreadable
from watchline.streams.rational import fraction

MILLISECOND = Fraction(1, 1000)  # the time base if the container has none
HALF_A_TURN = Fraction(1 << 32, 90_000)  # seconds: of the clock of transport and program streams
PREVIEW = Fraction(1, 10)  # of the longest video's duration: what is shorter is a preview


def video_of(path: Path, container: InputContainer, number: int | None = None) -> VideoStream:
    """The video to decode: the one that moves, then the one that the file marks as its default, then the largest.

    Args:
        path: of the file, for messages.
        number: of a video track, from 1, to take that one instead.

    Raises:
        SourceUnreadable: there is no such track, no video but the picture of a cover, or no decoder for it.
    """
    videos = container.streams.video
    shown = [video for video in videos if not video.disposition & Disposition.attached_pic]
    if number is None and not shown:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise SourceUnreadable(f"{path} has no video in it, only {kinds}: expected a video file")
    if number is not None and number > len(videos):
        raise SourceUnreadable(f"{path}: there is no video track {number}: expected 1 to {len(videos)}")
    longest = max(map(_seconds, shown), default=Fraction(0))

    def rank(video: VideoStream) -> tuple[bool, bool, bool, int]:
        context = video.codec_context
        moves = video.frames != 1 and not 0 < _seconds(video) < longest * PREVIEW
        still = bool(video.disposition & Disposition.still_image)
        pixels = context.width * context.height if context else 0
        return context is not None, moves and not still, bool(video.disposition & Disposition.default), pixels

    chosen = videos[number - 1] if number is not None else max(shown, key=rank)
    if chosen.codec_context is None:
        raise SourceUnreadable(f"{path}: there is no decoder for its video; convert it to H.264")
    return chosen


def choice(container: InputContainer, video: VideoStream) -> str:
    """Which other video tracks there are, in a line for the user; empty if there are none. Args: the one chosen."""
    tracks = {
        number: f"{number} ({track.width} x {track.height})"
        for number, track in enumerate(container.streams.video, 1)
        if track.codec_context is not None and not track.disposition & Disposition.attached_pic
    }
    mine = tracks.pop(container.streams.video.index(video) + 1)
    return f"video track {mine} was taken; --video-track takes another: {', '.join(tracks.values())}" if tracks else ""


def sounds_of(container: InputContainer, video: Stream) -> list[AudioStream]:
    """The audio tracks of the video's programme; all of them if the file has no programmes."""

    def programme(stream: Stream) -> list[int | None]:
        """What FFmpeg would choose in the stream's programme: the same for all of its streams."""
        best = [container.streams.best(kind, related=stream) for kind in ("video", "audio")]
        return [found.index if found else None for found in best]

    return [sound for sound in container.streams.audio if programme(sound) == programme(video)]


def joints_of(streams: Sequence[Stream]) -> "Joints[av.Packet[Stream]]":
    """Joints over these tracks of a file. All who read the file with the same tracks find the same joints."""
    is_mpeg = streams[0].container.format.name in ("mpegts", "mpeg")
    time_bases = {stream.index: fraction(stream.time_base) or MILLISECOND for stream in streams}
    return Joints(time_bases, HALF_A_TURN if is_mpeg else None)


def _seconds(video: VideoStream) -> Fraction:
    """The track's duration; 0 if it is unknown. Matroska has it in a tag: 00:00:01.500000000."""
    unit = fraction(video.time_base)
    if video.duration and unit:
        return video.duration * unit
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", video.metadata.get("DURATION", ""))
    return int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3]) if tag else Fraction(0)

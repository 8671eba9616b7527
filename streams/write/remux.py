"""Copies the pictures of one file and the audio tracks of another into an MP4 with its index in front."""

import heapq
import math
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from watchline.files import replacing
from watchline.streams.clock import Joints
from watchline.streams.container import open_container
from watchline.streams.rational import fraction

MILLISECOND = Fraction(1, 1000)  # the time base if the container has none


def remux(video: Path, path: Path, audio: Path | None, until: Fraction | None) -> list[str]:
    """Write `path` from the pictures of `video` and every audio track of `audio`. It is on the disk when this returns.

    Args:
        video: an MP4 of any name.
        until: end of the audio in seconds; None copies it to its end.

    Returns: notes, one per track that was left out.

    Raises:
        OSError, FFmpegError, ValueError: `path` cannot be written, or PyAV does not accept the name of `video`.
    """
    with replacing(path) as part:
        try:
            return _copy(video, part, audio, until)
        except (av.error.FFmpegError, ValueError) as error:
            if audio is None or isinstance(error, OSError):
                raise
            _copy(video, part, None, until)
            return [f"the audio of {audio.name} was left out: {error}"]


def timescale(*time_bases: Fraction | None) -> int:
    """Units per second that express the start of every track exactly. MP4's default for this is a millisecond.

    If no common unit fits into 31 bits, it is the first track's.
    """
    units = [base.denominator for base in time_bases if base]
    common = math.lcm(*units)
    return common if common < 1 << 31 else units[0]


def _copy(video: Path, path: Path, audio: Path | None, until: Fraction | None) -> list[str]:
    """Write `path`, and close it before returning, because the index is written last."""
    notes: list[str] = []
    with ExitStack() as stack:
        pictures = stack.enter_context(av.open(f"file:{video}", format="mp4"))
        sound = stack.enter_context(open_container(audio)) if audio is not None else None
        streams = [pictures.streams.video[0], *(sound.streams.audio if sound is not None else ())]
        options = {
            "movflags": "faststart",
            "movie_timescale": str(timescale(*(fraction(s.time_base) for s in streams))),
        }
        out = stack.enter_context(av.open(f"file:{path}", "w", format="mp4", container_options=options))
        sources = [_packets(pictures, {0: out.add_stream_from_template(pictures.streams.video[0])}, None)]
        if sound is not None:
            sources.append(_packets(sound, _tracks(sound, out, notes), until))
        for _, packet in heapq.merge(*sources, key=lambda timed: timed[0]):
            out.mux(packet)
    return notes


def _tracks(source: InputContainer, out: OutputContainer, notes: list[str]) -> dict[int, Stream]:
    """Add the source's audio tracks to `out`. Returns: index of the old stream -> new stream."""
    tracks: dict[int, Stream] = {}
    for number, track in enumerate(source.streams.audio, 1):
        codec = track.codec.canonical_name if track.codec_context else "unknown"
        if codec not in out.supported_codecs:
            notes.append(f"audio track {number} was left out: MP4 cannot hold {codec}")
            continue
        target = tracks[track.index] = out.add_stream_from_template(track)
        target.metadata.update(track.metadata)
    return tracks


def _packets(
    source: InputContainer, targets: dict[int, Stream], until: Fraction | None
) -> Iterator[tuple[Fraction, "av.Packet[Stream]"]]:
    """The packets of the streams in `targets`, assigned to their new streams, each with its decoding time in seconds.

    Packets without a time, or with one that is not after the time before it, cannot be in an MP4 and are left out. So
    are packets that cannot be read.
    """
    if not targets:
        return
    streams = [source.streams[index] for index in targets]
    joints = {index: Joints(fraction(source.streams[index].time_base) or MILLISECOND) for index in targets}
    last: dict[int, int] = {}
    try:
        for packet in source.demux(streams):
            index, dts, pts, base = (
                packet.stream.index,
                packet.dts,
                packet.pts,
                fraction(packet.time_base) or MILLISECOND,
            )
            if dts is None or pts is None or not packet.size:
                continue
            shift = joints[index].see(dts, packet.duration or 0)
            dts, pts = dts + shift, pts + shift
            if dts <= last.get(index, dts - 1) or (until is not None and pts * base > until):
                continue
            last[index] = dts
            packet.dts, packet.pts, packet.stream = dts, pts, targets[index]
            yield dts * base, packet
    except av.error.InvalidDataError:
        return  # the end of a truncated file, which the source has reported

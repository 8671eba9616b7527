"""Copies packets into an MP4 with its index in front: the pictures of one file, the audio tracks of another."""

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

from watchline.streams.clock import Joints
from watchline.streams.rational import fraction

MILLISECOND = Fraction(1, 1000)  # where the container does not say


def remux(video: Path, path: Path, audio: Path | None, until: Fraction | None) -> list[str]:
    """Writes `path` from the pictures of `video` and every audio track of `audio`, then removes `video`.

    Args:
        video: an MP4, of any name.
        until: audio ends here, in seconds; None: at its own end.

    Returns: notes, one for each track that was left out.

    Raises:
        OSError, FFmpegError, ValueError: `path` cannot be written, or PyAV cannot take its name; `video` is as it was.
    """
    part = path.with_name(path.name + ".part2")  # `.part` is what mp4.py copies from
    notes: list[str] = []
    try:
        try:
            notes += _copy(video, part, audio, until)
        except (av.error.FFmpegError, ValueError) as error:
            if audio is None or isinstance(error, OSError):
                raise
            _copy(video, part, None, until)
            notes.append(f"the audio of {audio.name} was left out: {error}")
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    video.unlink()
    return notes


def timescale(*time_bases: Fraction | None) -> int:
    """Units a second in which the start of every track can be said exactly: MP4's own unit for that is a millisecond.

    If there is no common one in 31 bits, the first track's.
    """
    units = [base.denominator for base in time_bases if base]
    common = math.lcm(*units)
    return common if common < 1 << 31 else units[0]


def _copy(video: Path, path: Path, audio: Path | None, until: Fraction | None) -> list[str]:
    """Writes `path`; closes it, as the index comes last of all, before anybody believes that it is there."""
    notes: list[str] = []
    with ExitStack() as stack:
        pictures = stack.enter_context(av.open(f"file:{video}", format="mp4"))
        sound = stack.enter_context(av.open(f"file:{audio}")) if audio is not None else None
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
    """Adds the source's audio tracks to `out`. Returns: the new streams by the index of the old."""
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
    """The packets of the streams in `targets`, given to their new streams, each with its decoding time in seconds.

    What has no time, or one that is not after its predecessor's, cannot be in an MP4 and is left out, and so is
    what cannot be read.
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
        return  # the end of a file that is cut; the source said so

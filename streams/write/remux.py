"""Copies the pictures of one file, the audio tracks of another, and subtitles into an MP4 with its index in front."""

import heapq
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from watchline.files import replacing
from watchline.streams.container import open_container
from watchline.streams.encryption import is_encrypted
from watchline.streams.rational import fraction
from watchline.streams.tracks import MILLISECOND, joints_of, sounds_of, video_of
from watchline.streams.write.subtitles import Cue, add_track, packets

PCM = "pcm_"


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound that goes with the pictures.

    Attributes:
        path: the file that has it.
        video: number of the video track whose sound it is, from 1; None for the one that is taken by default.
        until: its end in seconds, in the MP4's time; None copies it to its end.
        shift: seconds that are added to the times of the source.
    """

    path: Path
    video: int | None = None
    until: Fraction | None = None
    shift: Fraction = Fraction(0)


class _Refused(Exception):
    """An audio track has to be left out, which shows at one of its packets. Args: its index, and why."""


def remux(video: Path, path: Path, sound: Sound | None, cues: Sequence[Cue] = ()) -> list[str]:
    """Write `path` from the pictures of `video` and every audio track of `sound`. It is on the disk when this returns.

    Args:
        video: an MP4 of any name.
        cues: of a track of subtitles; without any, there is none.

    Returns: notes, one per track that was left out, or that many players cannot play.

    Raises:
        OSError, FFmpegError, ValueError: `path` cannot be written, or PyAV does not accept the name of `video`.
    """
    with replacing(path) as part:
        return _copied(video, part, sound, cues)


def timescale(*time_bases: Fraction | None) -> int:
    """Units per second that express the start of every track exactly. MP4's default for this is a millisecond.

    If no common unit fits into 31 bits, it is the first track's.
    """
    units = [base.denominator for base in time_bases if base]
    common = math.lcm(*units)
    return common if common < 1 << 31 else units[0]


def _copied(video: Path, part: Path, sound: Sound | None, cues: Sequence[Cue]) -> list[str]:
    """Write `part` with as much of the sound as MP4 can hold. Returns: notes."""
    refused: dict[int, str] = {}
    while True:
        try:
            return _copy(video, part, sound, cues, refused)
        except _Refused as error:
            refused.update([error.args])
        except (av.error.FFmpegError, ValueError) as error:
            if sound is None or isinstance(error, OSError):
                raise
            why = getattr(error, "strerror", None) or error
            return [*_copied(video, part, None, cues), f"the audio of {sound.path.name} was left out: {why}"]


def _copy(video: Path, path: Path, sound: Sound | None, cues: Sequence[Cue], refused: Mapping[int, str]) -> list[str]:
    """Write `path`, and close it before returning, because the index is written last."""
    notes: list[str] = []
    with ExitStack() as stack:
        pictures = stack.enter_context(av.open(f"file:{video}", format="mp4", metadata_errors="replace"))
        source, tracks = None, []
        if sound is not None:
            source = stack.enter_context(open_container(sound.path))
            tracks = sounds_of(source, video_of(sound.path, source, sound.video))
        streams = [pictures.streams.video[0], *tracks]
        options = {
            "movflags": "faststart",
            "movie_timescale": str(timescale(*(fraction(s.time_base) for s in streams))),
        }
        out = stack.enter_context(av.open(f"file:{path}", "w", format="mp4", container_options=options))
        target = out.add_stream_from_template(pictures.streams.video[0])
        sources = [_timed(((packet, 0) for packet in pictures.demux(list(pictures.streams.video))), {0: target}, None)]
        if source is not None and sound is not None:
            targets, notes = _targets(tracks, out, refused)
            sources.append(_timed(_joined(source, sound), targets, sound))
        if cues:
            sources.append(packets(add_track(out), cues))
        for _, index, packet in heapq.merge(*sources, key=lambda timed: timed[0]):
            try:
                out.mux(packet)
            except (av.error.FFmpegError, ValueError) as error:
                if packet.stream is target or isinstance(error, OSError):
                    raise
                raise _Refused(index, "MP4 cannot hold it") from error
    return [f"{sound.path.name}: {note}" for note in notes] if sound else []


def _targets(
    tracks: list[AudioStream], out: OutputContainer, refused: Mapping[int, str]
) -> tuple[dict[int, Stream], list[str]]:
    """Add the audio tracks to `out`. Returns: index of the old stream -> new stream; notes."""
    targets: dict[int, Stream] = {}
    notes = []
    for number, track in enumerate(tracks, 1):
        codec = track.codec.canonical_name if track.codec_context else "unknown"
        why = refused.get(track.index) or ("" if _can_hold(track, out) else "MP4 cannot hold it")
        if why:
            notes.append(f"audio track {number} ({codec}) was left out: {why}")
            continue
        if codec.startswith(PCM):
            notes.append(f"audio track {number} ({codec}) is uncompressed: many players cannot play that in an MP4")
        target = targets[track.index] = _added(track, out)
        target.metadata.update(track.metadata)
        target.disposition = track.disposition
    return targets, notes


def _added(track: AudioStream, out: OutputContainer) -> AudioStream:
    target = out.add_stream_from_template(track)
    if track.layout.name == "2 channels":  # Matroska does not say which two they are, and MP4 has to
        target.codec_context.layout = "stereo"
    return target


def _can_hold(track: AudioStream, out: OutputContainer) -> bool:
    """Whether the muxer accepts the track. It says so only when it writes header and index, which would be too late."""
    if not track.codec_context or track.codec.canonical_name not in out.supported_codecs:
        return False
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            target = _added(track, trial)
            trial.start_encoding()
            if track.codec.canonical_name.startswith(PCM):
                packet = av.Packet(bytes(5040))  # whole samples of 1 to 10 channels with 1 to 4 bytes or 8
                packet.stream, packet.dts, packet.pts = target, 0, 0
                trial.mux(packet)
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _joined(source: InputContainer, sound: Sound) -> "Iterator[tuple[av.Packet[Stream], int]]":
    """Packets of the sound, each with its shift by joints, which are those that the pictures have too."""
    video = video_of(sound.path, source, sound.video)
    tracks = [video, *sounds_of(source, video)]
    joints = joints_of(tracks)
    with suppress(av.error.InvalidDataError):  # at the end of a truncated file, which the source has reported
        for packet in source.demux(tracks):
            if packet.size:
                yield from joints.see(packet)
    yield from joints.rest()


def _timed(
    packets: "Iterable[tuple[av.Packet[Stream], int]]", targets: dict[int, Stream], sound: Sound | None
) -> "Iterator[tuple[Fraction, int, av.Packet[Stream]]]":
    """The packets of the streams in `targets`, assigned to their new streams, each after its decoding time in seconds
    and the index of its old stream.

    Packets without a time, or with one that is not after the time before it, cannot be in an MP4 and are left out.
    """
    last: dict[int, int] = {}
    for packet, shift in packets:
        index, dts, pts = packet.stream_index, packet.dts, packet.pts
        if index not in targets or dts is None or pts is None or not packet.size:
            continue
        if sound and is_encrypted(packet):
            raise _Refused(index, "it is encrypted")
        base = fraction(packet.time_base) or MILLISECOND
        shift += round(sound.shift / base) if sound else 0
        dts, pts = dts + shift, pts + shift
        if dts <= last.get(index, dts - 1) or (sound and sound.until is not None and pts * base > sound.until):
            continue
        last[index] = dts
        packet.dts, packet.pts, packet.stream = dts, pts, targets[index]
        yield dts * base, index, packet

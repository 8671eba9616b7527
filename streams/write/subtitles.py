"""Subtitles of a video: WebVTT beside it, and a track of timed text (`mov_text`) inside the MP4.

A text holds from the frame that it comes with until the next one, so its times are those of the video's own frames, to
the millisecond below. It is shown in two lines if it is longer than one. WebVTT (W3C) is HTML's format for <track>; the
track is that of 3GPP TS 26.245: the number of the text's bytes, 2 bytes, big-endian, then the text in UTF-8.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from watchline.files import write_complete
from watchline.text import printable

SUFFIX = ".vtt"
LINE = 42  # letters of a line that players show whole, as broadcasters and streaming services have it
MOST = 1000  # letters of a text; what is longer is cut
LANGUAGE = "eng"
MILLISECONDS = Fraction(1, 1000)
# Style of the track, in the form that FFmpeg's encoder wants: white, at the bottom, in the middle.
STYLE = """[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True, slots=True)
class Cue:
    """A text and the milliseconds of the video in which it is shown: from `begin` on, until before `end`."""

    begin: int
    end: int
    text: str


class Subtitles:
    """Collects the cues of a video, frame by frame.

    Attributes:
        cues: those that are over, in order; none overlap.
    """

    def __init__(self) -> None:
        self.cues: list[Cue] = []
        self._open: Cue | None = None

    def at(self, seconds: Fraction, text: str) -> None:
        """A frame: from its time on, `text` holds, or nothing does if it is empty."""
        now, text = _milliseconds(seconds), in_lines(text)
        if self._open is not None and self._open.text == text:
            return
        self._close(now)
        if text:
            self._open = Cue(now, now, text)

    def end(self, seconds: Fraction) -> None:
        """The last frame is shown until then."""
        self._close(_milliseconds(seconds))

    def _close(self, now: int) -> None:
        if self._open is not None and now > self._open.begin:
            self.cues.append(replace(self._open, end=now))
        self._open = None


def in_lines(text: str) -> str:
    """The text without what a player would obey, in one line, or in two of about the same length."""
    text = printable(" ".join(text.split()))[:MOST]
    gaps = [index for index, letter in enumerate(text) if letter == " "]
    if len(text) <= LINE or not gaps:
        return text
    gap = min(gaps, key=lambda index: abs(2 * index + 1 - len(text)))
    return f"{text[:gap]}\n{text[gap + 1 :]}"


def webvtt(cues: Iterable[Cue]) -> str:
    """The cues as a WebVTT file."""
    return "\n".join(
        ["WEBVTT\n", *(f"{_clock(cue.begin)} --> {_clock(cue.end)}\n{_escaped(cue.text)}\n" for cue in cues)]
    )


def write_webvtt(path: Path, cues: Iterable[Cue]) -> None:
    """Write the file, which appears complete or not at all. Raises OSError: it cannot be written."""
    write_complete(path, webvtt(cues).encode())


def add_track(out: OutputContainer) -> SubtitleStream:
    """A track for subtitles in an MP4. Raises FFmpegError, ValueError: FFmpeg was built without them."""
    track = out.add_stream("mov_text")
    track.codec_context.subtitle_header = STYLE.encode()
    track.time_base = track.codec_context.time_base = MILLISECONDS
    track.metadata["language"] = LANGUAGE
    return track


def packets(track: SubtitleStream, cues: Sequence[Cue]) -> "Iterator[tuple[Fraction, int, av.Packet[Stream]]]":
    """The packets of a track, each after its time in seconds and an index that no stream has. (The muxer fills the time
    between two cues; here the time before the first one is.)
    """
    before = [Cue(0, cues[0].begin, "")] if cues and cues[0].begin else []
    for cue in (*before, *cues):
        text = cue.text.encode()
        packet = av.Packet(len(text).to_bytes(2, "big") + text)
        packet.stream, packet.time_base = track, MILLISECONDS
        packet.pts = packet.dts = cue.begin
        packet.duration = cue.end - cue.begin
        yield cue.begin * MILLISECONDS, -1, packet


def _milliseconds(seconds: Fraction) -> int:
    """Rounded down, so that a cue has begun at its first frame, and is over at the first frame after it."""
    return seconds // MILLISECONDS


def _clock(milliseconds: int) -> str:
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"


def _escaped(text: str) -> str:
    """As a WebVTT cue has it: no tags, no entities, no arrow."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

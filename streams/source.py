"""What a source is: settings that open into a reader of frames."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

from watchline.streams.frame import Frame

LIVE_TIME_BASE = Fraction(1, 90_000)  # as RTP has it for video


@dataclass(frozen=True, slots=True)
class About:
    """What a source knows about its stream before the first frame.

    Attributes:
        name: what the source reads, to show and to record: no credentials, no folder.
        width, height: of the first picture as shown (rotation applied), in pixels.
        time_base: of the frames' pts, seconds per unit.
        rate: average frames per second, None if unknown.
        frames: how many are expected, None if unknown; for progress only.
        codec: of the pictures, e.g. "h264", "jpeg".
        path: the local file whose audio an output may carry over, None if there is none.
        pixel_aspect: width of a pixel as shown divided by its height.
    """

    name: str
    width: int
    height: int
    time_base: Fraction
    rate: Fraction | None = None
    frames: int | None = None
    codec: str | None = None
    path: Path | None = None
    pixel_aspect: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class Missed:
    """Frames of a live stream that arrived and cannot be given, and why, in a word or two ("damaged", "behind")."""

    frames: int
    cause: str


class Reader(Protocol):
    """An open source: `about` it, and its frames in order, once.

    A reader may have `notes`, a sequence of lines on what was odd in the stream, which are asked for at its end.
    Iterating raises a StreamError when the stream breaks off; what was yielded before stays valid.
    """

    @property
    def about(self) -> About: ...

    def __iter__(self) -> Iterator[Frame]: ...


class Source(Protocol):
    """Settings of a source (frozen, picklable). `stream` names it in every output.

    A source with `live = True` is one whose frames come when they come: see LiveSource.
    """

    @property
    def stream(self) -> str: ...

    def open(self) -> AbstractContextManager[Reader]:
        """Raises StreamError: what is at the path cannot be read."""
        ...


class LiveReader(Protocol):
    """An open live source. Its frames have `time`, and pts from 0 in units of LIVE_TIME_BASE, each after the last one.

    Iterating ends where the stream ends, and raises a StreamError where it breaks off. No call waits for ever: a stream
    that says nothing for `read_timeout` seconds raises SourceTimeout.
    """

    @property
    def about(self) -> About: ...

    def __iter__(self) -> Iterator[Frame | Missed]: ...


class LiveSource(Protocol):
    """A source of frames that come when they come: a camera, or a file that is played as if it were one.

    Attributes:
        live: True.
        ends: whether the end of its stream is the end (a file); False where it means that the connection was lost.
        name: what it reads, to show and to record: no credentials.
    """

    @property
    def live(self) -> Literal[True]: ...

    @property
    def stream(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def ends(self) -> bool: ...

    def open(self) -> AbstractContextManager[LiveReader]:
        """Raises StreamError: SourceDenied, SourceRefused, SourceNotFound, SourceUnsupported, SourceTimeout, …"""
        ...

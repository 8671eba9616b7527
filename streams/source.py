"""What a source is: settings that open into a reader of frames."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

from watchline.streams.frame import Frame

LIVE_TIME_BASE = Fraction(1, 90_000)  # seconds per unit, as in RTP for video


@dataclass(frozen=True, slots=True)
class About:
    """What a reader knows about its stream before the first frame.

    Attributes:
        name: name of the source, for display and for the header, without credentials and folder.
        width, height: of the first picture as shown (rotation applied), in pixels.
        time_base: seconds per unit of the frames' pts.
        rate: average frames per second, None if unknown.
        frames: expected number of frames, None if unknown; for progress only.
        codec: of the pictures, e.g. "h264", "jpeg".
        path: the local file whose audio a sink may copy, None if there is none.
        pixel_aspect: width of a pixel as shown, divided by its height.
        is_420: whether the pictures' colours have half the resolution already. An MP4 of them is then made faster; of
            other pictures it gets the mean colour of each four pixels.
        track: number of the video track in that file, from 1, if a user chose it.
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
    is_420: bool = False
    track: int | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """Frames of a live stream that arrived but could not be decoded.

    Attributes:
        cause: the reason, in a word or two ("damaged", "behind").
    """

    frames: int
    cause: str


class Reader(Protocol):
    """An open source. It yields the frames in order, once.

    A reader may have `notes`: lines about problems in the stream, which are read at its end. Iteration raises a
    StreamError if the stream breaks; the frames before it stay valid.
    """

    @property
    def about(self) -> About: ...

    def __iter__(self) -> Iterator[Frame]: ...


class Source(Protocol):
    """Settings of a source (frozen, picklable). `stream` names it in every output.

    A source with `live = True` is a LiveSource: its frames arrive in real time.
    """

    @property
    def stream(self) -> str: ...

    def open(self) -> AbstractContextManager[Reader]:
        """Open the source. Raises StreamError: it cannot be read."""
        ...


class LiveReader(Protocol):
    """An open live source. Its frames have a `time`, and a pts in units of LIVE_TIME_BASE, from 0 and increasing.

    A reader may have `ends`: True if what it reads has an end, whatever its source expected.

    Iteration ends when the stream ends, and raises a StreamError if it breaks. No call waits for ever: a stream that
    sends nothing for `read_timeout` seconds raises SourceTimeout.
    """

    @property
    def about(self) -> About: ...

    def __iter__(self) -> Iterator[Frame | Missed]: ...


class LiveSource(Protocol):
    """A source whose frames arrive in real time: a camera, or a file that is played as if it were one.

    Attributes:
        live: True.
        ends: whether the stream has an end (a file). If False, the end of the stream means a lost connection.
        name: name of the source, for display and for the header, without credentials.
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

"""What travels on a link: the frames of a stream between its beginning and its end, each with its place in the stream.

Every message of a stream has a sequence number, from 0 without gaps, given by the gate (gate.py); the last is End or
Failure. So a stage may work on several frames at once, and whoever needs order can restore it, and knows when nothing
more will come.

    a file     Begin, Item, Item, …, End
    a camera   State(connecting), Begin, State(live), Item, Dropped, Item, …, State(retrying), State(connecting), …
"""

import time
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from watchline.ops.detections import Detections
from watchline.streams.frame import Frame
from watchline.streams.source import About


@dataclass(frozen=True, slots=True)
class Begin:
    """A stream opens; a live one each time it is connected."""

    stream: str
    sequence: int
    about: About


@dataclass(frozen=True, slots=True)
class Item:
    """A frame and what the stages so far have found in it.

    Attributes:
        frame: the frame as decoded; never drawn on.
        detections: the detector's, None before it.
        drawn: the annotated copy (H, W, 3) uint8 BGR, None before the annotator.
        deadline: `time.monotonic()` from which on a live frame is too old for anybody to want it; None for files.
    """

    sequence: int
    frame: Frame
    detections: Detections | None = None
    drawn: NDArray[np.uint8] | None = None
    deadline: float | None = None

    @property
    def stream(self) -> str:
        return self.frame.stream

    @property
    def late(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and time.monotonic() > self.deadline


@dataclass(frozen=True, slots=True)
class Dropped:
    """Frames of a live stream that go no further, in the place where they would have come.

    Attributes:
        cause: in a word or two, as the ledger books them.
        frames: how many.
        epoch: of the stream, as its frames have it.
        time: when, in seconds since 1970 (UTC).
    """

    stream: str
    sequence: int
    cause: str
    frames: int
    epoch: int
    time: float = field(default_factory=time.time, compare=False)


StateName = Literal["connecting", "live", "stalled", "retrying", "ended"]


@dataclass(frozen=True, slots=True)
class State:
    """The connection of a live stream changes.

    Attributes:
        epoch: of the stream, as its frames have it.
        why: one line, without credentials; None where there is nothing to say.
        retry_in: seconds until the next attempt, when `retrying`.
        time: when, in seconds since 1970 (UTC).
    """

    stream: str
    sequence: int
    state: StateName
    epoch: int
    why: str | None = None
    retry_in: float | None = None
    time: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True, slots=True)
class End:
    """A stream is over without a failure.

    Attributes:
        whole: it was read to its end; False if the run was stopped before.
        notes: what its reader has to say of it, one line each.
    """

    stream: str
    sequence: int
    whole: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A stream is over because something broke: `where` (a stage or "decoder") and the one line that says why."""

    stream: str
    sequence: int
    where: str
    why: str


Message = Begin | Item | Dropped | State | End | Failure

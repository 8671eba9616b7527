"""What travels through the chain: the frames of a stream between its beginning and its end.

    a file     Begin, Item, Item, …, End
    a camera   State(connecting), Begin, State(live), Item, Dropped, Item, …, State(retrying), State(connecting), …

The last message of a stream is End, or a Failure of its source. Where a message stands in its stream is not its own
affair: the admission numbers the deliveries (admission.py, link.py).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from watchline.ops.detections import Detections
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.drawn import DRAWN
from watchline.pipeline.kinds.kind import Kind
from watchline.streams.frame import Frame
from watchline.streams.source import About

DECODER = "decoder"  # what sources are called where stages are named
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a stage has seen to happen: a line of its own in the events.

    Attributes:
        name: what it is, one word, declared in the stage's `emits`.
        data: JSON values, whose keys stand in the line.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begin:
    """A stream opens; a live one each time it is connected.

    Attributes:
        epoch: of a live stream, as its frames have it; None for a file.
        events: what stages say of the epoch that ends here, if none has said that it ended.
    """

    stream: str
    about: About
    epoch: int | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A frame and what the stages so far have found in it.

    Attributes:
        frame: the frame as decoded; never drawn on.
        results: by kind, in the order in which the stages gave them.
        events: what stages have seen to happen in this frame.
        deadline: `time.monotonic()` from which on a live frame is older than the latency budget; None for files.
        taken: `time.monotonic()` when the stages took a live frame; None before.
    """

    frame: Frame
    results: Mapping[Kind[Any], Any] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    deadline: float | None = None
    taken: float | None = None

    def result(self, kind: Kind[R]) -> R | None:
        """What a stage has given of this kind; None before it, and where it gave nothing."""
        return self.results.get(kind)

    def with_result(self, kind: Kind[R], value: R) -> "Item":
        """The item with a result more, or with another in its place."""
        return replace(self, results={**self.results, kind: value})

    def with_event(self, name: str, **data: Any) -> "Item":
        """The item with an event more. Args: name, declared in the stage's `emits`; data, JSON values."""
        return replace(self, events=(*self.events, Event(name, data)))

    @property
    def detections(self) -> Detections | None:
        """The detector's; None before it, and on frames that it did not look at."""
        return self.result(DETECTIONS)

    @property
    def drawn(self) -> NDArray[np.uint8] | None:
        """The annotated picture (H, W, 3) uint8 BGR; None before the annotator."""
        return self.result(DRAWN)

    @property
    def subtitle(self) -> str:
        """What its results say in words, for subtitles; empty where they say nothing."""
        said = (kind.subtitle(result) for kind, result in self.results.items() if kind.subtitle is not None)
        return " ".join(filter(None, said))

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
        cause: in a word or two, as the ledger books them (causes.py).
        frames: how many.
        epoch: of the stream, as its frames have it.
        time: when, in seconds since 1970 (UTC).
        events: what stages have seen to happen in them.
    """

    stream: str
    cause: str
    frames: int
    epoch: int
    time: float = field(default_factory=time.time, compare=False)
    events: tuple[Event, ...] = ()


StateName = Literal["connecting", "live", "stalled", "retrying", "ended"]


@dataclass(frozen=True, slots=True)
class State:
    """The connection of a live stream changes.

    Attributes:
        epoch: of the stream, as its frames have it.
        why: one line, without credentials; None where there is nothing to say.
        retry_in: seconds until the next attempt, when `retrying`.
        events: what stages say of the epoch that ends with `retrying` or `ended`.
        time: when, in seconds since 1970 (UTC).
    """

    stream: str
    state: StateName
    epoch: int
    why: str | None = None
    retry_in: float | None = None
    events: tuple[Event, ...] = ()
    time: float = field(default_factory=time.time, compare=False)


@dataclass(frozen=True, slots=True)
class End:
    """A stream is over without a failure.

    Attributes:
        whole: it was read to its end; False if the run was stopped before.
        notes: what its reader has to say of it, one line each.
        events: what stages say of its end.
    """

    stream: str
    whole: bool = True
    notes: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A stream is over because something broke.

    Attributes:
        where: a stage, or DECODER.
        why: in one line.
        events: what stages say of its end.
    """

    stream: str
    where: str
    why: str
    events: tuple[Event, ...] = ()


Message = Begin | Item | Dropped | State | End | Failure


def is_last(message: Message) -> bool:
    """Whether nothing more comes of its stream. (A stage that fails on a file's frame does not stop its source at
    once, whose own end comes later.)
    """
    return isinstance(message, End) or (isinstance(message, Failure) and message.where == DECODER)


def closes(message: Message) -> bool:
    """Whether an epoch ends here: nothing that a stage knows of the stream holds any longer."""
    return isinstance(message, End | Failure) or (isinstance(message, State) and message.state in ("retrying", "ended"))

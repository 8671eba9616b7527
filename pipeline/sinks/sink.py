"""What a sink is: frozen settings that open into a writer, for each stream one.

    @settings
    class Counts(Sink):
        name = "counts"
        must = False                                  # where it fails, only it suffers

        file: Path

        @contextmanager
        def open(self, opening: Opening) -> Iterator[Writer]:
            with self.file.open("a") as file:
                yield CountsWriter(file)

With `[sinks.counts] use = "my_module:Counts"` in the config every stream is written there as well.

Each stream is written in a thread of its own, its lane (lanes.py). So a sink that is slow holds up its own stream only:
frames of a camera are dropped then (cause "counts slow"), a file waits.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from watchline.pipeline.counts import Counted
from watchline.pipeline.message import Dropped, Item, Message
from watchline.settings import settings
from watchline.streams.errors import SinkError
from watchline.streams.write.jsonl import Tally


class Unwritten(SinkError):
    """A sink could not write a frame of a live stream; the next ones it may."""


@dataclass(frozen=True)
class Opening:
    """What a sink knows of a stream before its first message.

    Attributes:
        stream: its name.
        is_live: whether its frames come when they come.
        header: of its events: JSON values by key, see `events.header_of`.
        album: name of the folder for photos, where there are several albums whose photos may have the same names.
        are_photos: whether it is made of photos, each of which becomes a file.
        inputs: files that must not be overwritten.
        subtitles: whether a result of its frames may have words for subtitles (`Kind.subtitle`).
        counted: which of its events are counted, and by which of their keys (`Stage.counts`).
    """

    stream: str
    is_live: bool
    header: Mapping[str, Any]
    album: str | None = None
    are_photos: bool = False
    inputs: tuple[Path, ...] = ()
    subtitles: bool = False
    counted: Mapping[str, Counted] = field(default_factory=dict)


class Writer(Protocol):
    """An open sink of one stream. One thread uses it.

    A writer may have `notes`, a sequence of lines on what was odd, and `paths`, a sequence of the files that it has
    written; both are asked for when it is closed.
    """

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        """Write a message: Begin, Item, Dropped, State, and End or Failure as the last. Losses in a row are joined.

        Args:
            lines: its lines of the events, each with its newline; shared by all sinks.

        Raises:
            Unwritten: this frame could not be written, but the next ones may be.
            Exception: any other one is the end of the stream, or is counted, as `Sink.must` says.
        """
        ...


def count(message: Message, tally: Tally) -> None:
    """Count the frames of a message that is written."""
    if isinstance(message, Item):
        tally.frames += 1
    elif isinstance(message, Dropped):
        tally.dropped[message.cause] += message.frames


class SinkInfo:
    """What a sink says of itself, by class attributes.

    Attributes:
        name: in reports and errors.
        must: whether a frame counts only if this sink has it. Where it fails, the frame is lost, or the stream ends. If
            not, its failures are counted, and the frame goes on.
        advice: what to do where it is the slowest, for the report.
    """

    name: ClassVar[str]
    must: ClassVar[bool] = False
    advice: ClassVar[str] = "making it faster would help"


@settings
class Sink(SinkInfo):
    """Settings of a sink: a class with `@settings` below this one. Its fields are its table in the config."""

    @property
    def needs_picture(self) -> bool:
        """Whether it writes annotated pictures: without any such sink, none are made."""
        return False

    def check(self, inputs: Sequence[Path]) -> None:
        """Look, before the run begins, whether `open` would find what all streams need.

        Args:
            inputs: files that must not be overwritten.

        Raises:
            WatchlineError: it would not.
        """

    def open(self, opening: Opening) -> AbstractContextManager[Writer]:
        """Open for one stream, in the thread that will write it. However the context is left, what was written can be
        used; a stream that is whole has had its End.

        Raises:
            Exception: any; as `Writer.take` has it.
        """
        raise NotImplementedError

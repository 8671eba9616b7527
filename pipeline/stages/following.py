"""What stages have in common that keep something of each track: zones, lines and speeds."""

from collections.abc import Callable, Container, Sequence
from typing import Any, Generic, Protocol, TypeVar

from watchline.errors import unknown
from watchline.ops.detections import Detections
from watchline.pipeline.errors import StageError
from watchline.pipeline.kinds.trails import TRAILS
from watchline.pipeline.message import Event, Item
from watchline.pipeline.stages.stage import Stage, Work
from watchline.streams.source import About

S = TypeVar("S", bound=Stage)


class Follower(Protocol):
    """What such a stage keeps of a stream."""

    def fit(self, width: int, height: int) -> None:
        """The pictures have this size. Raises StageError: a position of the settings is outside."""

    def follow(self, item: Item, found: Detections, alive: Container[int]) -> Item:
        """A frame. Args: found, with the numbers of the tracks; alive, the numbers of those that are not over."""

    def end(self) -> list[Event]:
        """What is to be said at the end of the stream or epoch."""


class Following(Work, Generic[S]):
    """Follows the tracks of several streams.

    Args:
        settings: of the stage.
        begun: what is kept of a stream that begins, by its settings.
    """

    def __init__(self, settings: S, begun: Callable[[S], Follower]) -> None:
        self._settings, self._begun = settings, begun
        self._streams: dict[str, Follower] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        self._at(stream, about.width, about.height)

    def end(self, stream: str) -> Sequence[Event]:
        self._sizes.pop(stream, None)
        gone = self._streams.pop(stream, None)
        return gone.end() if gone else ()

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return [self._followed(item) for item in items]

    def _followed(self, item: Item) -> Item:
        found, frame = item.detections, item.frame
        if found is None or found.predicted is not None or frame.file is not None:
            return item  # what is predicted proves nothing, and each photo is a scene of its own
        trails = item.result(TRAILS)
        if trails is None or found.tracker_id is None:
            raise StageError(f"there are no tracks for the {self._settings.name}: expected the tracker before it")
        return self._at(item.stream, frame.width, frame.height).follow(item, found, frozenset(trails.numbers.tolist()))

    def _at(self, stream: str, width: int, height: int) -> Follower:
        if stream not in self._streams:
            self._streams[stream] = self._begun(self._settings.of(stream))
        if self._sizes.get(stream) != (width, height):
            self._streams[stream].fit(width, height)
            self._sizes[stream] = width, height
        return self._streams[stream]


class Checked:
    """Checks the classes of zones or lines once, when the detector's are known.

    Args:
        entries: each has a `name` and `classes`.
    """

    def __init__(self, entries: Sequence[Any]) -> None:
        self._entries = entries
        self._labels: Sequence[str] | None = None

    def check(self, labels: Sequence[str]) -> None:
        """Raises StageError: the detector has no such class. Args: labels, of the detector."""
        if labels == self._labels:
            return
        for entry in self._entries:
            wrong = [name for name in entry.classes if name not in labels]
            if wrong:
                raise StageError(f"{entry.name}: {unknown('class', wrong[0], labels)} (of the detector)")
        self._labels = labels

"""What a stage is: frozen settings that open into a function over items.

    @settings
    class Crowds(Stage):
        name = "crowds"
        order = "stream"
        gives = (CROWD,)
        advice = "a larger `most` would help"

        most: int = Field(default=50, ge=1, description="people from which it is a crowd")

        @contextmanager
        def open(self) -> Iterator[Process]:
            yield lambda items: [item.with_result(CROWD, Crowd(len(item.detections))) for item in items]

With `[stages.crowds] use = "my_module:Crowds"` in the config, or `--stage my_module:Crowds`, it runs between our own
stages. A stage never sees a queue or a socket. In a test or a notebook:

    with Detector(model="yolov2-lite0").open() as process:
        [item] = process([Item(frame)])

A stage that keeps something per stream yields a `Work`, which hears where streams begin and end.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field, replace
from typing import Any, ClassVar, Literal, Self

from watchline.errors import SettingsError, unknown
from watchline.pipeline.counts import Counted
from watchline.pipeline.errors import StageError
from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.message import Event, Item
from watchline.settings import settings
from watchline.streams.frame import Frame
from watchline.streams.source import About

Process = Callable[[Sequence[Item]], list[Item]]


class Work:
    """A stage at work.

    Attributes:
        about: what runs here (model, runtime, device, …), as JSON values; it stands in the header of the events.
    """

    about: Mapping[str, Any] = {}

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        """Each item, in its place, with what was found in it.

        Several threads call it at once where the stage has several workers; where `order` is "stream", each stream has
        one of them. The pixels of the items are valid until it returns.

        Raises:
            Exception: any; it costs the frame of a camera, and ends a file.
        """
        raise NotImplementedError

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        """A stream begins, or an epoch of a live one. Only stages of order "stream" hear of it."""

    def end(self, stream: str) -> Sequence[Event]:
        """The stream, or the epoch, is over: forget it. Returns the events of its end, which `emits` declares."""
        return ()


class Plain(Work):
    """A function as a Work."""

    def __init__(self, process: Process, about: Mapping[str, Any] | None = None) -> None:
        self._process = process
        self.about = about or {}

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return self._process(items)


def work_of(opened: "Work | Process") -> Work:
    """What `open` has yielded, as a Work."""
    return opened if isinstance(opened, Work) else Plain(opened)


class StageInfo:
    """What a stage says of itself, by class attributes.

    Attributes:
        name: in config, reports and errors, e.g. "detector".
        order: "stream": it gets each stream's frames in order, each stream in one worker, and hears where streams begin
            and end. "any": a frame needs no other frame; all workers call it at once.
        workers: threads that call it; may be a setting.
        batch: the most items of one call; only those that wait already are put together. A call that fails is made
            again for each of them, to find the one that is to blame; where `order` is "stream", all of them are lost,
            as the stage may know of some of them already. May be a setting.
        gives: the kinds of results it sets. It must change nothing else, and take no result away.
        emits: the events it adds: the JSON Schema of the data of each, by name.
        counts: those of them that are counted in the report, and how.
        changes_picture: whether it may give frames with other pixels (`replace(frame, picture=ArrayPicture(…))`),
            which all stages after it then see.
        is_always: whether it runs without being asked for; others do where the config has their table.
        advice: what to do where it is the slowest, for the report.
        per_stream: its settings that may differ from stream to stream.
        entries: the class of what its table has tables of, each with a name: `[zones.entrance]`. They are its field of
            the stage's name, and its only one.
        is_by_stream: whether the table of one stream puts it into the chain: it does nothing for the others.
        needs: those of our stages, by name, that run too where it does.
        files: its settings that are text and name files. Whoever serves the stage to other hosts says which they may
            name; the same holds for all settings that are paths.
    """

    name: ClassVar[str]
    order: ClassVar[Literal["any", "stream"]] = "stream"
    workers: ClassVar[int] = 1
    batch: ClassVar[int] = 1
    gives: ClassVar[tuple[Kind[Any], ...]] = ()
    emits: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    counts: ClassVar[Mapping[str, Counted]] = {}
    changes_picture: ClassVar[bool] = False
    is_always: ClassVar[bool] = False
    advice: ClassVar[str] = "making it faster would help"
    per_stream: ClassVar[tuple[str, ...]] = ()
    entries: ClassVar[type | None] = None
    is_by_stream: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()


@settings
class Stage(StageInfo):
    """Settings of a stage: a class with `@settings` below this one. Its fields are its table in the config.

    Attributes:
        streams: settings that differ for some streams, by stream: `[streams.gate.detector]` in the config.

    Raises:
        SettingsError (a ValueError): a setting that there is not, or a value that cannot be.
    """

    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, kw_only=True, repr=False, hash=False)

    def __post_init__(self) -> None:
        for stream, own in self.streams.items():
            wrong = [unknown("setting", name, self.per_stream) for name in own if name not in self.per_stream]
            if wrong:
                raise ValueError(f"{stream}: {'; '.join(wrong)} (the others are the same for all streams)")
            try:
                self.of(stream)
            except SettingsError as error:
                raise ValueError(f"{stream}: {'; '.join(error.mistakes)}") from None

    def open(self) -> AbstractContextManager[Work | Process]:
        """Load what the stage needs. Called once per run, in the thread of its first worker."""
        raise NotImplementedError

    def check(self) -> None:
        """Look whether `open` would find what it needs.

        Raises:
            WatchlineError: it would not.
        """

    def hurry(self) -> None:
        """The run is being stopped: wait no longer for anything outside of it. For any thread."""

    def cancel(self) -> None:
        """The run is being left: whoever waits in `open` or in the work gets a StageError. For any thread."""

    def of(self, stream: str) -> Self:
        """The settings that hold for a stream."""
        own = self.streams.get(stream)
        return replace(self, streams={}, **own) if own else self

    def recorded(self) -> Mapping[str, Any]:
        """What of the settings decides the bytes of the events, for their header; nothing of this machine."""
        return {}


def checked(stage: Stage, before: Sequence[Item], after: Sequence[Item]) -> list[Item]:
    """What a stage gave, if it is what it may give.

    Raises:
        StageError: it did not give one item for each, in its place, or changed what it does not declare.
    """
    if not isinstance(after, list | tuple):
        raise StageError(f"the stage gave {_shown(after)} for {len(before)} items: expected a list of items")
    odd = [item for item in after if not isinstance(item, Item)]
    if odd:
        raise StageError(f"the stage gave a list with {_shown(odd[0])} in it: expected a list of items")
    frames = [(item.frame.stream, item.frame.index) for item in after]
    if frames != [(item.frame.stream, item.frame.index) for item in before]:
        raise StageError(f"the stage gave {len(after)} items for {len(before)}: expected one for each, in its place")
    for old, new in zip(before, after, strict=True):
        if new is not old:
            _check(stage, old, new)
    return list(after)


def checked_events(stage: Stage, said: Sequence[Event] | None) -> Sequence[Event]:
    """What a stage said at the end of a stream, if it is what it may say.

    Raises:
        StageError: something of it is not an event, or an event that the stage does not declare.
    """
    if said is None:
        return ()
    if not isinstance(said, list | tuple) or not all(isinstance(event, Event) for event in said):
        raise StageError(f"the stage gave {_shown(said)} at the end of a stream: expected a list of events")
    wrong = _undeclared(stage, said)
    if wrong:
        may = ", ".join(f"the event {name!r}" for name in stage.emits)
        raise StageError(f"it said {', '.join(wrong)}: it may say {may or 'nothing'}; see Stage.emits")
    return said


def _check(stage: Stage, before: Item, after: Item) -> None:
    for kind in stage.gives:
        result = after.results.get(kind)
        if (kind in after.results and not isinstance(result, kind.type)) or (kind in before.results and result is None):
            raise StageError(f"it gave {_shown(result)} for the result {kind.key!r}: expected {_a(kind.type)}")
    wrong = [
        f"the result {kind.key!r}"
        for kind in {**before.results, **after.results}
        if kind not in stage.gives and after.results.get(kind) is not before.results.get(kind)
    ]
    if after.frame is not before.frame:
        if not _is_same(before.frame, after.frame):
            wrong.append("the frame")
        elif not stage.changes_picture:
            wrong.append("the frame's picture")
        elif not hasattr(after.frame.picture, "bgr"):
            raise StageError(f"it gave {_shown(after.frame.picture)} for the frame's picture: expected an ArrayPicture")
    wrong += _undeclared(stage, after.events[len(before.events) :])
    if after.events[: len(before.events)] != before.events:
        wrong.append("the events of the stages before it")
    if (after.deadline, after.taken) != (before.deadline, before.taken):
        wrong.append("the deadline")
    if wrong:
        may = [f"the result {kind.key!r}" for kind in stage.gives]
        may += ["the frame's picture"] if stage.changes_picture else []
        may += [f"the event {name!r}" for name in stage.emits]
        raise StageError(f"it changed {', '.join(wrong)}: it may change {', '.join(may) or 'nothing'}; see Stage.gives")


def _is_same(before: Frame, after: Frame) -> bool:
    """Whether a frame is the same, but for its picture."""
    # Equality leaves out the times.
    times = (before.arrival, before.time, before.held) == (after.arrival, after.time, after.held)
    return times and replace(after, picture=before.picture) == before


def _undeclared(stage: Stage, events: Sequence[Event]) -> list[str]:
    return [f"the event {event.name!r}" for event in events if event.name not in stage.emits]


def _shown(value: object) -> str:
    return "None" if value is None else _a(type(value))


def _a(kind: type) -> str:
    name = kind.__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"

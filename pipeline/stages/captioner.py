"""The captioner stage: a sentence when the scene changes, after some time, or about each new object.

Of a file, a caption belongs to the frame that it is made from, which waits for it. Of a camera, it is made in a thread
of low priority beside the chain, and no frame waits: each has the newest caption that is there, with its age.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import Field

from watchline.engines import zoo
from watchline.engines.engine import Batch
from watchline.ops.detections import Detections
from watchline.ops.new_objects import NewObjects
from watchline.ops.scene import THUMBNAIL, SceneWatch
from watchline.ops.words import text_of
from watchline.pipeline.errors import one_line
from watchline.pipeline.kinds.caption import CAPTION, Caption
from watchline.pipeline.message import Event, Item
from watchline.pipeline.settings.duration import Seconds
from watchline.pipeline.stages.beside import Beside
from watchline.pipeline.stages.modelled import Engines, Modelled
from watchline.pipeline.stages.part import chosen, part_of
from watchline.pipeline.stages.stage import Work
from watchline.settings import Threads, flag, settings
from watchline.streams.frame import Frame
from watchline.streams.source import About

LOOK_EVERY = 0.2  # seconds from one look at the scene to the next
STANDS = 2.0  # seconds for which a caption stands before one about another object
NEARLY = 1e-6  # seconds: times are sums of fractions
Box = tuple[float, ...]

log = logging.getLogger(__name__)

EVENT = {
    "type": "object",
    "description": "A caption is over: the frames that it stood for",
    "required": ["text", "score", "frames", "seconds"],
    "additionalProperties": False,
    "properties": {
        "text": {"type": "string"},
        "score": {"type": "number"},
        "frames": {
            "description": "The first and the last one",
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "minItems": 2,
            "maxItems": 2,
        },
        "seconds": {
            "description": "When it began and ended, on the clock of the stream",
            "type": "array",
            "items": {"type": "number"},
            "minItems": 2,
            "maxItems": 2,
        },
        "box": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
    },
}


@settings
class Captioner(Modelled):
    """Settings of the captioner stage.

    Raises:
        SettingsError (a ValueError): there is no such setting, or it cannot be; all mistakes are named.
    """

    name = "captioner"
    gives = (CAPTION,)
    emits = MappingProxyType({"caption": EVENT})
    advice = "captions of files less often, another runtime or a GPU would help"
    workers = 2  # one for cameras, and one for files, whose frames wait for their captions
    per_stream = ("on_change", "interval", "objects")
    tasks = ("caption",)

    model: str = Field(
        default=zoo.CAPTIONER,
        description="say what the pictures show, by this model",
        json_schema_extra=flag("FILE|NAME", "caption"),
    )
    engines: Threads = Field(default=1, description="captions that are made at once")
    on_change: bool = Field(default=True, description="when the scene changes")
    interval: Seconds | None = Field(default=None, gt=0, description="also after so long without a new caption")
    objects: tuple[str, ...] = Field(
        default=(), description="about each new object of these classes, by its part of the picture"
    )

    def mistakes(self, labels: Sequence[str]) -> list[str]:
        some = [self, *map(self.of, self.streams)]
        if any(own.on_change or own.interval or own.objects for own in some):
            return []
        return ["on_change is off: expected an interval or objects, or there is no caption at all"]

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Load and warm up the engines. Raises what `load` raises."""
        with self.opened(self.engines) as engines, Beside[_Said](self.engines) as beside:
            yield Captioning(self, engines, beside)

    def recorded(self) -> dict[str, Any]:
        """What decides the captions."""
        return {"on_change": self.on_change, "interval": self.interval, "objects": list(self.objects)}


class Captioning(Work):
    """Captions several streams."""

    def __init__(self, settings: Captioner, engines: Engines, beside: "Beside[_Said]") -> None:
        self._settings = settings
        self._engines = engines
        self._beside = beside
        self._streams: dict[str, _Stream] = {}
        self.about = {"model": engines.about}

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        self._streams[stream] = _Stream(self._settings.of(stream))

    def end(self, stream: str) -> Sequence[Event]:
        gone = self._streams.pop(stream, None)
        self._beside.forget(gone)
        return gone.closed() if gone else ()

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return [self._captioned(item) for item in items]

    def _captioned(self, item: Item) -> Item:
        stream = self._streams.get(item.stream)
        if stream is None:  # nobody has said that it begins: it is called as a function
            stream = self._streams[item.stream] = _Stream(self._settings.of(item.stream))
        is_live = item.frame.epoch is not None
        wanted = stream.wanted(item, is_busy=is_live and self._beside.is_busy(stream))
        if wanted is not None:
            job = self._job(item.frame, wanted.box)
            if not is_live:
                return stream.shown(stream.replaced(item, job()))
            self._beside.put(stream, job)
        said = self._said(item.stream, stream) if is_live else None
        return stream.shown(item if said is None else stream.replaced(item, said))

    def _said(self, name: str, stream: "_Stream") -> "_Said | None":
        """What has been said beside the chain since the last frame."""
        try:
            return self._beside.taken(stream)
        except Exception as error:  # it costs no frame: the caption before stands on
            log.warning("%s: a caption failed: %s", name, one_line(error))
            return None

    def _job(self, frame: Frame, box: Box | None) -> Callable[[], "_Said"]:
        """What makes a caption; the frame's pixels are valid only now."""
        picture = part_of(frame, box).picture if box else frame.picture
        _, batch = self._engines.prepared([picture])
        made = Caption("", 0.0, frame.index, frame.seconds, box=box)
        return partial(self._caption, batch, made, frame.time)

    def _caption(self, batch: Batch, made: Caption, time: float | None) -> "_Said":
        outputs = self._engines.run(batch)
        text = text_of(outputs["words"][0, 0], self._engines.labels)
        score = min(0.0, float(outputs["scores"][0, 0]))
        return _Said(replace(made, text=text, score=score), time)


class _Wanted(NamedTuple):
    """What of a frame needs a caption: an object, or, without a box, the whole picture."""

    box: Box | None


class _Said(NamedTuple):
    """Attributes: time, when the caption's frame arrived, of a live stream."""

    caption: Caption
    time: float | None


@dataclass(eq=False)
class _Stream:
    """When a stream needs a caption, and which one it has.

    Attributes:
        looked: seconds of the last look at the scene.
        wanted_at: seconds of the frame that the last caption is of.
        current: the caption that stands; `time`, when its frame arrived.
        begun, last: index and seconds of the first frame that it stands for, and of the newest frame.
        step: seconds from the frame before to the newest one.
    """

    settings: Captioner
    scene: SceneWatch = field(default_factory=SceneWatch)
    objects: NewObjects = field(default_factory=NewObjects)
    looked: float = -math.inf
    wanted_at: float = -math.inf
    current: Caption | None = None
    time: float | None = None
    begun: tuple[int, float] = (0, 0.0)
    last: tuple[int, float] | None = None
    step: float = 0.0

    def wanted(self, item: Item, is_busy: bool) -> _Wanted | None:
        """Args: is_busy, whether a caption of the stream is being made: objects wait for it, a new scene does not."""
        frame = item.frame
        if self._is_due(frame):
            wanted: _Wanted | None = _Wanted(None)
        else:
            wanted = self._new_object(item.detections, frame.seconds, is_busy)
        if wanted is not None:
            self.wanted_at = frame.seconds
        return wanted

    def _is_due(self, frame: Frame) -> bool:
        if frame.file is not None:  # each photo is a scene of its own
            return True
        interval = self.settings.interval
        is_over = interval is not None and frame.seconds - self.wanted_at > interval - NEARLY
        if not self.settings.on_change or (not is_over and frame.seconds - self.looked < LOOK_EVERY - NEARLY):
            return is_over
        self.looked = frame.seconds
        thumbnail = frame.picture.scaled(*THUMBNAIL)
        if self.scene.changed(thumbnail, frame.seconds):
            return True
        if is_over:
            self.scene.settle(thumbnail)
        return is_over

    def _new_object(self, found: Detections | None, seconds: float, is_busy: bool) -> _Wanted | None:
        if not self.settings.objects or found is None or found.predicted is not None:
            return None
        found = chosen(found, self.settings.objects)
        may = not is_busy and seconds - self.wanted_at > STANDS - NEARLY
        rows = self.objects.among(found, seconds, most=int(may))
        return _Wanted(tuple(found.xyxy[rows[0]].tolist())) if rows else None

    def replaced(self, item: Item, said: _Said) -> Item:
        """The item, from which on a caption stands, with an event that the one before is over."""
        before, (self.current, self.time) = self.current, said
        caption = said.caption
        if before is not None and (before.text, before.box) == (caption.text, caption.box):
            return item
        if before is not None and self.last is not None:
            item = replace(item, events=(*item.events, self._over(before, self.last[0], item.frame.seconds)))
        self.begun = item.frame.index, item.frame.seconds
        return item

    def shown(self, item: Item) -> Item:
        """The item with the caption that stands, if there is one."""
        frame = item.frame
        self.step = frame.seconds - self.last[1] if self.last else 0.0
        self.last = frame.index, frame.seconds
        if self.current is None:
            return item
        age = None if frame.time is None or self.time is None else max(0.0, frame.time - self.time)
        return item.with_result(CAPTION, replace(self.current, age=age))

    def closed(self) -> list[Event]:
        """What is to be said at the end of the stream."""
        if self.current is None or self.last is None:
            return []
        return [self._over(self.current, self.last[0], self.last[1] + self.step)]

    def _over(self, caption: Caption, last: int, end: float) -> Event:
        data: dict[str, Any] = {"text": caption.text, "score": round(caption.score, 3)}
        data |= {"frames": [self.begun[0], last], "seconds": [round(self.begun[1], 3), round(end, 3)]}
        return Event("caption", data | ({} if caption.box is None else {"box": [round(x, 2) for x in caption.box]}))

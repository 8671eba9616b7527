"""The detector stage: letterbox, engine, non-maximum suppression, boxes back in source pixels."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from queue import SimpleQueue
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from watchline import engines
from watchline.engines import runtimes, zoo
from watchline.engines.engine import Engine
from watchline.errors import unknown
from watchline.ops.detections import Detections
from watchline.ops.letterbox import Fit, Rule, fit
from watchline.ops.select import select
from watchline.pipeline.cores import cores
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.message import Item
from watchline.pipeline.stages.stage import Stage, Work
from watchline.settings import Threads, flag, settings

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=1, le=8192)]
Batch = Annotated[int, Field(ge=1, le=256)]  # as TensorRT's plans and the requests between hosts have at most


def _workers(given: dict[str, Any]) -> int:
    """As many as the runtime wants; one per core if the file decides about the runtime."""
    runtime = given.get("runtime")
    return cores() if runtime is None else runtimes.find(runtime).workers(cores())


def _known(runtime: str) -> str:
    if runtime not in runtimes.NAMES:
        raise ValueError(runtimes.expected(runtime))
    return runtime


@settings
class Detector(Stage):
    """Settings of the detector stage.

    Raises:
        SettingsError (a ValueError): there is no such setting, or it cannot be; all mistakes are named.
    """

    name = "detector"
    order = "any"
    gives = (DETECTIONS,)
    is_always = True
    advice = "a smaller --imgsz, --every 2, another --runtime or a GPU would help"
    per_stream = ("conf", "iou", "classes", "every", "agnostic", "several")
    files = ("model",)

    model: str = Field(
        default=zoo.DEFAULT,
        description="a model file, or one that `watchline models` lists",
        json_schema_extra=flag("FILE|NAME"),
    )
    runtime: Annotated[str, AfterValidator(_known)] | None = Field(
        default=None,
        description=f"{runtimes.listed()}; without it, what fits the file and this machine",
        json_schema_extra=flag("NAME"),
    )
    imgsz: Side | tuple[Side, Side] | None = Field(
        default=None,
        description="pixels of the network's input, a square or width and height; without it, the model's own",
        json_schema_extra=flag("N|WxH"),
    )
    conf: Share = Field(
        default=0.25, description="leave out what has a lower score, 0 to 1", json_schema_extra=flag("CONF")
    )
    iou: Share = Field(
        default=0.45,
        description="of two boxes of a class that overlap more, the better one stays, 0 to 1",
        json_schema_extra=flag("IOU"),
    )
    agnostic: bool = Field(
        default=False,
        description="boxes of different classes suppress each other too: a car that is also a bus is shown once",
        json_schema_extra=flag(),
    )
    several: bool = Field(
        default=False,
        description="show a box for each class that scores enough, as Darknet does, not for its best class alone",
    )
    classes: tuple[str, ...] = Field(
        default=(),
        description="labels to look for; without any, all of the model's",
        json_schema_extra=flag("person,car"),
    )
    every: Count = Field(default=1, description="look at every n-th frame only", json_schema_extra=flag("N"))
    workers: Threads = Field(  # type: ignore[misc]
        default_factory=_workers,
        description="engines side by side; without it one per core, two on a GPU",
        json_schema_extra=flag("N"),
    )
    threads: Threads = Field(default=1, description="threads of each engine", json_schema_extra=flag("N"))
    batch: Batch = Field(  # type: ignore[misc]
        default=1, description="frames that an engine takes at once, if that many wait", json_schema_extra=flag("N")
    )

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the network's input, None for the model's own."""
        return (self.imgsz, self.imgsz) if isinstance(self.imgsz, int) else self.imgsz

    def load(self) -> Engine:
        """The engine that these settings ask for.

        Raises:
            EngineError: the model or the runtime is not to be had.
            ConfigError: the model does not detect, or knows no such class.
        """
        engine = engines.load(zoo.find(self.model), self.runtime, self.size, self.threads, self.batch)
        if engine.metadata.task != "detect":
            engine.close()
            raise ConfigError(
                f"{self.model}: its task is to {engine.metadata.task}; the detector needs one that detects"
            )
        labels = engine.metadata.labels
        of_streams = {stream: self.of(stream).classes for stream in self.streams}
        wrong = [unknown("class", c, labels) for c in self.classes if c not in labels]
        wrong += [
            f"{stream}: {unknown('class', c, labels)}"
            for stream, classes in of_streams.items()
            for c in classes
            if c not in labels
        ]
        if wrong:
            raise ConfigError("\n".join(wrong))
        return engine

    def check(self) -> None:
        self.load().close()

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Load and warm up an engine for each worker. Raises what `load` raises."""
        with ExitStack() as opened:
            first = opened.enter_context(closing(self.load()))
            engines_ = [first, *(opened.enter_context(closing(first.fork())) for _ in range(self.workers - 1))]
            for engine in engines_:
                engine.warm_up()
            yield Detecting(self, engines_)

    def recorded(self) -> dict[str, Any]:
        """What decides what is found; what few ask for is there only where it is on."""
        asked = {name: True for name in ("agnostic", "several") if getattr(self, name)}
        return {"conf": self.conf, "iou": self.iou, "classes": list(self.classes), "every": self.every} | asked


class Detecting(Work):
    """Detects with several engines, each for one caller at a time."""

    def __init__(self, settings: Detector, engines_: Sequence[Engine]) -> None:
        first = engines_[0]
        self._labels = first.metadata.labels
        self._settings = {"": settings} | {stream: settings.of(stream) for stream in settings.streams}
        self._wanted = {
            name: np.isin(self._labels, own.classes or self._labels) for name, own in self._settings.items()
        }
        self._free: SimpleQueue[Engine] = SimpleQueue()
        for engine in engines_:
            self._free.put(engine)
        self.about = {
            "model": {
                "name": first.metadata.name,
                "checkpoint": first.metadata.checkpoint,
                "size": list(first.size),
                "runtime": first.runtime,
                "labels": list(self._labels),
            }
        }

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        looked = [item for item in items if item.frame.index % self._settings[self._key(item)].every == 0]
        if not looked:
            return list(items)
        engine = self._free.get()
        try:
            found = self._detect(engine, looked)
        finally:
            self._free.put(engine)
        done = {id(item): item.with_result(DETECTIONS, d) for item, d in zip(looked, found, strict=True)}
        return [done.get(id(item), item) for item in items]

    def _key(self, item: Item) -> str:
        """Of the settings that hold for it."""
        return item.stream if item.stream in self._settings else ""

    def _detect(self, engine: Engine, items: Sequence[Item]) -> list[Detections]:
        width, height = engine.size
        rule = cast(Rule, engine.metadata.resize)
        pictures = [item.frame.picture for item in items]
        fits = [fit((picture.width, picture.height), engine.size, rule) for picture in pictures]
        batch = np.empty((len(pictures), height, width, 3), np.uint8)
        for picture, place, canvas in zip(pictures, fits, batch, strict=True):
            place.place(picture.scaled(*place.inner), canvas, engine.metadata.pad)
        outputs = engine.infer(batch)
        return [
            self._select(boxes, scores, self._key(item), place)
            for boxes, scores, item, place in zip(outputs["boxes"], outputs["scores"], items, fits, strict=True)
        ]

    def _select(self, boxes: NDArray[np.float32], scores: NDArray[np.float32], key: str, place: Fit) -> Detections:
        """From what the engine gives for one picture, (N, 4) and (N, C), to the detections in source pixels."""
        own, wanted = self._settings[key], self._wanted[key]
        found = select(
            boxes,
            scores,
            conf=own.conf,
            iou=own.iou,
            wanted=wanted,
            placement=place,
            several=own.several,
            agnostic=own.agnostic,
        )
        return Detections(*found, self._labels)

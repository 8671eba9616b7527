"""What the stages that run a model have in common: which file and runtime, how many engines, and pictures for them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from watchline import engines
from watchline.engines import runtimes, zoo
from watchline.engines.cores import cores
from watchline.engines.engine import Batch as Inputs
from watchline.engines.engine import Engine
from watchline.engines.tasks import IMAGES, PROPOSALS
from watchline.ops.class_map import ClassMap
from watchline.ops.detections import Detections
from watchline.ops.errors import LibraryMissing
from watchline.ops.letterbox import Fit, Rule, fit
from watchline.ops.masks import Masks
from watchline.ops.select import select
from watchline.ops.selective_search import enlarged, proposals, searched
from watchline.ops.superpixels import check_library
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.kinds.motion import MOTION
from watchline.pipeline.message import Item
from watchline.pipeline.stages.stage import Stage
from watchline.settings import Threads, flag, settings
from watchline.streams.frame import Picture

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
class Modelled(Stage):
    """Settings of a stage that runs a model.

    Attributes:
        tasks: which models it takes: keys of engines' TASKS.
    """

    tasks: ClassVar[tuple[str, ...]] = ()
    files = ("model",)

    model: str = Field(description="a model file, or one that `watchline models` lists")
    runtime: Annotated[str, AfterValidator(_known)] | None = Field(
        default=None,
        description=f"{runtimes.listed()}; without it, what fits the file and this machine",
        json_schema_extra=flag("NAME"),
    )
    precision: zoo.Precision = Field(
        default="auto",
        description="auto, fp32 or int8, of a model that ships; auto takes INT8 where the CPU gains from it",
        json_schema_extra=flag("NAME"),
    )
    imgsz: Side | tuple[Side, Side] | None = Field(
        default=None,
        description="pixels of the network's input, a square or width and height; without it, the model's own",
        json_schema_extra=flag("N|WxH"),
    )
    threads: Threads = Field(default=1, description="threads of each engine", json_schema_extra=flag("N"))

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the network's input, None for the model's own."""
        return (self.imgsz, self.imgsz) if isinstance(self.imgsz, int) else self.imgsz

    @property
    def file(self) -> Path:
        """Of the model. Raises what `zoo.chosen` raises."""
        return zoo.chosen(self.model, self.precision, self.runtime)

    @property
    def is_on_gpu(self) -> bool:
        """Whether the engine computes there. Raises ModelNotFound: there is no such file."""
        if self.runtime is not None:
            return runtimes.find(self.runtime).gpu
        able = runtimes.running(self.file.suffix.lower())
        return bool(able) and able[0].gpu

    def load(self) -> Engine:
        """The engine that these settings ask for.

        Raises:
            EngineError: the model or the runtime is not to be had.
            LibraryMissing: the model takes proposals, and what searches them is not installed.
            ConfigError: the model is for another task, or the settings do not fit it.
        """
        engine = engines.load(self.file, self.runtime, self.size, self.threads, self.batch)
        task = engine.metadata.task
        wrong = self.mistakes(engine.metadata.labels)
        if task not in self.tasks:
            wrong = [f"{self.model}: its task is {task!r}: the {self.name} needs {' or '.join(map(repr, self.tasks))}"]
        if wrong:
            engine.close()
            raise ConfigError("\n".join(wrong))
        try:
            if PROPOSALS.name in engine.rows:
                check_library()
        except LibraryMissing:
            engine.close()
            raise
        return engine

    def mistakes(self, labels: Sequence[str]) -> list[str]:
        """A line for each setting that does not fit a model with these labels."""
        return []

    def check(self) -> None:
        self.load().close()

    @contextmanager
    def opened(self, count: int) -> Iterator["Engines"]:
        """So many engines, warmed up. Raises what `load` raises."""
        with ExitStack() as opened:
            first = opened.enter_context(closing(self.load()))
            forks = [opened.enter_context(closing(first.fork())) for _ in range(count - 1)]
            for engine in (first, *forks):
                engine.warm_up()
            yield Engines((first, *forks))


@settings
class EachFrame(Modelled):
    """Settings of a stage that runs a model on frames in any order, with an engine for each worker."""

    order = "any"

    workers: Threads = Field(  # type: ignore[misc]
        default_factory=_workers,
        description="engines side by side; without it one per core, two on a GPU",
        json_schema_extra=flag("N"),
    )
    batch: Batch = Field(  # type: ignore[misc]
        default=1, description="frames that an engine takes at once, if that many wait", json_schema_extra=flag("N")
    )


def is_due(item: Item, every: int) -> bool:
    """Whether a stage looks at a frame: at each n-th; with a motion stage, at each n-th of a row that is worth it."""
    movement = item.result(MOTION)
    number = item.frame.index if movement is None else movement.number
    return number is not None and number % every == 0


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model gives for one picture.

    Attributes:
        arrays: by name, as the model's task says, without the first dimension.
        labels: of the model.
        place: where the picture was in the model's input.
        merge: whether boxes of one object are merged, not suppressed.
    """

    arrays: Mapping[str, NDArray[Any]]
    labels: tuple[str, ...]
    place: Fit
    merge: bool = False

    def detections(self, **settings: Any) -> Detections:
        """Of the tasks that find boxes: what is shown, in pixels of the picture, with masks if the model gives them.

        Args:
            settings: of `ops.select.select`.
        """
        boxes = self.arrays["boxes"]
        found = select(boxes, self.arrays["scores"], placement=self.place, merge=self.merge, **settings)
        masks = None
        if "masks" in self.arrays:
            width, height = self.place.source
            whole = self.place.beyond_source(boxes[found.rows])
            masks = Masks.from_boxes(whole, self.arrays["masks"][found.rows], (height, width))
        return Detections(found.boxes, found.scores, found.classes, self.labels, masks=masks)

    def class_map(self, numbers: NDArray[np.uint8], is_written: bool = True) -> ClassMap:
        """Of the task "segment": the classes of the picture's pixels.

        Args:
            numbers: (256,), what each number of the network becomes.
            is_written: whether the pixels stand in the lines of events.
        """
        (x, y), (width, height) = self.place.corner, self.place.inner
        return ClassMap(numbers[self.arrays["classes"][y : y + height, x : x + width]], self.labels, is_written)


class Engines:
    """Engines of one model, each for one caller at a time.

    Attributes:
        about: what runs here, for the header of the events.
        labels: of the model.
        words: of the model, if it answers questions.
        task: of the model.
    """

    def __init__(self, engines_: Sequence[Engine]) -> None:
        first = engines_[0]
        self.labels = first.metadata.labels
        self.words = first.metadata.words
        self.task = first.metadata.task
        self._merge = first.metadata.candidates == "merge"
        self._first = first  # for its size and metadata alone
        self.about: dict[str, Any] = {
            "name": first.metadata.name,
            "checkpoint": first.metadata.checkpoint,
            "size": list(first.size),
            "runtime": first.runtime,
        }
        self._free: SimpleQueue[Engine] = SimpleQueue()
        for engine in engines_:
            self._free.put(engine)

    def infer(self, pictures: Sequence[Picture]) -> list["Outputs"]:
        """What the model gives for each of some pictures of any sizes. Raises what `run` raises."""
        fits, batch = self.prepared(pictures)
        return self.outputs(self.run(batch), fits)

    def outputs(self, arrays: Mapping[str, NDArray[Any]], fits: Sequence[Fit]) -> list["Outputs"]:
        """What `run` gave for pictures that are there in its input, picture by picture."""
        return [
            Outputs({name: rows[n] for name, rows in arrays.items()}, self.labels, place, self._merge)
            for n, place in enumerate(fits)
        ]

    def prepared(self, pictures: Sequence[Picture]) -> tuple[list[Fit], Inputs]:
        """As `prepared`, for these engines."""
        return prepared(self._first, pictures)

    def fitted(self, pictures: Sequence[Picture]) -> tuple[list[Fit], NDArray[np.uint8]]:
        """As `fitted`, for these engines."""
        return fitted(self._first, pictures)

    def run(self, batch: Inputs) -> dict[str, NDArray[Any]]:
        """What a free engine gives for them. Raises what `Engine.infer` raises."""
        engine = self._free.get()
        try:
            return engine.infer(batch)
        finally:
            self._free.put(engine)


def prepared(engine: Engine, pictures: Sequence[Picture]) -> tuple[list[Fit], Inputs]:
    """Pictures as a model takes them, with proposals if it takes these, and where each is in its input."""
    fits, batch = fitted(engine, pictures)
    if PROPOSALS.name not in engine.rows:
        return fits, batch
    count, _ = engine.rows[PROPOSALS.name]
    boxes = np.stack([_proposed(picture, place, count) for picture, place in zip(pictures, fits, strict=True)])
    return fits, {IMAGES.name: batch, PROPOSALS.name: boxes}


def fitted(engine: Engine, pictures: Sequence[Picture]) -> tuple[list[Fit], NDArray[np.uint8]]:
    """Pictures in the size of a model's input, (B, H, W, 3) uint8 BGR, and where each is in it."""
    width, height = engine.size
    rule = cast(Rule, engine.metadata.resize)
    fits = [fit((picture.width, picture.height), engine.size, rule) for picture in pictures]
    batch = np.empty((len(pictures), height, width, 3), np.uint8)
    for picture, place, canvas in zip(pictures, fits, batch, strict=True):
        place.place(picture.scaled(*place.inner), canvas, engine.metadata.pad)
    return fits, batch


def _proposed(picture: Picture, place: Fit, count: int) -> NDArray[np.float32]:
    """So many proposals of a picture, (count, 4) xyxy in pixels of the input where it is."""
    found = proposals(picture.scaled(*searched(place.source)), count)
    return place.to_network(enlarged(found, place.source))

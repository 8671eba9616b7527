"""Small real sources and stages for tests of the running system."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.drawn import DRAWN
from watchline.pipeline.message import Item
from watchline.pipeline.stages.stage import Process, Stage
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.source import LIVE_TIME_BASE, About, Missed


@dataclass(frozen=True)
class Numbers:
    """A source of 4 x 4 frames whose grey is their index. It breaks after `breaks_after` frames, if given."""

    stream: str
    frames: int
    breaks_after: int | None = None

    @contextmanager
    def open(self) -> Iterator["Numbers.Reader"]:
        yield Numbers.Reader(self)

    @dataclass
    class Reader:
        source: "Numbers"

        @property
        def about(self) -> About:
            return About(self.source.stream, 4, 4, Fraction(1, 25), Fraction(25), self.source.frames)

        @property
        def notes(self) -> list[str]:
            return [f"{self.source.frames} frames of grey"]

        def __iter__(self) -> Iterator[Frame]:
            for i in range(self.source.frames):
                if i == self.source.breaks_after:
                    raise OSError("the cable was cut")
                pixels = np.full((4, 4, 3), i % 256, np.uint8)
                yield Frame(self.source.stream, i, i, Fraction(1, 25), ArrayPicture(pixels), time.monotonic())


@dataclass(frozen=True)
class Step(Stage):
    """A stage that calls `work` on each item, which may raise, wait, or change the item.

    With several workers, its frames need no order.
    """

    gives = (DETECTIONS, DRAWN)

    name: str
    work: Callable[[Item], Item]
    workers: int = 1
    batch: int = 1
    sizes: list[int] = field(default_factory=list)  # of its batches

    @property
    def order(self) -> str:
        return "any" if self.workers > 1 else "stream"

    @contextmanager
    def open(self) -> Iterator[Process]:
        def process(items: Sequence[Item]) -> list[Item]:
            self.sizes.append(len(items))
            return [self.work(item) for item in items]

        yield process


def numbered(count: int, stream: str = "a") -> list[Item]:
    """The first items of a stream."""
    with Numbers(stream, count).open() as reader:
        return [Item(frame) for frame in reader]


SILENCE = 4.0  # seconds, longer than every time-out in the tests


@dataclass(frozen=True)
class Script:
    """A live source that follows a script, epoch after epoch, and is silent after the last one.

    Each epoch is a list of: an integer (number of frames), a float (seconds to wait), a function to call, a Missed to
    yield, or an exception to raise. An exception that comes first is raised by `open`.
    """

    stream: str
    epochs: list[list[int | float | Callable[[], object] | Missed | Exception]]
    ends: bool = False
    opened: list[float] = field(default_factory=list)
    live = True

    @property
    def name(self) -> str:
        return f"script of {self.stream}"

    @contextmanager
    def open(self) -> Iterator["Script.Reader"]:
        self.opened.append(time.monotonic())
        steps = self.epochs[len(self.opened) - 1] if len(self.opened) <= len(self.epochs) else [SILENCE]
        if steps and isinstance(steps[0], Exception):
            raise steps[0]
        yield Script.Reader(self.stream, steps)

    @dataclass
    class Reader:
        stream: str
        steps: list[int | float | Callable[[], object] | Missed | Exception]

        @property
        def about(self) -> About:
            return About(self.stream, 4, 4, LIVE_TIME_BASE, Fraction(25))

        def __iter__(self) -> Iterator[Frame | Missed]:
            count = 0
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, Missed):
                    yield step
                elif isinstance(step, float):
                    time.sleep(step)
                elif callable(step):
                    step()
                else:
                    for _ in range(step):
                        pixels = ArrayPicture(np.full((4, 4, 3), count, np.uint8))
                        yield Frame(self.stream, count, count * 3600, LIVE_TIME_BASE, pixels, time=time.time())
                        count += 1

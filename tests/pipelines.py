"""Small real sources and stages for tests of the running system."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from watchline.pipeline.message import Item
from watchline.pipeline.stage import Process
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.source import About


@dataclass(frozen=True)
class Numbers:
    """A source of 4 x 4 frames that carry their index as grey; breaks after `breaks_after` frames, if given."""

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
class Step:
    """A stage that calls a function on each item; `work` may raise, wait, or change it."""

    name: str
    work: Callable[[Item], Item]
    workers: int = 1
    batch: int = 1
    sizes: list[int] = field(default_factory=list)  # of the batches it was given

    @contextmanager
    def open(self) -> Iterator[Process]:
        def process(items: Sequence[Item]) -> list[Item]:
            self.sizes.append(len(items))
            return [self.work(item) for item in items]

        yield process


def numbered(count: int, stream: str = "a") -> list[Item]:
    """Items 1, 2, … of a stream."""
    with Numbers(stream, count).open() as reader:
        return [Item(i, frame) for i, frame in enumerate(reader, 1)]

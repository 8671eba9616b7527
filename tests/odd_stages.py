"""Stages that another process can import: one that does nothing, one that is slow, fails, dies or hangs when told."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from watchline.ops.detections import Detections
from watchline.pipeline.message import Item
from watchline.pipeline.stages.stage import Process


@dataclass(frozen=True)
class Echo:
    """Gives back what it gets; with `draw`, the picture as drawn. It needs its frames in order: one worker."""

    name = "echo"
    workers = 1
    batch = 4

    draw: bool = False

    @contextmanager
    def open(self) -> Iterator[Process]:
        def process(items: Sequence[Item]) -> list[Item]:
            return [replace(i, drawn=i.frame.picture.bgr().copy()) for i in items] if self.draw else list(items)

        yield process


@dataclass(frozen=True)
class Clumsy:
    """Says its process's id as the label of its detections. Frames are named by their index.

    Attributes:
        dies_at: frames at which it dies of SIGKILL; with `once`, a folder, only the first time.
        fails_at, hangs_at: frames at which it raises, or never ends.
        slow: seconds a frame.
        broken: what `open` raises.
    """

    name = "clumsy"
    batch = 4

    workers: int = Field(default=1, ge=1)
    dies_at: tuple[int, ...] = ()
    once: Path | None = None
    fails_at: tuple[int, ...] = ()
    hangs_at: tuple[int, ...] = ()
    slow: float = 0.0
    broken: str = ""

    @contextmanager
    def open(self) -> Iterator[Process]:
        if self.broken:
            raise LookupError(self.broken)
        yield lambda items: [self._do(item) for item in items]

    def _do(self, item: Item) -> Item:
        index = item.frame.index
        time.sleep(self.slow)
        if index in self.dies_at and self._first(index):
            os.kill(os.getpid(), signal.SIGKILL)
        if index in self.fails_at:
            raise ValueError(f"cannot\n do {index}")
        while index in self.hangs_at:
            time.sleep(0.05)
        box, score, kind = np.array([[index, 0, 4, 4]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
        return replace(item, detections=Detections(box, score, kind, (str(os.getpid()),)))

    def _first(self, index: int) -> bool:
        if self.once is None:
            return True
        mark = self.once / f"died-at-{index}"
        first = not mark.exists()
        mark.touch()
        return first

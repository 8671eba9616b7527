"""Stages that another process can import: one that does nothing, and one that can be slow, fail, die or hang."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import Field

from watchline.ops.detections import Detections
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.drawn import DRAWN
from watchline.pipeline.message import Item
from watchline.pipeline.stages.stage import Plain, Process, Stage, Work
from watchline.settings import settings


@settings
class Echo(Stage):
    """Returns its items; with `draw`, with the picture as drawn. It needs its frames in order: one worker."""

    name = "echo"
    batch = 4
    gives = (DRAWN,)

    draw: bool = False

    @contextmanager
    def open(self) -> Iterator[Process]:
        def process(items: Sequence[Item]) -> list[Item]:
            return [i.with_result(DRAWN, i.frame.picture.bgr().copy()) for i in items] if self.draw else list(items)

        yield process


@settings
class Clumsy(Stage):
    """A stage with faults. The label of its detections is the id of its process.

    Attributes:
        dies_at: indices of frames at which it dies of SIGKILL; with `once`, a folder, only the first time.
        fails_at, hangs_at: indices of frames at which it raises, or never ends.
        slow: seconds per frame.
        broken: text of the error that `open` raises.
    """

    name = "clumsy"
    order = "any"
    batch = 4
    gives = (DETECTIONS,)

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
        return item.with_result(DETECTIONS, Detections(box, score, kind, (str(os.getpid()),)))

    def _first(self, index: int) -> bool:
        if self.once is None:
            return True
        mark = self.once / f"died-at-{index}"
        first = not mark.exists()
        mark.touch()
        return first


@settings
class Odd(Stage):
    """Is open, and says of what runs there what is not JSON, or ends its thread.

    Attributes:
        how: "about", "exit".
    """

    name = "odd"
    order = "any"

    how: str = "about"

    @contextmanager
    def open(self) -> Iterator[Work]:
        if self.how == "exit":
            raise SystemExit("no licence")
        yield Plain(list, {"when": {1, 2}})

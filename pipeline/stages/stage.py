"""What a stage is: frozen settings that open into a plain function over messages.

A stage never sees a queue or a socket. In a test or a notebook:

    with Detector(model="yolov2-lite0").open() as process:
        [item] = process([Item(0, frame)])
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from watchline.pipeline.message import Item

Process = Callable[[Sequence[Item]], list[Item]]


class Stage(Protocol):
    """Settings of a stage (frozen, picklable); its constructor is the schema of its table in the config."""

    @property
    def name(self) -> str:
        """Its name in reports and errors, e.g. "detector"."""
        ...

    @property
    def workers(self) -> int:
        """How many threads run it at once. More than one only where a frame needs no other frame."""
        ...

    @property
    def batch(self) -> int:
        """The most frames that one call of `process` takes; only those that wait already are put together."""
        ...

    def open(self) -> AbstractContextManager[Process]:
        """Load what the stage needs. Called once in each worker, in the thread that will run `process`."""
        ...

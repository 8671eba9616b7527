"""A sink as its user writes it, in one file: what has come of each stream, a line each.

Tests copy this file into the folder they work in. It takes nothing from the tests.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pydantic import Field

from watchline import Message, Opening, Sink, Writer
from watchline.settings import settings


@settings
class Mine(Sink):
    name = "mine"
    advice = "a faster pen would help"

    folder: Path = Field(description="where to write")
    breaks_at: int = Field(default=-1, ge=-1, description="message from which on it fails")
    slow: float = Field(default=0, ge=0, description="seconds that it takes for a message")

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        if self.breaks_at == 0:
            raise OSError("no ink")
        with (self.folder / f"{opening.stream}.txt").open("w") as file:
            print(opening.header["source"], file=file)
            yield MineWriter(file, self.breaks_at, self.slow)
            print("closed", file=file)


@settings
class MineAll(Mine):
    """The same, and what it has not written counts as lost."""

    must = True


class MineWriter:
    def __init__(self, file: TextIO, breaks_at: int, slow: float) -> None:
        self.paths = [Path(file.name)]
        self.notes: list[str] = []
        self.file = file
        self.left = breaks_at
        self.slow = slow

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        time.sleep(self.slow)
        self.left -= 1
        if self.left == 0:
            self.left = 1
            raise ValueError("the pen\nis broken")
        print(type(message).__name__, len(lines), file=self.file)
        self.notes = ["written by hand"]

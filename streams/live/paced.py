"""A file played at its own speed, as if it were a camera: for trying out what will run on cameras."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from watchline.settings import settings
from watchline.streams.file import GUESSED_RATE, FileReader, FileSource
from watchline.streams.frame import Frame
from watchline.streams.source import LIVE_TIME_BASE, About


@settings
class PacedSource:
    """A live source over a file.

    Attributes:
        file: what is played.
        loop: from the beginning again after its end, until the reader is closed.
    """

    file: FileSource
    loop: bool = False
    live: ClassVar[Literal[True]] = True

    @property
    def ends(self) -> bool:
        return not self.loop

    @property
    def stream(self) -> str:
        return self.file.stream

    @property
    def path(self) -> Path:
        """The file's."""
        return self.file.path

    @property
    def name(self) -> str:
        return self.path.name

    @contextmanager
    def open(self) -> Iterator["PacedReader"]:
        """Opens the file and decodes its first frame; leaving ends a wait of the reader for its next frame at once.

        Raises:
            StreamError: as FileSource.open.
        """
        with ExitStack() as opened:
            reader = PacedReader(self, opened)
            try:
                yield reader
            finally:
                reader.closed.set()


class PacedReader:
    """A file being played: each frame is given when it is due, or at once if that is past already, never left out.

    Attributes:
        about: of the file, with the times of a live stream; without audio to carry over, as frames may be dropped.
        closed: once set, no more frames come.
    """

    def __init__(self, source: PacedSource, opened: ExitStack) -> None:
        self.closed = threading.Event()
        self._source = source
        self._opened = opened
        self._file: FileReader = opened.enter_context(source.file.open())
        frames = None if source.loop else self._file.about.frames
        self.about: About = replace(self._file.about, time_base=LIVE_TIME_BASE, frames=frames, path=None)
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        """What was odd in the file, each line once however often it is played."""
        return list(dict.fromkeys([*self._notes, *self._file.notes]))

    def __iter__(self) -> Iterator[Frame]:
        """Frames from the moment of the first call on, with `time` and `arrival` of when they are given.

        Raises:
            SourceTruncated: after the last frame, if the file ends before its container says.
        """
        start = time.monotonic()
        last = -1
        numbers = itertools.count()
        for seconds, frame in self._played():
            if self.closed.wait(max(0.0, start + seconds - time.monotonic())):
                return
            last = max(last + 1, round(seconds / LIVE_TIME_BASE))
            yield replace(
                frame,
                index=next(numbers),
                pts=last,
                time_base=LIVE_TIME_BASE,
                arrival=time.monotonic(),
                time=time.time(),
            )

    def _played(self) -> Iterator[tuple[float, Frame]]:
        """The frames, each with its seconds from the start of the first round."""
        begin = 0.0
        while True:
            step = float(1 / (self.about.rate or GUESSED_RATE))
            first, end = None, begin
            for frame in self._file:
                first = frame.seconds if first is None else first
                seconds = begin + frame.seconds - first
                yield seconds, frame
                end = seconds + step
            if not self._source.loop:
                return
            begin = end
            self._again()

    def _again(self) -> None:
        self._notes = self.notes
        self._opened.close()
        self._file = self._opened.enter_context(self._source.file.open())

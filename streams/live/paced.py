"""A file played at its own speed, as if it were a camera: for trying out a configuration for cameras."""

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
        file: the file to play.
        loop: whether to start again at the end, until the reader is closed.
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
        """The path of the file."""
        return self.file.path

    @property
    def name(self) -> str:
        return self.path.name

    @contextmanager
    def open(self) -> Iterator["PacedReader"]:
        """Opens the file and decodes its first frame. On exit, a reader that waits for its next frame ends at once.

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
    """Plays a file. Each frame is yielded when it is due, or at once if it is late already. No frame is left out.

    Attributes:
        about: of the file, with the time base of a live stream. Its `path` is None, so no audio is copied, because
            frames may be dropped later.
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
        """Problems in the file, each line once, however often the file is played."""
        return list(dict.fromkeys([*self._notes, *self._file.notes]))

    def __iter__(self) -> Iterator[Frame]:
        """Frames, the first at once. `time` and `arrival` are the moments at which they are yielded.

        Raises:
            SourceTruncated: after the last frame, if the file is shorter than its container says.
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
        """The frames, each with its time in seconds since the start of the first round."""
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

"""A file played again and again, as fast as it is taken, or at a given rate: what a measurement of speed reads."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from watchline.streams.errors import SourceUnreadable
from watchline.streams.file import FileSource
from watchline.streams.frame import Frame
from watchline.streams.source import LIVE_TIME_BASE, About


@dataclass(frozen=True)
class Repeated:
    """A source over a file that has no end.

    Attributes:
        path: the file.
        stream: its name in every output.
        rate: frames per second at which it plays, as a camera would; None for a file, which waits until it is taken.
        threads: decode threads.
    """

    path: Path
    stream: str
    rate: float | None = None
    threads: int = 1
    ends = False  # of a camera: the end of the stream would be a lost connection

    @property
    def live(self) -> bool:
        """Whether frames come when they come."""
        return self.rate is not None

    @property
    def name(self) -> str:
        return self.path.name

    @contextmanager
    def open(self) -> Iterator["RepeatedReader"]:
        """Raises StreamError: as FileSource.open. On exit, a reader that waits for its next frame ends at once."""
        with FileSource(self.path, self.stream, self.threads).open() as reader:
            about = reader.about
        repeated = RepeatedReader(self, about)
        try:
            yield repeated
        finally:
            repeated.closed.set()


class RepeatedReader:
    """Plays the file, and begins anew at its end.

    Attributes:
        about: of the file, without a number of frames and without a path, so that no audio is copied.
        closed: once set, no more frames come.
    """

    def __init__(self, source: Repeated, about: About) -> None:
        self.closed = threading.Event()
        self._source = source
        self._rate = Fraction(source.rate or about.rate or 25).limit_denominator(1000)
        base = LIVE_TIME_BASE if source.live else 1 / self._rate
        self.about = replace(about, time_base=base, rate=self._rate, frames=None, path=None)

    def __iter__(self) -> Iterator[Frame]:
        """Frames, of a rate at the moments at which they are due, or at once if that is past: none is left out.

        Raises:
            SourceUnreadable: the file has no frames.
        """
        start = time.monotonic()
        for index, frame in enumerate(self._played()):
            seconds = index / self._rate
            timed = replace(
                frame, index=index, pts=round(seconds / self.about.time_base), time_base=self.about.time_base
            )
            if not self._source.live:
                yield timed
            elif self.closed.wait(max(0.0, start + float(seconds) - time.monotonic())):
                return
            else:
                yield replace(timed, arrival=time.monotonic(), time=time.time())

    def _played(self) -> Iterator[Frame]:
        file = FileSource(self._source.path, self._source.stream, self._source.threads)
        while not self.closed.is_set():
            with file.open() as reader:
                frames = 0
                for frame in reader:
                    frames += 1
                    yield frame
            if not frames:
                raise SourceUnreadable(f"{self._source.path}: it has no frames")

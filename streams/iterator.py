"""Frames from any iterable of NumPy arrays, with or without times."""

import math
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import numpy as np

from watchline.settings import closed
from watchline.streams.errors import SourceUnreadable
from watchline.streams.frame import ArrayPicture, Frame, Image
from watchline.streams.source import About

MICROSECOND = Fraction(1, 1_000_000)


@closed
@dataclass(frozen=True)
class IteratorSource:
    """Arrays (H, W, 3) uint8 BGR, or pairs (array, seconds).

    A writable array is copied, so its owner may reuse it for the next frame.

    Attributes:
        frames: the arrays or pairs. A generator can be opened once.
        stream: its name in every output.
        rate: frames per second of arrays without times.
    """

    frames: Iterable[Image | tuple[Image, float]]
    stream: str = "frames"
    rate: float | Fraction = 25

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate}: expected more than 0 frames per second")

    @contextmanager
    def open(self) -> Iterator["IteratorReader"]:
        """Takes the first frame.

        Raises:
            SourceUnreadable: there is no frame, or the first is not a picture.
        """
        yield IteratorReader(self)


class IteratorReader:
    """Reads the arrays. The first one decides whether frames have times."""

    notes: tuple[str, ...] = ()

    def __init__(self, source: IteratorSource) -> None:
        frames = iter(source.frames)
        first = next(frames, None)
        if first is None:
            raise SourceUnreadable(f"{source.stream}: the iterator gave no frame; expected one or more arrays")
        self._stream = source.stream
        self._timed = isinstance(first, tuple)
        self._frames = chain([first], frames)
        rate = Fraction(float(source.rate)).limit_denominator(1001)
        picture = self._picture(0, self._split(0, first)[0])
        self.about = About(
            name=source.stream,
            width=picture.width,
            height=picture.height,
            time_base=MICROSECOND if self._timed else 1 / rate,
            rate=None if self._timed else rate,
            frames=_length(source.frames),
        )

    def __iter__(self) -> Iterator[Frame]:
        """The frames, once. Times are kept to the microsecond.

        Raises:
            SourceUnreadable: a frame is not a picture, has no time, or its time is not after the one before.
        """
        last = None
        for index, item in enumerate(self._frames):
            array, seconds = self._split(index, item)
            pts = index if seconds is None else round(Fraction(seconds) / MICROSECOND)
            if last is not None and pts <= last:
                raise SourceUnreadable(
                    f"{self._stream}: frame {index} has the time {seconds} s, which is not after the one before"
                )
            last = pts
            yield Frame(self._stream, index, pts, self.about.time_base, self._picture(index, array), time.monotonic())

    def _split(self, index: int, item: Image | tuple[Image, float]) -> tuple[Image, float | None]:
        if isinstance(item, tuple) != self._timed:
            expected = "a pair (array, seconds)" if self._timed else "an array"
            raise SourceUnreadable(f"{self._stream}: frame {index} is not like the first: expected {expected}")
        if not isinstance(item, tuple):
            return item, None
        array, given = item
        try:
            seconds = float(given)  # Fraction does not accept np.float32
        except (TypeError, ValueError):
            seconds = math.nan
        if not math.isfinite(seconds):
            raise SourceUnreadable(f"{self._stream}: frame {index} has the time {given}: expected seconds")
        return array, seconds

    def _picture(self, index: int, array: Image) -> ArrayPicture:
        if not isinstance(array, np.ndarray):
            raise SourceUnreadable(
                f"{self._stream}: frame {index} is of type {type(array).__name__}: "
                "expected an array, uint8 (height, width, 3), BGR"
            )
        try:
            return ArrayPicture(array.copy() if array.flags.writeable else array)
        except ValueError as error:
            raise SourceUnreadable(f"{self._stream}: frame {index}: {error}") from error


def _length(frames: Iterable[object]) -> int | None:
    """Number of frames, if it is known without taking them."""
    return len(frames) if isinstance(frames, Sized) else None

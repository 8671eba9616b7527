"""A frame: one picture of a stream and its time. The one currency between sources, stages and sinks.

Pixels are BGR, uint8, (H, W, 3), everywhere in Watchline; RGB appears only at the border of what asks for it.
"""

import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class Picture(Protocol):
    """Pixels that are converted when somebody asks, in the thread that asks, and for the size that is asked for.

    A decoded picture is made from YUV straight to the size of the network, so that the full-size BGR picture is paid
    for only where it is drawn on or handed out.
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def bgr(self) -> Image:
        """The whole picture (H, W, 3), read-only; whoever draws, copies."""
        ...

    def scaled(self, width: int, height: int) -> Image:
        """The picture resampled to (height, width, 3), read-only."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayPicture:
    """A picture that is an array already: (H, W, 3) uint8 BGR. The array is frozen, not copied."""

    pixels: Image

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(
                f"a picture is {self.pixels.dtype} {self.pixels.shape}: expected uint8 (height, width, 3) in BGR order"
            )
        self.pixels.flags.writeable = False

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    def bgr(self) -> Image:
        return self.pixels

    def scaled(self, width: int, height: int) -> Image:
        if (width, height) == (self.width, self.height):
            return self.pixels
        return np.asarray(cv2.resize(self.pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stream.

    Attributes:
        stream: name of the stream.
        index: 0, 1, 2, … of the frames decoded from the stream, without gaps.
        pts: presentation time in units of `time_base`, as the container says.
        time_base: seconds per unit of `pts`.
        picture: its pixels.
        arrival: `time.monotonic()` when the source delivered it; now, if it is not given.
        file: name of the picture's file, for streams made of photos.
        epoch: of a live stream, how often it was connected again before; None for a file.
        time: of a live stream, when the frame arrived, in seconds since 1970 (UTC); None for a file.
    """

    stream: str
    index: int
    pts: int
    time_base: Fraction
    picture: Picture
    arrival: float = field(default_factory=time.monotonic, compare=False)
    file: str | None = None
    epoch: int | None = None
    time: float | None = field(default=None, compare=False)

    @property
    def seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    @property
    def width(self) -> int:
        return self.picture.width

    @property
    def height(self) -> int:
        return self.picture.height

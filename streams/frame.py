"""A frame: one picture of a stream, and its time. Sources, stages and sinks exchange frames.

Pixels are BGR, uint8, (H, W, 3), everywhere in Watchline. RGB is used only at the border to code that needs it.
"""

import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Grey = NDArray[np.uint8]
"""(H, W) uint8, the brightness of a picture."""


class Picture(Protocol):
    """Pixels that are converted on request, in the thread that asks, to the size that is asked for.

    A decoded picture is scaled from YUV directly to the network's size. The full-size BGR picture is computed only if
    somebody draws on it or takes it.
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def bgr(self) -> Image:
        """The full-size picture (H, W, 3), read-only. Code that draws on it makes a copy."""
        ...

    def drawable(self) -> Image:
        """The full-size picture (H, W, 3) once more, which the caller may change."""
        ...

    def scaled(self, width: int, height: int) -> Image:
        """The picture resampled to (height, width, 3), read-only."""
        ...

    def grey(self, width: int, height: int) -> Grey:
        """Its brightness resampled to (height, width); of a decoded picture, its luma as it is coded."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayPicture:
    """A picture that is an array already: (H, W, 3) uint8 BGR. The array becomes read-only; it is not copied."""

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

    def drawable(self) -> Image:
        return self.pixels.copy()

    def scaled(self, width: int, height: int) -> Image:
        if (width, height) == (self.width, self.height):
            return self.pixels
        return np.asarray(cv2.resize(self.pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)

    def grey(self, width: int, height: int) -> Grey:
        return np.asarray(cv2.cvtColor(self.scaled(width, height), cv2.COLOR_BGR2GRAY), np.uint8)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stream.

    Attributes:
        stream: name of the stream.
        index: number of the frame in its stream: 0, 1, 2, …, without gaps.
        pts: presentation time in units of `time_base`, from the container.
        time_base: seconds per unit of `pts`.
        picture: its pixels.
        arrival: `time.monotonic()` when it arrived; the current time by default.
        file: name of the photo's file, for streams of photos.
        epoch: number of the live stream's connection, from 0; None for a file.
        time: when the frame of a live stream arrived, in seconds since 1970 (UTC); None for a file.
        profile: the ICC profile of a photo's colours; None without one, and for videos.
        held: seconds for which the source then held it until it was due: HLS comes in groups of some seconds.
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
    profile: bytes | None = field(default=None, compare=False, repr=False)
    held: float = field(default=0.0, compare=False)

    @property
    def image(self) -> Image:
        """The full-size picture (H, W, 3) uint8 BGR, read-only. Draw on `frame.image.copy()`."""
        return self.picture.bgr()

    @property
    def due(self) -> float:
        """`time.monotonic()` when the source delivered it: latency budgets count from here."""
        return self.arrival + self.held

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

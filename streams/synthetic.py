"""A test pattern: boxes at known positions move over a grey ramp. The same settings give the same pixels."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from watchline.settings import settings
from watchline.streams.frame import ArrayPicture, Frame, Image
from watchline.streams.source import About

COLOURS = ((60, 60, 220), (60, 200, 60), (220, 120, 40), (40, 200, 220), (200, 60, 200))


@settings
class SyntheticSource:
    """Boxes that cross the picture and bounce off its sides.

    Attributes:
        width, height: of the picture in pixels.
        frames: number of frames.
        rate: frames per second.
        boxes: number of boxes.
        stream: its name in every output.
    """

    width: int = Field(default=640, ge=1)
    height: int = Field(default=360, ge=1)
    frames: int = Field(default=100, ge=1)
    rate: int = Field(default=25, ge=1)
    boxes: int = Field(default=3, ge=0)
    stream: str = "synthetic"

    @contextmanager
    def open(self) -> Iterator["SyntheticReader"]:
        """Open the pattern. It raises no errors."""
        yield SyntheticReader(self)

    def boxes_at(self, index: int) -> NDArray[np.float32]:
        """Positions of the boxes in a frame: (boxes, 4) float32 xyxy in pixels, half-open, integers.

        The sides of a box are 1/4 of the picture's (at least a pixel). Box k moves k + 1 pixels per frame in x, and
        k + 2 in y. A later box covers an earlier one.
        """
        w, h = max(1, self.width // 4), max(1, self.height // 4)
        rows = []
        for k in range(self.boxes):
            x = _bounce(k * w + (k + 1) * index, self.width - w)
            y = _bounce(k * h + (k + 2) * index, self.height - h)
            rows.append((x, y, x + w, y + h))
        return np.array(rows, np.float32).reshape(-1, 4)

    def pixels_at(self, index: int) -> Image:
        """The picture of a frame: (height, width, 3) uint8 BGR."""
        ramp = np.linspace(64, 192, self.width).astype(np.uint8)
        image = np.repeat(np.tile(ramp, (self.height, 1))[:, :, None], 3, axis=2)
        for k, (x1, y1, x2, y2) in enumerate(self.boxes_at(index).astype(int)):
            image[y1:y2, x1:x2] = COLOURS[k % len(COLOURS)]
        return image


class SyntheticReader:
    """Generates the pattern."""

    notes: tuple[str, ...] = ()

    def __init__(self, source: SyntheticSource) -> None:
        self._source = source
        self.about = About(
            name=source.stream,
            width=source.width,
            height=source.height,
            time_base=Fraction(1, source.rate),
            rate=Fraction(source.rate),
            frames=source.frames,
        )

    def __iter__(self) -> Iterator[Frame]:
        source = self._source
        for index in range(source.frames):
            picture = ArrayPicture(source.pixels_at(index))
            yield Frame(source.stream, index, index, self.about.time_base, picture, time.monotonic())


def _bounce(distance: int, room: int) -> int:
    """The position in 0..room of a point that has moved `distance` and bounced at both ends."""
    if room == 0:
        return 0
    distance %= 2 * room
    return min(distance, 2 * room - distance)

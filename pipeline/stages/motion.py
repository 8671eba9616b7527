"""The motion stage: of a fixed camera, the detector looks only at frames in which something has moved.

    [motion]
    interval = "5s"                 # look so often all the same

    [streams.yard.motion]
    mask = [[[0, 0], [0.3, 0], [0.3, 0.4], [0, 0.4]]]       # the trees there do not count

It says which frames are worth a look; detector and segmenter keep to it.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from watchline.ops.motion import AREA, FINE, THRESHOLD, Background, size_of
from watchline.pipeline.kinds.motion import MOTION, Movement
from watchline.pipeline.message import Event, Item
from watchline.pipeline.settings.duration import Seconds
from watchline.pipeline.settings.positions import Position, check_unit, in_pixels
from watchline.pipeline.stages.modelled import Share
from watchline.pipeline.stages.stage import Stage, Work
from watchline.settings import flag, settings
from watchline.streams.source import About

MOST = 100  # polygons of a mask, and corners of each


@settings
class Motion(Stage):
    """Settings of the motion stage.

    Raises:
        SettingsError (a ValueError): there is no such setting, or it cannot be; all mistakes are named.
    """

    name = "motion"
    gives = (MOTION,)
    per_stream = ("interval", "hold", "threshold", "area", "mask")

    interval: Seconds = Field(
        default=5,
        gt=0,
        le=3600,
        description="of a fixed camera, look only at frames in which something has moved, and so often all the same",
        json_schema_extra=flag("TIME", "motion"),
    )
    hold: Seconds = Field(default=1, gt=0, le=3600, description="look on for so long after the last movement")
    threshold: Annotated[float, Field(gt=0, le=255)] = Field(
        default=THRESHOLD, description="grey values from which a part of the picture has changed"
    )
    area: Share = Field(default=AREA, description="share of the picture that must have changed, in one piece")
    mask: tuple[Annotated[tuple[Position, ...], Field(min_length=3, max_length=MOST)], ...] = Field(
        default=(),
        max_length=MOST,
        description="polygons in which nothing counts, [[[x, y], …], …], in pixels or in shares of the picture",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for polygon in self.mask:
            check_unit("mask", polygon)

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Yields what says which frames are worth a look."""
        yield Gate(self)

    def recorded(self) -> dict[str, Any]:
        """What decides which frames are looked at."""
        mask = [[list(corner) for corner in polygon] for polygon in self.mask]
        return {name: getattr(self, name) for name in self.per_stream} | {"mask": mask}


class Gate(Work):
    """Watches several streams."""

    def __init__(self, settings: Motion) -> None:
        self._settings = settings
        self._streams: dict[str, _Stream] = {}

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        self._streams[stream] = _Stream(self._settings.of(stream), (about.width, about.height))

    def end(self, stream: str) -> Sequence[Event]:
        self._streams.pop(stream, None)
        return ()

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return [self._seen(item) for item in items]

    def _seen(self, item: Item) -> Item:
        frame = item.frame
        if frame.file is not None:  # each photo is a scene of its own
            return item
        size = frame.width, frame.height
        stream = self._streams.get(item.stream)
        if stream is None or stream.size != size:
            stream = self._streams[item.stream] = _Stream(self._settings.of(item.stream), size)
        return item.with_result(MOTION, stream.movement(item))


@dataclass
class _Stream:
    """Raises StageError: the mask is outside of the picture.

    Attributes:
        size: width and height of its pictures.
        moved, looked: seconds of the last frame in which something moved, and of the last one that was worth a look.
        number: of the next frame that is worth a look, in its row.
    """

    settings: Motion
    size: tuple[int, int]
    moved: float = -math.inf
    looked: float = -math.inf
    number: int = 0

    def __post_init__(self) -> None:
        settings = self.settings
        self._background = Background(settings.threshold, settings.area, _counts(settings.mask, self.size))

    def movement(self, item: Item) -> Movement:
        """Of the next frame."""
        settings, seconds = self.settings, item.frame.seconds
        if self._background.has_moved(item.frame.picture.grey(*size_of(*self.size)), seconds):
            self.moved = seconds
        if seconds - self.moved > settings.hold and seconds - self.looked < settings.interval:
            self.number = 0
            return Movement(None)
        self.looked, self.number = seconds, self.number + 1
        return Movement(self.number - 1)


def _counts(mask: Sequence[Sequence[Position]], size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """(h, w) the cells that are outside of all polygons; None: all."""
    if not mask:
        return None
    width, height = size_of(*size)
    cells = np.ones((height // FINE, width // FINE), np.uint8)
    scale = cells.shape[1] / size[0], cells.shape[0] / size[1]
    for polygon in mask:
        corners = in_pixels("mask", polygon, *size) * scale
        cv2.fillPoly(cells, [np.rint(corners).astype(np.int32)], (0,))
    return cells.astype(np.bool_)

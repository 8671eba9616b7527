"""The detector stage: letterbox, engine, non-maximum suppression, boxes back in source pixels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from pydantic import Field

from watchline.engines import zoo
from watchline.errors import unknown
from watchline.ops.detections import Detections
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.message import Item
from watchline.pipeline.settings.positions import Coordinate, check_unit, in_pixels
from watchline.pipeline.stages.modelled import Count, EachFrame, Engines, Share, is_due
from watchline.pipeline.stages.part import Part, in_frame, region_of
from watchline.pipeline.stages.stage import Work
from watchline.settings import flag, settings
from watchline.streams.frame import Frame


@settings
class Detector(EachFrame):
    """Settings of the detector stage.

    Raises:
        SettingsError (a ValueError): there is no such setting, or it cannot be; all mistakes are named.
    """

    name = "detector"
    gives = (DETECTIONS,)
    is_always = True
    advice = "a smaller --imgsz, --every 2, another --runtime or a GPU would help"
    per_stream = ("conf", "iou", "classes", "every", "agnostic", "several", "roi")
    tasks = ("detect", "regions", "instances")

    model: str = Field(
        default=zoo.DEFAULT,
        description="a model file, or one that `watchline models` lists",
        json_schema_extra=flag("FILE|NAME"),
    )
    conf: Share = Field(
        default=0.25, description="leave out what has a lower score, 0 to 1", json_schema_extra=flag("CONF")
    )
    iou: Share = Field(
        default=0.45,
        description="of two boxes of a class that overlap more, the better one stays, 0 to 1",
        json_schema_extra=flag("IOU"),
    )
    agnostic: bool = Field(
        default=False,
        description="boxes of different classes suppress each other too: a car that is also a bus is shown once",
        json_schema_extra=flag(),
    )
    several: bool = Field(
        default=False,
        description="show a box for each class that scores enough, as Darknet does, not for its best class alone",
    )
    classes: tuple[str, ...] = Field(
        default=(),
        description="labels to look for; without any, all of the model's",
        json_schema_extra=flag("person,car"),
    )
    every: Count = Field(default=1, description="look at every n-th frame only", json_schema_extra=flag("N"))
    roi: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None = Field(
        default=None,
        description="the region that is looked at, [x1, y1, x2, y2], in pixels or in shares of the picture",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.roi is not None:
            x1, y1, x2, y2 = self.roi
            check_unit("roi", ((x1, y1), (x2, y2)))
            if not (x1 < x2 and y1 < y2):
                raise ValueError(f"roi is {list(self.roi)}: expected x1 < x2 and y1 < y2")

    def mistakes(self, labels: Sequence[str]) -> list[str]:
        of_streams = {stream: self.of(stream).classes for stream in self.streams}
        return [unknown("class", c, labels) for c in self.classes if c not in labels] + [
            f"{stream}: {unknown('class', c, labels)}"
            for stream, classes in of_streams.items()
            for c in classes
            if c not in labels
        ]

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Load and warm up an engine for each worker. Raises what `load` raises."""
        with self.opened(self.workers) as engines:
            yield Detecting(self, engines)

    def recorded(self) -> dict[str, Any]:
        """What decides what is found; what few ask for is there only where it is on."""
        asked: dict[str, Any] = {name: True for name in ("agnostic", "several") if getattr(self, name)}
        asked |= {} if self.roi is None else {"roi": list(self.roi)}
        return {"conf": self.conf, "iou": self.iou, "classes": list(self.classes), "every": self.every} | asked


class Detecting(Work):
    """Detects with several engines."""

    def __init__(self, settings: Detector, engines: Engines) -> None:
        self._engines = engines
        self._settings = {"": settings} | {stream: settings.of(stream) for stream in settings.streams}
        self._wanted = {
            name: np.isin(engines.labels, own.classes or engines.labels) for name, own in self._settings.items()
        }
        self.about = {"model": engines.about | {"labels": list(engines.labels)}}

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        looked = [item for item in items if is_due(item, self._settings[self._key(item)].every)]
        if not looked:
            return list(items)
        done = {id(item): item.with_result(DETECTIONS, found) for item, found in self._detect(looked)}
        return [done.get(id(item), item) for item in items]

    def _key(self, item: Item) -> str:
        """Of the settings that hold for it."""
        return item.stream if item.stream in self._settings else ""

    def _detect(self, items: Sequence[Item]) -> Iterator[tuple[Item, Detections]]:
        parts = [_region(item.frame, self._settings[self._key(item)].roi) for item in items]
        pictures = [
            item.frame.picture if part is None else part.picture for item, part in zip(items, parts, strict=True)
        ]
        for item, part, outputs in zip(items, parts, self._engines.infer(pictures), strict=True):
            own, wanted = self._settings[self._key(item)], self._wanted[self._key(item)]
            found = outputs.detections(
                conf=own.conf, iou=own.iou, wanted=wanted, several=own.several, agnostic=own.agnostic
            )
            yield item, found if part is None else in_frame(found, part, item.frame)


def _region(frame: Frame, roi: tuple[float, float, float, float] | None) -> Part | None:
    """None: the complete picture is looked at. Raises StageError: the region is outside of the picture."""
    if roi is None:
        return None
    return region_of(frame, in_pixels("roi", (roi[:2], roi[2:]), frame.width, frame.height))

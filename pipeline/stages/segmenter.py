"""The segmenter stage: the class of every pixel, or the pixels of every object, as its model's task is.

It looks at the whole picture, or at each object of chosen classes that the detector has found.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from watchline.engines import zoo
from watchline.errors import unknown
from watchline.ops.boxes import iou
from watchline.ops.class_map import VOID
from watchline.ops.detections import Detections
from watchline.ops.masks import Masks
from watchline.pipeline.kinds.class_map import CLASS_MAP
from watchline.pipeline.kinds.instances import INSTANCES
from watchline.pipeline.message import Item
from watchline.pipeline.stages.modelled import Count, EachFrame, Engines, Outputs, Share, is_due
from watchline.pipeline.stages.part import Part, chosen, part_of
from watchline.pipeline.stages.stage import Work
from watchline.settings import flag, settings

BACKGROUND = ("background", "__background__")  # a label for what has no class
MOST = 32  # objects of a frame that are looked at one by one
SAME = 0.5  # IoU of the detector's box and one in its part of the picture, from which they are one object


@settings
class Segmenter(EachFrame):
    """Settings of the segmenter stage.

    Raises:
        SettingsError (a ValueError): there is no such setting, or it cannot be; all mistakes are named.
    """

    name = "segmenter"
    gives = (CLASS_MAP, INSTANCES)
    advice = "every = 5 or a smaller imgsz in [segmenter], another --runtime or a GPU would help"
    per_stream = ("conf", "classes", "every", "objects", "pixels")
    tasks = ("segment", "instances")

    model: str = Field(
        default=zoo.SEGMENTER,
        description="say what each pixel shows, by this model",
        json_schema_extra=flag("FILE|NAME", "segment"),
    )
    conf: Share = Field(default=0.5, description="leave out objects with a lower score, 0 to 1")
    classes: tuple[str, ...] = Field(default=(), description="labels to look for; without any, all of the model's")
    every: Count = Field(default=1, description="look at every n-th frame only")
    objects: tuple[str, ...] = Field(
        default=(), description="look at each object of these classes of the detector, not at the whole picture"
    )
    pixels: bool = Field(
        default=True, description="write the pixels of class maps into the events, some ten kilobytes a frame"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes and self.objects:
            raise ValueError("classes and objects: expected one of them, as objects have classes of their own")

    def mistakes(self, labels: Sequence[str]) -> list[str]:
        wrong = []
        for stream, own in {"": self, **{stream: self.of(stream) for stream in self.streams}}.items():
            named = dict.fromkeys([*own.classes, *own.objects])
            wrong += [f"{stream}: {unknown('class', c, labels)}".removeprefix(": ") for c in named if c not in labels]
        return wrong

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Load and warm up an engine for each worker. Raises what `load` raises."""
        with self.opened(self.workers) as engines:
            yield Segmenting(self, engines)

    def recorded(self) -> dict[str, Any]:
        """What decides what is found."""
        return {
            "conf": self.conf,
            "classes": list(self.classes),
            "every": self.every,
            "objects": list(self.objects),
            "pixels": self.pixels,
        }


class Segmenting(Work):
    """Segments with several engines."""

    def __init__(self, settings: Segmenter, engines: Engines) -> None:
        self._engines = engines
        self._settings = {"": settings} | {stream: settings.of(stream) for stream in settings.streams}
        labels = engines.labels
        self._numbers = {name: _numbers(labels, own.classes) for name, own in self._settings.items()}
        self._wanted = {name: np.isin(labels, own.classes or labels) for name, own in self._settings.items()}
        self._batch = settings.batch
        self.about = {"model": engines.about | {"labels": list(engines.labels)}}

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        looked = [item for item in items if is_due(item, self._settings[self._key(item)].every)]
        whole = [item for item in looked if not self._settings[self._key(item)].objects]
        done = {}
        if whole:
            outputs = self._engines.infer([item.frame.picture for item in whole])
            done = {id(item): self._seen(item, one) for item, one in zip(whole, outputs, strict=True)}
        for item in looked:
            if self._settings[self._key(item)].objects and item.detections is not None:
                done[id(item)] = item.with_result(INSTANCES, self._objects(item, item.detections))
        return [done.get(id(item), item) for item in items]

    def _key(self, item: Item) -> str:
        """Of the settings that hold for it."""
        return item.stream if item.stream in self._settings else ""

    def _seen(self, item: Item, outputs: Outputs) -> Item:
        key = self._key(item)
        own = self._settings[key]
        if self._engines.task == "segment":
            return item.with_result(CLASS_MAP, outputs.class_map(self._numbers[key], own.pixels))
        found = outputs.detections(conf=own.conf, iou=1.0, wanted=self._wanted[key])
        return item.with_result(INSTANCES, found)

    def _objects(self, item: Item, found: Detections) -> Detections:
        """The best objects of chosen classes, each with its pixels; those without any are left out."""
        own = self._settings[self._key(item)]
        found = chosen(found, own.objects)[:MOST]
        parts = [part_of(item.frame, one.xyxy) for one in found]
        outputs: list[Outputs] = []
        for first in range(0, len(parts), self._batch):
            outputs += self._engines.infer([part.picture for part in parts[first : first + self._batch]])
        crops = []
        for one, part, seen in zip(found, parts, outputs, strict=True):
            mask = self._mask(part, one.name, np.array([one.xyxy], np.float32), seen, own.conf)
            crops.append((part.left, part.top, mask))
        frame = item.frame
        masks = Masks.of_crops((frame.height, frame.width), crops)
        rows = np.flatnonzero(masks.area)
        kept = found[rows]
        return Detections(
            kept.xyxy, kept.confidence, kept.class_id, kept.labels, kept.tracker_id, masks[rows], kept.data
        )

    def _mask(self, part: Part, name: str, box: NDArray[np.float32], seen: Outputs, conf: float) -> NDArray[np.bool_]:
        """(h, w) of the part: the pixels of the object in it."""
        width, height = part.picture.width, part.picture.height
        if self._engines.task == "segment":
            plane = seen.class_map(_numbers(seen.labels, (name,))).scaled(width, height)
            x1, y1, x2, y2 = np.rint(box[0] - np.array([part.left, part.top] * 2)).clip(0).astype(int)
            mask = np.zeros((height, width), np.bool_)
            mask[y1:y2, x1:x2] = plane[y1:y2, x1:x2] != VOID
            return mask
        inside = seen.detections(conf=conf, iou=1.0, wanted=np.isin(seen.labels, name))
        overlaps = iou(box - np.array([part.left, part.top] * 2, np.float32), inside.xyxy)[0]
        if not len(inside) or inside.masks is None or overlaps.max() < SAME:
            return np.zeros((height, width), np.bool_)
        return np.asarray(inside.masks[int(overlaps.argmax())].dense()[0])


def _numbers(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.uint8]:
    """(256,) what each number of a network becomes: itself, or VOID where nobody asks for its class."""
    numbers = np.full(256, VOID, np.uint8)
    for number, label in enumerate(labels):
        if label in classes or (not classes and label not in BACKGROUND):
            numbers[number] = number
    return numbers

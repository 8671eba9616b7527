"""Segmentation as a loop: frames in, frames with what their pixels show out."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from watchline.engines.zoo import Precision
from watchline.ops.class_map import ClassMap
from watchline.ops.detections import Detections
from watchline.pipeline.kinds.class_map import CLASS_MAP
from watchline.pipeline.kinds.instances import INSTANCES
from watchline.pipeline.looking import checked_budget, finder_of, looked_at, stage_of
from watchline.pipeline.message import Item
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.segmenter import Segmenter
from watchline.streams.frame import Frame
from watchline.streams.given import Given, sources_of


class SegmenterSettings(TypedDict, total=False):
    """The fields of Segmenter, which says what they mean."""

    model: str | Path
    runtime: str | None
    precision: Precision
    imgsz: int | tuple[int, int] | None
    conf: float
    classes: Sequence[str]
    objects: Sequence[str]
    every: int
    pixels: bool
    workers: int
    threads: int
    batch: int


def segment(
    source: Given,
    segmenter: Segmenter | None = None,
    *,
    detector: Detector | None = None,
    latency_budget: float = 0.5,
    **settings: Unpack[SegmenterSettings],
) -> Generator[tuple[Frame, ClassMap | Detections]]:
    """Run a segmenter over a source, decoding and segmenting in threads of their own.

        for frame, areas in watchline.segment("street.mp4"):
            print(frame.seconds, dict(zip(areas.labels, areas.shares)))
        for frame, people in watchline.segment("street.mp4", model="mask-rcnn.onnx", classes=["person"]):
            print(frame.seconds, people.masks.area)

    Args:
        source, latency_budget: as `watchline.detect` takes them.
        segmenter: its settings, in place of single ones.
        detector: who finds the `objects` that are looked at, if not the shipped one.
        settings: of the segmenter, e.g. `model`, `classes`, `objects`: the fields of Segmenter.

    Returns:
        an iterator over the frames that were looked at: each with the class of every pixel, or, by a model that finds
        objects and for `objects`, with detections that have masks.

    Raises:
        as `watchline.detect`.
    """
    budget = checked_budget(latency_budget)
    stage = stage_of(Segmenter, segmenter, settings)
    before = finder_of(stage.objects, detector)
    return looked_at(sources_of(source), [*before, stage], _segmented, budget)


def _segmented(item: Item) -> ClassMap | Detections | None:
    return item.result(CLASS_MAP) or item.result(INSTANCES)

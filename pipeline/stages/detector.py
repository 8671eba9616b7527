"""The detector stage: letterbox, engine, non-maximum suppression, boxes back in source pixels."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from watchline import engines
from watchline.engines import zoo
from watchline.engines.engine import Engine
from watchline.errors import unknown
from watchline.ops.detections import Detections
from watchline.ops.letterbox import Fit, Rule, fit
from watchline.ops.nms import nms_per_class
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.message import Item
from watchline.pipeline.stages.stage import Process
from watchline.settings import settings
from watchline.streams.frame import Picture

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def _cores() -> int:
    """Cores that this process may use; a container's share of the machine counts, not the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = Path("/sys/fs/cgroup/cpu.max")
    if share.is_file():
        quota, period = share.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _workers(given: dict[str, Any]) -> int:
    """One a core; on a GPU, one that copies while the other computes."""
    return 2 if given.get("runtime") in ("cuda", "tensorrt") else _cores()


@settings
class Detector:
    """Settings of the detector stage.

    Raises:
        SettingsError (a ValueError): there is no such setting; the nearest is named.
        ValidationError (a ValueError): a setting cannot be; all mistakes are named.
    """

    name = "detector"

    model: str = Field(default=zoo.DEFAULT, description="a model file, or the name of a shipped model")
    runtime: Literal["onnxruntime", "openvino", "cuda", "tensorrt"] | None = Field(
        default=None, description="what runs the model; without it, what fits the file and this machine"
    )
    imgsz: Count | tuple[Count, Count] | None = Field(
        default=None,
        description="side of the network's input in pixels, or (width, height); without it, the model's own",
    )
    conf: Share = Field(default=0.25, description="detections with a lower score are left out")
    iou: Share = Field(default=0.45, description="of two boxes of a class with a higher IoU, the better one stays")
    classes: tuple[str, ...] = Field(default=(), description="labels to look for; without any, all of the model's")
    every: Count = Field(default=1, description="look at every n-th frame only")
    workers: Count = Field(
        default_factory=_workers, description="engines that work side by side; without it one a core, two on a GPU"
    )
    threads: Count = Field(default=1, description="threads of each engine")
    batch: Count = Field(default=1, description="frames an engine takes at once, if that many wait")

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the network's input, None for the model's own."""
        return (self.imgsz, self.imgsz) if isinstance(self.imgsz, int) else self.imgsz

    def load(self) -> Engine:
        """The engine that these settings ask for.

        Raises:
            EngineError: the model or the runtime is not to be had.
            ConfigError: the model does not detect, or knows no such class.
        """
        engine = engines.load(zoo.find(self.model), self.runtime, self.size, self.threads, self.batch)
        if engine.metadata.task != "detect":
            engine.close()
            raise ConfigError(
                f"{self.model}: its task is to {engine.metadata.task}; the detector needs one that detects"
            )
        labels = engine.metadata.labels
        wrong = [unknown("class", c, labels) for c in self.classes if c not in labels]
        if wrong:
            raise ConfigError("\n".join(wrong))
        return engine

    @contextmanager
    def open(self) -> Iterator[Process]:
        """Load and warm up an engine. Raises what `load` raises."""
        with closing(self.load()) as engine:
            engine.warm_up()
            labels = engine.metadata.labels
            wanted = np.isin(labels, self.classes or labels)

            def process(items: Sequence[Item]) -> list[Item]:
                looked = [item for item in items if item.frame.index % self.every == 0]
                if not looked:
                    return list(items)
                found = self._detect(engine, wanted, [item.frame.picture for item in looked])
                done = {id(item): replace(item, detections=d) for item, d in zip(looked, found, strict=True)}
                return [done.get(id(item), item) for item in items]

            yield process

    def _detect(self, engine: Engine, wanted: NDArray[np.bool_], pictures: list[Picture]) -> list[Detections]:
        width, height = engine.size
        rule = cast(Rule, engine.metadata.resize)
        fits = [fit((picture.width, picture.height), engine.size, rule) for picture in pictures]
        batch = np.empty((len(pictures), height, width, 3), np.uint8)
        for picture, place, canvas in zip(pictures, fits, batch, strict=True):
            place.place(picture.scaled(*place.inner), canvas, engine.metadata.pad)
        outputs = engine.infer(batch)
        return [
            self._select(boxes, scores, wanted, engine.metadata.labels, place)
            for boxes, scores, place in zip(outputs["boxes"], outputs["scores"], fits, strict=True)
        ]

    def _select(
        self,
        boxes: NDArray[np.float32],
        scores: NDArray[np.float32],
        wanted: NDArray[np.bool_],
        labels: tuple[str, ...],
        place: Fit,
    ) -> Detections:
        """From what the engine gives for one picture, (N, 4) and (N, C), to the detections in source pixels."""
        likely = np.flatnonzero(scores.max(axis=1) >= self.conf)
        boxes, scores = boxes[likely], scores[likely]
        classes = scores.argmax(axis=1)
        scores = scores[np.arange(len(scores)), classes]
        keep = nms_per_class(boxes, scores, classes, self.iou)
        keep = keep[wanted[classes[keep]]]
        source = place.to_source(boxes[keep])
        visible = (source[:, 2] > source[:, 0]) & (source[:, 3] > source[:, 1])
        keep = keep[visible]
        return Detections(source[visible], scores[keep], classes[keep], labels)

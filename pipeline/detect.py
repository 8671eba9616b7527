"""Detection as a loop: frames in, frames with what was found in them out."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from watchline.engines.zoo import Precision
from watchline.ops.detections import Detections
from watchline.pipeline.looking import checked_budget, looked_at, stage_of
from watchline.pipeline.message import Item
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import Frame
from watchline.streams.given import Given, sources_of


class DetectorSettings(TypedDict, total=False):
    """The fields of Detector, which says what they mean."""

    model: str | Path
    runtime: str | None
    precision: Precision
    imgsz: int | tuple[int, int] | None
    conf: float
    iou: float
    classes: Sequence[str]
    every: int
    agnostic: bool
    several: bool
    roi: tuple[float, float, float, float] | None
    workers: int
    threads: int
    batch: int


def detect(
    source: Given,
    detector: Detector | None = None,
    *,
    latency_budget: float = 0.5,
    **settings: Unpack[DetectorSettings],
) -> Generator[tuple[Frame, Detections]]:
    """Run a detector over a source, decoding and detecting in threads of their own.

        for frame, detections in watchline.detect("clip.mp4", conf=0.4, classes=["person"]):
            print(frame.seconds, detections.names, detections.xyxy)

    Leaving the loop early, or closing the iterator, ends the threads.

    A camera gives its newest frames, in order: while one is looked at, and while the loop's body works, older ones give
    way. A camera that is lost is connected again, with a warning in the log, until the loop is left. That none of the
    sources can be opened in the beginning is an error.

    Args:
        source: a file, a folder or a pattern; a camera ("rtsp://…", 0, "/dev/video0"); a list of these; an array
            (H, W, 3) uint8 BGR, a list of arrays, an iterator of arrays or of pairs (array, seconds); any Source, or a
            list of Sources. Files come one after another; if one of them is a camera, all come at once:
            `frame.stream` tells whose a frame is.
        detector: its settings, in place of single ones.
        latency_budget: seconds after which a camera's frame is too old; more for a model that takes longer.
        settings: of the detector, e.g. `conf`, `classes`, `imgsz`, `model`: the fields of Detector.

    Returns:
        an iterator over the frames that were looked at, each with its detections.

    Raises:
        NoSource, NoStage (both TypeErrors), SourceNotFound (a FileNotFoundError), SettingsError, ConfigError (both
            ValueErrors): at once; an argument cannot be, or nothing is at the path.
        EngineError, ConfigError: on the first frame; the model or the runtime is not to be had, or a class is unknown.
        StageError: on any frame; the stream or the detector broke. What was yielded before is good.
    """
    budget = checked_budget(latency_budget)
    return looked_at(sources_of(source), [stage_of(Detector, detector, settings)], _found, budget)


def _found(item: Item) -> Detections | None:
    return item.detections

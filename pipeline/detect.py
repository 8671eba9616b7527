"""Detection as a loop: frames in, frames with what was found in them out."""

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypedDict, Unpack

from watchline.ops.detections import Detections
from watchline.pipeline.errors import ConfigError, NoDetector, StageError
from watchline.pipeline.message import Begin, Failure, Item, State
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import Frame
from watchline.streams.given import Given, sources_of
from watchline.streams.source import LiveSource, Source

log = logging.getLogger(__name__)


class DetectorSettings(TypedDict, total=False):
    """The fields of Detector, which says what they mean."""

    model: str | Path
    runtime: str | None
    imgsz: int | tuple[int, int] | None
    conf: float
    iou: float
    classes: Sequence[str]
    every: int
    agnostic: bool
    several: bool
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
        NoSource, NoDetector (both TypeErrors), SourceNotFound (a FileNotFoundError), SettingsError, ConfigError (both
            ValueErrors): at once; an argument cannot be, or nothing is at the path.
        EngineError, ConfigError: on the first frame; the model or the runtime is not to be had, or a class is unknown.
        StageError: on any frame; the stream or the detector broke. What was yielded before is good.
    """
    if not latency_budget > 0:
        raise ConfigError(f"latency_budget is {latency_budget}: expected more than 0 seconds")
    return _detect(sources_of(source), _detector(detector, settings), latency_budget)


def _detect(
    sources: Sequence[Source | LiveSource], detector: Detector, latency_budget: float
) -> Generator[tuple[Frame, Detections]]:
    silent = {source.stream: "" for source in sources}  # why nothing has come of it yet
    said: dict[str, str | None] = {}  # why a stream is not read, as the log has it
    with closing(Runner([detector], latency_budget=latency_budget).run(sources)) as messages:
        for message in messages:
            match message:
                case Item(frame=frame, detections=Detections() as found):
                    said.pop(frame.stream, None)
                    yield frame, found
                case Begin():
                    silent = {}
                case State(stream=stream, state="retrying", why=why, retry_in=wait):
                    if stream in silent:
                        silent[stream] = f"{stream}: {why}"
                        if all(silent.values()):
                            raise StageError("; ".join(silent.values()))
                    if said.get(stream) != why:
                        said[stream] = why
                        log.warning("%s: %s; it is tried again in %.0f s", stream, why, wait)
                case Failure(stream=stream, where=where, why=why):
                    raise StageError(f"{stream}: {where}: {why}")


def _detector(detector: Detector | None, settings: DetectorSettings) -> Detector:
    if detector is not None:
        if not isinstance(detector, Detector):
            raise NoDetector(
                f"detector is of type {type(detector).__name__}: expected a Detector, or settings by name (model=…)"
            )
        if settings:
            raise NoDetector(f"detector and {', '.join(settings)}: expected either a Detector or its settings by name")
        return detector
    given = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    return Detector(**given)  # type: ignore[arg-type]

"""Detection as a loop: frames in, frames with what was found in them out."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from watchline.ops.detections import Detections
from watchline.pipeline.errors import StageError
from watchline.pipeline.message import Failure, Item
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import Frame
from watchline.streams.inputs import find_sources
from watchline.streams.iterator import IteratorSource
from watchline.streams.source import Source

Pictures = Iterable[NDArray[np.uint8]] | Iterable[tuple[NDArray[np.uint8], float]]


def detect(
    source: str | Path | Source | Pictures, detector: Detector | None = None
) -> Iterator[tuple[Frame, Detections]]:
    """Run a detector over a source, decoding and detecting in threads of their own.

    Leaving the loop early, or closing the iterator, ends the threads.

    Args:
        source: a file, folder or glob; an iterable of BGR pictures (H, W, 3) uint8, or of pairs (picture, seconds);
            or any Source.
        detector: its settings; the default ones without.

    Returns:
        an iterator over the frames that were looked at, in order, each with its detections.

    Raises:
        SourceNotFound: at once, if there is nothing at the path.
        TypeError: at once, if `source` is none of the above.
        EngineError, ConfigError: on the first frame; the model or the runtime is not to be had, or a setting cannot be.
        StageError: on any frame; the stream or the detector broke. What was yielded before is good.
    """
    return _detect(_sources(source), detector or Detector())


def _detect(sources: Sequence[Source], detector: Detector) -> Iterator[tuple[Frame, Detections]]:
    with closing(Runner([detector], last="caller").run(sources)) as messages:
        for message in messages:
            if isinstance(message, Failure):
                raise StageError(f"{message.stream}: {message.where}: {message.why}")
            if isinstance(message, Item) and message.detections is not None:
                yield message.frame, message.detections


def _sources(source: str | Path | Source | Pictures) -> Sequence[Source]:
    if isinstance(source, str | Path):
        found = find_sources([source])
        for problem in found.problems:
            raise problem
        return found.sources
    if hasattr(source, "open") and hasattr(source, "stream"):
        return [cast(Source, source)]
    if isinstance(source, Iterable):
        return [IteratorSource(source)]
    raise TypeError(
        f"source is of type {type(source).__name__}: expected a path, an iterable of pictures, or a Source "
        "(it has `stream` and `open()`)"
    )

"""Detection as a loop: frames in, frames with what was found in them out."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.detections import Detections
from watchline.pipeline.detector import Detector
from watchline.pipeline.errors import StageError
from watchline.pipeline.message import Failure, Item
from watchline.pipeline.runner import Runner
from watchline.streams.frame import Frame
from watchline.streams.inputs import find_sources
from watchline.streams.iterator import IteratorSource
from watchline.streams.source import Source


def detect(
    source: str | Path | Source | Iterable[NDArray[np.uint8]], detector: Detector | None = None
) -> Iterator[tuple[Frame, Detections]]:
    """Run a detector over a source, decoding and detecting in threads of their own.

    Args:
        source: a file, folder or glob; an iterable of BGR pictures (H, W, 3) uint8; or any Source.
        detector: its settings; the shipped model without.

    Yields:
        each frame that was looked at, in order, with its detections.

    Raises:
        StreamError: there is nothing to read.
        EngineError: the model or the runtime is not to be had.
        StageError: the stream or the detector broke; what was yielded before is good.
    """
    runner = Runner([detector or Detector()], last="caller")
    for message in runner.run(_sources(source)):
        if isinstance(message, Failure):
            raise StageError(f"{message.stream}: {message.where}: {message.why}")
        if isinstance(message, Item) and message.detections is not None:
            yield message.frame, message.detections

"""What travels on a link: the frames of a stream between its beginning and its end, each with its place in the stream.

Every message of a stream has a sequence number: Begin 0, then the frames, then End or Failure. So a stage may work on
several frames at once, and whoever needs order can restore it, and knows when nothing more will come.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.detections import Detections
from watchline.streams.frame import Frame
from watchline.streams.source import About


@dataclass(frozen=True, slots=True)
class Begin:
    """A stream opens."""

    stream: str
    sequence: int
    about: About


@dataclass(frozen=True, slots=True)
class Item:
    """A frame and what the stages so far have found in it.

    Attributes:
        frame: the frame as decoded; never drawn on.
        detections: the detector's, None before it.
        drawn: the annotated copy (H, W, 3) uint8 BGR, None before the annotator.
    """

    sequence: int
    frame: Frame
    detections: Detections | None = None
    drawn: NDArray[np.uint8] | None = None

    @property
    def stream(self) -> str:
        return self.frame.stream


@dataclass(frozen=True, slots=True)
class End:
    """A stream is over without a failure.

    Attributes:
        whole: it was read to its end; False if the run was stopped before.
        notes: what its reader has to say of it, one line each.
    """

    stream: str
    sequence: int
    whole: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A stream is over because something broke: `where` (a stage or "decoder") and the one line that says why."""

    stream: str
    sequence: int
    where: str
    why: str


Message = Begin | Item | End | Failure

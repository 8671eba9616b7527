"""Which of the detected objects are new? A memory of boxes, for where nobody tracks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import iou
from watchline.ops.detections import Detections

SAME = 0.3  # IoU of two boxes of a class that are one object
STEADY = 0.5  # seconds for which an object is seen before it counts: detectors see things for a moment
MEMORY = 2.0  # seconds after which an object that is not seen is forgotten


@dataclass(slots=True)
class _Known:
    box: NDArray[np.float32]
    label: str
    track: int | None
    since: float
    seen: float
    told: bool = False


class NewObjects:
    """Remembers the objects of a stream. An object is the same if its track is, or, without tracks, if its box overlaps
    that of one of its class.
    """

    def __init__(self) -> None:
        self._known: list[_Known] = []

    def among(self, found: Detections, seconds: float, most: int | None = None) -> list[int]:
        """The rows of objects that are new, each told once: when it has been seen for STEADY seconds.

        Args:
            found: what was detected in the next frame that a detector looked at.
            seconds: its time.
            most: tell no more of them now; the others are told the next time.
        """
        self._known = [one for one in self._known if seconds - one.seen <= MEMORY]
        alike = self._alike(found)
        new: list[int] = []
        for row, one in enumerate(found):
            best = int(alike[row].argmax()) if alike.shape[1] else -1
            if best < 0 or alike[row, best] < SAME:
                self._known.append(_Known(found.xyxy[row], one.name, one.tracker_id, seconds, seconds))
                continue
            alike[:, best] = 0  # an object has one box
            known = self._known[best]
            known.box, known.seen = found.xyxy[row], seconds
            known.track = known.track if one.tracker_id is None else one.tracker_id
            if not known.told and seconds - known.since >= STEADY and (most is None or len(new) < most):
                known.told = True
                new.append(row)
        return new

    def _alike(self, found: Detections) -> NDArray[np.float32]:
        """(N, K): IoU of detections and known objects of one class; where both have a track, 1 for the same one."""
        boxes = np.array([known.box for known in self._known], np.float32).reshape(-1, 4)
        labels = np.array([known.label for known in self._known], np.str_)
        alike = iou(found.xyxy, boxes) * (found.names[:, None] == labels[None])
        if found.tracker_id is not None:
            mine = found.tracker_id[:, None]
            tracks = np.array([-1 if known.track is None else known.track for known in self._known], np.int64)
            alike = np.where((mine >= 0) & (tracks >= 0), mine == tracks, alike)
        return np.asarray(alike, np.float32)

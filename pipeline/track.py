"""Tracking as a loop: frames in, frames with numbered detections out."""

from collections.abc import Generator
from typing import TypedDict, Unpack

from watchline.ops.detections import Detections
from watchline.pipeline.looking import checked_budget, looked_at, stage_of
from watchline.pipeline.message import Item
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.tracker import Tracker
from watchline.streams.frame import Frame
from watchline.streams.given import Given, sources_of


class TrackerSettings(TypedDict, total=False):
    """The fields of Tracker, which says what they mean."""

    memory: float | str
    sure: float
    start: float


def track(
    source: Given,
    tracker: Tracker | None = None,
    *,
    detector: Detector | None = None,
    latency_budget: float = 0.5,
    **settings: Unpack[TrackerSettings],
) -> Generator[tuple[Frame, Detections]]:
    """Run a detector and a tracker over a source, decoding, detecting and tracking in threads of their own.

        for frame, found in watchline.track("street.mp4", detector=Detector(classes=["person"])):
            print(frame.seconds, found.tracker_id, found.xyxy)

    Args:
        source, latency_budget: as `watchline.detect` takes them.
        tracker: its settings, in place of single ones.
        detector: who finds the objects, if not the shipped one.
        settings: of the tracker, e.g. `memory`: the fields of Tracker.

    Returns:
        an iterator over the frames, each with its detections, of which `tracker_id` is the number of the track, -1
        where there is none. On frames that the detector does not look at (`every`), they are the tracks where these
        must be, and `predicted` is true.

    Raises:
        as `watchline.detect`.
    """
    budget = checked_budget(latency_budget)
    stage = stage_of(Tracker, tracker, settings)
    return looked_at(sources_of(source), [stage_of(Detector, detector, {}), stage], _tracked, budget)


def _tracked(item: Item) -> Detections | None:
    return item.detections

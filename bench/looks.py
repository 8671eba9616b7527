"""What remains of mAP and IDF1 where not every frame is looked at, and what that saves.

    python bench/looks.py CLIP CLIP … [--model yolov2-slim] [--classes person] [--boxes FOLDER] [--rate 25]

A CLIP is a folder in MOT Challenge's or CDnet's layout (`--rate` of its frames per second), or a video. The detector
looks at every frame once, or boxes are given, as `watchline bench track` takes them. Then the tracker gets those of
each N-th frame, with and without a motion stage, and says of the others where the tracks are. Where there is no truth,
it is what looking at every frame gives. Prints a table for each clip, and the processor time of the parts, each on one
core.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
from detector_map import VEHICLES
from tables import Table, TableReport

from watchline import Detector, Motion, Tracker
from watchline.measure.layouts import cdnet, mot
from watchline.measure.layouts.labelled import DataSet
from watchline.measure.tracks import boxes_in
from watchline.ops.average_precision import Predictions, Truth, average_precision, mean_average_precision
from watchline.ops.boxes import Boxes
from watchline.ops.detections import Detections
from watchline.ops.track_scores import Tracked, track_scores
from watchline.ops.tracks import NONE
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.message import Item
from watchline.pipeline.stages.modelled import is_due
from watchline.pipeline.stages.stage import work_of
from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Frame, Picture

EVERY = (1, 2, 3, 5)
R = TypeVar("R")


@dataclass
class Clip:
    """A clip, and what the detector and the motion stage say of each of its frames.

    Attributes:
        frames: each with its true boxes, if they are known.
        wanted: labels that count; all, where there are none.
        tracks: the true ones, if they are known.
        given: what a detector found, if it need not look.
    """

    name: str
    frames: Iterator[tuple[Frame, Boxes | None]]
    wanted: Sequence[str] = ()
    tracks: Sequence[Tracked] = ()
    given: Sequence[Detections] = ()
    items: list[Item] = field(default_factory=list)
    truth: list[Boxes] = field(default_factory=list)


def clip_of(path: Path, options: argparse.Namespace) -> Clip:
    """Raises MeasureError, SourceError: it is none."""
    if mot.is_here(path):
        known = mot.open_tracks(path)
        given = boxes_in(options.boxes / f"{path.name}.npy", len(known.truth)) if options.boxes else ()
        labelled = _labelled(mot.open_set(path, None, 1), known.rate)
        frames = ((frame, one.boxes) for (frame, _), one in zip(labelled, known.truth, strict=False))
        return Clip(path.name, frames, (mot.PERSON,), known.truth, given)
    if cdnet.is_here(path):
        return Clip(path.name, _labelled(cdnet.open_set(path, None, 1), options.rate), VEHICLES)
    return Clip(path.name, _played(path), options.classes)


def _labelled(data: DataSet, rate: float) -> Iterator[tuple[Frame, Boxes | None]]:
    for index, one in enumerate(data.read()):
        yield Frame(data.name, index, index, 1 / Fraction(rate), one.picture), one.boxes


def _played(path: Path) -> Iterator[tuple[Frame, Boxes | None]]:
    with FileSource(path).open() as reader:
        for frame in reader:
            yield frame, None


class Clock:
    """Sums up the processor time of calls in this thread. Attributes: seconds, by the name of the part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, call: Callable[[], R]) -> R:
        """What a call gives."""
        began = time.thread_time()
        result = call()
        self.seconds[name] = self.seconds.get(name, 0) + time.thread_time() - began
        return result


def look(clip: Clip, detector: Detector, clock: Clock) -> None:
    """Fill `clip.items`, with all detections and movements, but without their pixels, and `clip.truth`."""
    with ExitStack() as stack:
        gate = work_of(stack.enter_context(Motion().open()))
        find = None if clip.given else work_of(stack.enter_context(detector.open()))
        for index, (frame, true) in enumerate(clip.frames):
            item = Item(frame)
            [gated] = clock.timed("motion", lambda item=item: gate([item]))
            found = clip.given[index] if clip.given else None
            if find is not None:
                [seen] = clock.timed("detector", lambda item=item: find([item]))
                found = seen.detections
            kept = found[np.isin(found.names, clip.wanted or found.labels)]
            blank: Picture = ArrayPicture(np.broadcast_to(np.uint8(0), (frame.height, frame.width, 3)))
            item = replace(gated, frame=replace(frame, picture=blank))
            clip.items.append(item.with_result(DETECTIONS, kept))
            if true is not None:
                clip.truth.append(true)


def run(clip: Clip, every: int, with_motion: bool, clock: Clock) -> tuple[float, list[Detections]]:
    """The share of the frames that were looked at, and the detections of all."""
    looks, found = 0, []
    with Tracker().open() as work:
        for item in clip.items:
            results = dict(item.results) if with_motion else {DETECTIONS: item.detections}
            given = replace(item, results=results)
            if is_due(given, every):
                looks += 1
            else:
                del results[DETECTIONS]
            [tracked] = clock.timed("tracker", lambda given=given: work([given]))
            found.append(tracked.detections)
    return looks / len(clip.items), found


def precision(found: Sequence[Detections], truth: Sequence[Detections] | Sequence[Boxes]) -> float:
    """mAP at IoU 0.5: of the classes that the truth has, or of boxes of one class alone."""
    classes = not isinstance(truth[0], np.ndarray)
    real = [
        Truth(one.xyxy, one.class_id, np.zeros(len(one), np.bool_))
        if classes
        else Truth(one, np.zeros(len(one), np.int64), np.zeros(len(one), np.bool_))
        for one in truth
    ]
    seen = [Predictions(one.xyxy, one.confidence, one.class_id if classes else 0 * one.class_id) for one in found]
    return mean_average_precision(average_precision(seen, real, len(found[0].labels) if classes else 1))


def tracked(found: Detections) -> Tracked:
    """Those that have a number."""
    kept = found.tracker_id != NONE
    return Tracked(found.tracker_id[kept], found.xyxy[kept])


def measure(clip: Clip, detector: Detector) -> Table:
    """A row for each way to look."""
    clock, tracking = Clock(), Clock()
    look(clip, detector, clock)
    _, best = run(clip, 1, False, Clock())
    boxes, tracks = clip.truth or best, clip.tracks or [tracked(one) for one in best]
    whole = precision(best, boxes), track_scores(tracks, [tracked(one) for one in best]).idf1
    table = Table(
        f"{clip.name}, {len(clip.items)} frames",
        ("every", "motion stage", "looks", "mAP", "of every frame's", "IDF1", "of every frame's"),
    )
    for with_motion in (False, True):
        for every in EVERY:
            looks, found = run(clip, every, with_motion, tracking)
            mean, idf1 = precision(found, boxes), track_scores(tracks, [tracked(one) for one in found]).idf1
            ratios = [round(a / b, 3) for a, b in zip((mean, idf1), whole, strict=True)]
            table.add(
                every,
                "on" if with_motion else "",
                round(looks, 3),
                round(mean, 3),
                ratios[0],
                round(idf1, 3),
                ratios[1],
            )
    tracking.seconds["tracker"] /= 2 * len(EVERY)
    parts = clock.seconds | tracking.seconds
    table.notes.append("ms per frame: " + ", ".join(f"{k} {1000 * v / len(clip.items):.2f}" for k, v in parts.items()))
    if not clip.truth:
        table.notes.append("No truth: what looking at every frame gives stands for it.")
    return table


def main() -> None:
    """Measure each clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--model", default=Detector().model, help="the detector")
    parser.add_argument("--classes", nargs="*", default=(), help="labels that count in videos; without any, all")
    parser.add_argument("--boxes", type=Path, metavar="FOLDER", help="NAME.npy of each clip in MOT Challenge's layout")
    parser.add_argument("--rate", type=float, default=25, help="frames per second of clips in CDnet's layout")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save the tables")
    options = parser.parse_args()
    report = TableReport(options.json)
    for path in options.clips:
        clip = clip_of(path, options)
        report.add(measure(clip, Detector(model=options.model, workers=1, threads=1)))


if __name__ == "__main__":
    main()

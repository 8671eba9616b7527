"""Counts in real videos of people, through lines across the whole picture: who has crossed, by their true paths.

With true boxes and numbers, the counts are those of the paths. With a detector's boxes and the tracker's numbers, the
difference is said in docs/measured.md.
"""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from watchline import Line, Lines
from watchline.measure.layouts.mot import open_tracks
from watchline.measure.tracks import boxes_in
from watchline.ops.detections import Detections
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.trails import TRAILS, Trails
from watchline.pipeline.message import Item
from watchline.pipeline.stages.lines import MARGIN
from watchline.pipeline.stages.tracker import Tracker
from watchline.streams.frame import ArrayPicture, Frame

UPRIGHT = {f"x{share}": ((share, 0), (share, 1)) for share in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)}
LEVEL = {f"y{share}": ((0, share), (1, share)) for share in (0.4, 0.5, 0.6, 0.7, 0.8)}
SLANTED = {"down": ((0.2, 0.3), (0.8, 0.9)), "up": ((0.8, 0.3), (0.2, 0.9)), "short": ((0.35, 0.55), (0.65, 0.55))}
ENDS = UPRIGHT | LEVEL | SLANTED

TRUE = {"PETS09-S2L1": (299, 2), "TUD-Stadtmitte": (29, 3)}  # crossings, and how many of them end on the line
DETECTED = {"PETS09-S2L1": 15, "TUD-Stadtmitte": 7}  # by how much the counts of detected boxes differ


def frames(sequence):
    """Each as an item, with nothing found."""
    width, height = sequence.size
    picture = ArrayPicture(np.zeros((height, width, 3), np.uint8))
    time_base = Fraction(1 / sequence.rate).limit_denominator(1000)
    return [Item(Frame("street", n, n, time_base, picture, 0.0)) for n in range(len(sequence.truth))]


def truly(sequence):
    """With the true boxes and numbers. A track is over when its person is seen for the last time."""
    last = {number: n for n, frame in enumerate(sequence.truth) for number in frame.ids.tolist()}
    for n, (item, frame) in enumerate(zip(frames(sequence), sequence.truth, strict=True)):
        alive = np.array([number for number, end in last.items() if end >= n], np.int64)
        found = Detections(frame.boxes, *of_people(len(frame.ids)), tracker_id=frame.ids)
        trails = Trails(alive, np.zeros(len(alive), np.int64), np.zeros((0, 2), np.float32))
        yield item.with_result(DETECTIONS, found).with_result(TRAILS, trails)


def of_people(many):
    return np.ones(many, np.float32), np.zeros(many, np.int64), ("person",)


def detected(sequence, boxes):
    """With the boxes of a detector and the numbers of the tracker."""
    with Tracker().open() as track:
        for item, found in zip(frames(sequence), boxes, strict=True):
            yield track([item.with_result(DETECTIONS, found)])[0]


def counted(items):
    """How often each line was crossed, by its name and direction; each crossing has to have its proof."""
    counts, feet = Counter(), {}
    with Lines(lines=[Line(*ends, name=name) for name, ends in ENDS.items()]).open() as work:
        for item in items:
            [after] = work([item])
            found = after.detections
            for number, (x1, _, x2, y2) in zip(found.tracker_id.tolist(), found.xyxy.tolist(), strict=True):
                feet[item.frame.index, number] = (x1 + x2) / 2, y2
            for event in after.events[len(item.events) :]:
                counts[event.data["line"], event.data["direction"]] += 1
                for proof in (event.data["before"], event.data["after"]):
                    assert proof["at"] == pytest.approx(feet[proof["frame"], proof["track"]], abs=0.01)
    return counts


def crossed(sequence, margin=MARGIN):
    """The same from the paths alone: each person once a direction, who was beyond the margin before and after.

    Args:
        margin: in heights of the person's box.
    """
    width, height = sequence.size
    paths = {}
    for frame in sequence.truth:
        for number, (x1, y1, x2, y2) in zip(frame.ids.tolist(), frame.boxes.tolist(), strict=True):
            paths.setdefault(number, []).append(((x1 + x2) / 2, y2, y2 - y1))
    counts = Counter()
    for name, ends in ENDS.items():
        a, b = (np.array(end) * (width, height) for end in ends)
        for path in paths.values():
            counts.update((name, way) for way in ("in", "out") if goes(np.array(path), a, b, way, margin))
    return counts


def goes(path, a, b, way, margin):
    """Whether a step of a path goes from a's and b's left to their right (in) between them, or back (out)."""
    along, feet = b - a, path[:, :2] - a
    right = (along[0] * feet[:, 1] - along[1] * feet[:, 0]) / np.hypot(*along)
    side = right >= 0
    sign = 1 if way == "in" else -1
    before, after = sign * right < -margin * path[:, 2], sign * right > margin * path[:, 2]
    for n in np.flatnonzero(side[1:] != side[:-1]).tolist():
        at = feet[n] + (feet[n + 1] - feet[n]) * right[n] / (right[n] - right[n + 1])
        is_between = 0 <= at @ along <= along @ along
        if is_between and side[n + 1] == (way == "in") and before[: n + 1].any() and after[n + 1 :].any():
            return True
    return False


def difference(a, b):
    return sum(abs(a[key] - b[key]) for key in {*a, *b})


@pytest.mark.shared
@pytest.mark.parametrize("name", TRUE)
def test_true_boxes_give_the_counts_of_the_true_paths(shared, name):
    """Few people who come to a line stay on it, or begin there: they stand on one side only."""
    sequence = open_tracks(shared / "mot15" / name)
    assert difference(counted(truly(sequence)), crossed(sequence)) == 0
    all_steps = crossed(sequence, margin=0)
    assert (all_steps.total(), difference(all_steps, crossed(sequence))) == TRUE[name]


@pytest.mark.shared
@pytest.mark.parametrize("name", DETECTED)
def test_detected_boxes_give_nearly_these_counts(shared, name):
    sequence = open_tracks(shared / "mot15" / name)
    boxes = boxes_in(shared / "mot15" / "boxes_yolox_nano" / f"{name}.npy", len(sequence.truth))
    assert difference(counted(detected(sequence, boxes)), crossed(sequence)) <= DETECTED[name]

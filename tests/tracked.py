"""Items as the tracker gives them: a picture of 200 x 100, ten a second, with numbered boxes of 20 x 40."""

from fractions import Fraction

import numpy as np

from watchline.ops.detections import Detections
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.trails import TRAILS, Trails
from watchline.pipeline.message import Item
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.source import About

RATE, SIZE = 10, (200, 100)
ABOUT = About("door", *SIZE, Fraction(1, RATE))
LABELS = ("person", "car")


def item(index, seen, alive=(), stream="door", kind=0, size=SIZE, **fields):
    """A frame. Args: seen, x and y of each foot, by number; alive, the numbers of those that are hidden."""
    boxes = np.array([(x - 10, y - 40, x + 10, y) for x, y in seen.values()], np.float32).reshape(-1, 4)
    numbers = np.array(list(seen), np.int64)
    found = Detections(boxes, np.full(len(boxes), 0.9), np.full(len(boxes), kind), LABELS, numbers)
    known = np.array([*seen, *alive], np.int64)
    trails = Trails(known, np.zeros(len(known), np.int64), np.zeros((0, 2), np.float32))
    picture = ArrayPicture(np.zeros((size[1], size[0], 3), np.uint8))
    frame = Frame(stream, index, index, Fraction(1, RATE), picture, 0.0, **fields)
    return Item(frame).with_result(DETECTIONS, found).with_result(TRAILS, trails)


def walk(*places, number=1, first=0, **fields):
    """Frames in which one is seen at these places, x and y of its foot; None where it is hidden."""
    return [
        item(first + n, {} if place is None else {number: place}, (number,) if place is None else (), **fields)
        for n, place in enumerate(places)
    ]


def events(items):
    """The frame and the data of each event."""
    return [(one.frame.index, event.data) for one in items for event in one.events]

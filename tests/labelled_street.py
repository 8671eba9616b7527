"""Labelled pictures of a street, and what models find in them, as known by hand."""

from contextlib import nullcontext

import numpy as np

from watchline.measure.contenders import Contender, Finder
from watchline.measure.layouts.labelled import DataSet, Labelled
from watchline.ops.detections import Detections
from watchline.ops.masks import Masks
from watchline.streams.frame import ArrayPicture

BOX, BESIDE = (2, 3, 22, 33), (30, 5, 50, 38)


def picture(name, *things, difficult=(), masks=True):
    """Args: things, pairs of a box and a class name."""
    boxes = np.array([box for box, _ in things], np.float32).reshape(-1, 4)
    pixels = ArrayPicture(np.zeros((40, 60, 3), np.uint8))
    crowd = np.isin(np.arange(len(boxes)), difficult)
    return Labelled(
        name, pixels, boxes, tuple(n for _, n in things), crowd, None, (lambda: full(boxes)) if masks else None
    )


def full(boxes):
    planes = np.zeros((len(boxes), 40, 60), np.bool_)
    for plane, (x1, y1, x2, y2) in zip(planes, boxes.astype(int), strict=True):
        plane[y1:y2, x1:x2] = True
    return Masks.of(planes)


def data(*pictures, rule="voc2010"):
    return DataSet("street", "VOC", "val", rule, len(pictures), lambda: iter(pictures))


def contender(labels, found, name="m", masks=False):
    """Finds by the picture's name: rows of box, label and score."""

    def find(one):
        rows = found.get(one.name, [])
        boxes = np.array([box for box, *_ in rows], np.float32).reshape(-1, 4)
        numbers = np.array([labels.index(label) for _, label, _ in rows], np.int64)
        scores = np.array([score for *_, score in rows], np.float32)
        return Detections(boxes, scores, numbers, labels, masks=full(boxes) if masks else None)

    return Contender(name, lambda: nullcontext(Finder(find, {"model": {"name": name}})), 0.5)


STREET = (picture("a", (BOX, "person"), (BESIDE, "person")), picture("b", (BOX, "car")))
GOOD = contender(("person", "car"), {"a": [(BOX, "person", 0.9), (BESIDE, "person", 0.8)], "b": [(BOX, "car", 0.7)]})
HALF = contender(
    ("person", "car"), {"a": [(BOX, "person", 0.9)], "b": [(BESIDE, "car", 0.9), (BOX, "car", 0.7)]}, "half"
)

"""Parts of a frame as pictures of their own: objects of chosen classes, each with what is around it, and regions."""

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from watchline.errors import unknown
from watchline.ops.boxes import clip
from watchline.ops.detections import Detections
from watchline.ops.masks import Masks
from watchline.ops.regions import Points
from watchline.pipeline.errors import StageError
from watchline.streams.frame import ArrayPicture, Frame

MARGIN = 0.1  # of the object's sides, around it


class Part(NamedTuple):
    """Attributes: left, top, of its first pixel in the frame; picture, its pixels."""

    left: int
    top: int
    picture: ArrayPicture


def chosen(found: Detections, classes: Collection[str]) -> Detections:
    """Those of some classes.

    Raises:
        StageError: the detector has no such class.
    """
    wrong = [name for name in classes if name not in found.labels]
    if wrong:
        raise StageError(f"objects: {unknown('class', wrong[0], found.labels)} (of the detector)")
    return found[np.isin(found.names, list(classes))]


def part_of(frame: Frame, box: tuple[float, ...]) -> Part:
    """Args: box, xyxy in pixels of the frame. The part is at least one pixel, and inside the frame."""
    x1, y1, x2, y2 = box
    reach = np.array([x1 - x2, y1 - y2, x2 - x1, y2 - y1], np.float32) * MARGIN
    edges = np.nan_to_num(clip(np.array([box], np.float32) + reach, frame.width, frame.height)[0])
    left, top = min(int(edges[0]), frame.width - 1), min(int(edges[1]), frame.height - 1)
    right, bottom = max(int(np.ceil(edges[2])), left + 1), max(int(np.ceil(edges[3])), top + 1)
    return Part(left, top, ArrayPicture(frame.image[top:bottom, left:right]))


def region_of(frame: Frame, corners: Points) -> Part:
    """Args: corners, (2, 2) x and y of the upper left and the lower right one, in pixels inside the frame. Pixels that
    are partly in it belong to it.
    """
    (left, top), (right, bottom) = np.floor(corners[0]).astype(int), np.ceil(corners[1]).astype(int)
    return Part(int(left), int(top), ArrayPicture(frame.image[top:bottom, left:right]))


def in_frame(found: Detections, part: Part, frame: Frame) -> Detections:
    """What was found in a part, in pixels of the frame."""
    corner = np.array([part.left, part.top] * 2)
    masks = found.masks
    if masks is not None:
        masks = Masks((frame.height, frame.width), (masks.extent + corner).astype(np.int32), masks.bits)
    return replace(found, xyxy=found.xyxy + corner.astype(np.float32), masks=masks)

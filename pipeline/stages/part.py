"""A part of a frame as a picture of its own: an object with some of what is around it."""

from typing import NamedTuple

import numpy as np

from watchline.ops.boxes import clip
from watchline.streams.frame import ArrayPicture, Frame

MARGIN = 0.1  # of the object's sides, around it


class Part(NamedTuple):
    """Attributes: left, top, of its first pixel in the frame; picture, its pixels."""

    left: int
    top: int
    picture: ArrayPicture


def part_of(frame: Frame, box: tuple[float, ...]) -> Part:
    """Args: box, xyxy in pixels of the frame. The part is at least one pixel, and inside the frame."""
    x1, y1, x2, y2 = box
    reach = np.array([x1 - x2, y1 - y2, x2 - x1, y2 - y1], np.float32) * MARGIN
    edges = clip(np.array([box], np.float32) + reach, frame.width, frame.height)[0]
    left, top = min(int(edges[0]), frame.width - 1), min(int(edges[1]), frame.height - 1)
    right, bottom = max(int(np.ceil(edges[2])), left + 1), max(int(np.ceil(edges[3])), top + 1)
    return Part(left, top, ArrayPicture(frame.image[top:bottom, left:right]))

"""JPEG in memory, for pictures that cross to another host. Lossy: what is decoded is not what was encoded."""

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.streams.frame import Image

_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of the segments that say the picture's size
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment


def encode(pixels: Image, quality: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) BGR as JPEG, (bytes,). quality: 1 to 100."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(data, np.uint8).reshape(-1)


def decode(data: NDArray[np.uint8], width: int, height: int) -> Image:
    """The picture (height, width, 3) BGR; its size is read before anything is made of that size.

    Raises:
        ValueError: it is no JPEG of this size.
    """
    if size_of(data) != (width, height):
        raise ValueError(f"no JPEG of {width} x {height} pixels")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None or image.shape != (height, width, 3):
        raise ValueError("a JPEG that cannot be decoded")
    return np.asarray(image, np.uint8)


def size_of(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Width and height that a JPEG says it has; None if it says nothing of it."""
    if bytes(data[:2]) != b"\xff\xd8":
        return None
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = int(data[place + 1])
        if marker in _SIZES:
            high, low, wide, narrow = (int(value) for value in data[place + 5 : place + 9])
            return wide << 8 | narrow, high << 8 | low
        length = 0 if marker in _ALONE else int(data[place + 2]) << 8 | int(data[place + 3])
        place += 2 + length
    return None

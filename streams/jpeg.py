"""JPEG in memory, for pictures that are sent to another host. It is lossy: decoding does not restore the pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.streams.frame import Image

_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of the segments with the picture's size
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment


def encode(pixels: Image, quality: int) -> NDArray[np.uint8]:
    """Encode a picture (H, W, 3) BGR as JPEG, (bytes,). quality: 1 to 100."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(data, np.uint8).reshape(-1)


def decode(data: NDArray[np.uint8], width: int, height: int) -> Image:
    """Decode a picture (height, width, 3) BGR. Its size is checked before memory of that size is allocated.

    Raises:
        ValueError: the data is not a JPEG of this size.
    """
    if size_of(data) != (width, height):
        raise ValueError(f"not a JPEG of {width} x {height} pixels")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        image = None
    if image is None or image.shape != (height, width, 3):
        raise ValueError("a JPEG that cannot be decoded")
    return np.asarray(image, np.uint8)


def size_of(data: NDArray[np.uint8]) -> tuple[int, int] | None:
    """Width and height from the header of a JPEG; None if it has none."""
    if bytes(data[:2]) != b"\xff\xd8":
        return None
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = int(data[position + 1])
        if marker in _SIZES:
            high, low, wide, narrow = (int(value) for value in data[position + 5 : position + 9])
            return wide << 8 | narrow, high << 8 | low
        length = 0 if marker in _ALONE else int(data[position + 2]) << 8 | int(data[position + 3])
        position += 2 + length
    return None

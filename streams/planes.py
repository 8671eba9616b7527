"""The planes of a decoded picture as arrays: what a converter needs to know of it, and all that has to cross to another
process or host. Half the bytes of BGR for YUV 4:2:0, and no conversion before it is known what is wanted.
"""

from dataclasses import dataclass

import av
import numpy as np
from av.video.format import VideoFormatComponent
from av.video.plane import VideoPlane
from numpy.typing import NDArray

# Formats whose first three planes are Y, U and V of one byte a sample.
PLANAR = frozenset(
    f"{kind}{sampling}p" for kind in ("yuv", "yuvj", "yuva") for sampling in ("420", "422", "444", "440", "411")
)
# Formats for which swscale has a converter of its own to BGR, if the sides are even.
DIRECT = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p"})
LONGEST_SIDE = 32_768  # pixels
PALETTE = (1, 4 * 256)


@dataclass(frozen=True, slots=True)
class Planes:
    """A decoded picture, before it is turned upright.

    Attributes:
        format: of the pixels, by FFmpeg's name.
        width, height: of the picture in pixels.
        colorspace, color_range: ITU-T H.273 matrix; 1 limited, 2 full, 0 unspecified.
        arrays: a plane each, (rows, bytes) uint8. Those of a PLANAR format are as wide as their samples; rows of others
            may have more at their end than belongs to the picture.
    """

    format: str
    width: int
    height: int
    colorspace: int
    color_range: int
    arrays: tuple[NDArray[np.uint8], ...]

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Planes":
        """Views of a frame's planes; a frame whose rows go upwards is turned to BGR first."""
        if any(plane.line_size < 0 for plane in frame.planes):
            frame = frame.reformat(format="bgr24")
        name = frame.format.name
        arrays = tuple(rows_of(plane)[:, : plane.width] if name in PLANAR else rows_of(plane) for plane in frame.planes)
        return cls(name, frame.width, frame.height, int(frame.colorspace), int(frame.color_range), arrays)

    def frame(self) -> av.VideoFrame:
        """A frame with a copy of the planes. It is progressive and says nothing of where its chroma samples lie."""
        frame = av.VideoFrame(self.width, self.height, self.format)
        for array, plane in zip(self.arrays, frame.planes, strict=True):
            rows = rows_of(plane)
            width = min(rows.shape[1], array.shape[1])
            rows[:, :width] = array[:, :width]
        frame.colorspace, frame.color_range = self.colorspace, self.color_range
        return frame


def rows_of(plane: VideoPlane) -> NDArray[np.uint8]:
    """A view (rows, bytes) of a plane. Rows may be padded."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)


def is_plain(frame: av.VideoFrame) -> bool:
    """Whether swscale turns the frame to BGR by its planes, matrix and range alone.

    Otherwise it also looks at what a copy of the planes cannot have, and what older versions of it did not look at:
    where the chroma samples lie, and whether the picture is interlaced.
    """
    width, height = frame.width, frame.height
    if frame.interlaced_frame or any(plane.line_size < 0 for plane in frame.planes):
        return False
    if frame.format.name in DIRECT and width % 2 == height % 2 == 0:
        return True
    return all((part.width, part.height) == (width, height) for part in frame.format.components)


def least_shapes(name: str, width: int, height: int, size: int) -> tuple[tuple[int, int], ...]:
    """The (rows, bytes) of each plane of such a picture; rows may have more bytes unless the format is PLANAR.

    Args:
        size: bytes that all planes have together. They are counted before anything is made of such a picture's size.

    Raises:
        ValueError: there is no such format, or `size` is too little for such a picture.
    """
    if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE):
        raise ValueError(f"{width} x {height}: expected sides of 1 to {LONGEST_SIDE} pixels")
    layout = av.VideoFormat(name, width, height)
    bits = layout.padded_bits_per_pixel
    if not bits or 8 * size < width * height * bits:
        raise ValueError(f"{size} bytes are no {width} x {height} {name} picture")
    planes: dict[int, list[VideoFormatComponent]] = {}
    for part in layout.components:
        planes.setdefault(part.plane, []).append(part)
    if len(planes) == 1:
        packed = (height, (width * bits + 7) // 8)
        return (packed, PALETTE) if layout.has_palette else (packed,)
    return tuple(
        (parts[0].height, parts[0].width * len(parts) * ((parts[0].bits + 7) // 8))
        for _, parts in sorted(planes.items())
    )

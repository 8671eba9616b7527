"""The planes of a decoded picture as arrays: everything that a conversion needs, and that is sent to other processes.

In YUV 4:2:0 they have half the bytes of BGR. A picture that is sent as planes is converted later, to the size that is
needed.
"""

from dataclasses import dataclass

import av
import numpy as np
from av.video.format import VideoFormatComponent
from av.video.plane import VideoPlane
from numpy.typing import NDArray

# Formats whose first three planes are Y, U and V, with one byte per sample.
PLANAR = frozenset(
    f"{kind}{sampling}p" for kind in ("yuv", "yuvj", "yuva") for sampling in ("420", "422", "444", "440", "411")
)
# Formats that swscale converts to BGR directly, if the sides are even.
DIRECT = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p"})
LONGEST_SIDE = 32_768  # pixels
PALETTE = (1, 4 * 256)


@dataclass(frozen=True, slots=True)
class Planes:
    """A decoded picture, before it is rotated upright.

    Attributes:
        format: FFmpeg's name of the pixel format.
        width, height: of the picture in pixels.
        colorspace: ITU-T H.273 matrix.
        color_range: 1 limited, 2 full, 0 unspecified.
        arrays: one per plane, (rows, bytes) uint8. In a PLANAR format, a row has exactly its samples. In other formats,
            rows may end with padding.
    """

    format: str
    width: int
    height: int
    colorspace: int
    color_range: int
    arrays: tuple[NDArray[np.uint8], ...]

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Planes":
        """Views of a frame's planes. A frame with rows from bottom to top is converted to BGR first."""
        if any(plane.line_size < 0 for plane in frame.planes):
            frame = frame.reformat(format="bgr24")
        name = frame.format.name
        arrays = tuple(rows_of(plane)[:, : plane.width] if name in PLANAR else rows_of(plane) for plane in frame.planes)
        return cls(name, frame.width, frame.height, int(frame.colorspace), int(frame.color_range), arrays)

    def frame(self) -> av.VideoFrame:
        """A frame with a copy of the planes. It is progressive; the position of its chroma samples is unspecified."""
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
    """Whether swscale converts the frame to BGR by its planes, matrix and range alone.

    Otherwise the result also depends on properties that a copy of the planes does not have, and that older versions of
    swscale did not use: where the chroma samples are, and whether the picture is interlaced.
    """
    width, height = frame.width, frame.height
    if frame.interlaced_frame or any(plane.line_size < 0 for plane in frame.planes):
        return False
    if frame.format.name in DIRECT and width % 2 == height % 2 == 0:
        return True
    return all((part.width, part.height) == (width, height) for part in frame.format.components)


def is_420(frame: av.VideoFrame) -> bool:
    """Whether the colours have half the resolution of the picture in both directions, or there are none."""
    layout = frame.format
    if layout.is_rgb or layout.has_palette:
        return False
    return all(
        2 * part.width <= frame.width + 1 and 2 * part.height <= frame.height + 1 for part in layout.components[1:3]
    )


def least_shapes(name: str, width: int, height: int, size: int) -> tuple[tuple[int, int], ...]:
    """The least (rows, bytes) of each plane of a picture. Rows may have more bytes, unless the format is PLANAR.

    Args:
        name: FFmpeg's name of the pixel format.
        width, height: of the picture in pixels.
        size: bytes of all planes together. It is checked before memory for such a picture is allocated.

    Raises:
        ValueError: the format is unknown, or `size` is too small for the picture.
    """
    if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE):
        raise ValueError(f"{width} x {height}: expected sides of 1 to {LONGEST_SIDE} pixels")
    layout = av.VideoFormat(name, width, height)
    bits = layout.padded_bits_per_pixel
    if not bits or 8 * size < width * height * bits:
        raise ValueError(f"{size} bytes are not a {width} x {height} {name} picture")
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

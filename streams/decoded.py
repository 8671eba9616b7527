"""A decoded picture: the decoder's planes, converted to BGR on request, in the thread that asks.

Measured on one thread, 720p and 1080p, YUV 4:2:0:

    full size       swscale 0.40 and 1.0 ms, OpenCV's I420 -> BGR 0.59 and 1.6 ms (and it knows only BT.601)
    416 x 234       planes resized by OpenCV, then one 3 x 4 matrix: 0.60 and 0.8 ms; swscale bilinear 0.67 and 1.7 ms;
                    swscale fast bilinear 0.45 and 0.65 ms, but it samples off centre by up to half a source pixel
"""

import threading
from functools import cache
from typing import Any

import av
import cv2
import numpy as np
from av.sidedata import sidedata
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from watchline.streams.frame import Grey, Image
from watchline.streams.planes import PLANAR, Planes, is_plain, rows_of

HDR = {16: "PQ", 18: "HLG"}  # H.273 transfer code -> name
UNSPECIFIED = 2  # the code for matrix, transfer and primaries in ITU-T H.273
RGB = 0
Orientation = tuple[bool, int | None]
UPRIGHT: Orientation = (False, None)
KR_KB = {  # H.273 matrix code -> (Kr, Kb)
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}


def _nameless(kind: type[sidedata.Type], number: int) -> sidedata.Type:
    """A member for a number that PyAV's table of side data does not have.

    The table lags FFmpeg's, and PyAV raises for all of a frame's side data if it does not know one of them: EXIF in
    Motion JPEG, the views of spatial video.
    """
    member = object.__new__(kind)
    member._name_, member._value_ = f"NUMBER_{number}", number  # type: ignore[assignment]
    return member


sidedata.Type._missing_ = classmethod(_nameless)  # type: ignore[assignment]


class _Reformatters(threading.local):
    """Two per thread, for full-size and for scaled pictures, so that each keeps its tables between frames."""

    def __init__(self) -> None:
        self.whole = VideoReformatter()
        self.scaled = VideoReformatter()


_reformatters = _Reformatters()


class DecodedPicture:
    """A Picture over a decoded `av.VideoFrame`, shown upright: the display matrix (rotated, mirrored) is applied.

    Colour matrix and range are those of the stream. If the stream names no matrix, it is BT.709 for pictures wider than
    1279 or higher than 576, and BT.601 otherwise, as in players. Alpha is dropped, 10 bits and more are cut to 8, grey
    becomes three equal channels, and HDR is not tone-mapped. The pixels depend only on planes, matrix, range and
    orientation, so they are the same in every process and on every host.
    """

    __slots__ = ("_bgr", "_flip", "_frame", "_planes", "_transposed", "height", "width")

    def __init__(self, frame: av.VideoFrame, orientation: Orientation | None = None) -> None:
        """Args: the decoded frame; its `orientation_of`, if known already."""
        if frame.colorspace not in KR_KB and frame.colorspace != RGB:
            frame.colorspace = Colorspace.ITU709 if frame.width > 1279 or frame.height > 576 else Colorspace.ITU601
        # swscale refuses some reserved values of these, and nothing below converts transfer or primaries.
        frame.color_trc = frame.color_primaries = UNSPECIFIED
        self._frame: av.VideoFrame | None = frame
        self._planes: Planes | None = None
        self._set(frame.width, frame.height, orientation or orientation_of(frame))

    @classmethod
    def of_planes(cls, planes: Planes, orientation: Orientation) -> "DecodedPicture":
        """The picture with these `planes` and this `orientation`. The planes are not copied.

        Raises:
            ValueError: the planes' matrix is unknown.
        """
        if planes.colorspace not in KR_KB and planes.colorspace != RGB:
            raise ValueError(f"matrix {planes.colorspace}: expected one of {sorted(KR_KB)} or {RGB}")
        picture = cls.__new__(cls)
        picture._frame, picture._planes = None, planes
        picture._set(planes.width, planes.height, orientation)
        return picture

    def _set(self, width: int, height: int, orientation: Orientation) -> None:
        self._bgr: Image | None = None
        self._transposed, self._flip = orientation
        self.width, self.height = (height, width) if self._transposed else (width, height)

    @property
    def turned(self) -> bool:
        """Whether rows of the decoded picture are shown as columns."""
        return self._transposed

    @property
    def orientation(self) -> Orientation:
        """How the decoded picture is shown, in the form of `orientation_of`."""
        return self._transposed, self._flip

    @property
    def planes(self) -> Planes:
        """Views of the decoder's planes."""
        if self._planes is None:
            assert self._frame is not None, "a picture has a frame or planes"
            self._planes = Planes.of(self._frame)
        return self._planes

    def bgr(self) -> Image:
        """The full-size picture (H, W, 3), read-only, contiguous. It is converted at the first call and then kept."""
        if self._bgr is None:
            self._bgr = self._converted()
            self._bgr.flags.writeable = False
        return self._bgr

    def drawable(self) -> Image:
        """The full-size picture (H, W, 3), contiguous, which the caller may change.

        To convert again costs less than to convert, keep and copy. But a decoder that gives BGR may need the pixels of
        this frame for the next one.
        """
        if self._bgr is None and (self._frame is None or self._frame.format.name != "bgr24"):
            return self._converted()
        return self.bgr().copy()

    def scaled(self, width: int, height: int) -> Image:
        """The picture resampled bilinearly to (height, width, 3), read-only. It is not made from `bgr()`, so a
        detector sees the same pixels whether or not the full-size picture was asked for before.
        """
        if (width, height) == (self.width, self.height):
            return self.bgr()
        if self._transposed:
            width, height = height, width
        planes = self.planes
        if planes.format in PLANAR and planes.colorspace in KR_KB:
            scaled = self._upright(_scaled_planes(planes, width, height))
        else:
            frame = self._plain()
            reformatted = _reformatters.scaled.reformat(frame, width, height, format="bgr24", threads=1)
            scaled = self._upright(_pixels(reformatted))
        scaled.flags.writeable = False
        return scaled

    def grey(self, width: int, height: int) -> Grey:
        """Its luma resampled to (height, width). Where it is a plane of its own, only some of its rows are read: of a
        picture that nobody else looks at, memory takes most of the time.
        """
        planes = self.planes
        if planes.format not in PLANAR:
            return np.asarray(cv2.cvtColor(self.scaled(width, height), cv2.COLOR_BGR2GRAY), np.uint8)
        if self._transposed:
            width, height = height, width
        step = max(1, planes.height // height)
        rows = planes.arrays[0][step // 2 :: step]
        return self._upright(np.asarray(cv2.resize(rows, (width, height)), np.uint8))

    def _plain(self) -> av.VideoFrame:
        """The frame for swscale: the decoded one, or a copy without the fields that swscale must not use."""
        if self._frame is not None and is_plain(self._frame):
            return self._frame
        return self.planes.frame()

    def _converted(self) -> Image:
        return self._upright(_pixels(_reformatters.whole.reformat(self._plain(), format="bgr24", threads=1)))

    def _upright(self, pixels: Image) -> Image:
        if self._transposed:
            pixels = np.asarray(cv2.transpose(pixels), np.uint8)
        if self._flip is not None:
            pixels = np.asarray(cv2.flip(pixels, self._flip), np.uint8)
        return np.ascontiguousarray(pixels)


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """How to show the frame: whether to transpose, then the code for `cv2.flip` (0 rows, 1 columns, -1 both, None not).

    Reading the side data of a frame creates a reference cycle, which keeps its pixels until the garbage collector runs.
    So call this once per stream, not once per frame.

    The display matrix is [[a, b, u], [c, d, v], [x, y, w]] and maps a point by x' = a x + c y, y' = b x + d y. Its
    signs distinguish the eight ways to rotate and mirror a picture. Any other angle counts as the nearest of them.
    """
    side_data: Any = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return UPRIGHT
    a, b, _, c, d = (int(v) for v in np.frombuffer(side_data, np.int32)[:5])
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    flip_columns, flip_rows = (c < 0, b < 0) if transposed else (a < 0, d < 0)
    return transposed, {(False, False): None, (False, True): 0, (True, False): 1, (True, True): -1}[
        flip_columns, flip_rows
    ]


def remarks(frame: av.VideoFrame) -> list[str]:
    """What is lost of pictures like this one, a line each. Call it before a DecodedPicture is made of the frame.

    swscale can tone-map, but takes hundreds of milliseconds for a picture of 1080p.
    """
    found = []
    if frame.color_trc in HDR:
        name = HDR[frame.color_trc]
        found.append(f"it is HDR ({name}) and is not tone-mapped: colours are paler or darker than in a player")
    if frame.format.name.startswith(("gray16", "grayf")):
        found.append("its pictures are grey with 16 bits or more, as of depth or heat: only the upper 8 bits are used")
    return found


def _pixels(frame: av.VideoFrame) -> Image:
    """A view (H, W, 3) of a bgr24 frame."""
    width, height = frame.width, frame.height
    return rows_of(frame.planes[0])[:, : 3 * width].reshape(height, width, 3)


def _scaled_planes(planes: Planes, width: int, height: int) -> Image:
    """Y, U and V resized one by one to the requested size, then converted to BGR."""
    yuv = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in planes.arrays[:3]]
    full = planes.color_range == ColorRange.JPEG or planes.format.startswith("yuvj")
    return np.asarray(cv2.transform(cv2.merge(yuv), _bgr_of_yuv(planes.colorspace, full)), np.uint8)


@cache
def _bgr_of_yuv(colorspace: int, full: bool) -> NDArray[np.float64]:
    """The 3 x 4 matrix from (Y, U, V, 1) in 0..255 to (B, G, R): H.273's equations with the matrix's Kr and Kb."""
    kr, kb = KR_KB[colorspace]
    kg = 1 - kr - kb
    luma, chroma, black = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16.0)
    matrix = np.array(
        [
            [luma, chroma * 2 * (1 - kb), 0],
            [luma, -chroma * 2 * kb * (1 - kb) / kg, -chroma * 2 * kr * (1 - kr) / kg],
            [luma, 0, chroma * 2 * (1 - kr)],
        ]
    )
    offset = -matrix @ np.array([black, 128, 128])
    return np.column_stack([matrix, offset])

"""How the programs that networks come from make a picture the input, written after them and not after our letterbox.

    batch, place = DARKNET.fitted(image, (416, 416), pad=(127, 127, 127))

So parity sees what our resampling and our letterbox change. Rows and columns are resampled by a matrix each:

| sampling | of | |
| --- | --- | --- |
| corners | Darknet's `resize_image` | the corner pixels fall on one another; nothing is smoothed |
| centres | OpenCV's INTER_LINEAR, torch's bilinear | pixels have their place in the middle; nothing is smoothed |
| cubic | OpenCV's INTER_CUBIC | the same by four pixels |
| smooth | Pillow's BILINEAR | a shrunk picture is the mean of what it covers |
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.export.detectors import export as foreign
from watchline.ops.letterbox import Fit, Size
from watchline.streams.frame import Image

CUBIC = -0.75  # OpenCV's free parameter
Matrix = NDArray[np.float64]


def taps(before: int, after: int, sampling: str) -> Matrix:
    """(after, before): how much each pixel of a row counts for each pixel of the resampled row."""
    at = np.arange(after, dtype=np.float64)
    scale = before / after
    at = at * ((before - 1) / max(after - 1, 1)) if sampling == "corners" else (at + 0.5) * scale - 0.5
    if sampling == "smooth":
        distance = np.abs(at[:, None] - np.arange(before)) / max(scale, 1)
        weights = np.maximum(1 - distance, 0)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))
    reach = (-1, 0, 1, 2) if sampling == "cubic" else (0, 1)
    first = np.floor(at)
    matrix = np.zeros((after, before))
    for step in reach:
        distance = np.abs(at - first - step)
        weight = _cubic(distance) if sampling == "cubic" else 1 - distance
        place = np.clip(first + step, 0, before - 1).astype(int)  # beyond the edge, its pixel counts
        np.add.at(matrix, (np.arange(after), place), weight)
    return matrix


def _cubic(x: Matrix) -> Matrix:
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    return np.where(x <= 1, near, ((x - 5) * x + 8) * x * CUBIC - 4 * CUBIC)


@dataclass(frozen=True)
class OwnInput:
    """Attributes:
    name: of the program.
    resize: the rule that the export gives its networks.
    place: from the sizes of picture and input to the picture's size inside and the place of its corner.
    sampling: see the table above.
    alike: our resampling is the same, so what is left is small.
    """

    name: str
    resize: str
    place: Callable[[Size, Size], tuple[Size, tuple[int, int]]]
    sampling: str = "centres"
    alike: bool = True

    def fitted(self, image: Image, size: Size, pad: tuple[int, int, int]) -> tuple[NDArray[np.uint8], Fit]:
        """The picture (H, W, 3) as a batch of one (1, height, width, 3), rounded to bytes, and its place there."""
        source = (image.shape[1], image.shape[0])
        (width, height), (x, y) = self.place(source, size)
        rows, columns = taps(source[1], height, self.sampling), taps(source[0], width, self.sampling)
        pixels = np.einsum("yh,hwc,xw->yxc", rows, image.astype(np.float64), columns, optimize=True)
        batch = np.empty((1, size[1], size[0], 3), np.uint8)
        batch[:] = pad
        batch[0, y : y + height, x : x + width] = np.clip(np.rint(pixels), 0, 255)
        return batch, Fit(source, size, (width, height), (x, y))


def _filled(source: Size, size: Size) -> tuple[Size, tuple[int, int]]:
    return size, (0, 0)


def _darknet(source: Size, size: Size) -> tuple[Size, tuple[int, int]]:
    """`letterbox_image`: the other side by a division of whole numbers."""
    (w, h), (width, height) = source, size
    inner = (width, max(1, h * width // w)) if width / w < height / h else (max(1, w * height // h), height)
    return inner, ((width - inner[0]) // 2, (height - inner[1]) // 2)


def _ultralytics(source: Size, size: Size) -> tuple[Size, tuple[int, int]]:
    """`LetterBox`: rounded to the nearest, and an odd border below and on the right."""
    ratio = min(size[0] / source[0], size[1] / source[1])
    inner = (max(1, round(source[0] * ratio)), max(1, round(source[1] * ratio)))
    return inner, tuple(round((a - b) / 2 - 0.1) for a, b in zip(size, inner, strict=True))  # type: ignore[return-value]


def _yolox(source: Size, size: Size) -> tuple[Size, tuple[int, int]]:
    """`preproc`: rounded down, at the top left. torchvision's `resize_boxes` has the same sides."""
    ratio = min(size[0] / source[0], size[1] / source[1])
    return (max(1, int(source[0] * ratio)), max(1, int(source[1] * ratio))), (0, 0)


def _yolonas(source: Size, size: Size) -> tuple[Size, tuple[int, int]]:
    """`DetectionLongestMaxSizeRescale` to four pixels less, `DetectionCenterPadding`."""
    inner, _ = _ultralytics(source, (size[0] - 4, size[1] - 4))
    return inner, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)


DARKNET = OwnInput("Darknet", "letterbox-darknet", _darknet, "corners", alike=False)
DARKNET_FORK = OwnInput("AlexeyAB's Darknet", "stretch", _filled, "corners", alike=False)
ULTRALYTICS = OwnInput("Ultralytics", "letterbox-center", _ultralytics)
PILLOW = OwnInput("Pillow", "stretch", _filled, "smooth", alike=False)
PADDLE = OwnInput("PaddleDetection", "stretch", _filled, "cubic", alike=False)
TORCHVISION = OwnInput("torchvision", "letterbox-floor", _yolox)
FAMILIES = {
    "yolox": OwnInput("YOLOX", "letterbox-floor", _yolox),
    "ultralytics": ULTRALYTICS,
    "yolov6": OwnInput("YOLOv6", "letterbox-center", _ultralytics),
    "yolonas": OwnInput("super-gradients", "letterbox-center", _yolonas, alike=False),
    "deepstream": ULTRALYTICS,
    "picodet": PADDLE,
    "ppyoloe": PADDLE,
    "ppyoloe-plus": PADDLE,
    "detr": PILLOW,
    "rtdetr": PILLOW,
    "rfdetr": PILLOW,
    "deformable-detr": PILLOW,
}
UNKNOWN = frozenset({"nanodet", "ssd"})  # NanoDet warps pictures; of SSDs there are several programs


def of_darknet(resize: str) -> OwnInput | None:
    """By the rule that a Darknet network has; None if no Darknet resizes so."""
    return next((own for own in (DARKNET, DARKNET_FORK) if own.resize == resize), None)


def of_family(path: Path, family: str | None, resize: str) -> OwnInput | None:
    """By the family of an ONNX detector; None if its program is not known here, or resizes otherwise."""
    own = FAMILIES.get(family or foreign.recognise(path) or "")
    return own if own and own.resize == resize else None

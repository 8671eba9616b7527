"""Letterbox: how a picture of any size becomes a network's input, and how boxes are mapped back.

The picture keeps its aspect ratio, and grey fills the rest. By default the picture is at the top left, so mapping a box
back needs a scale and no shift. Networks that were trained with the picture in the middle get it there.
"""

import operator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, clip

GREY = (114, 114, 114)  # BGR, the padding that YOLO networks are trained with
Size = tuple[int, int]  # width, height in pixels
Rule = Literal["letterbox", "letterbox-center", "stretch", "letterbox-darknet", "letterbox-floor"]
RULES: tuple[str, ...] = get_args(Rule)


@dataclass(frozen=True, slots=True)
class Fit:
    """Where a picture goes in a network's input. All sizes are (width, height) in pixels.

    Attributes:
        source: size of the picture.
        network: size of the input.
        inner: size of the picture inside the input; at least 1 x 1, at most `network`.
        corner: (x, y) of the picture's top left pixel in the input.
    """

    source: Size
    network: Size
    inner: Size
    corner: tuple[int, int] = (0, 0)

    def place(self, pixels: NDArray[np.uint8], canvas: NDArray[np.uint8], pad: tuple[int, int, int] = GREY) -> None:
        """Fill `canvas` with the picture and its padding.

        Args:
            pixels: (H, W, 3) uint8, the picture resampled to `inner`.
            canvas: (H, W, 3) uint8 of size `network`, e.g. a row of a batch; every pixel of it is written.
            pad: colour of the padding, in the order of the channels.

        Raises:
            ValueError: `pixels` or `canvas` has another shape.
        """
        (width, height), (full_width, full_height) = self.inner, self.network
        if pixels.shape != (height, width, 3) or canvas.shape != (full_height, full_width, 3):
            raise ValueError(
                f"cannot place {pixels.shape} on {canvas.shape}: expected a picture resampled to "
                f"{(height, width, 3)} and a canvas {(full_height, full_width, 3)}"
            )
        x, y = self.corner
        if self.inner != self.network:
            canvas[:y] = canvas[y + height :] = pad
            canvas[y : y + height, :x] = canvas[y : y + height, x + width :] = pad
        canvas[y : y + height, x : x + width] = pixels

    def to_network(self, boxes: Boxes) -> Boxes:
        """Boxes (N, 4) xyxy from pixels of the source to pixels of the network's input."""
        inside = boxes.astype(np.float64) * np.array(self.inner * 2) / np.array(self.source * 2)
        return np.asarray(inside + np.array(self.corner * 2), np.float32)

    def to_source(self, boxes: Boxes) -> Boxes:
        """Boxes (N, 4) xyxy from pixels of the network's input to pixels of the source, clipped to it.

        Each axis has its own scale, because the sides of `inner` are whole numbers of pixels: a picture 7 wide and 9999
        high is 1 wide there.
        """
        return clip(self.beyond_source(boxes), *self.source)

    def beyond_source(self, boxes: Boxes) -> Boxes:
        """The same without clipping: a mask is stretched over the whole box, even where that leaves the picture."""
        inside = boxes.astype(np.float64) - np.array(self.corner * 2)
        return np.asarray(inside * np.array(self.source * 2) / np.array(self.inner * 2), np.float32)


def fit(source: Size, network: Size, rule: Rule = "letterbox") -> Fit:
    """Compute where a picture goes in a network's input.

    Args:
        source: (width, height) of the picture.
        network: (width, height) of the input.
        rule: "letterbox" keeps the aspect ratio (small pictures are enlarged too) and puts the picture at the top left;
            "letterbox-center" puts it in the middle and rounds its sides to the nearest, as Ultralytics does;
            "letterbox-darknet" rounds them down, as Darknet does; "letterbox-floor" does so at the top left, as YOLOX
            and torchvision do; "stretch" fills the input.

    Raises:
        ValueError: a side is less than 1, or the rule is unknown.
    """
    if min(*source, *network) < 1:
        raise ValueError(f"cannot fit {source} into {network}: expected (width, height) of at least 1 pixel each")
    if rule == "stretch":
        return Fit(source, network, network)
    if rule not in RULES:
        raise ValueError(f"resize rule {rule!r}: expected one of {', '.join(RULES)}")
    (width, height), (full_width, full_height) = source, network
    if rule in (
        "letterbox-center",
        "letterbox-floor",
    ):  # in the very numbers of Ultralytics (halves go to the even side)
        ratio = min(full_height / height, full_width / width)
        whole = round if rule == "letterbox-center" else int
        inner = max(1, whole(width * ratio)), max(1, whole(height * ratio))
    else:
        divide = operator.floordiv if rule == "letterbox-darknet" else _divide
        if width * full_height >= height * full_width:  # the picture has the wider aspect: its width decides
            inner = (full_width, max(1, divide(height * full_width, width)))
        else:
            inner = (max(1, divide(width * full_height, height)), full_height)
    if rule in ("letterbox", "letterbox-floor"):
        return Fit(source, network, inner)
    return Fit(source, network, inner, ((full_width - inner[0]) // 2, (full_height - inner[1]) // 2))


def _divide(a: int, b: int) -> int:
    """a / b rounded to the nearest integer, half up. It uses integers, so no size depends on rounding errors."""
    return (2 * a + b) // (2 * b)

"""Annotator: draws what was found on a copy of the frame.

The pure function `draw` needs no queue and no stage:

    picture = draw(pixels, detections)

Lines and text follow the picture's size, text stays inside the picture, and a class has the same colour everywhere.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from watchline.ops.boxes import clip
from watchline.ops.colours import Colour, colour, ink
from watchline.ops.detections import Detections
from watchline.pipeline.message import Item
from watchline.pipeline.stages.stage import Process
from watchline.settings import settings
from watchline.streams.frame import Frame, Image

SMALLEST_TEXT = 12  # pixels from line to line under which letters run together
FONT = cv2.FONT_HERSHEY_DUPLEX  # OpenCV 5 draws the TrueType font Rubik for it, OpenCV 4 strokes
EM = 27  # pixels from line to line at FONT's scale 1
LONGEST_NAME = 32  # letters of a stream's name in the info line


@settings
class Annotator:
    """Draws boxes, labels with scores and an info line.

    Attributes:
        line_width: of the boxes in pixels; None follows the frame's size.
        labels: write class and score at each box.
        info: write stream, frame, time and number of detections in the top left corner.
    """

    line_width: Annotated[int, Field(ge=1)] | None = None
    labels: bool = True
    info: bool = True

    @property
    def name(self) -> str:
        return "annotator"

    @property
    def workers(self) -> int:
        return 1

    @property
    def batch(self) -> int:
        return 1

    @contextmanager
    def open(self) -> Iterator[Process]:
        """Yields the function that sets `drawn`: a copy, or the frame's own pixels where there is nothing to draw.

        On frames that no detector looked at, the boxes of the last one before them stay.
        """
        last: dict[str, Detections] = {}

        def process(items: Sequence[Item]) -> list[Item]:
            done = []
            for item in items:
                if item.detections is not None:
                    last[item.stream] = item.detections
                done.append(replace(item, drawn=self._drawn(item, last.get(item.stream, Detections.none(())))))
            return done

        yield process

    def _drawn(self, item: Item, found: Detections) -> Image:
        info = describe(item.frame, item.detections) if self.info else ()
        pixels = item.frame.picture.bgr()
        return draw(pixels, found, line_width=self.line_width, labels=self.labels, info=info)


def draw(
    pixels: Image,
    detections: Detections,
    *,
    line_width: int | None = None,
    labels: bool = True,
    info: tuple[str, ...] = (),
) -> Image:
    """A picture with its detections drawn on it.

    Args:
        pixels: (H, W, 3) uint8 BGR; never written to.
        detections: in the picture's pixels. What lies outside is cut off or left out; the best is drawn on top.
        line_width: of the boxes in pixels, inwards from their edges; None follows the picture's size.
        labels: write class and score at each box. Where a picture is too small for a text, there is none.
        info: parts of the line in the top left corner; the first ones go where not all fit.

    Returns:
        (H, W, 3) uint8 BGR: a copy, or `pixels` itself if there is nothing to draw.

    Raises:
        ValueError: `pixels` is no such picture, or the lines would have no width.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"cannot draw on {pixels.dtype} {pixels.shape}: expected uint8 (height, width, 3), BGR")
    if line_width is not None and line_width < 1:
        raise ValueError(f"line_width {line_width}: expected at least 1 pixel, or None to follow the picture's size")
    height, width = pixels.shape[:2]
    rows, boxes = _visible(detections.boxes, width, height)
    line = _line_that_fits(info, width, height)
    if not boxes and not line:
        return pixels
    canvas = pixels.copy()
    names = [detections.labels[c] for c in detections.classes[rows].tolist()]
    thickness = line_width or _line_width(width, height)
    for box, name in zip(boxes, names, strict=True):
        _outline(canvas, box, _stripe(name, width), thickness)
    taken = _write_info(canvas, line) if line else (0, 0)
    if labels:
        size = _text_size(width, height)
        for box, name, score in zip(boxes, names, detections.scores[rows].tolist(), strict=True):
            _put_label(canvas, box, _tab(name, f"{score:.2f}", size, width), taken)
    return canvas


def describe(frame: Frame, detections: Detections | None) -> tuple[str, ...]:
    """The parts of the info line: stream, frame, time as mm:ss.mmm, how many detections; of a photo its file name."""
    name = frame.file if frame.file is not None else frame.stream
    if len(name) > LONGEST_NAME:
        name = name[: LONGEST_NAME - 3] + "..."
    count = () if detections is None else (f"{len(detections)} detection{'' if len(detections) == 1 else 's'}",)
    if frame.file is not None:
        return (name, *count)
    return (name, f"frame {frame.index}", _clock(frame.seconds), *count)


def _clock(seconds: float) -> str:
    milliseconds = round(abs(seconds) * 1000)
    sign = "-" if seconds < 0 and milliseconds else ""
    return f"{sign}{milliseconds // 60000:02d}:{milliseconds // 1000 % 60:02d}.{milliseconds % 1000:03d}"


def _scale(width: int, height: int) -> float:
    """How large a picture is to look at: the side of the square of its area, so that portrait equals landscape."""
    return math.sqrt(width * height)


def _text_size(width: int, height: int) -> int:
    """Pixels from line to line: 13 at 640 x 272, 14 at 480p, 18 at 720p, 25 at 1080p. Grows slower than the picture."""
    return max(SMALLEST_TEXT, round(5 + _scale(width, height) * 0.0138))


def _line_width(width: int, height: int) -> int:
    """2 pixels up to 720p, 3 at 1080p, 4 at 4K; 1 for thumbnails only, as video codecs bleach lines that thin."""
    return round(1.2 + _scale(width, height) / 900)


def _visible(boxes: NDArray[np.float32], width: int, height: int) -> tuple[NDArray[np.intp], list[list[int]]]:
    """Rows of the boxes that cover a pixel of the picture, the last (worst) first, and those boxes in whole pixels."""
    edges = np.rint(clip(boxes, width, height))
    rows = np.flatnonzero((edges[:, 2] > edges[:, 0]) & (edges[:, 3] > edges[:, 1]))[::-1]
    return rows, edges[rows].astype(np.int64).tolist()


def _outline(canvas: Image, box: list[int], stripe: NDArray[np.uint8], thickness: int) -> None:
    """A frame just inside the box. Copying whole rows of bytes is faster, and crisper, than a thick OpenCV line."""
    x1, y1, x2, y2 = box
    flat = canvas.reshape(len(canvas), -1)  # (H, W * 3)
    left, right, top = 3 * x1, 3 * x2, stripe[: 3 * (x2 - x1)]
    side = top[: 3 * thickness]
    flat[y1 : min(y1 + thickness, y2), left:right] = top
    flat[max(y2 - thickness, y1) : y2, left:right] = top
    flat[y1:y2, left : left + len(side)] = side
    flat[y1:y2, right - len(side) : right] = side


@lru_cache(maxsize=64)
def _stripe(name: str, width: int) -> NDArray[np.uint8]:
    """A row of `width` pixels in the class's colour, as bytes (3 * width,)."""
    return np.tile(np.array(colour(name), np.uint8), width)


def _put_label(canvas: Image, box: list[int], tab: Image | None, taken: tuple[int, int]) -> None:
    """Copy a label above its box, or inside where there is no room above, or below the info line; always whole."""
    if tab is None or tab.shape[0] > canvas.shape[0]:
        return
    height, width = tab.shape[:2]
    x = min(box[0], canvas.shape[1] - width)
    y = box[1] - height if box[1] >= height else box[1]
    if x < taken[0] and y < taken[1]:
        y = max(box[1], taken[1])
    y = min(y, canvas.shape[0] - height)
    canvas[y : y + height, x : x + width] = tab


def _line_that_fits(parts: tuple[str, ...], width: int, height: int) -> str:
    """As many of the parts, from the last, as fit beside one another; "" if none does."""
    size = _text_size(width, height)
    if _bar_height(size) > height:
        return ""
    lines = ("   ".join(parts[first:]) for first in range(len(parts)))
    return next((line for line in lines if _bar_width(line, size) <= width), "")


def _write_info(canvas: Image, line: str) -> tuple[int, int]:
    """Write white on the darkened corner. Returns the width and height that it takes."""
    size = _text_size(canvas.shape[1], canvas.shape[0])
    width, height = _bar_width(line, size), _bar_height(size)
    darker = np.asarray(cv2.convertScaleAbs(canvas[:height, :width], alpha=0.3), np.uint8)
    canvas[:height, :width] = _written(darker, line, size, (255, 255, 255))
    return width, height


@lru_cache(maxsize=512)
def _tab(name: str, score: str, size: int, room: int) -> Image | None:
    """A label's picture, shortened to `room` pixels; None if not a letter fits. Few differ, so they are kept."""
    text = f"{name} {score}"
    while _bar_width(text, size) > room:
        if len(text) <= 4:
            return None
        text = text.removesuffix("...")[:-1] + "..."
    fill = colour(name)
    tab = np.full((_bar_height(size), _bar_width(text, size), 3), fill, np.uint8)
    return _written(tab, text, size, ink(fill))


def _bar_width(text: str, size: int) -> int:
    (width, _), _ = cv2.getTextSize(_printable(text), FONT, size / EM, _stroke(size))
    return int(width) + 2 * _margin(size)


def _bar_height(size: int) -> int:
    return round(size * 1.4)


def _margin(size: int) -> int:
    return size // 3


def _stroke(size: int) -> int:
    return max(1, round(size / 20))


def _written(bar: Image, text: str, size: int, letters: Colour) -> Image:
    """The bar with a line of text in its middle; capitals are 0.7 of the size high."""
    left_below = (_margin(size), round(len(bar) / 2 + size * 0.35))
    cv2.putText(bar, _printable(text), left_below, FONT, size / EM, letters, _stroke(size), cv2.LINE_AA)
    return bar


def _printable(text: str) -> str:
    """The text without line breaks and lone surrogates (a file name may have them), at which OpenCV crashes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)

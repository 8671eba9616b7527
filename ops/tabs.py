"""Text on a picture: its size, labels as small pictures, the line in the corner."""

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.ops.colours import Colour, ink

Image = NDArray[np.uint8]

SMALLEST_TEXT = 12  # pixels from line to line; with fewer, letters merge
FONT = cv2.FONT_HERSHEY_DUPLEX  # OpenCV 5 draws the TrueType font Rubik for it, OpenCV 4 strokes
EM = 27  # pixels from line to line at FONT's scale 1
LONGEST = 200  # letters of a label that are measured: no picture has room for more
WHITE = (255, 255, 255)


def scale(width: int, height: int) -> float:
    """The size of a picture: the side of a square with its area, so portrait and landscape are equal."""
    return math.sqrt(width * height)


def text_size(width: int, height: int) -> int:
    """Pixels from line to line: 13 at 640 x 272, 14 at 480p, 18 at 720p, 25 at 1080p: it grows slower than the side."""
    return max(SMALLEST_TEXT, round(5 + scale(width, height) * 0.0138))


@lru_cache(maxsize=512)
def tab(text: str, fill: Colour, size: int, room: int, end: str = "") -> Image | None:
    """A label as a picture (h, w, 3), shortened to `room` pixels; None if no letter fits. Cached, as labels repeat.

    Args: end, what follows the text; it is shortened only where it does not fit alone.
    """
    text, end = text[:LONGEST], end[:LONGEST]
    while bar_width(text + end, size) > room:
        if len(text) <= 4:
            return tab(end.lstrip(), fill, size, room) if end else None
        text = text.removesuffix("...")[:-1] + "..."
    text += end
    bar = np.full((bar_height(size), bar_width(text, size), 3), fill, np.uint8)
    return _written(bar, text, size, ink(fill))


def place(tab: Image, x: int, y: int, corner: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Where a text goes: above the point (x, y), or below it if there is no room above. It is always inside.

    Args:
        corner: width and height of another text in the top left corner. A text that would begin in it is put below.
        width, height: of the picture, which is as high as the text or higher.
    """
    left = min(x, width - tab.shape[1])
    top = y - len(tab) if y >= len(tab) else y
    if left < corner[0] and top < corner[1]:
        top = max(y, corner[1])
    return left, min(top, height - len(tab))


def put(picture: Image, tab: Image, left: int, top: int) -> tuple[int, int, int, int]:
    """Copy a text into a picture. Returns its box: left, top, right, bottom."""
    right, bottom = left + tab.shape[1], top + len(tab)
    picture[top:bottom, left:right] = tab
    return left, top, right, bottom


def line_that_fits(parts: Sequence[str], width: int, height: int, size: int) -> str:
    """The largest number of parts, counted from the last, that fit into one line of a picture; "" if none fits."""
    if bar_height(size) > height:
        return ""
    lines = ("   ".join(parts[first:]) for first in range(len(parts)))
    return next((line for line in lines if bar_width(line, size) <= width), "")


def wrapped(text: str, size: int, room: int, most: int) -> list[str]:
    """A text in lines of at most `room` pixels, broken between words; after `most` lines it is cut."""
    lines = [""]
    for word in text[: most * LONGEST].split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and bar_width(longer, size) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]}..."]
    return [line for line in lines if line]


def write_darkened(picture: Image, line: str, size: int, left: int = 0, top: int = 0) -> tuple[int, int, int, int]:
    """Write in white on the darkened picture. Returns the text's box: left, top, right, bottom."""
    right, bottom = left + bar_width(line, size), top + bar_height(size)
    here = picture[top:bottom, max(left, 0) : right]
    darker = np.asarray(cv2.convertScaleAbs(here, alpha=0.3), np.uint8)
    here[:] = _written(darker, line, size, WHITE)
    return left, top, right, bottom


def bar_width(text: str, size: int) -> int:
    """Pixels of a text with its margins."""
    (width, _), _ = cv2.getTextSize(_printable(text), FONT, size / EM, _stroke(size))
    return int(width) + 2 * _margin(size)


def bar_height(size: int) -> int:
    """Pixels of a line of text with its margins."""
    return round(size * 1.4)


def _margin(size: int) -> int:
    return size // 3


def _stroke(size: int) -> int:
    return max(1, round(size / 20))


def _written(bar: Image, text: str, size: int, letters: Colour) -> Image:
    """Write a line of text into the middle of the bar. Capitals are 0.7 of the size high."""
    left_below = (_margin(size), round(len(bar) / 2 + size * 0.35))
    cv2.putText(bar, _printable(text), left_below, FONT, size / EM, letters, _stroke(size), cv2.LINE_AA)
    return bar


def _printable(text: str) -> str:
    """The text without line breaks and lone surrogates (in file names), because OpenCV crashes on these."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)

"""Blocks of text at the lower edge of a picture: the caption, and the legend of a class map."""

from collections.abc import Sequence

from watchline.ops import tabs
from watchline.ops.colours import Colour
from watchline.ops.tabs import Image

MOST_LINES = 3  # of a caption
WIDEST = 0.9  # of the picture's width, that a line of it may have
Box = tuple[int, int, int, int]


def put_caption(picture: Image, text: str, size: int) -> list[Box]:
    """Write a text in the middle of the lower edge, white on the darkened picture. Returns the boxes of its lines."""
    height, width = picture.shape[:2]
    lines = tabs.wrapped(text, size, int(width * WIDEST), MOST_LINES)
    step = tabs.bar_height(size)
    boxes = []
    for number, line in enumerate(lines):
        top = height - step * (len(lines) - number) - step // 3
        if top >= 0:
            boxes.append(tabs.write_darkened(picture, line, size, (width - tabs.bar_width(line, size)) // 2, top))
    return boxes


def put_legend(picture: Image, rows: Sequence[tuple[str, Colour]], size: int, bottom: int) -> list[Box]:
    """Write names on their colours, one below the other, at the left edge above `bottom`, in the lower half at most."""
    height, width = picture.shape[:2]
    drawn = [tab for name, colour in rows if (tab := tabs.tab(name, colour, size, width // 2)) is not None]
    fitting = drawn[: max(0, (bottom - height // 2) // tabs.bar_height(size))]
    boxes = []
    for tab in fitting[::-1]:
        bottom -= len(tab)
        boxes.append(tabs.put(picture, tab, 0, bottom))
    return boxes

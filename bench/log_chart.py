"""A chart of lines on logarithmic axes, drawn by OpenCV: what the pictures of docs/lecture/ are made of."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 760, 420  # pixels
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 36, 44  # around the lines; the legend is on the right
INK, GRID = (60, 60, 60), (225, 225, 225)
COLOURS = (
    (60, 60, 220), (200, 120, 20), (60, 150, 40), (160, 60, 160), (20, 140, 230), (120, 120, 120), (180, 170, 40),
    (20, 20, 20),
)  # fmt: skip
FONT = cv2.FONT_HERSHEY_SIMPLEX

Points = Sequence[tuple[float, float]]


def chart(
    titles: tuple[str, str],
    lines: Mapping[str, Points],
    xs: Sequence[float],
    ys: Sequence[float],
    log: tuple[bool, bool],
) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3) uint8 BGR.

    Args:
        titles: of the two axes.
        lines: (x, y) of each, by name.
        xs, ys: where the grid is; the first and the last are the ends of the axes. What lies outside is cut.
        log: which of the axes are logarithmic.
    """
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)

    def place(x: float, y: float) -> tuple[int, int]:
        across, down = (_share(v, at, of) for v, at, of in ((x, xs, log[0]), (y, ys, log[1])))
        return round(LEFT + (WIDTH - LEFT - RIGHT) * across), round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * down)

    for x in xs:
        cv2.line(picture, place(x, ys[0]), place(x, ys[-1]), GRID, 1)
        _text(picture, f"{x:g}", (place(x, ys[0])[0] - 8, HEIGHT - BOTTOM + 16))
    for y in ys:
        cv2.line(picture, place(xs[0], y), place(xs[-1], y), GRID, 1)
        _text(picture, f"{y:g}", (6, place(xs[0], y)[1] + 4))
    for number, (name, points) in enumerate(lines.items()):
        colour, y = COLOURS[number % len(COLOURS)], TOP + 12 + 20 * number
        cv2.polylines(picture, [np.array([place(*point) for point in points])], False, colour, 2, cv2.LINE_AA)
        cv2.line(picture, (WIDTH - RIGHT + 12, y - 4), (WIDTH - RIGHT + 30, y - 4), colour, 2)
        _text(picture, name, (WIDTH - RIGHT + 36, y))
    _text(picture, titles[1], (LEFT, 22))
    _text(picture, titles[0], (LEFT, HEIGHT - 8))
    return picture


def _share(value: float, grid: Sequence[float], log: bool) -> float:
    """Where a value is on an axis, 0..1."""
    first, last, value = (math.log(max(v, 1e-300)) if log else v for v in (grid[0], grid[-1], value))
    return min(max((value - first) / (last - first), 0.0), 1.0)


def _text(picture: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    cv2.putText(picture, text, at, FONT, 0.42, INK, 1, cv2.LINE_AA)

"""Draws a run as two charts: the losses, and the average precision of all classes and of each, epoch by epoch."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.train.journal import AP, EPOCH, MEAN, Row, best

Image = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 420  # pixels of a chart
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 36, 36  # around the lines; the legend is on the right
INK, GRID, PAPER = (60, 60, 60), (225, 225, 225), (255, 255, 255)
MOST = 16  # lines in the legend
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(rows: Sequence[Row], losses: Sequence[str]) -> Image:
    """(HEIGHT, 2 * WIDTH, 3) uint8 BGR. Args: rows, one at least; losses, columns of the first chart."""
    epochs = [row[EPOCH] for row in rows]
    first = _chart("loss", epochs, {name: [row[name] for row in rows] for name in losses}, None)
    shown = [MEAN, *(name for name in rows[0] if name.startswith(AP))]
    lines = {name.removeprefix(AP): [row[name] for row in rows] for name in shown}
    chart = _chart("average precision at IoU 0.5", epochs, lines, 1.0)
    if (number := best(rows)) is not None:
        at = _point(epochs[number], rows[number][MEAN], max(epochs), 1.0)
        cv2.circle(chart, at, 5, INK, 1, cv2.LINE_AA)
        _text(chart, f"best {rows[number][MEAN]:.3f}", (max(LEFT, at[0] - 40), max(TOP + 10, at[1] - 10)))
    return np.hstack([first, chart])


def _chart(title: str, epochs: Sequence[float], lines: Mapping[str, Sequence[float]], top: float | None) -> Image:
    """A chart whose axes begin at 0. Args: top, of the vertical axis; None follows the values."""
    chart = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    finite = [value for values in lines.values() for value in values if math.isfinite(value)]
    top = top or max([*finite, 1e-3]) * 1.05
    for step in range(5):
        y = _point(0, top * step / 4, 1, top)[1]
        cv2.line(chart, (LEFT, y), (WIDTH - RIGHT, y), GRID, 1)
        _text(chart, f"{top * step / 4:.2f}", (8, y + 4))
        x = _point(step, 0, 4, 1)[0]
        _text(chart, f"{max(epochs) * step / 4:.4g}", (x - 8, HEIGHT - 14))
    _text(chart, title, (LEFT, 22))
    _text(chart, "epoch", (WIDTH - RIGHT + 12, HEIGHT - 14))
    for number, (name, values) in enumerate(reversed(list(lines.items()))):
        place = len(lines) - 1 - number  # the first line is drawn last, on top
        colour = INK if place == 0 else _hue(place / len(lines))
        at = [_point(e, v, max(epochs), top) for e, v in zip(epochs, values, strict=True) if math.isfinite(v)]
        cv2.polylines(chart, [np.array(at or [(-9, -9)], np.int32)], False, colour, 2 if place == 0 else 1, cv2.LINE_AA)
        if place < MOST:
            y = TOP + 12 + 20 * place
            cv2.line(chart, (WIDTH - RIGHT + 12, y - 4), (WIDTH - RIGHT + 30, y - 4), colour, 2)
            _text(chart, name[:16], (WIDTH - RIGHT + 36, y))
    return chart


def _point(epoch: float, value: float, last: float, top: float) -> tuple[int, int]:
    x = LEFT + (WIDTH - RIGHT - LEFT) * epoch / max(last, 1e-9)
    y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * min(max(value / top, 0.0), 1.0)
    return round(x), round(y)


def _hue(turn: float) -> tuple[int, int, int]:
    """A colour on the wheel, dark enough for paper. Args: turn, in 0..1."""
    blue, green, red = cv2.cvtColor(np.array([[[turn * 180, 220, 190]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return blue, green, red


def _text(chart: Image, text: str, at: tuple[int, int]) -> None:
    plain = text.encode("ascii", "replace").decode()  # the font has no other letters
    cv2.putText(chart, plain, at, FONT, 0.42, INK, 1, cv2.LINE_AA)

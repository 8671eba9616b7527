"""A picture of where the time of a frame goes: for each model a bar of its parts, and what the chain reaches."""

from collections.abc import Sequence

import cv2
import numpy as np

from watchline.measure.speed.figures import Speed
from watchline.ops.tabs import Image

WIDTH, ROW, MARGIN, BAR = 1200, 120, 30, 40  # pixels
INK, PALE = (40, 40, 40), (120, 120, 120)
COLOURS = (
    (180, 119, 31),
    (14, 127, 255),
    (44, 160, 44),
    (40, 39, 214),
    (189, 103, 148),
    (75, 86, 140),
    (194, 119, 227),
)
SHORTEST = 60  # pixels of a part whose name is written into it


def plot(speeds: Sequence[Speed], title: str) -> Image:
    """(H, W, 3) uint8 BGR."""
    picture = np.full((2 * MARGIN + 40 + ROW * len(speeds), WIDTH, 3), 255, np.uint8)
    _write(picture, title, MARGIN, MARGIN + 10, INK, 0.7)
    longest = max(sum(part.cpu for part in speed.parts.values()) for speed in speeds)
    for number, speed in enumerate(speeds):
        top = MARGIN + 40 + ROW * number
        said = f"{speed.model}, {speed.size[0]} x {speed.size[1]}, {speed.runtime}: {speed.chain.fps:.1f} FPS"
        _write(picture, f"{said}, {speed.of_ceiling:.2f} of the ceiling", MARGIN, top + 16, INK, 0.55)
        _bar(picture, speed, top + 28, (WIDTH - 2 * MARGIN) / longest)
        parts = ", ".join(f"{name} {part.cpu:.1f}" for name, part in speed.parts.items())
        _write(picture, f"{parts}; together {speed.alone_ms:.1f}", MARGIN, top + 28 + BAR + 18, PALE, 0.45)
    _write(picture, "ms of processor time per frame, each part alone", MARGIN, len(picture) - 12, PALE, 0.45)
    return picture


def _bar(picture: Image, speed: Speed, top: int, scale: float) -> None:
    """Args: scale, pixels per millisecond."""
    left = float(MARGIN)
    for number, (name, part) in enumerate(speed.parts.items()):
        right = left + part.cpu * scale
        corners = (round(left), top), (max(round(left), round(right) - 1), top + BAR)
        cv2.rectangle(picture, *corners, COLOURS[number % len(COLOURS)], cv2.FILLED)
        if right - left >= SHORTEST:
            _write(picture, name, round(left) + 4, top + 17, (255, 255, 255), 0.45)
            _write(picture, f"{part.cpu:.1f}", round(left) + 4, top + 34, (255, 255, 255), 0.45)
        left = right


def _write(picture: Image, text: str, x: int, y: int, colour: tuple[int, int, int], scale: float) -> None:
    # OpenCV's letters are ASCII; others become question marks there, several each.
    shown = text.encode("ascii", "replace").decode()
    cv2.putText(picture, shown, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)

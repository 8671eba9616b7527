"""Precision-recall curves as PNG files, one a class."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from watchline.files import write_complete
from watchline.measure.errors import ReportNotWritten
from watchline.measure.report.svg import Line, steps
from watchline.streams.frame import Image

SIDE, MARGIN, ROW = 480, 56, 24  # of the square, the room around it, and a line of text, in pixels
COLOURS = ((180, 90, 20), (30, 110, 230), (60, 150, 40), (160, 50, 140), (40, 40, 200), (120, 120, 120))  # BGR
BLACK, GREY = (40, 40, 40), (215, 215, 215)


def write(folder: Path, names: Sequence[str], curves: Sequence[Mapping[str, Line]]) -> list[Path]:
    """Write a plot for each class.

    Args:
        folder: is made if it is not there.
        names: of the models. curves: of each model, by class, as `mistakes.curves_of` gives them.

    Returns:
        the files; a name has the class as far as its letters are plain.

    Raises:
        ReportNotWritten: a file cannot be written.
    """
    classes = list(dict.fromkeys(name for lines in curves for name in lines))
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(classes):
            picture = plot(name, names, [lines.get(name) for lines in curves])
            file = folder / f"{number:02d}-{re.sub('[^A-Za-z0-9_-]+', '-', name)[:60]}.png"
            write_complete(file, cv2.imencode(".png", picture)[1].tobytes())
            files.append(file)
    except OSError as error:
        raise ReportNotWritten(
            f"--plots {folder}: it cannot be written ({error.strerror}); name another folder"
        ) from error
    return files


def plot(title: str, names: Sequence[str], lines: Sequence[Line | None]) -> Image:
    """Precision over recall, (H, W, 3) uint8 BGR: a curve of each model, whose name is below it in its colour."""
    height, width = SIDE + 2 * MARGIN + ROW * len(names), SIDE + 2 * MARGIN
    canvas = np.full((height, width, 3), 255, np.uint8)
    for tenth in range(11):
        at = MARGIN + SIDE * tenth // 10
        cv2.line(canvas, (at, MARGIN), (at, MARGIN + SIDE), GREY, 1)
        cv2.line(canvas, (MARGIN, at), (MARGIN + SIDE, at), GREY, 1)
        if tenth % 2 == 0:
            _text(canvas, f"{tenth / 10:g}", at - 8, MARGIN + SIDE + 18, BLACK)
            _text(canvas, f"{1 - tenth / 10:g}", MARGIN - 34, at + 5, BLACK)
    _text(canvas, title, MARGIN, MARGIN - 16, BLACK, 0.7)
    _text(canvas, "recall", MARGIN + SIDE - 40, MARGIN + SIDE + 38, BLACK)
    _text(canvas, "precision", 4, MARGIN - 16, BLACK, 0.4)
    for n, (name, line) in enumerate(zip(names, lines, strict=True)):
        colour = COLOURS[n % len(COLOURS)]
        _text(canvas, name, MARGIN, MARGIN + SIDE + 38 + ROW * n, colour)
        if line is not None:
            corners = steps(*line) * (SIDE, -SIDE) + (MARGIN, MARGIN + SIDE)
            cv2.polylines(canvas, [corners.round().astype(np.int32)], False, colour, 2, cv2.LINE_AA)
    return canvas


def _text(canvas: Image, text: str, x: int, y: int, colour: tuple[int, int, int], scale: float = 0.5) -> None:
    """OpenCV's letters are those of ASCII."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(canvas, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)

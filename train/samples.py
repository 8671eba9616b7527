"""Draws pictures that a run is measured on, in pairs: the true boxes, and what the network finds."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.ops.average_precision import Predictions
from watchline.ops.detections import Detections
from watchline.ops.draw import draw
from watchline.ops.letterbox import GREY, fit
from watchline.train.pictures import LabelledPicture
from watchline.train.validation import decoded

CELL = 320  # pixels of a side
MOST = 8  # pictures
SHOWN = 0.25  # score from which a detection is drawn


def sheet(
    pictures: Sequence[LabelledPicture], found: Sequence[Predictions], names: tuple[str, ...]
) -> NDArray[np.uint8]:
    """A sheet (H, 4 * CELL, 3) uint8 BGR with two pairs a row.

    Args:
        pictures: one at least; up to MOST of those with boxes are taken, evenly.
        found: the detections in each.
        names: of the classes.
    """
    rows = [number for number, picture in enumerate(pictures) if len(picture.boxes)] or list(range(len(pictures)))
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, MOST).round().astype(int))]
    cells: list[NDArray[np.uint8]] = []
    for number in chosen:
        picture, one = pictures[number], found[number]
        certain = np.ones(len(picture.boxes), np.float32)
        truth = Detections(picture.boxes, certain, picture.classes, names)
        seen = one.scores >= SHOWN
        prediction = Detections(one.boxes[seen], one.scores[seen], one.classes[seen], names)
        image = decoded(picture)
        cells.append(_cell(draw(image, truth, labels=truth.names.tolist(), info=("truth",))))
        cells.append(_cell(draw(image, prediction, info=("found",))))
    height = max(len(cell) for cell in cells)
    grid = np.full((-(-len(cells) // 4) * height, 4 * CELL, 3), GREY, np.uint8)
    for number, cell in enumerate(cells):
        y, x = number // 4 * height, number % 4 * CELL
        grid[y : y + len(cell), x : x + cell.shape[1]] = cell
    return grid


def _cell(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture, as large as fits into a cell."""
    inner = fit((image.shape[1], image.shape[0]), (CELL, CELL)).inner
    return np.asarray(cv2.resize(image, inner, interpolation=cv2.INTER_AREA), np.uint8)

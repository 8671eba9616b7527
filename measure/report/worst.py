"""The pictures in which a model makes the most mistakes, with what is there and what it found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from watchline.measure.benchmark import Benchmark
from watchline.measure.layouts.labelled import Labelled
from watchline.measure.mistakes import SHOWN, Mistakes
from watchline.ops.canvas import Canvas
from watchline.ops.detection_errors import FALSE, NEITHER, RIGHT
from watchline.streams.frame import Image

MOST = 12  # pictures of a model
WIDTH, HEIGHT = 560, 1120  # pixels at most; smaller pictures are enlarged, so that labels can be read
THERE, LOST = (90, 200, 60), (40, 190, 250)  # BGR, an object that was found, and one that was not
SEEN, WRONG = (230, 150, 40), (50, 60, 235)  # a right box and a wrong one


@dataclass(frozen=True, slots=True)
class Shown:
    """A drawn picture.

    Attributes:
        name: of the picture.
        mistakes: how many.
        image: (H, W, 3) uint8 BGR, with what is there and what was found.
    """

    name: str
    mistakes: int
    image: Image


def drawn(result: Benchmark, every: Sequence[Mistakes]) -> list[list[Shown]]:
    """The worst pictures of each model, worst first. The data is read once more for their pixels."""
    wanted = {n for mistakes in every for n in mistakes.worst(MOST)}
    pictures = dict(_some(result.data.read(), wanted))
    return [
        [
            Shown(result.pictures[n], int(mistakes.per_picture[n]), draw(pictures[n], n, result, mistakes))
            for n in mistakes.worst(MOST)
        ]
        for mistakes in every
    ]


def draw(picture: Labelled, n: int, result: Benchmark, mistakes: Mistakes) -> Image:
    """The objects, those that were not found, right boxes and wrong ones with their kind: (H, W, 3) uint8 BGR.

    Args:
        n: number of the picture.
    """
    sides = picture.picture.width, picture.picture.height
    scale = min(WIDTH / sides[0], HEIGHT / sides[1])
    size = max(round(sides[0] * scale), 1), max(round(sides[1] * scale), 1)
    canvas = Canvas(np.asarray(cv2.resize(picture.image, size, interpolation=cv2.INTER_AREA), np.uint8))
    errors, truth = mistakes.errors, result.truth[n]
    shown = np.flatnonzero((errors.pictures == n) & (errors.scores >= SHOWN) & (errors.kinds != NEITHER))
    objects = np.flatnonzero(errors.object_pictures == n)
    is_lost = ~truth.difficult & ~np.isin(objects, errors.about[shown[errors.kinds[shown] == RIGHT]])
    for row, (box, c) in enumerate(zip(truth.boxes, truth.classes, strict=True)):
        what = " (difficult)" if truth.difficult[row] else " not found" if is_lost[row] else ""
        canvas.box(box * scale, "", text=f"{result.names[c]}{what}", colour=LOST if is_lost[row] else THERE)
    for row in shown[::-1].tolist():  # the best is on top
        kind = errors.kinds[row]
        text = f"{result.names[errors.classes[row]]} {errors.scores[row]:.2f}"
        canvas.box(
            errors.boxes[row] * scale,
            "",
            text=text if kind == RIGHT else f"{text} {FALSE[kind]}",
            colour=SEEN if kind == RIGHT else WRONG,
        )
    return canvas.picture()


def _some(pictures: Iterable[Labelled], wanted: set[int]) -> Iterable[tuple[int, Labelled]]:
    """The pictures of some numbers; none after the last of them is read."""
    last = max(wanted, default=-1)
    if last < 0:
        return
    for n, picture in enumerate(pictures):
        if n in wanted:
            yield n, picture
        if n == last:
            return

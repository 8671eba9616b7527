"""The lecture's table of YOLOv2 at five sizes: how good and how fast a detector is, in FP32 and INT8.

    python bench/sizes.py --data DIR [--model NAME …] [--plot sizes.png] [--output sizes.json]

The sets are those of `bench/detector_map.py`. Times are the processor's, of one engine with one thread: the median of
rounds in which each network has its turn, so that what else runs meanwhile changes ratios little.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import cv2
import detector_map
import numpy as np
from detector_map import ANIMALS, PEOPLE
from tables import Table, TableReport

from watchline.engines.engine import Engine
from watchline.files import write_complete
from watchline.measure.accuracy import CONF
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import Image

SIZES = (288, 352, 416, 480, 544)
PRECISIONS = ("fp32", "int8")
SETS = (ANIMALS, PEOPLE)
COLUMNS = ("model", "precision", "size", *SETS, "ms", "FPS")
ROUNDS = 15
SIDE, MARGIN = 480, 60  # of the plot, in pixels
COLOURS = (
    (180, 90, 20),
    (30, 110, 230),
    (60, 150, 40),
    (160, 50, 140),
    (40, 40, 200),
    (120, 120, 120),
    (0, 160, 160),
    (0, 0, 0),
)  # BGR
INK, GRID = (40, 40, 40), (220, 220, 220)
Points = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Measure, print a table, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", nargs="+", default=["yolov2-lite0", "yolov2-slim"])
    parser.add_argument("--runtime")
    parser.add_argument("--every", type=int, default=1, help="only every n-th picture, to be quick")
    parser.add_argument("--output", type=Path, help="JSON of the table")
    parser.add_argument("--plot", type=Path, help="PNG: average precision over frames per second")
    args = parser.parse_args()
    asked = [(model, precision, size) for model in args.model for precision in PRECISIONS for size in SIZES]
    detectors = [
        Detector(model=model, precision=precision, runtime=args.runtime, imgsz=size, conf=CONF, iou=0.5, workers=1)
        for model, precision, size in asked
    ]
    table, lines = Table("Sizes", COLUMNS), [Points() for _ in SETS]
    for (model, precision, size), detector, seconds in zip(asked, detectors, times(detectors), strict=True):
        figures = list(detector_map.figures(detector, args.data, args.every, SETS).values())
        table.add(model, precision, size, *figures, seconds * 1e3, 1 / seconds)
        for each, figure in zip(lines, figures, strict=True):
            each.setdefault(f"{model} {precision}", []).append((1 / seconds, figure))
    TableReport(args.output).add(table)
    if args.plot:
        write_complete(args.plot, cv2.imencode(".png", np.hstack(list(map(plot, SETS, lines))))[1].tobytes())


def times(detectors: Sequence[Detector]) -> list[float]:
    """Seconds of the processor per picture, of each detector's network."""
    with ExitStack() as opened:
        engines = [opened.enter_context(closing(detector.load())) for detector in detectors]
        pictures = []
        for engine in engines:
            engine.warm_up()
            width, height = engine.size
            pictures.append(np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8))
        rounds = [
            [_seconds(engine, picture) for engine, picture in zip(engines, pictures, strict=True)]
            for _ in range(ROUNDS)
        ]
    return [float(each) for each in np.median(rounds, axis=0)]


def _seconds(engine: Engine, picture: Image) -> float:
    began = time.process_time()
    engine.infer(picture)
    return time.process_time() - began


def plot(title: str, lines: Points, has_decades: bool = False) -> Image:
    """Average precision over frames per second, (H, W, 3) uint8 BGR: a line for each network, a point for each size.

    Args:
        has_decades: the frames per second are on a logarithmic scale.
    """
    canvas = np.full((SIDE + 2 * MARGIN + 24 * len(lines), SIDE + 2 * MARGIN, 3), 255, np.uint8)
    speeds, values = (np.array([point[axis] for points in lines.values() for point in points]) for axis in (0, 1))
    low, high = np.floor(values.min() * 20) / 20, np.floor(values.max() * 20) / 20 + 0.05
    marks = np.linspace(0, speeds.max(), 6)
    if has_decades:
        marks = 10.0 ** np.arange(np.floor(np.log10(speeds.min())), np.floor(np.log10(speeds.max())) + 2)
    scale = np.log10 if has_decades else np.asarray

    def across(speed: float) -> int:
        first, last = scale(marks[[0, -1]])
        return round(MARGIN + SIDE * float(scale(speed) - first) / (last - first))

    for mark in marks:
        cv2.line(canvas, (across(mark), MARGIN), (across(mark), MARGIN + SIDE), GRID, 1)
        _text(canvas, f"{mark:g}" if has_decades else f"{mark:.0f}", across(mark) - 8, MARGIN + SIDE + 18, INK)
    for step in range(6):
        at = MARGIN + SIDE * step // 5
        cv2.line(canvas, (MARGIN, at), (MARGIN + SIDE, at), GRID, 1)
        _text(canvas, f"{high - (high - low) * step / 5:.2f}", MARGIN - 42, at + 5, INK)
    _text(canvas, title, 8, MARGIN - 16, INK)
    _text(canvas, "FPS of one core", MARGIN + SIDE - 110, MARGIN + SIDE + 38, INK)
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        corners = [(across(x), round(MARGIN + SIDE * (high - y) / (high - low))) for x, y in points]
        cv2.polylines(canvas, [np.array(corners, np.int32)], False, colour, 2, cv2.LINE_AA)
        for corner in corners:
            cv2.circle(canvas, corner, 4, colour, -1, cv2.LINE_AA)
        _text(canvas, name, MARGIN, MARGIN + SIDE + 38 + 24 * number, colour)
    return canvas


def _text(canvas: Image, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)


if __name__ == "__main__":
    main()

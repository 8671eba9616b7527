"""The lecture's table of detection frameworks: mAP and frames per second, on a data set of one's own.

    python bench/comparison.py --data VOC2012 yolo.onnx ssd.onnx yolov2.onnx@288 yolov2.onnx@544 [--plot comparison.png]

A model's name may end with @ and the size of its input. A photo's time is the processor's, from its pixels to its
boxes, with Selective Search where a model needs it, on one core: the median over photos that all models see in turn, so
that what else runs meanwhile changes ratios little.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from sizes import Points, plot
from tables import Table, TableReport

from watchline.files import write_complete
from watchline.measure.accuracy import CONF, Find, finder
from watchline.measure.benchmark import Counting, benchmark
from watchline.measure.contenders import of_stages
from watchline.measure.layouts.known import open_data
from watchline.measure.scores import MEAN
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import Image

TIMED = 15  # photos
COLUMNS = ("framework", "size", "mAP", "ms", "FPS")


def main() -> None:
    """Measure, print a table, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL[@SIZE]")
    parser.add_argument("--data", type=Path, required=True, help="labelled photos, as `watchline bench map` takes them")
    parser.add_argument("--classes", type=lambda text: tuple(text.split(",")), default=(), help="that count")
    parser.add_argument("--every", type=int, default=1, help="only every n-th photo, to be quick")
    parser.add_argument("--output", type=Path, help="JSON of the table")
    parser.add_argument("--plot", type=Path, help="PNG: mAP over frames per second")
    args = parser.parse_args()
    detectors = [_detector(*word.partition("@")[::2]) for word in args.models]
    table, lines = Table("Detection frameworks", COLUMNS), Points()
    for detector, seconds in zip(detectors, times(detectors, args.data), strict=True):
        counting = Counting("voc2010", classes=args.classes, samples=0)
        [outcome] = benchmark(open_data(args.data, None, args.every), [of_stages("", [detector])], counting).outcomes
        mean, name = float(outcome.boxes.table[MEAN]["AP"]), detector.model.removesuffix(".onnx")
        width, height = outcome.about["model"]["size"]
        table.add(name, f"{width} x {height}", mean, seconds * 1e3, 1 / seconds)
        lines.setdefault(name, []).append((1 / seconds, mean))
    TableReport(args.output).add(table)
    if args.plot:
        picture = plot(f"mAP on {args.data.name}", lines, has_decades=True)
        write_complete(args.plot, cv2.imencode(".png", picture)[1].tobytes())


def _detector(model: str, size: str) -> Detector:
    return Detector(
        model=model, imgsz=int(size) if size else None, precision="fp32", conf=CONF, iou=0.5, workers=1, several=True
    )


def times(detectors: Sequence[Detector], data: Path) -> list[float]:
    """Seconds of the processor per photo, of each detector."""
    photos = [labelled.image for labelled in islice(open_data(data).read(), TIMED)]
    with ExitStack() as opened:
        finds = [opened.enter_context(finder(detector)) for detector in detectors]
        rounds = [[_seconds(find, photo) for find in finds] for photo in photos]
    return [float(each) for each in np.median(rounds, axis=0)]


def _seconds(find: Find, photo: Image) -> float:
    began = time.process_time()
    find(photo)
    return time.process_time() - began


if __name__ == "__main__":
    main()

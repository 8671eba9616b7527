"""How good is a detector? VOC area AP at IoU 0.5 on five real sets, through the engine that the pipeline runs.

    python bench/detector_map.py --data DIR [--model FILE] [--imgsz 416] [--runtime openvino] [--every 5] [--record]

DIR contains `voc2012-animals` (VOC layout; its six classes), `mot15/PETS09-S2L1` and `mot15/TUD-Stadtmitte` (MOT
layout; people), `cdnet2014/highway` (CDnet layout; cars and buses count as what moves): `watchline bench map` measures
each of them too, and says more. And `kitti-cyclists` (YOLO layout). There, a cyclist is rider and bicycle in one box,
and objects outside of these boxes have no labels. So a detected bicycle can only be wrong inside a cyclist's box, and
the lower 60 % of that box count as the bicycle.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from watchline.engines import metadata
from watchline.measure.accuracy import CONF, finder
from watchline.measure.benchmark import Counting, benchmark
from watchline.measure.contenders import of_stages
from watchline.measure.layouts.known import open_data
from watchline.measure.scores import MEAN
from watchline.ops.average_precision import Predictions, Truth, average_precision
from watchline.ops.boxes import area, intersection, iou
from watchline.pipeline.stages.detector import Detector

SIX = ("cat", "cow", "dog", "horse", "person", "sheep")
VEHICLES = ("bus", "car")
ANIMALS, PEOPLE = "six-class mAP on voc2012-animals val", "person AP on PETS09-S2L1"
SETS = {
    ANIMALS: ("voc2012-animals", Counting("voc2010", classes=SIX, samples=0)),
    PEOPLE: ("mot15/PETS09-S2L1", Counting("voc2010", samples=0)),
    "person AP on TUD-Stadtmitte": ("mot15/TUD-Stadtmitte", Counting("voc2010", samples=0)),
    "vehicle AP on CDnet highway": ("cdnet2014/highway", Counting("voc2010", same={"moving": VEHICLES}, samples=0)),
}
LOWER = 0.6  # share of a cyclist's box that counts as the bicycle


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=Detector().model)
    parser.add_argument("--runtime")
    parser.add_argument("--precision", default="fp32", help="of a model that ships (default: %(default)s)")
    parser.add_argument("--imgsz", type=int, nargs="+", default=[None])
    parser.add_argument("--every", type=int, default=1, help="only every n-th picture, to be quick")
    parser.add_argument("--record", action="store_true", help="write the figures into the model's metadata")
    args = parser.parse_args()
    for imgsz in args.imgsz:
        asked = {"model": args.model, "runtime": args.runtime, "precision": args.precision}
        detector = Detector(**asked, imgsz=imgsz, conf=CONF, iou=0.5)
        measured = figures(detector, args.data, args.every) | cyclists(detector, args.data, args.every)
        for name, value in measured.items():
            print(f"{imgsz or 'own size':>8}  {name:<45} {value:.3f}", flush=True)
    if args.record:
        _record(detector.file, imgsz, measured)


def _record(path: Path, imgsz: int | None, measured: dict[str, float]) -> None:
    about = metadata.read(path)
    rounded = {name: round(value, 3) for name, value in measured.items()}
    model = onnx.load(path)
    metadata.write(model, replace(about, imgsz=imgsz or about.imgsz, figures=rounded))
    onnx.save(model, path)


def figures(detector: Detector, data: Path, every: int = 1, sets: Sequence[str] = tuple(SETS)) -> dict[str, float]:
    """The figures of these sets by name. `detector.conf` is low, because average precision needs the complete curve."""
    judged = [of_stages("", [detector])]
    measured = {
        name: benchmark(open_data(data / folder, None, every), judged, counting).outcomes[0]
        for name, (folder, counting) in SETS.items()
        if name in sets
    }
    return {name: float(outcome.boxes.table[MEAN]["AP"]) for name, outcome in measured.items()}


def cyclists(detector: Detector, data: Path, every: int = 1) -> dict[str, float]:
    """Bicycles by AP, and the share of cyclists with a box of a person or a bicycle at IoU 0.5, from score 0.25."""
    found, truths, met, total = [], [], 0, 0
    with finder(detector) as find:
        for image, boxes in islice(_kitti(data / "kitti-cyclists", "test"), 0, None, every):
            detections = find(image)
            seen = detections.xyxy[np.isin(detections.names, ("bicycle", "person")) & (detections.confidence >= 0.25)]
            met += int((iou(boxes, seen).max(axis=1, initial=0) >= 0.5).sum())
            total += len(boxes)
            mine = detections[detections.names == "bicycle"]
            inside = intersection(mine.xyxy, boxes).max(axis=1, initial=0) > area(mine.xyxy) / 2
            found.append(Predictions(mine.xyxy[inside], mine.confidence[inside], np.zeros(int(inside.sum()), np.int64)))
            lower = boxes.copy()
            lower[:, 1] = boxes[:, 3] - LOWER * (boxes[:, 3] - boxes[:, 1])
            truths.append(Truth(lower, np.zeros(len(lower), np.int64), np.zeros(len(lower), bool)))
    return {
        "bicycle AP on KITTI's cyclists": float(average_precision(found, truths, 1)[0]),
        "share of KITTI's cyclists found": met / max(total, 1),
    }


def _kitti(folder: Path, split: str) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Pictures, and the boxes of their cyclists."""
    cyclist = (folder / "names.txt").read_text().split().index("Cyclist")
    for stem in (folder / f"{split}.txt").read_text().split():
        image = np.asarray(cv2.imread(str(folder / "images" / f"{stem}.jpg")), np.uint8)
        rows = np.loadtxt(folder / "labels" / f"{stem}.txt", ndmin=2)
        centre, half = rows[rows[:, 0] == cyclist, 1:3], rows[rows[:, 0] == cyclist, 3:5] / 2
        size = np.array(image.shape[1::-1])
        yield image, np.concatenate([(centre - half) * size, (centre + half) * size], axis=1).astype(np.float32)


if __name__ == "__main__":
    main()

"""Pseudo-labels: what detectors trained on COCO see in a photo that nobody has labelled.

Two teachers look at the same photo, and a box's score is the mean of theirs (nought where one sees nothing). Boxes
both are sure of become labels; the unsure ones become `ignore`: neither object nor background for the student.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from watchline.engines import load
from watchline.engines.engine import Engine
from watchline.export import foreign
from watchline.export.request import Request
from watchline.models.errors import DatasetError
from watchline.ops.boxes import Boxes, iou
from watchline.ops.letterbox import Rule, fit
from watchline.ops.nms import nms_per_class
from watchline.train.coco import coco_to_voc

Image = NDArray[np.uint8]
Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]  # boxes (N, 4), scores (N,), VOC classes

SAME_OBJECT = 0.55  # IoU from which two teachers speak of one object
SEEN = 0.10  # score from which a box is spoken of at all
KEEP, IGNORE = 0.35, 0.20  # a box at KEEP or above is a label, between the two it is ignored


@dataclass(frozen=True)
class Teachers:
    """YOLOX-nano and PicoDet-S, both for COCO at 416 pixels, as their authors export them."""

    yolox: Engine
    picodet: Engine

    @classmethod
    def load(cls, folder: Path) -> "Teachers":
        """Open `yolox_nano.onnx` and `picodet_s_416_coco.onnx` in `folder`.

        Raises:
            DatasetError: one of the files is missing.
            ExportError: one of the files is something else.
        """
        return cls(_engine(folder / "yolox_nano.onnx", "yolox"), _engine(folder / "picodet_s_416_coco.onnx", "picodet"))

    def label(self, bgr: Image) -> Found:
        """What both see in a picture (H, W, 3): boxes in its pixels, mean scores from SEEN up, VOC classes."""
        a = _to_voc(*_see(self.yolox, bgr))
        b = _to_voc(*_see(self.picodet, bgr))
        return _mean_of_two(a, b)


def _engine(file: Path, family: str) -> Engine:
    if not file.is_file():
        raise DatasetError(f"no teacher {file}: expected the ONNX file as its authors publish it")
    with TemporaryDirectory() as folder:
        model = Path(folder, "teacher.onnx")
        onnx.save(foreign.export(file, family, Request(file.stem)), model)
        return load(model)


def _see(engine: Engine, bgr: Image) -> tuple[Boxes, NDArray[np.float32]]:
    """Boxes (N, 4) in source pixels and scores (N, 80)."""
    place = fit((bgr.shape[1], bgr.shape[0]), engine.size, cast(Rule, engine.metadata.resize))
    batch = np.empty((1, *engine.size[::-1], 3), np.uint8)
    place.place(np.asarray(cv2.resize(bgr, place.inner), np.uint8), batch[0], engine.metadata.pad)
    outputs = engine.infer(batch)
    return place.to_source(outputs["boxes"][0]), outputs["scores"][0]


def _to_voc(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> Found:
    """The best VOC class of each box that is worth a look, after suppression."""
    ours = coco_to_voc()
    columns = np.array(sorted(ours))
    scores = scores[:, columns]
    best = scores.argmax(1)
    score = scores[np.arange(len(scores)), best]
    worth = score >= SEEN
    boxes, score = boxes[worth], score[worth].astype(np.float32)
    classes = np.array([ours[c] for c in columns[best[worth]]], np.int64)
    keep = nms_per_class(boxes, score, classes, SAME_OBJECT)
    return boxes[keep], score[keep], classes[keep]


def _mean_of_two(a: Found, b: Found) -> Found:
    """One box an object: the better teacher's coordinates, the mean of both scores."""
    boxes, scores = np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])
    classes, whose = np.concatenate([a[2], b[2]]), np.repeat([0, 1], [len(a[1]), len(b[1])])
    keep = nms_per_class(boxes, scores, classes, SAME_OBJECT)
    same = (iou(boxes[keep], boxes) > SAME_OBJECT) & (classes[keep][:, None] == classes[None])
    other = same & (whose[keep][:, None] != whose[None])
    second = np.where(other, scores[None], 0).max(axis=1, initial=0)
    mean = ((scores[keep] + second) / 2).astype(np.float32)
    worth = mean >= SEEN
    return boxes[keep][worth], mean[worth], classes[keep][worth]

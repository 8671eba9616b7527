"""Average precision of a third-party detector on real photos: by its authors' decoding, and as our engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from watchline.measure.accuracy import CONF, accuracy, accuracy_of
from watchline.ops.coco import COCO
from watchline.ops.detections import Detections
from watchline.ops.nms import nms_per_class
from watchline.pipeline.stages.detector import Detector

EVERY = 12  # of 479 photos
CLASSES = ("cat", "cow", "dog", "horse", "person", "sheep")  # of the others, there are fewer than ten
Official = Callable[[ort.InferenceSession, NDArray[np.uint8]], tuple[NDArray[Any], NDArray[Any]]]
"""(session, picture (H, W, 3) BGR) -> boxes (N, 4) in pixels of the picture, scores (N, C)."""


def scores_of_both(official: Official, file: Path, ours: Path, shared: Path) -> tuple[float, float]:
    """Mean average precision by the authors' decoding and by our engine, with the same suppression and classes."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    detector = Detector(model=str(ours), classes=CLASSES, workers=1)
    data = shared / "voc2012-animals"

    def find(image: NDArray[np.uint8]) -> Detections:
        boxes, table = official(session, image)
        boxes, classes, scores = boxes.astype(np.float32), table.argmax(1), table.max(1).astype(np.float32)
        likely = scores >= CONF
        boxes, classes, scores = boxes[likely], classes[likely], scores[likely]
        keep = nms_per_class(boxes, scores, classes, detector.iou)
        return Detections(boxes[keep], scores[keep], classes[keep], tuple(COCO))

    theirs = accuracy_of(find, data, "val", every=EVERY, classes=CLASSES)
    mine = accuracy(detector, data, "val", every=EVERY)
    assert mine.pictures == theirs.pictures == 40
    return theirs.mean, mine.mean

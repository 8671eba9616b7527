"""Pseudo-labels: what detectors trained on COCO see in a photo that nobody has labelled.

Two teachers look at the same photo, and a box's score is the mean of theirs (nought where one sees nothing). Boxes
both are sure of become labels; the unsure ones become `ignore`: neither object nor background for the student.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from watchline.models.errors import DatasetError
from watchline.ops.boxes import iou
from watchline.ops.nms import nms_per_class
from watchline.train.coco import coco_to_voc

Image = NDArray[np.uint8]
Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]  # boxes (N, 4), scores (N,), VOC classes

SIZE = 416
SAME_OBJECT = 0.55  # IoU from which two teachers speak of one object
SEEN = 0.10  # score from which a box is spoken of at all
KEEP, IGNORE = 0.35, 0.20  # a box at KEEP or above is a label, between the two it is ignored


@dataclass(frozen=True)
class Teachers:
    """YOLOX-nano and PicoDet-S, both for COCO at 416 pixels, as their authors export them."""

    yolox: onnxruntime.InferenceSession
    picodet: onnxruntime.InferenceSession

    @classmethod
    def load(cls, folder: Path) -> "Teachers":
        """Open `yolox_nano.onnx` and `picodet_s_416_coco.onnx` in `folder`.

        Raises:
            DatasetError: one of the files is missing.
        """
        sessions = []
        for name in ("yolox_nano.onnx", "picodet_s_416_coco.onnx"):
            if not (folder / name).is_file():
                raise DatasetError(f"no teacher {folder / name}: expected the ONNX file as its authors publish it")
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.intra_op_num_threads = 1
            sessions.append(
                onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
            )
        return cls(*sessions)

    def label(self, bgr: Image) -> Found:
        """What both see in a picture (H, W, 3): boxes in its pixels, mean scores from SEEN up, VOC classes."""
        a = _to_voc(*_yolox(self.yolox, bgr))
        b = _to_voc(*_picodet(self.picodet, bgr))
        return _mean_of_two(a, b)


def _yolox(session: onnxruntime.InferenceSession, bgr: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes (N, 4) in source pixels and scores (N, 80). The raw grid: centre offset and log size in strides."""
    height, width = bgr.shape[:2]
    scale = min(SIZE / height, SIZE / width)
    canvas = np.full((SIZE, SIZE, 3), 114, np.uint8)
    small = cv2.resize(bgr, (round(width * scale), round(height * scale)))
    canvas[: small.shape[0], : small.shape[1]] = small
    out = session.run(None, {"images": canvas.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]  # (3549, 85)
    cells, strides = _grid((8, 16, 32), offset=0.0)
    centre = (out[:, :2] + cells) * strides
    size = np.exp(out[:, 2:4]) * strides
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1) / scale
    return boxes.astype(np.float32), out[:, 4:5] * out[:, 5:]


def _picodet(session: onnxruntime.InferenceSession, bgr: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes (N, 4) in source pixels and scores (N, 80). Each side is the mean of a distribution over 8 bins."""
    height, width = bgr.shape[:2]
    mean, std = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])
    x = ((cv2.resize(bgr, (SIZE, SIZE)) - mean) / std).astype(np.float32).transpose(2, 0, 1)[None]
    outputs = session.run(None, {"image": x})
    scores = np.concatenate([o[0] for o in outputs[:4]])  # (3598, 80)
    logits = np.concatenate([o[0] for o in outputs[4:]]).reshape(-1, 4, 8)
    bins = np.exp(logits - logits.max(-1, keepdims=True))
    sides = (bins / bins.sum(-1, keepdims=True)) @ np.arange(8)  # (3598, 4): left, top, right, bottom in strides
    cells, strides = _grid((8, 16, 32, 64), offset=0.5)
    centre = cells * strides
    boxes = np.concatenate([centre - sides[:, :2] * strides, centre + sides[:, 2:] * strides], axis=1)
    return (boxes * (np.array([width, height, width, height]) / SIZE)).astype(np.float32), scores


def _grid(strides: tuple[int, ...], offset: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cell coordinates (x, y) and stride of every prediction of a square pyramid, row by row."""
    cells, sizes = [], []
    for stride in strides:
        n = -(-SIZE // stride)
        y, x = np.divmod(np.arange(n * n), n)
        cells.append(np.stack([x, y], axis=1) + offset)
        sizes.append(np.full((n * n, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)


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

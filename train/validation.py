"""How good a network is while it is trained: VOC's average precision on pictures that are in memory.

The pictures are placed, selected and measured as `watchline bench map` does it: letterbox, suppression class by class,
area under the curve at IoU 0.5. The network runs in PyTorch, so nothing is exported for a measurement.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from watchline.ops.average_precision import Predictions, Truth, average_precision, mean_average_precision
from watchline.ops.letterbox import GREY, Fit, fit
from watchline.ops.select import select
from watchline.train.pictures import LabelledPicture

CONF, NMS = 0.01, 0.5  # average precision needs the complete curve, down to low scores
BATCH = 8

Detect = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A network in evaluation: images (B, 3, S, S) float RGB in 0..255 -> boxes (B, N, 4) xyxy pixels, scores (B, N, C)."""


@dataclass(frozen=True)
class Measured:
    """Attributes:
    found: the detections in each picture, in its pixels.
    per_class: (C,) average precision in 0..1; NaN for a class without objects that count.
    """

    found: tuple[Predictions, ...]
    per_class: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean average precision over the classes that have objects; NaN if none has."""
        return mean_average_precision(self.per_class)


def measure(
    detect: Detect,
    pictures: Sequence[LabelledPicture],
    classes: int,
    size: int,
    device: torch.device,
    pad: tuple[int, int, int] = GREY,
) -> Measured:
    """Measure a network on labelled pictures. Args: size, side of the input in pixels; pad, BGR of its padding."""
    found: list[Predictions] = []
    for first in range(0, len(pictures), BATCH):
        placed = [_place(picture, size, pad) for picture in pictures[first : first + BATCH]]
        batch = torch.from_numpy(np.stack([canvas for canvas, _ in placed])).to(device)
        with torch.no_grad():
            boxes, scores = detect(batch.permute(0, 3, 1, 2).flip(1).float())  # (B, S, S, 3) BGR -> (B, 3, S, S) RGB
        for b, s, (_, fitted) in zip(boxes.float().cpu().numpy(), scores.float().cpu().numpy(), placed, strict=True):
            chosen = select(b, s, conf=CONF, iou=NMS, placement=fitted)
            found.append(Predictions(chosen.boxes, chosen.scores, chosen.classes))
    truth = [Truth(picture.boxes, picture.classes, picture.ignore) for picture in pictures]
    return Measured(tuple(found), average_precision(found, truth, classes))


def decoded(picture: LabelledPicture) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR."""
    return np.asarray(cv2.imdecode(picture.jpeg, cv2.IMREAD_COLOR), np.uint8)


def _place(picture: LabelledPicture, size: int, pad: tuple[int, int, int]) -> tuple[NDArray[np.uint8], Fit]:
    image = decoded(picture)
    fitted = fit((image.shape[1], image.shape[0]), (size, size))
    canvas = np.empty((size, size, 3), np.uint8)
    fitted.place(np.asarray(cv2.resize(image, fitted.inner), np.uint8), canvas, pad)
    return canvas, fitted

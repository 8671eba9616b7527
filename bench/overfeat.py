"""What does OverFeat gain by one pass over the picture? Against window after window, and against classifying all boxes.

    python bench/overfeat.py PHOTO [--checkpoint overfeat.pt] [--windows 12] [--rounds 3]

A photo at OverFeat's six scales: all windows in one pass, and the same windows one at a time, of which a sample is
computed. Then the lecture's naive approach: every box of the photo whose edges are at multiples of 16 pixels, rescaled
and classified by the localizer's network; again a sample. Times are the processor's, of one core, the least of the
rounds. They do not depend on the weights, so without a checkpoint these are random.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from watchline.export.pytorch import overfeat
from watchline.export.pytorch.overfeat import IMGSZ
from watchline.export.pytorch.smaller import fuse
from watchline.models.efficientnet_lite import EfficientNetLite0, normalise
from watchline.models.localizer import SIDE, Localizer
from watchline.models.overfeat import FIELD, SIDES, STRIDE, WINDOW, OverFeat, framed


def main() -> None:
    """Print a row per scale, their sum, and a row for the naive approach."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--windows", type=int, default=12, help="of each scale, that are computed one at a time")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    model = overfeat.load(options.checkpoint) if options.checkpoint else OverFeat(20, EfficientNetLite0.pretrained())
    fuse(model.eval())
    image = cv2.imread(str(options.photo))
    square = np.asarray(cv2.resize(image, (IMGSZ, IMGSZ)), np.uint8)
    x = normalise(torch.from_numpy(square[..., ::-1].copy()).permute(2, 0, 1)[None])
    print(f"{'scale':>6}{'windows':>9}{'one pass, s':>13}{'each, s':>10}{'ratio':>7}{'difference':>12}")
    total = np.zeros(3)
    for side in SIDES:
        row, difference = scale(model, framed(x, side), side, options)
        total += row
        print(line(str(side), row) + f"{difference:12.1e}", flush=True)
    print(line("all", total))
    network = Localizer(20, 20, EfficientNetLite0.pretrained()).eval()
    fuse(network)
    crops = torch.randn(options.windows, 1, 3, SIDE, SIDE)
    count = boxes_of(IMGSZ // STRIDE)
    each = least(network, list(crops), options.rounds)
    print(line("naive", np.array([count, total[1], count * each])))


def scale(model: OverFeat, x: Tensor, side: int, options: argparse.Namespace) -> tuple[np.ndarray, float]:
    """Windows, seconds in one pass, seconds one at a time; and the largest difference of the sample's numbers."""
    across = 1 + (side - WINDOW) // STRIDE
    chosen = np.linspace(0, across**2 - 1, min(options.windows, across**2)).round().astype(int)
    corners = [(STRIDE * (n // across), STRIDE * (n % across)) for n in chosen.tolist()]
    fields = [x[..., row : row + FIELD, column : column + FIELD] for row, column in corners]
    once = least(model.windows, [x], options.rounds)
    each = least(model.window, fields, options.rounds)
    logits, boxes = model.windows(x)
    difference = 0.0
    for field, (row, column) in zip(fields, corners, strict=True):
        mine, its = model.window(field)
        cell = (..., row // STRIDE, column // STRIDE)
        difference = max(difference, float((mine - logits[cell]).abs().max()), float((its - boxes[cell]).abs().max()))
    return np.array([across**2, once, each * across**2]), difference


def least(run: Callable[[Tensor], object], inputs: Sequence[Tensor], rounds: int) -> float:
    """Seconds of the processor per input, in the fastest round."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        for one in inputs:
            run(one)
        seconds.append((time.process_time() - began) / len(inputs))
    return min(seconds)


def boxes_of(cells: int) -> int:
    """How many boxes have their edges on a grid of so many cells along each side."""
    return (cells * (cells + 1) // 2) ** 2


def line(name: str, row: np.ndarray) -> str:
    """Of the table."""
    count, once, each = row
    return f"{name:>6}{count:9.0f}{once:13.3f}{each:10.2f}{each / once:7.0f}"


if __name__ == "__main__":
    main()

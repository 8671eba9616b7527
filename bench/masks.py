"""How much time do the masks of a frame take: to draw, to send, to write into an event?

    python bench/masks.py [--objects 20] [--size 1280x720] [--rounds 50]

People of usual sizes (ellipses with limbs, a seventh to a half of the picture's height) stand about a picture of noise.
The figures are milliseconds per frame for all of them together, the median over the rounds and the least, which a busy
machine disturbs less; one thread, as in a run.

    paste     28 x 28 soft masks stretched over their boxes
    draw      tint and outlines, with the copy of the picture
    dense     the same from whole planes, one bool per pixel and object
    detections  what a frame's drawing costs in all: masks, boxes and labels
    copy      the copy of the picture alone
    pack      to bytes and back, as between processes
    event     COCO's run lengths as text
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import cv2
import numpy as np

from watchline.ops.canvas import Canvas
from watchline.ops.colours import colour
from watchline.ops.detections import Detections
from watchline.ops.masks import Masks
from watchline.pipeline.kinds.detections import DETECTIONS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--rounds", type=int, default=50)
    args = parser.parse_args()
    cv2.setNumThreads(1)  # as the runner does
    width, height = map(int, args.size.split("x"))
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    boxes, soft = people(args.objects, width, height)
    masks = Masks.from_boxes(boxes, soft, (height, width))
    n = len(masks)
    found = Detections(boxes, np.linspace(0.9, 0.3, n), np.zeros(n, np.int64), ("person",), masks=masks)
    planes, colours = masks.dense(), [colour("person")] * n
    packed = DETECTIONS.packed(found)
    print(
        f"{n} objects on {width} x {height}: {masks.bits.size / n:.0f} pixels in a crop, {masks.area.mean():.0f} of it"
    )
    what: dict[str, Callable[[], object]] = {
        "paste": lambda: Masks.from_boxes(boxes, soft, (height, width)),
        "draw": lambda: _drawn(picture, masks, colours),
        "dense": lambda: _drawn(picture, Masks.of(planes), colours),
        "detections": lambda: _all(picture, found),
        "copy": picture.copy,
        "pack": lambda: DETECTIONS.unpacked(*packed) and DETECTIONS.packed(found),
        "event": found.to_dicts,
    }
    for name, call in what.items():
        seconds = [_seconds(call) for _ in range(args.rounds)]
        print(f"{name:12} {median(seconds) * 1e3:7.2f} ms {min(seconds) * 1e3:7.2f} ms")


def people(count: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) float32 inside the picture, and soft masks (N, 28, 28) float32 of bodies with two legs."""
    rng = np.random.default_rng(1)
    tall = rng.uniform(height / 7, height / 2, count)
    broad = tall * rng.uniform(0.3, 0.5, count)
    left, top = rng.uniform(0, width - broad), rng.uniform(0, height - tall)
    y, x = np.mgrid[:28, :28] + 0.5
    body = ((x - 14) / 9) ** 2 + ((y - 12) / 11) ** 2 < 1
    legs = (y > 18) & (np.abs(np.abs(x - 14) - 5) < 3)
    soft = cv2.GaussianBlur((body | legs).astype(np.float32), (3, 3), 0)
    return np.stack([left, top, left + broad, top + tall], 1).astype(np.float32), np.stack([soft] * count)


def _drawn(picture: np.ndarray, masks: Masks, colours: list[tuple[int, int, int]]) -> np.ndarray:
    canvas = Canvas(picture)
    canvas.masks(masks, colours)
    return canvas.picture()


def _all(picture: np.ndarray, found: Detections) -> np.ndarray:
    canvas = Canvas(picture)
    canvas.detections(found)
    return canvas.picture()


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

"""Training views of a picture: one picture or a mosaic of four, scaled, cut, mirrored, recoloured.

The grey canvas is 114, as letterboxing uses it. What a view cuts away of an object decides about its box: nearly
all gone, the box goes; much gone or very small, it is ignored; else it is clipped.
"""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from watchline.train.datasets import Sample

GREY = 114
GONE, MUCH_GONE = 0.10, 0.35  # visible share of a box under which it is dropped, or ignored
SMALLEST = 6.0  # pixels: a box with a shorter side is ignored


def single(sample: Sample, size: int, rng: Generator) -> Sample:
    """A square view of one picture: letterbox times a random zoom of 0.6 to 1.6 (log-uniform), at a random place."""
    canvas = np.full((size, size, 3), GREY, np.uint8)
    zoom = float(np.exp(rng.uniform(np.log(0.6), np.log(1.6))))
    fit = size / max(sample.image.shape[:2])
    boxes, keep = _paint(canvas, sample, (0, 0, size, size), fit * zoom, rng)
    return _finish(canvas, [(boxes, sample, keep)], rng)


def mosaic(samples: list[Sample], size: int, rng: Generator) -> Sample:
    """Four pictures around a random point, each made to cover its quarter and zoomed 0.7 to 1.5."""
    canvas = np.full((size, size, 3), GREY, np.uint8)
    x, y = (int(v) for v in rng.uniform(0.3, 0.7, 2) * size)
    parts = []
    for sample, (x1, y1, x2, y2) in zip(
        samples, ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)), strict=True
    ):
        height, width = sample.image.shape[:2]
        cover = max((x2 - x1) / width, (y2 - y1) / height) * float(np.exp(rng.uniform(np.log(0.7), np.log(1.5))))
        boxes, keep = _paint(canvas, sample, (x1, y1, x2, y2), cover, rng)
        parts.append((boxes, sample, keep))
    return _finish(canvas, parts, rng)


def _paint(
    canvas: NDArray[np.uint8], sample: Sample, window: tuple[int, int, int, int], scale: float, rng: Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the scaled picture into a window of the canvas. Returns its clipped boxes and their visible shares."""
    x1, y1, x2, y2 = window
    aspect = float(np.exp(rng.uniform(-0.2, 0.2)))
    height, width = sample.image.shape[:2]
    w, h = max(round(width * scale * aspect), 2), max(round(height * scale / aspect), 2)
    left, top = (_place(inner, outer, rng) for inner, outer in ((w, x2 - x1), (h, y2 - y1)))
    matrix = np.array([[w / width, 0, left], [0, h / height, top]], np.float32)
    view = cv2.warpAffine(
        sample.image, matrix, (x2 - x1, y2 - y1), borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY, GREY, GREY)
    )
    canvas[y1:y2, x1:x2] = view
    boxes = sample.boxes * np.array([w / width, h / height] * 2, np.float32)
    boxes = boxes + np.array([left + x1, top + y1] * 2, np.float32)
    clipped = np.clip(boxes, [x1, y1, x1, y1], [x2, y2, x2, y2]).astype(np.float32)
    full = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return clipped, (clipped[:, 2:] - clipped[:, :2]).prod(1) / np.maximum(full, 1e-6)


def _place(inner: int, outer: int, rng: Generator) -> int:
    """Where a line of `inner` pixels begins in a window of `outer`: it lies inside, or covers the window."""
    return int(rng.integers(min(0, outer - inner), max(0, outer - inner) + 1))


def _finish(
    canvas: NDArray[np.uint8], parts: list[tuple[NDArray[np.float32], Sample, NDArray[np.float32]]], rng: Generator
) -> Sample:
    boxes = np.concatenate([p[0] for p in parts])
    classes = np.concatenate([p[1].classes for p in parts])
    visible = np.concatenate([p[2] for p in parts])
    small = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) < SMALLEST
    ignore = np.concatenate([p[1].ignore for p in parts]) | (visible < MUCH_GONE) | small
    stays = visible > GONE
    if rng.random() < 0.5:
        canvas = np.ascontiguousarray(canvas[:, ::-1])
        boxes = boxes.copy()
        boxes[:, [0, 2]] = canvas.shape[1] - boxes[:, [2, 0]]
    return Sample(_recolour(canvas, rng), boxes[stays], classes[stays], ignore[stays])


def _recolour(bgr: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Hue, saturation and value by tables; now and then grey or blurred, as cameras are."""
    hue, saturation, value = rng.uniform(-1, 1, 3) * (0.02, 0.5, 0.4) + 1
    ramp = np.arange(256)
    tables = np.stack(
        [ramp * hue % 180, np.clip(ramp * saturation, 0, 255), np.clip(ramp * value, 0, 255)], axis=-1
    ).astype(np.uint8)
    out = cv2.cvtColor(cv2.LUT(cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV), tables[None]), cv2.COLOR_HSV2BGR)
    if rng.random() < 0.05:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < 0.05:
        out = cv2.GaussianBlur(out, (3, 3), 0)
    return np.asarray(out, np.uint8)

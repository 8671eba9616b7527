"""Pictures to draw on, detections to draw, and how a drawing should look, pixel by pixel."""

import cv2
import numpy as np

from watchline.ops.colours import colour
from watchline.ops.detections import Detections
from watchline.ops.draw import draw

LABELS = ("person", "bicycle", "car")


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A picture without two equal neighbours, read-only as a frame's is."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    pixels.flags.writeable = False
    return pixels


def found(*rows) -> Detections:
    """Rows of (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(int), LABELS)


def random_boxes(seed: int, n: int, width: int, height: int) -> Detections:
    """Boxes in, partly in and outside of a picture, some thinner than a pixel."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(-0.5, 1.2, (n, 2)) * [width, height]
    boxes = np.concatenate([start, start + rng.exponential(0.3, (n, 2)) * [width, height]], axis=1)
    scores = np.sort(rng.uniform(0.2, 1, n))[::-1]
    return found(*[(*b, s, c) for b, s, c in zip(boxes, scores, rng.integers(0, 3, n), strict=True)])


def label_of(detections: Detections, width: int, height: int, text: str | None = None) -> np.ndarray:
    """How the label of the only detection looks: drawn above a box in the middle of a black picture."""
    row = (width // 4, height // 2, width // 2, height - 1, detections.confidence[0], detections.class_id[0])
    text = text or f"{LABELS[detections.class_id[0]]} {detections.confidence[0]:.2f}"
    drawn = draw(np.zeros((height, width, 3), np.uint8), found(*[row]), labels=[text])[: height // 2]
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in ((1, 2), (0, 2)))
    return drawn[rows[0] :, columns[0] : columns[-1] + 1]


def place_of(label: np.ndarray, picture: np.ndarray) -> tuple[int, int] | None:
    """Where the whole label stands, pixel for pixel: (x, y)."""
    difference = cv2.matchTemplate(picture.astype(np.float32), label.astype(np.float32), cv2.TM_SQDIFF)
    x, y = cv2.minMaxLoc(difference)[2]
    same = np.array_equal(picture[y : y + len(label), x : x + label.shape[1]], label)
    return (x, y) if same else None


def outline(pixels: np.ndarray, box: tuple[int, int, int, int], name: str, thickness: int) -> np.ndarray:
    """Pixel by pixel: those of the box that are less than `thickness` from outside of it."""
    expected, (x1, y1, x2, y2) = pixels.copy(), box
    for y in range(max(y1, 0), min(y2, len(pixels))):
        for x in range(max(x1, 0), min(x2, pixels.shape[1])):
            inside = min(x - max(x1, 0), min(x2, pixels.shape[1]) - 1 - x, y - max(y1, 0), min(y2, len(pixels)) - 1 - y)
            if inside < thickness:
                expected[y, x] = colour(name)
    return expected

"""Kalman filter of boxes: where objects are and how they move, from boxes that are not exact.

Centre, area and ratio of a box are filtered, as in Bewley et al., "Simple Online and Realtime Tracking" (2016), section
3.2. The noise of each of the four is its own, so that four small filters do what one of seven numbers does, for all
objects at once. Time is in seconds, as frames may be missing and rates differ. Noise is in proportion to the object.
"""

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes

Motion = NDArray[np.float64]
"""(N, 5, 4): of N objects value, rate, variance of the value, covariance of both, and variance of the rate; each of
centre x, centre y, area, and width by height. In pixels and seconds."""

# Standard deviations of the four: of the centre in sides of the object (the root of its area), else in shares.
INEXACT = np.array([0.05, 0.05, 0.1, 0.1])  # of a detected box
RESTLESS = np.array([0.2, 0.2, 0.1, 0.0])  # of the change of velocity in a second: people walk straight on
UNKNOWN = np.array([1.0, 1.0, 0.3, 0.0])  # of the velocity of a new object
LEAST_SHARE = 0.5  # of its area, below which no prediction shrinks an object
LEAST_AREA, LEAST_RATIO = 1.0, 0.01


def begun(boxes: Boxes) -> Motion:
    """Objects that are seen for the first time. Args: boxes (N, 4) xyxy in pixels."""
    motion = np.zeros((len(boxes), 5, 4))
    motion[:, 0] = _measured(boxes)
    unit = _unit(motion[:, 0])
    motion[:, 2] = (INEXACT * unit) ** 2
    motion[:, 4] = (UNKNOWN * unit) ** 2
    return motion


def predicted(motion: Motion, seconds: float) -> Motion:
    """The objects so much later, as they move now. The area stays positive: none shrinks to nothing."""
    value, rate, variance, shared, of_rate = motion.swapaxes(0, 1)
    noise = (RESTLESS * _unit(value)) ** 2 * seconds  # of an acceleration that is white
    later = np.empty_like(motion)
    later[:, 0] = value + rate * seconds
    later[:, 1] = rate
    later[:, 2] = variance + seconds * (2 * shared + seconds * (of_rate + noise / 3))
    later[:, 3] = shared + seconds * (of_rate + noise / 2)
    later[:, 4] = of_rate + noise
    shrinks = later[:, 0, 2] < LEAST_SHARE * value[:, 2]
    later[shrinks, 0, 2] = value[shrinks, 2]
    later[shrinks, 1, 2] = 0
    return later


def corrected(motion: Motion, boxes: Boxes) -> Motion:
    """The objects after each was seen. Args: boxes (N, 4) xyxy in pixels, one of each object."""
    value, rate, variance, shared, of_rate = motion.swapaxes(0, 1)
    seen = _measured(boxes)
    inexact = (INEXACT * _unit(seen)) ** 2
    gain, gain_of_rate = variance / (variance + inexact), shared / (variance + inexact)
    wrong = seen - value
    after = np.empty_like(motion)
    after[:, 0] = value + gain * wrong
    after[:, 1] = rate + gain_of_rate * wrong
    after[:, 2] = gain * inexact
    after[:, 3] = gain_of_rate * inexact
    after[:, 4] = of_rate - gain_of_rate * shared
    return after


def boxes_of(motion: Motion) -> Boxes:
    """(N, 4) float32 xyxy in pixels: where the objects are."""
    x, y, area, ratio = motion[:, 0].T
    half_width, half_height = np.sqrt(area * ratio) / 2, np.sqrt(area / ratio) / 2
    boxes = np.empty((len(motion), 4), np.float32)
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = (
        x - half_width,
        y - half_height,
        x + half_width,
        y + half_height,
    )
    return boxes


def _measured(boxes: Boxes) -> NDArray[np.float64]:
    """(N, 4) centre x, centre y, area, and width by height."""
    x1, y1, x2, y2 = boxes.T.astype(np.float64)
    width, height = np.maximum(x2 - x1, LEAST_RATIO), np.maximum(y2 - y1, LEAST_RATIO)
    value = np.empty((len(boxes), 4))
    value[:, 0], value[:, 1] = (x1 + x2) / 2, (y1 + y2) / 2
    value[:, 2], value[:, 3] = np.maximum(width * height, LEAST_AREA), np.maximum(width / height, LEAST_RATIO)
    return value


def _unit(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 4) what noise is in proportion to."""
    unit = value.copy()
    unit[:, 0] = unit[:, 1] = np.sqrt(value[:, 2])
    return unit

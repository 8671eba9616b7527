"""The confusion matrix of detections by hand."""

import numpy as np
import pytest

from watchline.ops.average_precision import Predictions, Truth
from watchline.ops.detection_confusion import confusion

A, B, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (60, 60, 70, 70)


def counts(found, truth, difficult=(), score=0.25):
    """Args: found, rows of a box, a class and a score; truth, rows of a box and a class."""
    seen = Predictions(
        np.array([box for box, *_ in found], np.float32).reshape(-1, 4),
        np.array([s for *_, s in found], np.float32),
        np.array([c for _, c, _ in found], np.int64),
    )
    boxes = np.array([box for box, _ in truth], np.float32).reshape(-1, 4)
    real = Truth(boxes, np.array([c for _, c in truth], np.int64), np.isin(np.arange(len(truth)), difficult))
    return confusion([seen], [real], 2, score).tolist()


@pytest.mark.parametrize(
    ("found", "truth", "difficult", "expected"),
    [
        ([(A, 0, 0.9), (B, 0, 0.8)], [(A, 0), (B, 1)], (), [[1, 0, 0], [1, 0, 0], [0, 0, 0]]),
        ([(A, 0, 0.2)], [(A, 0)], (), [[0, 0, 1], [0, 0, 0], [0, 0, 0]]),  # too low a score to be shown
        ([(A, 0, 0.9), (A, 1, 0.8)], [(A, 0)], (), [[1, 0, 0], [0, 0, 0], [0, 1, 0]]),  # an object is taken once
        ([(FAR, 1, 0.9)], [], (), [[0, 0, 0], [0, 0, 0], [0, 1, 0]]),
        ([(A, 1, 0.9)], [(A, 0)], [0], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),  # difficult: neither found nor missed
        ([(A, 5, 0.9)], [(A, 0)], (), [[0, 0, 1], [0, 0, 0], [0, 0, 0]]),  # a class that is not measured
    ],
)
def test_by_hand(found, truth, difficult, expected):
    assert counts(found, truth, difficult) == expected

"""Detect in arrays from any source: here OpenCV reads them, and a region of interest is cut out.

    python examples/detect_iterator.py clip.mp4

`watchline.detect` takes any iterable of pictures (height, width, 3) uint8 BGR, or of pairs (picture, seconds). A
thread of its own reads it, a few frames ahead.
"""

import sys
from collections.abc import Iterator

import cv2
import numpy as np

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)


def lower_part(path: str) -> Iterator[tuple[np.ndarray, float]]:
    """Each picture without its upper quarter, which shows only sky, and its time in seconds."""
    capture = cv2.VideoCapture(path)
    while (read := capture.read())[0]:
        yield read[1][len(read[1]) // 4 :], capture.get(cv2.CAP_PROP_POS_MSEC) / 1000


for frame, detections in watchline.detect(lower_part(sys.argv[1])):
    sure = detections[detections.confidence > 0.5]
    print(f"{frame.seconds:.2f} s: {len(sure)} of {len(detections)} are sure: {', '.join(sure.names)}")

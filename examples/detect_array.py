"""Detect in one picture that is an array already.

    python examples/detect_array.py photo.jpg

Arrays are (height, width, 3), uint8, BGR, as OpenCV reads them. A list of them works too.
"""

import sys

import cv2

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

for _, detections in watchline.detect(cv2.imread(sys.argv[1])):
    for found in detections:
        left, top, right, bottom = map(round, found.xyxy)
        print(f"{found.name} {found.confidence:.2f} from ({left}, {top}) to ({right}, {bottom})")

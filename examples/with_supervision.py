"""Use Watchline with `supervision`: its zones count, its annotators draw.

    pip install supervision
    python examples/with_supervision.py clip.mp4 busiest.png

Both libraries store detections as parallel arrays with the same names, so `to_supervision` copies nothing.
"""

import sys

import cv2
import numpy as np
import supervision as sv

import watchline

if len(sys.argv) < 3 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

zone = sv.PolygonZone(np.array([(0, 0), (320, 0), (320, 10_000), (0, 10_000)]))  # the left half of 640 pixels
inside, total, most = 0, 0, -1
for frame, found in watchline.detect(sys.argv[1]):
    detections = found.to_supervision()
    inside += int(zone.trigger(detections).sum())
    total += len(detections)
    if len(detections) > most:
        most = len(detections)
        picture = sv.RoundBoxAnnotator().annotate(frame.image.copy(), detections)
        cv2.imwrite(sys.argv[2], sv.LabelAnnotator().annotate(picture, detections))
print(f"{inside} of {total} in the left half, at most {most} at once")

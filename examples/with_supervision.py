"""Use with `supervision`: its zones count, its annotators draw.

    pip install supervision
    python examples/with_supervision.py clip.mp4 busiest.png

Both libraries keep detections as parallel arrays, so the conversion is one line, here at the border.
"""

import sys

import cv2
import numpy as np
import supervision as sv

import watchline


def to_supervision(found: watchline.Detections) -> sv.Detections:
    """Boxes are xyxy in source pixels in both; the labels go where supervision looks for them."""
    return sv.Detections(found.boxes, None, found.scores, found.classes, data={"class_name": np.array(found.names)})


zone = sv.PolygonZone(np.array([(0, 0), (320, 0), (320, 10_000), (0, 10_000)]))  # the left half of 640 pixels
total = inside = 0
busiest, most = None, sv.Detections.empty()
for frame, found in watchline.detect(sys.argv[1]):
    detections = to_supervision(found)
    inside += int(zone.trigger(detections).sum())
    total += len(detections)
    if busiest is None or len(detections) > len(most):
        busiest, most = frame.picture.bgr(), detections
picture = sv.RoundBoxAnnotator().annotate(busiest.copy(), most)
cv2.imwrite(sys.argv[2], sv.LabelAnnotator().annotate(picture, most))
print(f"{inside} of {total} in the left half, at most {len(most)} at once")

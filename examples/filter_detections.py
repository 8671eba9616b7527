"""Filter detections with NumPy: by class, score, size and position.

    python examples/filter_detections.py clip.mp4

`detections[rows]` takes an array of booleans or of indices, a slice, or one index, and returns Detections.
"""

import sys

import numpy as np

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

counts = np.zeros(4, int)
for frame, found in watchline.detect(sys.argv[1]):
    people = found[found.names == "person"]
    sure = people[people.confidence > 0.5]
    large = sure[sure.xyxy[:, 3] - sure.xyxy[:, 1] > frame.height / 4]  # higher than a quarter of the picture
    middles = (large.xyxy[:, 0] + large.xyxy[:, 2]) / 2
    left = large[middles < frame.width / 2]
    counts += len(people), len(sure), len(large), len(left)
print("{} people, {} of them sure, {} of these large, {} of these in the left half".format(*counts))

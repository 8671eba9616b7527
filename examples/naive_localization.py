"""Localize as the lecture's first slides do: classify the contents of all boxes, and take the surest. It is slow.

    python examples/naive_localization.py photo.jpg localizer.onnx

Here "all" are the boxes with edges on a grid of 8 x 8, some 1300. bench/overfeat.py says what a finer one would cost.
"""

import sys
from itertools import combinations, product

import cv2
import numpy as np

from watchline import engines

GRID = 8

if len(sys.argv) < 3 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

image = cv2.imread(sys.argv[1])
rows, columns = (np.linspace(0, side, GRID + 1).astype(int).tolist() for side in image.shape[:2])
best = (0.0, "nothing", (0, 0, 0, 0))
with engines.load(sys.argv[2]) as classifier:
    for (top, bottom), (left, right) in product(combinations(rows, 2), combinations(columns, 2)):
        content = cv2.resize(image[top:bottom, left:right], classifier.size)
        scores = classifier.infer(content[None])["scores"][0].max(axis=0)  # of each class, the best of its boxes
        surest = int(scores.argmax())
        best = max(best, (float(scores[surest]), classifier.metadata.labels[surest], (left, top, right, bottom)))
score, name, box = best
print(f"{name} {score:.2f} at {box}")

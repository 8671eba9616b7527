"""Detect in several video files, one after another: the largest number of people in each.

    python examples/detect_files.py one.mp4 two.mp4 …

A list may contain paths, folders, patterns and cameras; `frame.stream` is the name of the stream.
"""

import sys
from collections import Counter

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

most = Counter[str]()
for frame, detections in watchline.detect(sys.argv[1:], classes=["person"]):
    most[frame.stream] = max(most[frame.stream], len(detections))
for stream, people in most.items():
    print(f"{stream}: at most {people} people at once")

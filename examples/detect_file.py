"""Detect in a video file: what is seen in each second.

    python examples/detect_file.py clip.mp4

Settings of the detector are keyword arguments; `watchline.Detector` lists them.
"""

import sys
from collections import defaultdict

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

seen = defaultdict[int, set[str]](set)
for frame, detections in watchline.detect(sys.argv[1], conf=0.4):
    seen[int(frame.seconds)].update(detections.names.tolist())
for second, names in seen.items():
    print(f"{second} s: {', '.join(sorted(names)) or 'nothing'}")

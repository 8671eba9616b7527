"""Detect in a folder of photos: what is in each, as JSON.

    python examples/detect_folder.py photos/

A pattern ("photos/*.jpg") works too. `frame.file` is the name of a photo.
"""

import json
import sys

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

for frame, detections in watchline.detect(sys.argv[1]):
    print(json.dumps({"file": frame.file, "detections": detections.to_dicts()}))

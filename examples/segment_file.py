"""Segment a video file: how much of the picture the road, cars and people cover, second by second.

    python examples/segment_file.py street.mp4

The shipped model knows the eleven classes of CamVid's streets; `watchline.Segmenter` lists the settings.
"""

import sys

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

second = -1
for frame, areas in watchline.segment(sys.argv[1]):
    assert isinstance(areas, watchline.ClassMap)  # as this model gives them
    if int(frame.seconds) > second:
        second = int(frame.seconds)
        shares = dict(zip(areas.labels, areas.shares, strict=True))
        print(f"{second} s: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share >= 0.05))

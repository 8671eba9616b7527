"""Draw detections with your own colours and labels, here on the picture with the most people.

    python examples/draw_detections.py clip.mp4 busiest.png

Labels are one text per detection; colours are one for all, or by class. Masks are drawn if there are any.
"""

import sys

import cv2

import watchline

if len(sys.argv) < 3 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

COLOURS = {"person": (80, 80, 255), "bicycle": (255, 160, 0)}  # (blue, green, red); other classes keep theirs

frame, found = max(watchline.detect(sys.argv[1]), key=lambda seen: (seen[1].names == "person").sum())
labels = [f"{one.name} {round(100 * one.confidence)} %" for one in found]
cv2.imwrite(sys.argv[2], watchline.draw(frame.image, found, colours=COLOURS, labels=labels))
print(f"{(found.names == 'person').sum()} people at {frame.seconds:.2f} s")

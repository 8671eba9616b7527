"""Wait until a camera sees somebody, and save that picture.

    python examples/detect_camera.py rtsp://user:password@192.168.1.20/stream1 visitor.jpg
    python examples/detect_camera.py 0 visitor.jpg                   # the first camera of this machine

The loop always gets the camera's newest frame. A camera that is lost is reconnected.
"""

import sys

import cv2

import watchline

if len(sys.argv) < 3 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

for frame, people in watchline.detect(sys.argv[1], classes=["person"], conf=0.5):
    if len(people):
        cv2.imwrite(sys.argv[2], watchline.draw(frame.image, people))
        print(f"{len(people)} people after {frame.seconds:.1f} s")
        break

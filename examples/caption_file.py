"""Say what a video file shows: a line for each scene.

    python examples/caption_file.py clip.mp4

`watchline.Captioner` lists the settings, such as `interval` and `objects`.
"""

import sys

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)

for frame, caption in watchline.caption(sys.argv[1]):
    print(f"{frame.seconds:.1f} s: {caption.text}")

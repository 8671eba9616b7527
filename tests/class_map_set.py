"""A tiny data set in CamVid's layout, for a segmenter that classifies pixels by their strongest colour."""

from pathlib import Path

import cv2
import numpy as np


def coloured(folder: Path) -> Path:
    """Two pictures of 64 x 32 whose classes are their strongest colours, but for some pixels, and some void."""
    rng = np.random.default_rng(0)
    for name in ("val", "valannot"):
        (folder / name).mkdir(parents=True)
    for picture in "ab":
        image = rng.integers(0, 256, (32, 64, 3), np.uint8)
        truth = image.argmax(2).astype(np.uint8)
        truth[:4] = rng.integers(0, 3, (4, 64))
        truth[4:6], truth[6:8] = 3, 255  # void, in both spellings
        cv2.imwrite(str(folder / "val" / f"{picture}.png"), image)
        cv2.imwrite(str(folder / "valannot" / f"{picture}.png"), truth)
    return folder

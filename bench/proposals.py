"""How well do proposals cover the objects? Selective Search on labelled photos, beside OpenCV's where it is installed.

    python bench/proposals.py --data VOC --split val [--every 4] [--most 2000]

For each way: the boxes of a photo; recall, the share of the objects with a box of IoU 0.5; ABO, the mean over the
objects of the best IoU; MABO, the mean of the classes' ABO (Uijlings et al., 2013); and processor time per photo.
Objects that are difficult do not count. OpenCV's is in opencv-contrib-python-headless, which goes in an environment of
its own, because it overwrites opencv-python-headless.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes, iou
from watchline.ops.selective_search import FAST, QUALITY, selective_search
from watchline.train.datasets import voc

Image = NDArray[np.uint8]
Way = Callable[[Image], Boxes]


def main() -> None:
    """Print a row per way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="every n-th photo")
    parser.add_argument("--most", type=int, default=2000, help="boxes per photo that count")
    options = parser.parse_args()
    samples = list(voc(options.data, options.split))[:: options.every]
    classes = np.concatenate([sample.classes[~sample.ignore] for sample in samples])
    print(f"{len(samples)} photos, {len(classes)} objects, at most {options.most} boxes of a photo")
    print(f"{'':28}{'boxes':>8}{'recall':>8}{'ABO':>8}{'MABO':>8}{'s a photo':>11}")
    for name, way in ways().items():
        counts, best, seconds = [], [], 0.0
        for sample in samples:
            began = time.process_time()
            boxes = way(sample.image)[: options.most]
            seconds += time.process_time() - began
            counts.append(len(boxes))
            best.append(iou(sample.boxes[~sample.ignore], boxes).max(1))
        overlap = np.concatenate(best)
        mabo = np.mean([overlap[classes == c].mean() for c in np.unique(classes)])
        print(
            f"{name:28}{np.mean(counts):8.0f}{(overlap >= 0.5).mean():8.3f}{overlap.mean():8.3f}{mabo:8.3f}"
            f"{seconds / len(samples):11.2f}",
            flush=True,
        )


def ways() -> dict[str, Way]:
    """What is compared, by name."""
    found: dict[str, Way] = {
        "fast": lambda image: selective_search(image, FAST),
        "quality": lambda image: selective_search(image, QUALITY),
    }
    if hasattr(cv2, "ximgproc"):
        found |= {
            "OpenCV, fast": lambda image: _opencv(image, False),
            "OpenCV, quality": lambda image: _opencv(image, True),
        }
    return found


def _opencv(image: Image, quality: bool) -> Boxes:
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(image)
    (search.switchToSelectiveSearchQuality if quality else search.switchToSelectiveSearchFast)()
    x, y, width, height = search.process().T
    return np.stack([x, y, x + width, y + height], axis=1).astype(np.float32)


if __name__ == "__main__":
    main()

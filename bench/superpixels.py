"""How good a class map can be if whole superpixels are classified: each gets the class that most of its pixels have.

python bench/superpixels.py --data CAMVID --split val --every 4
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.ops.camvid import CAMVID, VOID
from watchline.ops.mean_iou import confusion, mean_iou
from watchline.ops.superpixels import Parts, felzenszwalb, majority, slic
from watchline.train import camvid

WAYS: dict[str, Callable[[NDArray[np.uint8]], Parts]] = {
    "SLIC, 100 parts": lambda image: slic(image, 100),
    "SLIC, 400 parts": lambda image: slic(image, 400),
    "SLIC, 1600 parts": lambda image: slic(image, 1600),
    "Felzenszwalb, scale 100": felzenszwalb,
}


def main() -> None:
    """Print a row a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="every n-th picture")
    options = parser.parse_args()
    scenes = camvid.read(options.data, options.split)[:: options.every]
    print(f"{'':26}{'parts':>7}{'mean IoU':>10}{'s a picture':>13}")
    for name, way in WAYS.items():
        counts = np.zeros((len(CAMVID), len(CAMVID)), np.int64)
        parts, seconds = 0, 0.0
        for scene in scenes:
            began = time.process_time()
            found = way(scene.image)
            seconds += time.process_time() - began
            parts += int(found.max()) + 1
            counts += confusion(majority(found, scene.classes, VOID), scene.classes, len(CAMVID))
        mean = parts / len(scenes)
        print(f"{name:26}{mean:7.0f}{mean_iou(counts):10.4f}{seconds / len(scenes):13.3f}", flush=True)


if __name__ == "__main__":
    main()

"""Penn-Fudan's photos of pedestrians: `images`, and `masks` of the same names, whose pixels are a pedestrian's number.

Wang et al., "Object Detection Combining Recognition and Segmentation" (2007). The data set has no split of its own.
Ours is fixed: by name, the last 50 of its 170 photos are the test.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from watchline.ops.masks import Masks

T = TypeVar("T")
TESTED = 50  # photos
SPLITS = ("test", "train")


def of_split(photos: Sequence[T], split: str) -> Sequence[T]:
    """Those of "train" or of "test". Args: photos, all of them by name."""
    return photos[-TESTED:] if split == "test" else photos[:-TESTED]


def masks_of(plane: NDArray[np.uint8]) -> Masks:
    """The pedestrians of a plane (H, W), in the order of their numbers; 0 is the background."""
    numbers = [number for number in np.unique(plane).tolist() if number > 0]
    height, width = plane.shape
    return Masks.of(np.stack([plane == number for number in numbers])) if numbers else Masks.none((height, width))

"""The proposals of a training's pictures, searched once: R-CNN and Fast R-CNN learn from the same."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from watchline.ops.selective_search import SIDE, proposals, searched
from watchline.train import looks
from watchline.train.own_data.dataset import PictureFile


def cached(files: Sequence[PictureFile], count: int, folder: Path, tell: Callable[[str], None]) -> NDArray[np.float16]:
    """The proposals of all pictures, (N, count, 4) xyxy, whole pixels of the size at which they are searched.

    Args: folder, where the file is kept. tell, hears how far it is. Raises: what `looks.cached` raises.
    """

    def boxes_of(number: int, pixels: NDArray[np.uint8]) -> Tensor:
        small = cv2.resize(pixels, searched(files[number].size), interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy(proposals(np.asarray(small, np.uint8), count))

    return looks.cached(files, (count, 4), boxes_of, folder, f"selective search {SIDE} {count}", tell)

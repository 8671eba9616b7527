"""The annotated picture: (H, W, 3) uint8 BGR, what the annotator gives."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchline.pipeline.kinds.kind import Kind, Packed
from watchline.streams.frame import Image


def _pack(picture: Image) -> Packed:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"it is {picture.dtype} {picture.shape}: expected uint8 (height, width, 3)")
    return None, (picture,)


def _unpack(value: Any, arrays: tuple[NDArray[Any], ...]) -> Image:
    match arrays:
        case [picture] if picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
            return picture
    raise ValueError("expected one picture")


DRAWN: Kind[Image] = Kind("drawn", np.ndarray, pack=_pack, unpack=_unpack, is_picture=True)

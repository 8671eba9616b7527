"""How many pixels masks have in common."""

import numpy as np
from numpy.typing import NDArray

from watchline.ops.masks import Masks


def intersection(a: Masks, b: Masks) -> NDArray[np.int64]:
    """Pixels that each object of `a` (N) shares with each of `b` (M), of pictures of one size: (N, M)."""
    shared = np.zeros((len(a), len(b)), np.int64)
    low = np.maximum(a.extent[:, None, :2], b.extent[None, :, :2])
    high = np.minimum(a.extent[:, None, 2:], b.extent[None, :, 2:])
    crops_a, crops_b = list(a), list(b)
    for n, m in np.argwhere((high > low).all(axis=2)).tolist():
        (x1, y1), (x2, y2) = low[n, m].tolist(), high[n, m].tolist()
        ax, ay, _, _, mine = crops_a[n]
        bx, by, _, _, its = crops_b[m]
        shared[n, m] = np.count_nonzero(
            mine[y1 - ay : y2 - ay, x1 - ax : x2 - ax] & its[y1 - by : y2 - by, x1 - bx : x2 - bx]
        )
    return shared

"""Labelled pictures in groups. Training draws each group with a fixed share.

Within a group, pictures of rare classes are drawn more often: repeat factor sampling (Gupta, Dollar and Girshick,
"LVIS", 2019, section 5).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COMMON = 0.2  # a class in at least this share of the pictures is common
MOST = 8.0  # largest factor by which a picture of a rare class is more likely than others


@dataclass(frozen=True)
class LabelledPicture:
    """A labelled picture in the form in which it is stored and sent.

    Attributes:
        jpeg: (bytes,) uint8.
        boxes: (N, 4) float32 xyxy in pixels.
        classes: (N,) int64.
        sure: (N,) float32 in 0..1, the weight of the label.
        ignore: (N,) bool: counts neither as object nor as background.
        open: (C,) bool: classes of which not every object has a box.
        group: number of its group.
        squashed: log of the factor by which the aspect ratio may have been changed; 0 if it was not.
        often: factor on the probability within its group, in addition to the factor of its classes.
        share: of its group, of all pictures that are drawn; the shares of all groups need not sum up to 1.
    """

    jpeg: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    sure: NDArray[np.float32]
    ignore: NDArray[np.bool_]
    open: NDArray[np.bool_]
    group: int
    squashed: float = 0.0
    often: float = 1.0
    share: float = 1.0


def weights(pictures: Sequence[LabelledPicture]) -> NDArray[np.float64]:
    """The probability of each picture: the share of its group, divided by repeat factors and `often`."""
    factors = repeat_factors([set(p.classes[~p.ignore].tolist()) for p in pictures])
    factors = factors * np.array([p.often for p in pictures])
    groups = np.array([p.group for p in pictures])
    shares = np.array([p.share for p in pictures])
    chances: NDArray[np.float64] = factors / np.bincount(groups, factors)[groups] * shares
    return np.asarray(chances / chances.sum(), np.float64)


def repeat_factors(classes: Sequence[set[int]]) -> NDArray[np.float64]:
    """The factor by which each picture is drawn more often than others.

    Args:
        classes: the classes in each picture.

    Returns:
        (N,) max over a picture's classes c of sqrt(COMMON / f(c)), with f(c) the share of pictures with c; 1 to MOST.
    """
    counts = Counter(c for found in classes for c in found)
    factor = {c: (COMMON * len(classes) / count) ** 0.5 for c, count in counts.items()}
    return np.array([min(max([1.0, *(factor[c] for c in found)]), MOST) for found in classes])

"""Has anything moved? The pictures of a fixed camera against their running mean.

    background = Background()
    for grey, seconds in pictures:
        if background.has_moved(grey, seconds):
            ...

The pictures are small and grey. The difference of each cell is compared with a threshold, and what counts is the
largest piece of cells that hang together, as noise changes single ones. Where the light changes, all of the picture
does.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

WIDE = 160  # cells in a row; as many rows as the picture's shape needs
FINE = 2  # pixels of a cell's side: the picture that is asked for has so many more than there are cells
THRESHOLD = 12  # grey values
AREA = 0.0005  # of the picture
MEAN = 2.0  # seconds over which the mean runs: what stands still for longer is background


def size_of(width: int, height: int) -> tuple[int, int]:
    """Width and height of the grey pictures that `Background` takes, of pictures of this size."""
    return FINE * WIDE, FINE * max(1, round(WIDE * height / width))


class Background:
    """What a fixed camera sees when nothing moves.

    Args:
        threshold: grey values from which a cell has changed, against the mean of the last seconds.
        area: share of the picture that must have changed, in one piece.
        counts: (h, w) bool, the cells that count, in a picture of (FINE * h, FINE * w); None: all.
    """

    def __init__(
        self, threshold: float = THRESHOLD, area: float = AREA, counts: NDArray[np.bool_] | None = None
    ) -> None:
        self._threshold, self._area, self._counts = threshold, area, counts
        self._mean: NDArray[np.float32] | None = None
        self._time = 0.0

    def has_moved(self, grey: NDArray[np.uint8], seconds: float) -> bool:
        """Whether something has, or the light has changed; the first picture is new.

        Args:
            grey: (FINE * h, FINE * w) uint8, of the size that `size_of` says; all have the same.
            seconds: its time, on a clock that does not run backwards.
        """
        height, width = grey.shape[0] // FINE, grey.shape[1] // FINE
        now = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._mean is None:
            self._mean, self._time = now, seconds
            return True
        changed = np.abs(now - self._mean) >= self._threshold
        if self._counts is not None:
            changed &= self._counts
        cv2.accumulateWeighted(now, self._mean, 1 - np.exp(-max(seconds - self._time, 0) / MEAN))
        self._time = seconds
        least = max(self._area * changed.size, 1)
        if np.count_nonzero(changed) < least:  # all together; to look for pieces costs more than all else
            return False
        _, _, pieces, _ = cv2.connectedComponentsWithStats(changed.view(np.uint8), connectivity=8)
        return bool(pieces[1:, cv2.CC_STAT_AREA].max() >= least)

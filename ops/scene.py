"""When does the scene change? A cheap score between two pictures, and a watch with hysteresis over those of a stream.

The score is the contrast and structure part of SSIM (Wang et al., 2004, "Image quality assessment: from error
visibility to structural similarity"), as a difference of small grey pictures: in a window around each place, the
variance of the pictures' difference over the sum of their variances. It is 0 for equal structure, and 1 for pictures
that have nothing in common. Neither noise nor auto exposure is a new scene: a gain of g makes (1 - g)² / (1 + g²). What
moves counts by the structure that it hides and brings. A light that is switched makes no structure of its own, so a
second score compares the mean brightness.

No score of one moment decides: people walk past, and a cut or a fade is a change when its new scene stays
(`SceneWatch`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 128, 72  # width, height of the pictures that a watch is meant to get: four by four pixels for one of GRID
GRID = 32, 18  # width, height of what is compared
WINDOW = 5, 5  # in which variances are taken
NOISE = 60.0  # grey values squared: a window with less variance says little about the scene, and noise may be all of it
LEAST_WEIGHT = 0.25  # of a window without structure, so that noise in the dark is not compared with noise
BLACK = 16.0  # grey values that are added before brightness is compared: in the dark, a few of them mean nothing
HIGH, LOW, REST = 0.6, 0.5, 0.3  # differences


@dataclass(frozen=True, slots=True)
class Look:
    """What a scene looks like.

    Attributes:
        grey: (18, 32) float32, 0..255.
        variance: (18, 32) float32, of the grey values in the window around each place.
        light: base 2 logarithm of the mean brightness.
    """

    grey: NDArray[np.float32]
    variance: NDArray[np.float32]
    light: float


def look(thumbnail: NDArray[np.uint8]) -> Look:
    """Reduce a picture, (h, w) or (h, w, 3) uint8 BGR, best of size THUMBNAIL, to what is compared."""
    grey = thumbnail if thumbnail.ndim == 2 else cv2.cvtColor(thumbnail, cv2.COLOR_BGR2GRAY)
    small = np.asarray(cv2.resize(grey, GRID, interpolation=cv2.INTER_AREA), np.float32)
    return Look(small, _variance(small), float(np.log2(small.mean() + BLACK)))


def difference(one: Look, other: Look) -> float:
    """How different two pictures are: 0 the same scene, 1 nothing in common, 2 at most.

    The greater one of two scores. Structure: the sum over all windows of var(a - b) / (var(a) + var(b) + NOISE), over
    the same sum for pictures that have nothing in common. Light: 1 for a mean brightness of four times as much.
    """
    total = one.variance + other.variance
    apart = _variance(one.grey - other.grey) / (total + NOISE)
    structure = apart.sum() / np.maximum(total / (total + NOISE), LEAST_WEIGHT).sum()
    return max(float(structure), abs(one.light - other.light) / 2)


def _variance(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of the values in the window around each place; the picture is mirrored at its edges."""
    mean = cv2.blur(grey, WINDOW)
    return np.asarray(np.maximum(cv2.blur(grey * grey, WINDOW) - mean * mean, 0), np.float32)


class SceneWatch:
    """Says of a stream's pictures, in order, which of them begin a new scene.

    A scene is new when a picture differs by `high` or more from that of the last scene, the difference then stays at
    `low` or above, and the pictures have rested for `least` seconds: they differ by less than REST from the first that
    rests. So a cut, a fade and a camera that is turned are one change each, and somebody who walks past is none. What
    does not come to rest, such as a camera that is carried, begins a new scene every `most` seconds.

    Pictures are compared with that of the last scene, not with the one before: a slow pan counts in the end.
    """

    def __init__(self, high: float = HIGH, low: float = LOW, least: float = 1.0, most: float = 3.0) -> None:
        """Args: high, low, differences; least, most, seconds."""
        self._high, self._low, self._least, self._most = high, low, least, most
        self._scene: Look | None = None
        self._resting: Look | None = None  # since the scene was left: the first of the pictures that rest
        self._left = 0.0  # seconds at which it was left
        self._rests = 0.0  # seconds since which the pictures rest

    def changed(self, thumbnail: NDArray[np.uint8], seconds: float) -> bool:
        """Whether a new scene is established with this picture; the first picture is one.

        Args:
            thumbnail: (h, w) or (h, w, 3) uint8 BGR, best of size THUMBNAIL; all of one stream have the same shape.
            seconds: its time, on any clock that does not run backwards.
        """
        now = look(thumbnail)
        if self._scene is None:
            return self._establish(now)
        away = difference(now, self._scene)
        if away < (self._high if self._resting is None else self._low):
            self._resting = None
            return False
        if self._resting is None:
            self._left = seconds
        if self._resting is None or difference(now, self._resting) >= REST:
            self._resting, self._rests = now, seconds
        if seconds - self._rests >= self._least or seconds - self._left >= self._most:
            return self._establish(now)
        return False

    def settle(self, thumbnail: NDArray[np.uint8]) -> None:
        """Compare with this picture from now on: it was described for another reason than a change."""
        self._establish(look(thumbnail))

    def _establish(self, scene: Look) -> bool:
        self._scene, self._resting = scene, None
        return True

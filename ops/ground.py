"""From pixels to metres on a plane, and how fast a track moves there.

Four points of the ground and where they are in the picture give the homography between the two planes (Hartley and
Zisserman, "Multiple View Geometry in Computer Vision", 2003, section 4.1). What is not on the ground is elsewhere.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from watchline.ops.regions import Points

KMH = 3.6  # per metre per second
WINDOW = 1.0  # seconds over which a speed is measured
SPAN = 0.5  # seconds that a track must have been seen for a speed
LEAST = 3  # times that it must have been seen
FLAT = 1e-3  # least area of three of the points, as a share of the square of their extent


def homography(points: Points, metres: Points) -> NDArray[np.float64]:
    """(3, 3) the matrix that maps points of the picture to the ground.

    Args:
        points: (4, 2) in pixels; no three of them on one line.
        metres: (4, 2) where they are on the ground; the same holds.
    """
    rows = []
    for (x, y), (u, v) in zip(points, metres, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    matrix = np.append(np.linalg.solve(np.array(rows), metres.reshape(-1)), 1).reshape(3, 3)
    depth = matrix[2] @ (*points.mean(axis=0), 1)
    return np.asarray(matrix * np.sign(depth))


def on_ground(points: Points, matrix: NDArray[np.float64]) -> Points:
    """(N, 2) metres of points (N, 2) in pixels; NaN of those at the horizon and above."""
    x, y, depth = matrix @ np.concatenate([points, np.ones((len(points), 1))], axis=1).T
    depth = np.where(depth > 0, depth, np.nan)
    return np.stack([x / depth, y / depth], axis=1)


def are_flat(points: Points) -> bool:
    """Whether three of four points are nearly on one line."""
    extent = max(float(np.ptp(points, axis=0).max()), 1e-9)
    for left_out in range(4):
        a, b, c = np.delete(points, left_out, axis=0)
        if abs((b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0]) < FLAT * extent**2:
            return True
    return False


@dataclass(slots=True)
class Speedometer:
    """The speed of a track.

    Attributes:
        sights: of the last WINDOW seconds: seconds, and x and y in metres.
        first: of them all.
    """

    sights: deque[tuple[float, float, float]] = field(default_factory=deque)
    first: tuple[float, float, float] | None = None

    def update(self, seconds: float, x: float, y: float) -> float | None:
        """Take where it is, in metres. Returns its speed in km/h by least squares; None: not known yet."""
        self.first = self.first or (seconds, x, y)
        self.sights.append((seconds, x, y))
        while seconds - self.sights[0][0] > WINDOW:
            self.sights.popleft()
        if len(self.sights) < LEAST or seconds - self.sights[0][0] < SPAN:
            return None
        t, *places = np.array(self.sights).T
        t = t - t.mean()
        return float(KMH * np.hypot(*(t @ place / (t @ t) for place in places)))

    def mean(self) -> tuple[float, float] | None:
        """Its mean speed in km/h, and the metres that it moved, straight from first to last; None: it was seen too
        shortly.
        """
        if self.first is None or self.sights[-1][0] - self.first[0] < SPAN:
            return None
        seconds, x, y = np.subtract(self.sights[-1], self.first).tolist()
        metres = float(np.hypot(x, y))
        return KMH * metres / seconds, metres

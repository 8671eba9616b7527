"""Points, lines and polygons in a picture: where a box stands, on which side of a line, and whether in a polygon.

Points are x and y in pixels, y downwards. A polygon is its corners in order, the last one joined to the first.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.ops.boxes import Boxes

Points = NDArray[np.float64]

ANCHORS: Mapping[str, tuple[float, float]] = {  # shares of a box's width and height, from its upper left corner
    "bottom": (0.5, 1),
    "centre": (0.5, 0.5),
    "top": (0.5, 0),
    "left": (0, 0.5),
    "right": (1, 0.5),
}


class Sight(NamedTuple):
    """Where a track was seen.

    Attributes:
        frame: index in the stream.
        seconds: time of the frame in the stream.
        track: its number.
        x, y: of its anchor in pixels.
    """

    frame: int
    seconds: float
    track: int
    x: float
    y: float


def anchors(boxes: Boxes, anchor: str) -> Points:
    """(N, 2) the point of each box that counts. Args: boxes (N, 4) xyxy in pixels; anchor, a name of ANCHORS."""
    corner, far = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    return np.asarray(corner + (far - corner) * ANCHORS[anchor])


def inside(points: Points, polygon: Points) -> NDArray[np.bool_]:
    """(N,) whether points are in a polygon, by the even-odd rule (Shimrat, "Algorithm 112", 1962).

    A left or upper edge belongs to it, a right or lower edge does not, as with boxes: a point is in one of two polygons
    that share an edge.

    Args:
        points: (N, 2).
        polygon: (M, 2) corners, in either direction.
    """
    x, y = points[:, :1], points[:, 1:]
    (x1, y1), (x2, y2) = polygon.T, np.roll(polygon, -1, axis=0).T
    spans = (y1 <= y) != (y2 <= y)  # (N, M)
    with np.errstate(divide="ignore", invalid="ignore"):  # of level edges, which span no point
        edge = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
    return np.asarray((spans & (x < edge)).sum(axis=1) % 2 == 1)


def distances(points: Points, line: Points) -> NDArray[np.float64]:
    """(N,) how far points are to the right of a line without ends, in pixels; less than 0 to its left.

    Args:
        points: (N, 2).
        line: (2, 2) from, to; right is as seen by who walks so.
    """
    way, there = line[1] - line[0], points - line[0]
    return np.asarray((way[0] * there[:, 1] - way[1] * there[:, 0]) / np.hypot(*way))


def passes(before: Sight, after: Sight, line: Points) -> int:
    """Whether a straight step goes through a line between its ends: 1 from left to right, -1 back, 0 if it does not.

    A point on the line is to its right. Args: line (2, 2) from, to.
    """
    (x1, y1), (x2, y2) = line.tolist()  # plain numbers: arrays of two take ten times as long
    across, down = x2 - x1, y2 - y1
    first, second = (across * (sight.y - y1) - down * (sight.x - x1) for sight in (before, after))
    if (first >= 0) == (second >= 0):
        return 0
    part = first / (first - second)
    x, y = before.x + part * (after.x - before.x), before.y + part * (after.y - before.y)
    share = ((x - x1) * across + (y - y1) * down) / (across**2 + down**2)
    return (1 if second >= 0 else -1) if 0 <= share <= 1 else 0


def crossed_edges(polygon: Points) -> tuple[int, int] | None:
    """Two edges of a polygon that touch each other, but for neighbours at their corner; None if there are none.

    Returns:
        their indices; edge n is from corner n to the next one.
    """
    many = len(polygon)
    ends = [(polygon[n], polygon[(n + 1) % many]) for n in range(many)]
    for a in range(many):
        for b in range(a + 1, many):
            are_neighbours = b - a == 1 or (a == 0 and b == many - 1)
            if _overlap(*ends[a], *ends[b]) if are_neighbours else _touch(*ends[a], *ends[b]):
                return a, b
    return None


def _turn(a: Points, b: Points, c: Points) -> float:
    """Greater than 0 if the way from a over b to c turns to the right."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _is_between(a: Points, b: Points, c: Points) -> bool:
    """Whether c, on the line through a and b, is between them."""
    return bool((np.minimum(a, b) <= c).all() and (c <= np.maximum(a, b)).all())


def _touch(a: Points, b: Points, c: Points, d: Points) -> bool:
    """Whether the edges a to b and c to d have a point in common."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    on = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _is_between(*three) for turn, three in zip(turns, on, strict=True))


def _overlap(a: Points, b: Points, c: Points, d: Points) -> bool:
    """Whether neighbours, which share a corner, lie on one another."""
    common, first, second = (b, a, d) if (b == c).all() else (a, b, c)
    back = (first - common) @ (second - common)
    return bool(_turn(first, common, second) == 0 and back > 0) or bool((a == b).all() or (c == d).all())

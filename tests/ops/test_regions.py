"""Points, lines and polygons: against slow references, and at the edges, where zones meet."""

import numpy as np
import pytest

from watchline.ops.regions import ANCHORS, Sight, anchors, crossed_edges, distances, inside, passes

SQUARE = np.array([(10, 10), (20, 10), (20, 20), (10, 20)], float)
HOOK = np.array([(0, 0), (30, 0), (30, 30), (20, 30), (20, 10), (10, 10), (10, 30), (0, 30)], float)


def inside_slowly(point, polygon):
    """Count the edges that a ray to the right meets."""
    x, y = point
    met = 0
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (y1 <= y) != (y2 <= y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            met += 1
    return met % 2 == 1


def sight(x, y):
    return Sight(0, 0.0, 1, x, y)


@pytest.mark.parametrize(
    ("anchor", "point"),
    [("bottom", (15, 40)), ("top", (15, 20)), ("centre", (15, 30)), ("left", (10, 30)), ("right", (20, 30))],
)
def test_the_point_of_a_box(anchor, point):
    boxes = np.array([(10, 20, 20, 40)], np.float32)
    assert anchors(boxes, anchor).tolist() == [list(point)]
    assert anchors(boxes[:0], anchor).shape == (0, 2)


def test_every_anchor_is_tested():
    assert set(ANCHORS) == {"bottom", "top", "centre", "left", "right"}


@pytest.mark.parametrize("polygon", [SQUARE, SQUARE[::-1], HOOK, np.array([(0, 5), (33, 17), (4, 29)], float)])
def test_points_in_a_polygon(polygon):
    points = np.stack(np.meshgrid(np.arange(-2, 36), np.arange(-2, 36)), axis=-1).reshape(-1, 2).astype(float)
    assert inside(points, polygon).tolist() == [inside_slowly(point, polygon) for point in points]
    assert inside(points[:0], polygon).shape == (0,)


@pytest.mark.parametrize("polygon", [SQUARE, SQUARE[::-1]])
def test_a_left_or_upper_edge_belongs_to_a_zone(polygon):
    """Who stands on the common edge of two zones is in one of them."""
    points = np.array([(10, 15), (15, 10), (10, 10), (20, 15), (15, 20), (20, 20)], float)
    assert inside(points, polygon).tolist() == [True] * 3 + [False] * 3


def test_right_is_as_seen_by_who_walks_along_the_line():
    down, right = np.array([(5, 0), (5, 10)], float), np.array([(0, 5), (20, 5)], float)
    points = np.array([(2, 3), (9, 300)], float)
    assert distances(points, down).tolist() == [3, -4]
    assert distances(points, right).tolist() == [-2, 295]


@pytest.mark.parametrize(
    ("before", "after", "way"),
    [
        ((5, 0), (5, 10), 1),
        ((5, 10), (5, 0), -1),
        ((5, 0), (5, 5), 1),
        ((5, 5), (5, 10), 0),
        ((5, 5), (5, 0), -1),
        ((0, 0), (0, 10), 1),
        ((20, 0), (20, 10), 1),
        ((21, 0), (21, 10), 0),
        ((-1, 10), (-1, 0), 0),
        ((15, 0), (35, 10), 0),
        ((5, 0), (5, 4), 0),
        ((5, 0), (5, 0), 0),
    ],
)
def test_a_step_goes_through_a_line_between_its_ends(before, after, way):
    """Of steps that touch the line, one counts: a path that does so goes through once."""
    assert passes(sight(*before), sight(*after), np.array([(0, 5), (20, 5)], float)) == way


@pytest.mark.parametrize(
    ("polygon", "edges"),
    [
        (SQUARE, None),
        (SQUARE[::-1], None),
        (HOOK, None),
        (SQUARE[[0, 1, 3, 2]], (1, 3)),
        (np.array([(0, 0), (9, 0), (9, 9), (9, 0), (0, 9)]), (0, 2)),
        (np.array([(0, 0), (5, 5), (9, 9)]), (0, 2)),
        (np.array([(0, 0), (9, 0), (9, 9), (0, 9), (0, 0)]), (0, 3)),
        (np.array([(0, 0), (0, 0), (9, 9), (0, 9)]), (0, 1)),
        (np.array([(0, 0), (10, 0), (10, 9), (5, 0), (0, 9)]), (0, 2)),
    ],
)
def test_a_polygon_that_crosses_or_touches_itself(polygon, edges):
    assert crossed_edges(np.array(polygon, float)) == edges

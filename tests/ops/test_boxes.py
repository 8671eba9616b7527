"""Boxes against plain loops, and the half-open convention at its corners."""

import numpy as np
import pytest
import reference

from watchline.ops import boxes as ops


def table(rng, n: int) -> np.ndarray:
    start = rng.uniform(-20, 100, (n, 2))
    return np.concatenate([start, start + rng.uniform(-5, 60, (n, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (0, 0, 10, 5), 0.5),
        ((0, 0, 10, 10), (5, 5, 15, 15), 25 / 175),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),  # half-open: neighbours share nothing
        ((0, 0, 10, 10), (2, 2, 4, 4), 0.04),  # one inside the other
        ((0, 0, 10, 10), (20, 20, 10, 10), 0.0),  # inside out: no area
        ((3, 3, 3, 3), (3, 3, 3, 3), 0.0),  # a point with itself: no area, no division by nought
    ],
)
def test_iou_by_hand(a, b, expected):
    assert ops.iou(np.array([a], np.float32), np.array([b], np.float32)) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_iou_equals_the_loop(seed):
    rng = np.random.default_rng(seed)
    a, b = table(rng, 23), table(rng, 17)
    expected = [[reference.iou(p, q) for q in b.tolist()] for p in a.tolist()]
    np.testing.assert_allclose(ops.iou(a, b), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
def test_other_number_types_give_float32(dtype):
    a = np.array([[0, 0, 10, 10], [5, 0, 15, 10]], dtype)
    result = ops.iou(a, a)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[1, 1 / 3], [1 / 3, 1]], atol=1e-6)
    assert ops.area(a).dtype == np.float32


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (0, 0)])
def test_empty_tables_keep_their_shape(n, m):
    rng = np.random.default_rng(0)
    a, b = table(rng, n), table(rng, m)
    assert ops.iou(a, b).shape == (n, m)
    assert ops.area(a).shape == (n,)
    assert ops.clip(a, 10, 10).shape == (n, 4)


def test_area_of_a_box_inside_out_is_nought():
    boxes = np.array([[0, 0, 4, 5], [4, 0, 0, 5], [4, 5, 0, 0]], np.float32)
    assert ops.area(boxes).tolist() == [20, 0, 0]


def test_clip_cuts_at_the_edges_and_leaves_the_rest():
    boxes = np.array([[-5, -5, 700, 400], [1, 2, 3, 4], [650, 10, 700, 20], [-np.inf, 0, np.inf, 9]], np.float32)
    expected = [[0, 0, 640, 272], [1, 2, 3, 4], [640, 10, 640, 20], [0, 0, 640, 9]]
    clipped = ops.clip(boxes, 640, 272)
    assert clipped.tolist() == expected
    assert clipped.dtype == np.float32
    assert boxes[0, 0] == -5  # the argument is left alone

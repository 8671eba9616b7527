"""Assignments cost as little as any, and what is not alike enough has no partner."""

from itertools import permutations

import numpy as np
import pytest

from watchline.ops.assignment import assign, matched


def least(cost):
    """The least total cost, by trying everything."""
    if cost.shape[0] > cost.shape[1]:
        cost = cost.T
    rows = range(cost.shape[0])
    return min(sum(cost[row, column] for row, column in zip(rows, order, strict=False)) for order in _orders(cost))


def _orders(cost):
    return permutations(range(cost.shape[1]), cost.shape[0])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 4), (5, 3), (3, 6), (6, 6)])
def test_no_other_assignment_costs_less(shape, ties):
    rng = np.random.default_rng(shape)
    for _ in range(20):
        cost = rng.integers(-2, 3, shape).astype(float) if ties else rng.normal(0, 1, shape)
        rows, columns = assign(cost)
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert len(rows) == len(set(columns.tolist())) == min(shape)
        assert cost[rows, columns].sum() == pytest.approx(least(cost))


def test_large_ones_cost_what_scipy_s_cost():
    optimize = pytest.importorskip("scipy.optimize")  # comes with scikit-image
    rng = np.random.default_rng(1)
    for shape in [(40, 40), (25, 60), (60, 25)]:
        cost = rng.random(shape) ** 3
        assert cost[assign(cost)].sum() == pytest.approx(cost[optimize.linear_sum_assignment(cost)].sum())


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_has_no_pairs(shape):
    for rows, columns in (assign(np.zeros(shape)), matched(np.zeros(shape), 0.1)):
        assert (rows.tolist(), columns.tolist()) == ([], [])


def test_pairs_that_are_not_alike_enough_are_left_out():
    likeness = np.array([[0.9, 0.2, 0.0], [0.3, 0.0, 0.0], [0.0, 0.0, 0.29]])
    rows, columns = matched(likeness, 0.3)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0)]


def test_two_that_want_one_go_where_both_are_best_off():
    """The first is better off with column 0, but then the second has none."""
    rows, columns = matched(np.array([[0.9, 0.8], [0.7, 0.0]]), 0.1)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 1), (1, 0)]


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_the_search_of_parts_finds_what_the_search_of_all_finds(share):
    rng = np.random.default_rng(3)
    for _ in range(50):
        likeness = rng.random((7, 9)) * (rng.random((7, 9)) < share)
        assert likeness[matched(likeness, 1e-9)].sum() == pytest.approx(likeness[assign(-likeness)].sum())

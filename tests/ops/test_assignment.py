"""The pairs are as alike as any, and what is not alike enough has no partner."""

from itertools import permutations

import numpy as np
import pytest

from watchline.ops.assignment import matched


def most(likeness):
    """The greatest total likeness, by trying everything."""
    if likeness.shape[0] > likeness.shape[1]:
        likeness = likeness.T
    orders = permutations(range(likeness.shape[1]), likeness.shape[0])
    return max(sum(likeness[row, column] for row, column in enumerate(order)) for order in orders)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_has_no_pairs(shape):
    rows, columns = matched(np.zeros(shape), 0.1)
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
@pytest.mark.parametrize("shape", [(1, 5), (4, 4), (6, 3), (5, 6)])
def test_no_other_pairs_are_more_alike(shape, share):
    rng = np.random.default_rng(3)
    for _ in range(20):
        likeness = rng.random(shape) * (rng.random(shape) < share)
        rows, columns = matched(likeness, 1e-9)
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert len(rows) == len(set(columns.tolist()))
        assert likeness[rows, columns].sum() == pytest.approx(most(likeness))

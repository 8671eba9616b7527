"""Who belongs to whom: pairs of rows and columns, each in one pair, with the least total cost.

Shortest augmenting paths, after Crouse, "On Implementing 2D Rectangular Assignment Algorithms" (2016), which is what
SciPy's `linear_sum_assignment` does as well. Ours needs no SciPy, and equal costs give the same pairs on every machine.
"""

from math import inf

import numpy as np
from numpy.typing import NDArray

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows (K,) in ascending order, and the column of each


def assign(cost: NDArray[np.floating]) -> Pairs:
    """The assignment of least total cost.

    Args:
        cost: (N, M), finite.

    Returns:
        min(N, M) pairs.
    """
    if cost.shape[0] > cost.shape[1]:
        columns, rows = assign(cost.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    # Plain lists: what is contested is small, and NumPy's calls would take longer than the numbers in them.
    table = np.asarray(cost, np.float64).tolist()
    of_rows, of_columns = [0.0] * cost.shape[0], [0.0] * cost.shape[1]  # the dual variables
    row_of = [-1] * cost.shape[1]
    for free in range(cost.shape[0]):
        _augment(table, free, of_rows, of_columns, row_of)
    columns = np.flatnonzero(np.array(row_of, np.intp) >= 0)
    rows = np.array(row_of, np.intp)[columns]
    order = np.argsort(rows)
    return rows[order], columns[order]


def _augment(
    cost: list[list[float]], free: int, of_rows: list[float], of_columns: list[float], row_of: list[int]
) -> None:
    """Give a free row a column, along the cheapest path over pairs that change."""
    shortest, before = [inf] * len(of_columns), [-1] * len(of_columns)
    outside = list(range(len(of_columns)))  # columns to which the shortest path is not yet known
    inside: list[int] = []
    row, length = free, 0.0
    while True:
        row_cost, base = cost[row], length - of_rows[row]
        column, nearest = -1, inf
        for each in outside:
            path = base + row_cost[each] - of_columns[each]
            if path < shortest[each]:
                shortest[each], before[each] = path, row
            if shortest[each] < nearest:
                column, nearest = each, shortest[each]
        length = nearest
        outside.remove(column)
        row = row_of[column]
        if row < 0:
            break
        inside.append(column)
    of_rows[free] += length
    for each in inside:
        of_rows[row_of[each]] += length - shortest[each]
        of_columns[each] -= length - shortest[each]
    while column >= 0:
        row = before[column]
        taken = row_of.index(row) if row != free else -1
        row_of[column], column = row, taken


def matched(likeness: NDArray[np.floating], least: float) -> Pairs:
    """The pairs with the greatest total likeness, of those that are alike enough.

    Args:
        likeness: (N, M), 0 or more.
        least: of a pair, more than 0.

    Returns:
        pairs, possibly none.
    """
    allowed = likeness >= least
    # Most rows and columns have no one else, which needs no search.
    alone = allowed & (allowed.sum(axis=1, keepdims=True) == 1) & (allowed.sum(axis=0, keepdims=True) == 1)
    contested = allowed & ~alone
    rows, columns = np.nonzero(alone)
    if contested.any():
        some, others = np.flatnonzero(contested.any(axis=1)), np.flatnonzero(contested.any(axis=0))
        part = np.where(contested, likeness, 0)[np.ix_(some, others)]
        a, b = assign(-part)
        real = part[a, b] > 0
        rows, columns = np.concatenate([rows, some[a[real]]]), np.concatenate([columns, others[b[real]]])
        order = np.argsort(rows)
        rows, columns = rows[order], columns[order]
    return rows, columns
